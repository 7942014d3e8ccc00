"""Evaluations as Ray tasks with a worker's resources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from r2d_ray.config import TrainConfig
from r2d_ray.evaluation.scoring import EvaluationJob, evaluate_model
from r2d_ray.records import prediction_file
from r2d_ray.study.folder import StudyFolder

Job = tuple[EvaluationJob, Path, TrainConfig]
"""What to evaluate, on which prepared data, under which config."""


def evaluate_all(jobs: Sequence[Job], folder: StudyFolder) -> list[dict[str, Any]]:
    """Return the scores of these jobs, in their order."""
    return list(evaluate_each(jobs, folder))


def evaluate_each(jobs: Sequence[Job], folder: StudyFolder) -> Iterator[dict[str, Any]]:
    """Evaluate side by side as Ray tasks with a worker's resources; yield scores in order."""
    import ray

    folder.predictions_dir.mkdir(exist_ok=True)
    waiting = []
    for evaluation, prepared_dir, config in jobs:
        task = ray.remote(evaluate_model).options(
            num_cpus=1, num_gpus=min(1.0, config.gpus_per_worker), max_retries=2
        )
        out = predictions_file(folder, evaluation)
        values = config.model_dump()
        waiting.append(task.remote(evaluation, prepared_dir, values, out))
    for reference in waiting:
        yield ray.get(reference)


def score_rationales(
    files: Sequence[Path], human: Mapping[str, str], gpus_per_worker: float, allow_hub: bool
) -> list[dict[str, Any]]:
    """Run `plausibility.score_files` as one Ray task with a worker's resources."""
    import ray

    from r2d_ray.evaluation.plausibility import score_files

    task = ray.remote(score_files).options(
        num_cpus=1, num_gpus=min(1.0, gpus_per_worker), max_retries=2
    )
    scores: list[dict[str, Any]] = ray.get(task.remote(files, human, allow_hub))
    return scores


def predictions_file(folder: StudyFolder, evaluation: EvaluationJob) -> Path:
    """Return where an evaluation's predictions go."""
    return prediction_file(folder.predictions_dir, evaluation.name, evaluation.table)


def read_files(
    config: TrainConfig, prepared_dir: Path, weights: Path, dataset: str, files: list[Path]
) -> list[dict[str, Any]]:
    """Run `reading.read_arms` as one Ray task with a worker's resources."""
    import ray

    from r2d_ray.evaluation.readers import read_arms

    task = ray.remote(read_arms).options(num_cpus=1, num_gpus=min(1.0, config.gpus_per_worker))
    scores: list[dict[str, Any]] = ray.get(
        task.remote(weights, prepared_dir, config.model_dump(), dataset, files)
    )
    return scores
