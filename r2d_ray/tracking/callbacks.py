"""The libraries' own callbacks of a stage, told which run they write to.

A tracker that fails is left alone from then on: it never costs a run.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import (
    MLflowCallback,
    TensorBoardCallback,
    WandbCallback,
)

from r2d_ray.config import TrainConfig
from r2d_ray.tracking.mlflow_runs import stage_run
from r2d_ray.tracking.names import TrackedTrial, parameters, stage_part
from r2d_ray.tracking.wandb_runs import begin

logger = logging.getLogger(__name__)


class UntilItFails(TrainerCallback):
    """Hands training's begin, logs and end to a tracker on rank 0, until one of them raises.

    Checkpoints are not handed on: no tracker gets weights.
    """

    def __init__(self, name: str, make: Any) -> None:
        self.name, self.make, self.inner = name, make, None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Begin or go on with the run."""
        if state.is_world_process_zero:
            self._hand("on_train_begin", args, state, control, **more)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Write the series."""
        if state.is_world_process_zero:
            self._hand("on_log", args, state, control, **more)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """End the run."""
        if state.is_world_process_zero:
            self._hand("on_train_end", args, state, control, **more)

    def _hand(self, event: str, *given: Any, **more: Any) -> None:
        if self.make is None:
            return
        try:
            if self.inner is None:
                self.inner = self.make()
            getattr(self.inner, event)(*given, **more)
        except Exception as error:  # whichever the tracker's library raises
            self.make = None
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            logger.warning("%s: %s; this run goes on without it", self.name, why)


class StageWandb(WandbCallback):
    """Weights & Biases' callback on a run of ours, under our names and with our settings."""

    def __init__(self, trial: TrackedTrial, stage: str, run: int, config: TrainConfig) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.asked = (trial, stage_part(stage, run), parameters(config.model_dump()))

    def setup(self, args: Any, state: Any, model: Any, **more: Any) -> None:
        """Begin or go on with the run; our values win over transformers' of the same name."""
        begin(*self.asked)
        super().setup(args, state, model, **more)  # type: ignore[no-untyped-call]
        self._wandb.config.update(self.asked[2], allow_val_change=True)

    def on_train_end(self, *_: Any, **more: Any) -> None:
        """Finish: Ray ends a worker without its exit hooks."""
        self._wandb.finish()


def tracker_callbacks(
    trial: TrackedTrial, stage: str, run: int, config: TrainConfig
) -> list[TrainerCallback]:
    """Return the callbacks of a stage's trackers, which begin on rank 0 when training does."""

    def tensorboard() -> Any:
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(trial.events / stage_part(stage, run))
        return TensorBoardCallback()

    def mlflow() -> Any:
        experiment, run_id = stage_run(trial, stage, run, parameters(config.model_dump()))
        os.environ["MLFLOW_EXPERIMENT_NAME"] = experiment
        os.environ["MLFLOW_RUN_ID"] = run_id
        os.environ["MLFLOW_MAX_LOG_PARAMS"] = "0"  # ours are there; transformers' would contradict
        return MLflowCallback()

    makers: dict[str, Any] = {
        "tensorboard": tensorboard,
        "mlflow": mlflow,
        "wandb": lambda: StageWandb(trial, stage, run, config),
    }
    return [UntilItFails(name, makers[name]) for name in trial.trackers]
