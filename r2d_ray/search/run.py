"""From plan to result: study folder, prepared data, cluster, search, best model, test scores."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from r2d_ray.config import build_config
from r2d_ray.data.prepare import open_prepared, prepare
from r2d_ray.distributed.cluster import Capacity, check_shared_storage, connect
from r2d_ray.distributed.tasks import Job, evaluate_all, predictions_file, score_rationales
from r2d_ray.evaluation.controls import controls
from r2d_ray.evaluation.scoring import EvaluationJob
from r2d_ray.model.t5 import count_parameters
from r2d_ray.records import StudyInfo, TrialRecord, write_jsonl
from r2d_ray.search.plan import StudyPlan, with_token_counts
from r2d_ray.search.tuner import Event, StudyNote, search
from r2d_ray.storage import write_json
from r2d_ray.study.books import Bookkeeper
from r2d_ray.study.export import export_best
from r2d_ray.study.folder import (
    StudyFolder,
    clear_old_predictions,
    extend_study,
    open_study,
    total_samples,
    write_rows,
)
from r2d_ray.study.lock import StudyLock

CHECKPOINT_BYTES = 16  # of a parameter: fp32 weights, two Adam moments, and the selected weights
WEIGHT_BYTES = 4
CHECKPOINTS = 3  # on disk at once while a trial trains: two kept and one being written


def disk_estimate_gb(plan: StudyPlan, concurrency: int) -> float:
    """Return the study's largest size in GB: checkpoints of running trials, weights, stage 1."""
    parameters = count_parameters(plan.config)
    running = concurrency * CHECKPOINTS * CHECKPOINT_BYTES
    kept = (3 + concurrency) * WEIGHT_BYTES  # best, its export, trial 0; one selected each running
    return parameters * (running + kept) / 1e9


def run_study(
    plan: StudyPlan,
    address: str | None,
    capacity: Capacity,
    concurrency: int,
    show: Callable[[Event], None],
) -> dict[str, Any] | None:
    """Run or resume the study and return its result; None if it was stopped and can be resumed.

    Raises:
        UserError: for data that cannot be tokenised, a folder in use or of another study.
    """
    settings = plan.settings
    storage = Path(os.path.abspath(os.path.expanduser(settings.storage_path)))
    missing = [place for place in (storage, *storage.parents) if not place.exists()]
    opened = open_study(
        settings.storage_path, plan.name, plan.info, settings.resume, extend=bool(settings.extend)
    )
    folder, resumed = opened.folder, opened.resumed
    with StudyLock(folder.root):
        for note in opened.notes:
            show(StudyNote(f"resumed with another version: {note}"))
        plan = with_trials(plan, folder, opened.info)
        try:
            prepared_dir = prepare(plan.splits, plan.config, folder.prepared_dir)
        except Exception:
            if not resumed:
                shutil.rmtree(folder.root)  # refused data leaves nothing behind
                with suppress(OSError):  # another study may lie there by now
                    for place in missing:
                        place.rmdir()
            raise
        if not resumed:
            plan = with_token_counts(plan, open_prepared(prepared_dir).info["tokens"])
            write_json(folder.info_path, plan.info.model_dump(mode="json"))
        if address is None:
            connect(None, capacity)
        check_shared_storage(folder.root)
        books = search(plan, folder, prepared_dir, concurrency, show)
        return finish(plan, folder, prepared_dir, books)


def with_trials(plan: StudyPlan, folder: StudyFolder, stored: StudyInfo) -> StudyPlan:
    """Return the plan with the number of trials that the stored study is to have.

    `--extend` adds to a finished study only: the same command after a kill finishes what it began.
    """
    ended = len(Bookkeeper(folder, stored).records)
    if plan.settings.extend and ended >= total_samples(stored):
        stored = extend_study(folder, stored, plan.settings.extend)
    settings = plan.settings.model_copy(update={"num_samples": total_samples(stored)})
    return replace(plan, settings=settings, info=stored)


def finish(
    plan: StudyPlan, folder: StudyFolder, prepared_dir: Path, books: Bookkeeper
) -> dict[str, Any] | None:
    """Export the best trial and look at the test split once; None if trials are still missing."""
    records = list(books.records.values())
    if len(records) < plan.settings.num_samples and plan.settings.time_budget_s is None:
        return None
    states = dict(Counter(record.status for record in records))
    failures = {record.trial: record.reason for record in records if record.status == "failed"}
    best = books.best()
    if best is None:
        return {"trials": states, "failures": failures, "test": {}}
    weights = folder.trial_dir(best.trial) / "best"
    export_best(weights, prepared_dir / "tokenizer", folder.best_dir, plan.info, best)
    clear_old_predictions(folder)
    write_rows(folder, plan.splits)
    first = books.records.get(0)
    usable_first = first if first is not None and first.status == "done" else None
    jobs = finalists(folder, prepared_dir, best, usable_first)
    table = last_look(jobs, folder, allow_hub=plan.info.profile == "paper")
    table |= controls(plan.splits)
    result = write_result(folder, best, table, records)
    return {**result, "failures": failures, "best_dir": str(folder.best_dir)}


def finalists(
    folder: StudyFolder,
    prepared_dir: Path,
    best: TrialRecord,
    first: TrialRecord | None,
) -> list[Job]:
    """Return what is evaluated on test: the best trial, trial 0 and the best without context."""
    from r2d_ray.data.prepare import WITHOUT_CONTEXT

    config = build_config(best.config)
    writes = config.trains_rationales
    place = folder.best_dir
    label = f"best (trial {best.trial}{', the defaults' if best.trial == 0 else ''})"
    jobs = [(EvaluationJob(label, place, "test", writes), prepared_dir, config)]
    if first is not None and first.trial != best.trial:
        defaults = EvaluationJob(
            "trial 0 (the defaults)", folder.trial_dir(0) / "best", "test", writes
        )
        jobs.append((defaults, prepared_dir, build_config(first.config)))
    bare = EvaluationJob("best without context", place, WITHOUT_CONTEXT, rationales=False)
    return [*jobs, (bare, prepared_dir, config)]


def last_look(
    jobs: Sequence[Job], folder: StudyFolder, allow_hub: bool
) -> dict[str, dict[str, Any]]:
    """Evaluate these jobs and, once for all of them, BERTScore; return scores by row's name."""
    table = dict(zip([e.name for e, _, _ in jobs], evaluate_all(jobs, folder), strict=True))
    wrote = [evaluation for evaluation, _, _ in jobs if evaluation.rationales]
    if wrote:
        files = [predictions_file(folder, evaluation) for evaluation in wrote]
        found = score_rationales(files, {}, jobs[0][2].gpus_per_worker, allow_hub)
        for evaluation, more in zip(wrote, found, strict=True):
            table[evaluation.name] |= more
    return table


def write_result(
    folder: StudyFolder,
    best: TrialRecord,
    table: dict[str, dict[str, Any]],
    records: Sequence[TrialRecord],
) -> dict[str, Any]:
    """Write result.json and the test scores of best and trial 0 into the records.

    `table` holds the best's scores first and, if it is another, trial 0's second.
    """
    rows = list(table.items())
    test = {best.trial: rows[0][1]}
    if len(rows) > 1 and rows[1][0].startswith("trial 0"):
        test[0] = rows[1][1]
    numbers = {
        trial: {k: v for k, v in scores.items() if not isinstance(v, str)}
        for trial, scores in test.items()
    }
    write_jsonl(
        folder.records_path,
        [
            record.model_copy(update={"test_metrics": numbers.get(record.trial, {})})
            for record in sorted(records, key=lambda r: r.trial)
        ],
    )
    result = {
        "best_trial": best.trial,
        "trials": dict(Counter(record.status for record in records)),
        "test": table,
        "config": best.config,
    }
    write_json(folder.root / "result.json", result)
    return result
