"""Ray Train: one stage on 1..N workers (`run_training`); `python -m r2d_ray.train` for one run.

Only JSON crosses process borders: the worker builds model, tokenizer and tables itself. Ray keeps
the last two checkpoints and hands the newest to a replaced worker; the selected weights lie apart.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from r2d_ray.config import TrainConfig
from r2d_ray.errors import UserError

CHECKPOINTS_KEPT = 2  # the newest may be damaged when a node dies: the one before it still serves
MAX_FAILURES = 2  # replacements of a lost worker before the trial fails
STOP_FILE = "stop"  # in a run's folder: asks training to end at its next evaluation
CPUS_PER_WORKER = 1  # one thread each: sums have one order, so runs repeat bit for bit


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One stage to train: where its data lies, what it starts from and where it may write."""

    config: TrainConfig
    stage: str
    prepared_dir: Path
    run_dir: Path
    weights: Path | None = None
    report_metric: str | None = None

    @property
    def best_dir(self) -> Path:
        """Folder of the selected weights."""
        return self.run_dir / "best"

    def payload(self) -> dict[str, Any]:
        """Return the job as JSON values."""
        return {
            "config": self.config.model_dump(),
            "stage": self.stage,
            "prepared_dir": str(self.prepared_dir),
            "run_dir": str(self.run_dir),
            "weights": str(self.weights) if self.weights else None,
            "report_metric": self.report_metric,
        }

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> TrainingJob:
        """Return the job of `payload()`."""
        return cls(
            config=TrainConfig.model_validate(payload["config"]),
            stage=payload["stage"],
            prepared_dir=Path(payload["prepared_dir"]),
            run_dir=Path(payload["run_dir"]),
            weights=Path(payload["weights"]) if payload["weights"] else None,
            report_metric=payload["report_metric"],
        )


def train_worker(payload: dict[str, Any]) -> dict[str, Any]:
    """Train one stage on this rank; the return value of rank 0 is the stage's outcome."""
    import ray.train

    from r2d_ray.data.prepare import open_prepared
    from r2d_ray.trainer import run_stage
    from r2d_ray.zero import prepare_process

    job = TrainingJob.from_payload(payload)
    prepare_process(job.config)

    def report(scores: dict[str, Any], checkpoint: Path) -> None:
        metrics = {name: _plain(value) for name, value in scores.items()}
        if job.report_metric is not None:
            # The searched name carries the best so far: Optuna learns a trial's last report.
            metrics[f"current_{job.report_metric}"] = metrics[job.report_metric]
            metrics[job.report_metric] = metrics["best_metric"]
        ray.train.report(
            metrics,
            checkpoint=ray.train.Checkpoint.from_directory(checkpoint),
            delete_local_checkpoint_after_upload=True,
        )

    os.environ["TENSORBOARD_LOGGING_DIR"] = str(job.run_dir / "tensorboard")
    checkpoint = ray.train.get_checkpoint()
    with tempfile.TemporaryDirectory(prefix="r2d_ray_") as scratch:
        outcome = run_stage(
            job.config,
            open_prepared(job.prepared_dir),
            "stage1" if job.stage == "stage1" else "stage2",
            output_dir=Path(scratch),
            best_dir=job.best_dir,
            weights=job.weights,
            report=report,
            stop_requested=(job.run_dir / STOP_FILE).exists,
            resume_from=Path(checkpoint.path) if checkpoint else None,
            tracked=True,
        )
    return asdict(outcome)


def run_training(job: TrainingJob, callbacks: Sequence[Any] = ()) -> dict[str, Any]:
    """Train one stage with Ray Train and return its outcome (trainer.StageOutcome as a dict).

    The same job in the same folder goes on from its last checkpoint.

    Raises:
        RuntimeError: if training failed more than `MAX_FAILURES` times; its text is the cause.
    """
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    config = job.config
    on_gpu = config.gpus_per_worker > 0
    resources: dict[str, float] = {"CPU": CPUS_PER_WORKER}
    if on_gpu:
        resources["GPU"] = config.gpus_per_worker
    job.run_dir.mkdir(parents=True, exist_ok=True)
    trainer = TorchTrainer(
        train_worker,
        train_loop_config=job.payload(),
        torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.num_workers, use_gpu=on_gpu, resources_per_worker=resources
        ),
        run_config=ray.train.RunConfig(
            name="ray",
            storage_path=str(job.run_dir),
            failure_config=ray.train.FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=CHECKPOINTS_KEPT),
            callbacks=list(callbacks),
            worker_runtime_env={"env_vars": worker_environment(config)},
        ),
    )
    try:
        outcome = trainer.fit().return_value
    except ray.train.TrainingFailedError as error:
        raise RuntimeError(training_failure(error)) from error
    assert isinstance(outcome, dict)
    return outcome


def check_environment() -> None:
    """Raise UserError for a secret in what `worker_environment` passes on."""
    if "@" in urlsplit(os.environ.get("MLFLOW_TRACKING_URI", "")).netloc:
        raise UserError(
            "MLFLOW_TRACKING_URI holds a user or a password, which Ray would show (allowed: an "
            "address alone; MLFLOW_TRACKING_USERNAME and _PASSWORD in the nodes' environment)"
        )


def worker_environment(config: TrainConfig) -> dict[str, str]:
    """Return the environment variables of a worker process.

    Ray shows them on its dashboard and in its logs: no secret may be among them.
    """
    # The tokenizer is used before and after forks; its own threads would only warn.
    environment = {"TOKENIZERS_PARALLELISM": "false"}
    if config.gpus_per_worker == 0:
        environment["DS_ACCELERATOR"] = "cpu"
        environment["CUDA_VISIBLE_DEVICES"] = ""
    for name in ("HF_HUB_OFFLINE", "HF_HOME", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        if name in os.environ:
            environment[name] = os.environ[name]
    return environment


def training_failure(error: BaseException) -> str:
    """Return the first line of the innermost cause of a training failure."""
    failures = getattr(error, "worker_failures", None)
    if failures:
        error = next(iter(failures.values()))
    while True:
        cause = getattr(error, "cause", None) or error.__cause__
        if not isinstance(cause, BaseException):
            break
        error = cause
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"


def _plain(value: Any) -> Any:
    """Return numpy's numbers as Python's, which JSON knows."""
    return value.item() if hasattr(value, "item") else value


if __name__ == "__main__":
    from r2d_ray.cli import train_main

    raise SystemExit(train_main())
