"""One stage from weights to outcome: what is trained, from where, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.utils import logging as transformers_logging

from r2d_ray.config import TrainConfig
from r2d_ray.data.prepare import Prepared
from r2d_ray.model.t5 import load_model
from r2d_ray.training.arguments import StageName
from r2d_ray.training.callbacks import ReportEvaluation
from r2d_ray.training.step_log import curve, series
from r2d_ray.training.trainer import StageTrainer


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What a finished stage leaves beside the weights in its best folder.

    `curve` are its evaluations (step and scores), `series` its log columns beside `step`.
    """

    curve: list[dict[str, Any]]
    series: dict[str, list[float | None]]
    selected_step: int
    best_metric: float
    steps_done: int
    pruned: bool
    step_s: float | None
    device: str


def run_stage(
    config: TrainConfig,
    prepared: Prepared,
    stage: StageName,
    *,
    output_dir: Path,
    best_dir: Path,
    weights: Path | None = None,
    report: Callable[[dict[str, Any], Path], None] = lambda scores, checkpoint: None,
    stop_requested: Callable[[], bool] = lambda: False,
    resume_from: Path | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> StageOutcome:
    """Train one stage and return its outcome; the selected weights lie in `best_dir`.

    Args:
        config: The run.
        prepared: Tokenised data.
        stage: Which of the two.
        output_dir: Where this process writes checkpoints.
        best_dir: Where the selected weights go; the same folder for all ranks.
        weights: What to start from; None = the model named by the config.
        report: Called on every rank at each checkpoint with its evaluation's scores, if any.
        stop_requested: Asked on rank 0 at each evaluation.
        resume_from: A whole checkpoint of this stage (checkpoint.newest_whole).
        callbacks: More of transformers' callbacks.

    Raises:
        NonFiniteError: if a loss or score is not a finite number.
    """
    transformers_logging.disable_progress_bar()
    reporter = ReportEvaluation(report, stop_requested)
    model = load_model(config, prepared.tokenizer, weights)
    if config.gradient_checkpointing:
        model.activation_checkpointing_enable()
    every = [*callbacks, reporter]
    trainer = StageTrainer(model, config, prepared, stage, output_dir, best_dir, every, resume_from)
    trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    return outcome_of(trainer, reporter.pruned)


def outcome_of(trainer: StageTrainer, pruned: bool) -> StageOutcome:
    """Return what a trainer that has ended leaves."""
    state, clock = trainer.state, trainer.clock
    assert state.best_global_step is not None
    assert state.best_metric is not None
    return StageOutcome(
        curve=curve(state.log_history),
        series=series(state.log_history),
        selected_step=state.best_global_step,
        best_metric=float(state.best_metric),
        steps_done=state.global_step,
        pruned=pruned,
        step_s=clock.seconds / clock.steps if clock.steps else None,
        device=str(trainer.args.device),
    )
