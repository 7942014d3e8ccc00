"""A comparison over folds: an arm's folds become one run over all rows, scored out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from r2d_ray.comparison.plan import ComparePlan
from r2d_ray.comparison.rationales import (
    RationaleScores,
    compare_rationales,
    file_of,
    has_bertscore,
    trivial_files,
)
from r2d_ray.comparison.scores import arm_evaluation, evaluation_stamp
from r2d_ray.config import may_use_hub
from r2d_ray.distributed.controls import OUT_OF_FOLD
from r2d_ray.distributed.tasks import predictions_file
from r2d_ray.evaluation.controls.labels import classes_of
from r2d_ray.evaluation.scoring import score
from r2d_ray.records import Evaluation, Prediction, TrialRecord, read_jsonl, write_jsonl
from r2d_ray.study.books import ScoreCache, key_of
from r2d_ray.study.folder import StudyFolder

Scores = dict[str, Any]


def runs_of(plan: ComparePlan) -> dict[str, list[int]]:
    """Return the numbers of the arms that are the folds of a run, in order, by the run's name."""
    runs: dict[str, list[int]] = {}
    for number, arm in enumerate(plan.arms):
        runs.setdefault(arm.run, []).append(number)
    return runs


def pooled(
    plan: ComparePlan, folder: StudyFolder, scores: Mapping[int, Scores]
) -> tuple[dict[str, Scores], RationaleScores]:
    """Write the out-of-fold predictions of every run whose folds all ended, and score them.

    Made again only where a fold was, or a file of them is lost; without an encoder of BERTScore
    every time: there may be one the next time. What no prediction tells (consistency and the like)
    is the mean over folds, weighted by their rows.

    Returns:
        Scores by run; those of trivial rationales, and signatures.
    """
    whole = {run: ns for run, ns in runs_of(plan).items() if all(n in scores for n in ns)}
    kept = ScoreCache(folder.predictions_dir / "folds.scores.json")
    folds = [n for numbers in whole.values() for n in numbers]
    key = key_of(OUT_OF_FOLD, [[n, evaluation_stamp(plan, folder, n), scores[n]] for n in folds])
    found = kept.scores(OUT_OF_FOLD, key)
    if found is not None:
        return found["runs"], RationaleScores({}, found["controls"], found["signatures"])
    runs = {
        run: write_run(plan, folder, numbers, [scores[n] for n in numbers])
        for run, numbers in whole.items()
    }
    first = {numbers[0]: run for run, numbers in whole.items()}
    texts = compare_rationales(plan, folder, list(first), may_use_hub(plan.info.profile))
    for number, more in texts.arms.items():
        runs[first[number]] |= more
    if not texts.arms or has_bertscore(texts):
        files = [*(file_of(plan, folder, n) for n in first), *trivial_files(plan, folder, texts)]
        made = {"runs": runs, "controls": texts.controls, "signatures": texts.signatures}
        kept.write(OUT_OF_FOLD, key, made, files)
    return runs, RationaleScores({}, texts.controls, texts.signatures)


def write_run(
    plan: ComparePlan, folder: StudyFolder, numbers: Sequence[int], scores: Sequence[Scores]
) -> Scores:
    """Write a run's predictions of all rows, those of its folds, and return their scores."""
    parts = [_predictions(plan, folder, number) for number in numbers]
    rows = [row for part in parts for row in part]
    write_jsonl(file_of(plan, folder, numbers[0]), rows)
    return weighted(scores, [len(part) for part in parts]) | score(rows, classes_of(*plan.parts))


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
