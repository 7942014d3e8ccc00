"""The last look of a search: the chosen models on the test split, once, and what is kept of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from r2d_ray.config import TrainConfig, build_config
from r2d_ray.data.examples import Splits, pick_source
from r2d_ray.data.prepare import WITHOUT_CONTEXT
from r2d_ray.distributed.controls import control_file, write_own_label, write_trivial
from r2d_ray.distributed.tasks import Job, evaluate_each, predictions_file, score_rationales
from r2d_ray.evaluation.calibration import Calibration, why_not
from r2d_ray.evaluation.costs import Costs
from r2d_ray.evaluation.scoring import EvaluationJob
from r2d_ray.records import TrialRecord, write_jsonl
from r2d_ray.storage import write_json
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.progress.events import ScoringEvent, Show, silent
from r2d_ray.study.seeds import is_number, means, of_seed, spreads

BARE = "best without context"


def finalists(
    folder: StudyFolder,
    prepared_dir: Path,
    best: TrialRecord,
    first: TrialRecord | None,
    costs: Costs | None = None,
    contexts: bool = True,
) -> list[Job]:
    """Return what is evaluated on test: the best trial, trial 0 and the best without context.

    Of a trial of several seeds each is a job of its own. Without `contexts` on test there is
    nothing that the last one could leave out.
    """
    config = build_config(best.config)
    place = folder.best_dir
    label = f"best (trial {best.trial}{', the defaults' if best.trial == 0 else ''})"
    shown = [(label, best, place)]
    if first is not None and first.trial != best.trial:
        shown.append(("trial 0 (the defaults)", first, folder.trial_dir(0) / "best"))
    writes = config.trains_rationales
    chosen = EvaluationJob(label, place, "test", writes, calibrated=True, costs=costs)
    jobs = [
        (replace(chosen, name=name, model_dir=weights), prepared_dir, own)
        for row, record, alone in shown
        for name, weights, own in _seeds(folder, row, record, alone)
    ]
    if not contexts:
        return jobs
    bare = EvaluationJob(BARE, place, WITHOUT_CONTEXT, rationales=False)
    return [*jobs, (bare, prepared_dir, config)]


def _seeds(
    folder: StudyFolder, row: str, record: TrialRecord, alone: Path
) -> Iterator[tuple[str, Path, TrainConfig]]:
    """Yield name, weights and config of each of a trial's seeds; `alone` are those of one."""
    if not record.seeds:
        yield row, alone, build_config(record.config)
    for run, each in enumerate(record.seeds):
        weights = folder.run_dir(record.trial, run) / "best"
        yield seed_row(row, each.seed), weights, build_config(of_seed(record, run).config)


def seed_row(row: str, seed: int) -> str:
    """Return the name of one seed's row in the result table."""
    return f"{row}, seed {seed}"


class Looked(NamedTuple):
    """Test scores by row's name: of the models, and of rationales that nobody had to learn."""

    models: dict[str, dict[str, Any]]
    controls: dict[str, dict[str, Any]]


def last_look(
    jobs: Sequence[Job],
    folder: StudyFolder,
    splits: Splits,
    seed: int,
    allow_hub: bool,
    show: Show = silent,
) -> Looked:
    """Evaluate these jobs and, where they write rationales, trivial ones; BERTScore once for all.

    Beside the oracles stand training rationales of the labels that the best model, the first job,
    predicted.
    """
    table = {}
    rows = f"test rows ({len(splits.test)})"
    show(ScoringEvent(rows, 0, len(jobs)))
    for (job, _, _), scores in zip(jobs, evaluate_each(jobs, folder), strict=True):
        table[job.name] = scores
        show(ScoringEvent(rows, len(table), len(jobs)))
    wrote = {e.name: predictions_file(folder, e) for e, _, _ in jobs if e.rationales}
    if not wrote:
        return Looked(table, {})
    config = jobs[0][2]
    source = pick_source(splits, config.rationale_source)
    trivial = write_trivial(folder, [splits], [source] if source else [], seed)
    best = next(iter(wrote))
    if source:
        place = partial(control_file, folder)
        own = write_own_label(place, [splits], source, seed, {best: wrote[best]})
        trivial |= {f"{name}, label of {run}": file for (name, run), file in own.items()}
    files = [*wrote.values(), *trivial.values()]
    show(ScoringEvent("rationales", 0, 1))
    found = score_rationales(files, {}, config.gpus_per_worker, allow_hub)
    for name, more in zip(wrote, found, strict=False):
        table[name] |= more
    return Looked(table, dict(zip(trivial, found[len(wrote) :], strict=True)))


def calibration_of(
    config: TrainConfig, splits: Splits, scores: Mapping[str, Any], costs: Costs | None
) -> dict[str, Any]:
    """Return what result.json and best/ keep of a run's calibration, or why it has none."""
    why = why_not(config, splits.label_kind)
    if why is not None:
        return {"not_applicable": why}
    fitted = Calibration(float(scores["temperature"]), len(splits.validation), costs)
    return fitted.described(splits.labels)


def write_result(
    folder: StudyFolder,
    best: TrialRecord,
    table: dict[str, dict[str, Any]],
    records: Sequence[TrialRecord],
    bag_of_words: dict[str, Any],
    calibration: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write result.json and the test scores of best and trial 0 into the records.

    `table` holds the best's scores first and, if it is another, trial 0's second; of trials of
    several seeds these are means (`with_means`), and `spread` has their standard deviations.
    `bag_of_words` is what is said of it, `more` what else the result says.
    """
    names = list(table)
    rows = {best.trial: names[0]}
    if len(names) > 1 and names[1].startswith("trial 0"):
        rows[0] = names[1]
    write_jsonl(
        folder.records_path,
        [
            with_test_scores(record, table, rows.get(record.trial))
            for record in sorted(records, key=lambda r: r.trial)
        ],
    )
    seeded = {name: record.seeds for record in records for name in [rows.get(record.trial)] if name}
    result = {
        "bag_of_words": bag_of_words,
        "best_trial": best.trial,
        "trials": dict(Counter(record.status for record in records)),
        "test": table,
        "config": best.config,
        **({} if calibration is None else {"calibration": dict(calibration)}),
        **(more or {}),
    }
    spread = {
        name: spreads([table[seed_row(name, run.seed)] for run in runs])
        for name, runs in seeded.items()
        if runs
    }
    if spread:
        result["spread"] = spread
    write_json(folder.root / "result.json", result)
    return result


def with_means(
    table: dict[str, dict[str, Any]], trials: Sequence[TrialRecord]
) -> dict[str, dict[str, Any]]:
    """Return the table with a row of means before those of a trial's seeds, where it has several.

    Args:
        table: Scores by row's name, the seeds of these trials first and in their order.
        trials: The best trial and, if it is another, trial 0.
    """
    names, made = list(table), {}
    for record in trials:
        mine, names = names[: len(record.seeds)], names[len(record.seeds) :]
        if mine:
            scores = [table[name] for name in mine]
            words = {k: v for k, v in scores[0].items() if not is_number(v)}
            made[mine[0].rpartition(", seed ")[0]] = words | means(scores)
    return made | table


def with_test_scores(
    record: TrialRecord, table: dict[str, dict[str, Any]], row: str | None
) -> TrialRecord:
    """Return a record with its row's test scores, its seeds' too; without a row with none."""

    def numbers(name: str | None) -> dict[str, Any]:
        scores = table.get(name or "", {})
        return {key: value for key, value in scores.items() if not isinstance(value, str)}

    seeds = tuple(
        run.model_copy(update={"test_metrics": numbers(row and seed_row(row, run.seed))})
        for run in record.seeds
    )
    return record.model_copy(update={"test_metrics": numbers(row), "seeds": seeds})
