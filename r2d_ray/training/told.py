"""A callback that tells where a stage stands, at most every few seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from r2d_ray.study.progress.files import STAGE1, Standing, write_standing

TELL_EVERY_S = 2.0
"""Seconds between two writes within an interval of evaluations."""

EVALUATIONS = 20  # of stage 1 in the file: more than come between two looks of the head


@dataclass
class TellStanding(TrainerCallback):
    """Writes step, last log entry and evaluations into a file; for rank 0 alone.

    Between two writes a step costs one look at the clock.
    """

    path: Path
    phase: str
    run: int = 0
    every_s: float = TELL_EVERY_S
    _state: TrainerState = field(default_factory=TrainerState, init=False)
    _began: int = field(default=0, init=False)  # what came before it was told by a former session
    _kept: int = field(default=0, init=False)
    _told: float = field(default=0.0, init=False)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Tell the step from which training goes on."""
        self._state, self._began = state, state.global_step
        self.kept()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Tell the step if the last time was long ago."""
        if time.perf_counter() - self._told >= self.every_s:
            self._tell()

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Tell of an evaluation."""
        self._tell()

    def kept(self) -> None:
        """Tell that a checkpoint of this step is where a resumed run would find it."""
        self._kept = self._state.global_step
        self._tell()

    def _tell(self) -> None:
        state, history = self._state, self._state.log_history
        logged = next((e for e in reversed(history) if "learning_rate" in e), {})
        scores = [
            (int(entry["step"]), entry["eval_rationale_loss"])
            for entry in history
            if self.phase == STAGE1
            and "eval_rationale_loss" in entry
            and entry["step"] > self._began
        ]
        standing = Standing(
            self.phase,
            state.global_step,
            state.max_steps,
            self.run,
            self._kept,
            logged.get("learning_rate"),
            logged.get("loss"),
            tuple(scores[-EVALUATIONS:]),
        )
        write_standing(self.path, standing)
        self._told = time.perf_counter()
