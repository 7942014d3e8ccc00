"""The last look of a search: the chosen models on the test split, once, and what is kept of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r2d_ray.config import build_config
from r2d_ray.data.prepare import WITHOUT_CONTEXT
from r2d_ray.distributed.tasks import Job, evaluate_all, predictions_file, score_rationales
from r2d_ray.evaluation.scoring import EvaluationJob
from r2d_ray.records import TrialRecord, write_jsonl
from r2d_ray.storage import write_json
from r2d_ray.study.folder import StudyFolder


def finalists(
    folder: StudyFolder,
    prepared_dir: Path,
    best: TrialRecord,
    first: TrialRecord | None,
) -> list[Job]:
    """Return what is evaluated on test: the best trial, trial 0 and the best without context."""
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
