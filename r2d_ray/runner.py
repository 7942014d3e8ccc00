"""From plan to result: study folder, prepared data, cluster, search, best model, last look."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from r2d_ray.cluster import Capacity, check_shared_storage, connect
from r2d_ray.data.prepare import open_prepared, prepare
from r2d_ray.events import Event, StudyNote
from r2d_ray.export import export_best
from r2d_ray.finalists import (
    clear_old_predictions,
    controls,
    finalists,
    last_look,
    write_result,
    write_rows,
)
from r2d_ray.models import count_parameters
from r2d_ray.plan import StudyPlan, with_token_counts
from r2d_ray.records import StudyInfo, write_json
from r2d_ray.study import (
    StudyFolder,
    extend_study,
    open_study,
    total_samples,
)
from r2d_ray.study_lock import StudyLock
from r2d_ray.tune import Bookkeeper, search

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
