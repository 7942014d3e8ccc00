"""Evaluations as Ray tasks with a worker's resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from r2d_ray.config import TrainConfig
from r2d_ray.distributed.stage_job import CPUS_PER_WORKER
from r2d_ray.evaluation.scoring import EvaluationJob, evaluate_model
from r2d_ray.records import prediction_file
from r2d_ray.study.folder import StudyFolder

Job = tuple[EvaluationJob, Path, TrainConfig]
"""What to evaluate, on which prepared data, under which config."""

RETRIES = 2  # of a task whose node or process is lost


def start_task(gpus_per_worker: float, work: Callable[..., Any], *asked: Any) -> Any:
    """Start `work(*asked)` on some node with a worker's resources; return Ray's reference to it.

    What it writes is the same however often it runs, so a lost node costs another attempt only.
    """
    import ray

    resources = {"num_cpus": CPUS_PER_WORKER, "num_gpus": min(1.0, gpus_per_worker)}
    return ray.remote(work).options(**resources, max_retries=RETRIES).remote(*asked)


def evaluate_each(jobs: Sequence[Job], folder: StudyFolder) -> Iterator[dict[str, Any]]:
    """Evaluate side by side as Ray tasks with a worker's resources; yield scores in order."""
    import ray

    folder.predictions_dir.mkdir(exist_ok=True)
    waiting = []
    for evaluation, prepared_dir, config in jobs:
        out = predictions_file(folder, evaluation)
        asked = (evaluation, prepared_dir, config.model_dump(), out)
        waiting.append(start_task(config.gpus_per_worker, evaluate_model, *asked))
    for reference in waiting:
        yield ray.get(reference)


def score_rationales(
    files: Sequence[Path], human: Mapping[str, str], gpus_per_worker: float, allow_hub: bool
) -> list[dict[str, Any]]:
    """Run `plausibility.score_files` as one Ray task with a worker's resources."""
    import ray

    from r2d_ray.evaluation.plausibility import score_files

    task = start_task(gpus_per_worker, score_files, files, human, allow_hub)
    scores: list[dict[str, Any]] = ray.get(task)
    return scores


def predictions_file(folder: StudyFolder, evaluation: EvaluationJob) -> Path:
    """Return where an evaluation's predictions go."""
    return prediction_file(folder.predictions_dir, evaluation.name, evaluation.table)


def read_files(
    config: TrainConfig, prepared_dir: Path, weights: Path, dataset: str, files: list[Path]
) -> list[dict[str, Any]]:
    """Run `readers.read_arms` as one Ray task with a worker's resources."""
    import ray

    from r2d_ray.evaluation.reading.readers import read_arms

    asked = (weights, prepared_dir, config.model_dump(), dataset, files)
    scores: list[dict[str, Any]] = ray.get(start_task(config.gpus_per_worker, read_arms, *asked))
    return scores
