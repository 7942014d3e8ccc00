"""A comparison over folds: an arm's folds become one run over all rows, scored out of fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from r2d_ray.comparison.plan import ComparePlan
from r2d_ray.comparison.rationales import RationaleScores, human_references
from r2d_ray.comparison.scores import arm_evaluation, evaluation_stamp
from r2d_ray.config import may_use_hub
from r2d_ray.data.examples import pick_source
from r2d_ray.distributed.tasks import predictions_file, score_rationales
from r2d_ray.evaluation.controls.bag_of_words import BagOfWords, bag_scores, bags_of_words
from r2d_ray.evaluation.controls.labels import classes_of, controls, label_classes
from r2d_ray.evaluation.controls.trivial_rationales import trivial_rationales
from r2d_ray.evaluation.label_metrics import label_scores, majority_label
from r2d_ray.evaluation.scoring import score
from r2d_ray.records import (
    Evaluation,
    Prediction,
    TrialRecord,
    prediction_file,
    read_jsonl,
    write_jsonl,
)
from r2d_ray.study.books import ScoreCache, key_of
from r2d_ray.study.folder import StudyFolder

OOF = "oof"
Scores = dict[str, Any]


def runs_of(plan: ComparePlan) -> dict[str, list[int]]:
    """Return the numbers of the arms that are the folds of a run, in order, by the run's name."""
    runs: dict[str, list[int]] = {}
    for number, arm in enumerate(plan.arms):
        runs.setdefault(arm.run, []).append(number)
    return runs


def oof_file(folder: StudyFolder, name: str) -> Path:
    """Return where the out-of-fold predictions of a run or a control lie."""
    return prediction_file(folder.predictions_dir, name, OOF)


def pooled(
    plan: ComparePlan, folder: StudyFolder, scores: Mapping[int, Scores]
) -> tuple[dict[str, Scores], RationaleScores]:
    """Write the out-of-fold predictions of every run whose folds all ended, and score them.

    Made again only where a fold was. What no prediction tells (consistency and the like) is the
    mean over folds, weighted by their rows.

    Returns:
        Scores by run; those of trivial rationales, and signatures.
    """
    whole = {run: ns for run, ns in runs_of(plan).items() if all(n in scores for n in ns)}
    kept = ScoreCache(folder.predictions_dir / "folds.scores.json")
    folds = [n for numbers in whole.values() for n in numbers]
    key = key_of(OOF, [[n, evaluation_stamp(plan, folder, n), scores[n]] for n in folds])
    found = kept.scores(OOF, key)
    if found is not None and all(oof_file(folder, name).exists() for name in found["files"]):
        return found["runs"], RationaleScores({}, found["controls"], found["signatures"])
    runs, files = {}, {}
    for run, numbers in whole.items():
        parts = [_predictions(plan, folder, number) for number in numbers]
        rows = [row for part in parts for row in part]
        files[run] = oof_file(folder, run)
        write_jsonl(files[run], rows)
        means = weighted([scores[n] for n in numbers], [len(part) for part in parts])
        runs[run] = means | score(rows, classes_of(plan.splits))
    trivial = {name: oof_file(folder, f"control {name}") for name in _write_trivial(plan, folder)}
    wrote = [run for run, ns in whole.items() if plan.arms[ns[0]].config.trains_rationales]
    signatures: dict[str, str] = {}
    texts: list[Scores] = []
    if wrote:
        sources = {pick_source(plan.splits, arm.config.rationale_source) for arm in plan.arms}
        human = human_references(plan, sources)
        gpus = plan.arms[0].config.gpus_per_worker
        asked = [*(files[run] for run in wrote), *trivial.values()]
        texts = score_rationales(asked, human, gpus, may_use_hub(plan.info.profile))
        signatures = {k: v for each in texts for k, v in each.items() if isinstance(v, str)}
    numbers_only = [{k: v for k, v in each.items() if not isinstance(v, str)} for each in texts]
    for run, more in zip(wrote, numbers_only, strict=False):
        runs[run] |= more
    named = dict(zip(trivial, numbers_only[len(wrote) :], strict=True)) if wrote else {}
    made = {"runs": runs, "controls": named, "signatures": signatures}
    kept.write(OOF, key, {**made, "files": [*runs, *(f"control {name}" for name in named)]})
    return runs, RationaleScores({}, named, signatures)


def _predictions(plan: ComparePlan, folder: StudyFolder, number: int) -> list[Prediction]:
    wanted = arm_evaluation(plan, folder, number, "test")
    return list(read_jsonl(predictions_file(folder, wanted), Prediction))


def weighted(scores: Sequence[Scores], rows: Sequence[int]) -> Scores:
    """Return the mean of every score that all folds have, weighted by their numbers of rows.

    A score of a tag is weighted by the tag's rows; folds without such a row have none of it.
    """
    means = {}
    for name in dict.fromkeys(name for each in scores for name in each):
        tagged = f"rows[{name.partition('[')[2]}"
        having = [(each, each[tagged]) for each in scores if tagged in each]
        having = having or list(zip(scores, rows, strict=True))
        if all(isinstance(each.get(name), float | int) for each, _ in having):
            total = sum(each[name] * n for each, n in having)
            means[name] = total / sum(n for _, n in having)
    return means


def _write_trivial(plan: ComparePlan, folder: StudyFolder) -> list[str]:
    """Write the trivial rationales of every fold, pooled; return their names."""
    writers = [arm.config for arm in plan.arms if arm.config.trains_rationales]
    sources = dict.fromkeys(pick_source(plan.splits, c.rationale_source) for c in writers)
    rows: dict[str, list[Prediction]] = {}
    for source in [source for source in sources if source is not None]:
        more = f", {source}" if len(sources) > 1 else ""
        for fold in plan.folds:
            made = trivial_rationales(fold, source, plan.settings.split_seed)
            for name, found in made.items():
                rows.setdefault(name + more, []).extend(found)
    for name, found in rows.items():
        write_jsonl(oof_file(folder, f"control {name}"), found)
    return list(rows)


def fold_controls(plan: ComparePlan, folder: StudyFolder, metric: str) -> dict[str, Scores]:
    """Return the label controls' scores over all rows, each fold's learned on its training rows."""
    kept = ScoreCache(folder.predictions_dir / "folds.controls.json")
    key = key_of("label controls", [fold.hash for fold in plan.folds], metric)
    found = kept.scores("controls", key)
    if found is None:
        found = _bags(plan, folder, metric)
        kept.write("controls", key, found)
    return _trivial_labels(plan) | found


def _bags(plan: ComparePlan, folder: StudyFolder, metric: str) -> dict[str, Scores]:
    by_name: dict[str, list[BagOfWords]] = {}
    for fold in plan.folds:
        for name, bag in bags_of_words(fold, metric).items():
            by_name.setdefault(name, []).append(bag)
    table = {}
    for name, bags in by_name.items():
        rows = tuple(row for bag in bags for row in bag.predictions)
        write_jsonl(oof_file(folder, f"control {name}"), rows)
        settings = Counter(bag.setting.partition(", chosen on")[0] for bag in bags)
        said = "; ".join(f"{setting} ({n} folds)" for setting, n in settings.most_common())
        one = BagOfWords(
            f"{said}, chosen on each fold's validation", fmean(b.validation for b in bags), rows
        )
        table[name] = bag_scores(one, plan.splits)
    return table


def _trivial_labels(plan: ComparePlan) -> dict[str, Scores]:
    gold = [label for fold in plan.folds for label in label_classes(fold.test)]
    tops = [majority_label(label_classes(fold.train)) for fold in plan.folds]
    every = replace(plan.splits, train=plan.tested, test=plan.tested)
    table = controls(every)  # the coin's balance is that of all rows: folds are stratified
    classes = classes_of(plan.splits)
    if not classes:
        return table
    guesses = [top for top, fold in zip(tops, plan.folds, strict=True) for _ in fold.test]
    first, coin = table
    name = first if len(set(tops)) == 1 else "majority label of each fold"
    return {name: dict(label_scores(gold, guesses, classes)), coin: table[coin]}


def pooled_records(
    plan: ComparePlan,
    folder: StudyFolder,
    records: Sequence[TrialRecord],
    scores: Mapping[int, Scores],
) -> tuple[list[TrialRecord], RationaleScores]:
    """Write and return a record of every run over its folds, and the scores of `pooled`."""
    runs, rationales = pooled(plan, folder, scores)
    found = [
        over_folds(run, [records[n] for n in numbers], runs.get(run))
        for run, numbers in runs_of(plan).items()
    ]
    write_jsonl(folder.pooled_path, found)
    return found, rationales


def over_folds(
    run: str, records: Sequence[TrialRecord], scores: Mapping[str, Any] | None
) -> TrialRecord:
    """Return one record of a run's folds: means over folds, hours in sum, pooled test scores.

    It has failed where a fold has; steps are those of each fold.
    """
    first = records[0]
    known: dict[str, Any] = {"arm": run, "fold": None, "wall_s": sum(r.wall_s for r in records)}
    bad = [r for r in records if r.status != "done"]
    more: dict[str, Any]
    if bad or scores is None:
        reasons = "; ".join(f"fold {r.fold}: {r.reason}" for r in bad)
        more = {"status": "failed", "reason": reasons, "test_metrics": {}}
        return first.model_copy(update={**known, **more})
    steps = [{e.step: e.scores for e in r.curve} for r in records]
    curve = tuple(
        Evaluation(step=step, scores=_means([each[step] for each in steps]))
        for step in steps[0]
        if all(step in each for each in steps)
    )
    more = {
        "curve": curve,
        "metrics": _means([r.metrics for r in records]),
        "counts": _means([r.counts for r in records]),
        "selected_step": round(fmean(r.selected_step or 0 for r in records)),
        "test_metrics": dict(scores),
    }
    return first.model_copy(update={**known, **more})


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = [name for name in scores[0] if all(name in each for each in scores)]
    return {name: fmean(each[name] for each in scores) for name in names}


def fold_summary(plan: ComparePlan, records: Sequence[TrialRecord], metric: str) -> dict[str, Any]:
    """Return folds and rows, and by method mean and standard deviation over folds and seeds."""
    numbers = {"count": len(plan.folds), "rows": len(plan.tested), "metric": metric}
    return {**numbers, "methods": by_fold(records, metric)}


def by_fold(records: Sequence[TrialRecord], metric: str) -> dict[str, dict[str, Any]]:
    """Return mean and standard deviation over folds and seeds of a test score, by method."""
    values: dict[str, list[float]] = {}
    for record in records:
        value = record.test_metrics.get(metric)
        if record.arm is not None and record.status == "done" and value is not None:
            method = record.arm.removesuffix(f"-fold{record.fold}").rpartition("-")[0]
            values.setdefault(method, []).append(value)
    return {
        method: {"mean": fmean(found), "sd": stdev(found) if len(found) > 1 else None}
        for method, found in values.items()
    }
