"""What happens beside the loop: seeds, early stop, reports of checkpoints, notices, the clock.

Callbacks of transformers.Trainer. None keeps state that a resume would need: step, best step and
history are in the trainer's own state.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class SeedPerRank(TrainerCallback):
    """Gives every rank its own dropout; a resume restores the saved state after this."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Seed torch by seed and rank."""
        torch.manual_seed(args.seed + 1000 * args.process_index)


@dataclass
class StopWhenFlat(TrainerCallback):
    """Stops after `patience` evaluations without a new best, none counted before the start step.

    It has no state of its own: step and best step are in the trainer's, so a resume goes on.
    """

    patience: int
    start_step: int
    eval_steps: int

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Decide at a saved evaluation, when the best step is known."""
        if not self.patience or state.global_step <= self.start_step:
            return
        since = max(state.best_global_step or 0, self.start_step)
        evaluations = state.global_step // self.eval_steps - since // self.eval_steps
        if evaluations >= self.patience:
            control.should_training_stop = True


def evaluation(state: TrainerState, pruned: bool) -> dict[str, Any]:
    """Return the scores of the evaluation at this step, `{}` where there was none.

    Beside them are the step, the best so far and whether the run was asked to stop (`pruned`).
    """
    scores = {
        name.removeprefix("eval_"): value
        for entry in state.log_history
        if entry["step"] == state.global_step
        for name, value in entry.items()
        if name.startswith("eval_")
    }
    if not scores:
        return {}
    best = {"best_metric": state.best_metric, "best_step": state.best_global_step}
    return {**scores, **best, "step": state.global_step, "pruned": pruned}


@dataclass
class ReportEvaluation(TrainerCallback):
    """Hands every checkpoint to `report`; asks `stop_requested` on rank 0 and tells all.

    `report(scores, checkpoint)` is called on every rank after all ranks have saved, with the
    scores of `evaluation`: none for a checkpoint between two.
    """

    report: Callable[[dict[str, Any], Path], None]
    stop_requested: Callable[[], bool]
    pruned: bool = field(default=False, init=False)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Take the same decision on all ranks at the same step."""
        if state.global_step >= state.max_steps:
            return
        decision = [args.process_index == 0 and self.stop_requested()]
        if args.world_size > 1:
            dist.broadcast_object_list(decision, src=0)
        if decision[0]:
            self.pruned = True
            control.should_training_stop = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Report the scores of this step with the checkpoint's folder."""
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        self.report(evaluation(state, self.pruned), folder)


@dataclass
class SaveOnNotice(TrainerCallback):
    """Asks for a checkpoint at the end of a step while a notice of preemption stands.

    `noticed()` is asked on all ranks at the same steps, about every `every_s` seconds by the clock
    of rank 0. While the notice stands each look saves again: what is lost with the node is what
    was done since the last one.
    """

    noticed: Callable[[], bool]
    every_s: float
    _gap: int = field(default=1, init=False)  # steps from one look to the next
    _left: int = field(default=1, init=False)
    _began: float = field(default=0.0, init=False)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Look where all ranks agreed to, then agree on the next look."""
        self._left -= 1
        if self._left:
            return
        if self.noticed():
            control.should_save = True
        step_s = (time.perf_counter() - self._began) / self._gap
        # No more than twice the last: a few quick steps say little of the next ones.
        gap = [max(1, min(2 * self._gap, int(self.every_s / step_s)))]
        if args.world_size > 1:
            dist.broadcast_object_list(gap, src=0)
        self._left = self._gap = gap[0]
        self._began = time.perf_counter()

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Leave the time of a checkpoint that this look asked for out of the pace."""
        if self._left == self._gap:
            self._began = time.perf_counter()


@dataclass
class StepClock(TrainerCallback):
    """Counts the optimiser steps that this process made and the seconds they took."""

    steps: int = field(default=0, init=False)
    seconds: float = field(default=0.0, init=False)
    _began: float = field(default=0.0, init=False)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Stop the clock before evaluation and saving."""
        self.seconds += time.perf_counter() - self._began
        self.steps += 1


@dataclass
class AtStepEnd(TrainerCallback):
    """Calls a function at the end of every optimiser step."""

    act: Callable[[], None]

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Call it, before this step's log, evaluation and checkpoint."""
        self.act()


@dataclass
class AtSave(TrainerCallback):
    """Calls a function on every rank when a checkpoint was saved, before it is reported."""

    act: Callable[[], None]

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Call it."""
        self.act()
