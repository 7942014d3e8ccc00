"""Ray Train: one stage on 1..N workers.

Only JSON crosses process borders: the worker builds model, tokenizer and tables itself. Ray keeps
the last two checkpoints; a replaced worker goes on from the newest whole one. The selected weights
lie apart.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2d_ray.config import TrainConfig
from r2d_ray.distributed.environment import check_environment as check_environment
from r2d_ray.distributed.environment import worker_environment
from r2d_ray.study.progress.files import SAVE
from r2d_ray.tracking.names import TrackedTrial
from r2d_ray.training.checkpoint import newest_whole

if TYPE_CHECKING:
    from r2d_ray.distributed.worker_group import StageWorkers

CHECKPOINTS_KEPT = 2  # the newest may be damaged when a node dies: the one before it still serves
MAX_FAILURES = 2  # replacements of a lost worker before the trial fails
MAX_PREEMPTIONS = -1  # nodes taken away after a notice: any number, counted apart from failures
NOTICE_EVERY_S = 5.0  # from one look for such a notice to the next: as often as Ray looks itself
RUN_NAME = "ray"  # Ray's folder in a run's folder
STOP_FILE = "stop"  # in a run's folder: asks training to end at its next evaluation
CPUS_PER_WORKER = 1  # one thread each: sums have one order, so runs repeat bit for bit


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One stage to train: where its data lies, what it starts from and where it may write.

    `run` counts the runs of a trial that trains several seeds; what is reported names it after 0.
    `progress` is the file that tells where the stage stands, in the folder that may ask for a
    checkpoint.
    `tracked` is the trial that trackers are told of; None of what they are not.
    """

    config: TrainConfig
    stage: str
    prepared_dir: Path
    run_dir: Path
    weights: Path | None = None
    report_metric: str | None = None
    run: int = 0
    progress: Path | None = None
    tracked: TrackedTrial | None = None

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
            "run": self.run,
            "progress": str(self.progress) if self.progress else None,
            "tracked": self.tracked.payload() if self.tracked else None,
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
            run=payload["run"],
            progress=Path(payload["progress"]) if payload["progress"] else None,
            tracked=TrackedTrial.from_payload(payload["tracked"]) if payload["tracked"] else None,
        )


def train_worker(payload: dict[str, Any]) -> dict[str, Any]:
    """Train one stage on this rank; the return value of rank 0 is the stage's outcome."""
    import ray.train

    from r2d_ray.data.prepare import open_prepared
    from r2d_ray.tracking.callbacks import tracker_callbacks
    from r2d_ray.training.arguments import prepare_process
    from r2d_ray.training.callbacks import SaveOnNotice
    from r2d_ray.training.stage import run_stage
    from r2d_ray.training.told import TellStanding

    job = TrainingJob.from_payload(payload)
    prepare_process(job.config)
    told = []
    if job.progress is not None and ray.train.get_context().get_world_rank() == 0:
        told = [TellStanding(job.progress, job.stage, job.run)]

    def report(scores: dict[str, Any], checkpoint: Path) -> None:
        ray.train.report(
            reported(scores, job.report_metric, job.run),
            checkpoint=ray.train.Checkpoint.from_directory(checkpoint),
            delete_local_checkpoint_after_upload=True,
        )
        for each in told:
            each.kept()

    def noticed() -> bool:
        asked = job.progress is not None and job.progress.with_name(SAVE).exists()
        return asked or ray.train.get_preemption_info() is not None

    shown = tracker_callbacks(job.tracked, job.stage, job.run, job.config) if job.tracked else []
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
            resume_from=resume_point(job),
            callbacks=[*shown, SaveOnNotice(noticed, NOTICE_EVERY_S), *told],
        )
    return asdict(outcome)


def reported(scores: dict[str, Any], metric: str | None, run: int = 0) -> dict[str, Any]:
    """Return what Ray hears of an evaluation; of a checkpoint between two, nothing."""
    metrics = {name: _plain(value) for name, value in scores.items()}
    if metrics and run:
        metrics["run"] = run
    if metrics and metric is not None:
        # The searched name carries the best so far: Optuna learns a trial's last report.
        metrics[f"current_{metric}"] = metrics[metric]
        metrics[metric] = metrics["best_metric"]
    return metrics


def resume_point(job: TrainingJob) -> Path | None:
    """Return the checkpoint from which all ranks go on, None where training begins.

    Rank 0 looks. A checkpoint that was whole before Ray knew of it is made known to it now.

    Raises:
        CheckpointError: if Ray knows of checkpoints and none of them is whole.
    """
    import ray.train
    from ray.train.collective import broadcast_from_rank_zero
    from transformers import TrainerState

    from r2d_ray.training.callbacks import evaluation

    found: tuple[str | None, bool] | None = None
    if ray.train.get_context().get_world_rank() == 0:
        newest = ray.train.get_checkpoint()
        handed = Path(newest.path) if newest else None
        chosen = newest_whole(job.run_dir / RUN_NAME, handed)
        known = chosen == handed or str(chosen) in {
            one.checkpoint.path
            for one in ray.train.get_all_reported_checkpoints(
                ray.train.CheckpointConsistencyMode.COMMITTED
            )
        }
        found = (str(chosen) if chosen else None, known)
    path, known = broadcast_from_rank_zero(found)
    if path is None:
        return None
    if not known:
        state = TrainerState.load_from_json(str(Path(path) / "trainer_state.json"))
        ray.train.report(
            reported(evaluation(state, pruned=False), job.report_metric, job.run),
            checkpoint=ray.train.Checkpoint(path),
            checkpoint_upload_mode=ray.train.CheckpointUploadMode.NO_UPLOAD,
        )
    return Path(path)


def run_training(job: TrainingJob, callbacks: Sequence[Any] = ()) -> dict[str, Any]:
    """Train one stage with Ray Train and return its outcome (trainer.StageOutcome as a dict).

    The same job in the same folder goes on from its last checkpoint.

    Raises:
        RuntimeError: if training raised what every attempt would, or failed from outside more than
            `MAX_FAILURES` times; its text is the cause.
    """
    from ray.exceptions import RayError
    from ray.train import TrainingFailedError

    from r2d_ray.distributed.failures import training_failure
    from r2d_ray.distributed.train_hooks import interrupts_given_back

    job.run_dir.mkdir(parents=True, exist_ok=True)
    try:
        with interrupts_given_back():
            outcome = stage_workers(job, callbacks).fit().return_value
    except (TrainingFailedError, RayError) as error:  # the latter: Ray could not begin
        raise RuntimeError(training_failure(error)) from error
    assert isinstance(outcome, dict)
    return outcome


def stage_workers(job: TrainingJob, callbacks: Sequence[Any]) -> StageWorkers:
    """Return Ray Train's trainer of a stage: workers, resources, failures, checkpoints."""
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig

    from r2d_ray.distributed.failures import FailAtOnce
    from r2d_ray.distributed.train_hooks import EvaluationsOnly
    from r2d_ray.distributed.worker_group import ProcessGroupConfig, StageWorkers

    config = job.config
    on_gpu = config.gpus_per_worker > 0
    resources: dict[str, float] = {"CPU": CPUS_PER_WORKER}
    if on_gpu:
        resources["GPU"] = config.gpus_per_worker
    return StageWorkers(
        train_worker,
        train_loop_config=job.payload(),
        backend_config=ProcessGroupConfig("nccl" if on_gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=config.num_workers, use_gpu=on_gpu, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name=RUN_NAME,
            storage_path=str(job.run_dir),
            failure_config=FailureConfig(
                max_failures=MAX_FAILURES, max_preemption_failures=MAX_PREEMPTIONS
            ),
            checkpoint_config=CheckpointConfig(num_to_keep=CHECKPOINTS_KEPT),
            callbacks=[FailAtOnce(), *map(EvaluationsOnly, callbacks)],
            worker_runtime_env={"env_vars": worker_environment(config)},
        ),
    )


def _plain(value: Any) -> Any:
    """Return numpy's numbers as Python's, which JSON knows."""
    return value.item() if hasattr(value, "item") else value
