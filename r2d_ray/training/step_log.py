"""What is logged of training: sums over micro-batches and ranks become means and shares by step.

Rule 6: both losses, alpha, gold probability, share of prompts sampled, share whose label really
changed (the effective dose), train label error, padding share. A checkpoint may lie between two
log entries: what a rank summed since the last one goes through it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from r2d_ray.model.flops import COSTS, Sums
from r2d_ray.storage import write_json

PER_STEP = (
    "label_loss",
    "rationale_loss",
    "cycle_loss",
    *COSTS,
)  # summed over a step's passes, micro-batches and ranks, then divided by steps
PER_PASS = ("alpha", "gold_probability")  # the same on every rank and micro-batch
SHARES = {  # logged share: (part, whole)
    "sampled_share": ("sampled", "prompts"),
    "changed_share": ("changed", "prompts"),
    "train_label_error": ("label_errors", "rows"),
    "confidence": ("confidence", "confidence_rows"),
    "kept_share": ("kept_ids", "all_ids"),
    "padding_share": ("padding", "positions"),
}


class StepSums:
    """Sums since the last log entry; tensors stay on their device until they are taken."""

    def __init__(self, accumulation: int) -> None:
        self.accumulation = accumulation
        self.sums: dict[str, Tensor | float] = {}

    def add(self, sums: Sums) -> None:
        """Add a micro-batch's sums."""
        for name, value in {**sums, "passes": 1.0}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def totals(self, device: torch.device) -> dict[str, float]:
        """Return the sums over all ranks since the last call; start anew."""
        names = sorted(self.sums)
        values = torch.tensor([float(self.sums[name]) for name in names], dtype=torch.float64)
        if dist.is_initialized():
            values = values.to(device)
            dist.all_reduce(values)
        self.sums = {}
        return dict(zip(names, values.tolist(), strict=True))

    def take(self, device: torch.device) -> dict[str, float]:
        """Return means by step and shares over all ranks since the last call; start anew."""
        total = self.totals(device)
        ranks = dist.get_world_size() if dist.is_initialized() else 1
        steps = total["passes"] / (self.accumulation * ranks)
        found = {name: total[name] / steps for name in PER_STEP if name in total}
        found |= {name: total[name] / total["passes"] for name in PER_PASS if name in total}
        for name, (part, whole) in SHARES.items():
            if total.get(whole):
                found[name] = total.get(part, 0.0) / total[whole]
        return found


def curve(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the evaluations of a trainer's log history as `step` and `scores`."""
    found = []
    for entry in history:
        scores = {
            k.removeprefix("eval_"): float(v) for k, v in entry.items() if k.startswith("eval_")
        }
        if scores:
            found.append({"step": entry["step"], "scores": scores})
    return found


def series(history: Sequence[dict[str, Any]]) -> dict[str, list[float | None]]:
    """Return the training log as columns; a value that an entry lacks is None."""
    entries = [entry for entry in history if "learning_rate" in entry]
    names = dict.fromkeys(name for entry in entries for name in entry if name != "epoch")
    return {name: [entry.get(name) for entry in entries] for name in names}


FILE = "since-log-{rank}.json"


@dataclass
class SinceLog(TrainerCallback):
    """Saves a rank's sums since the last log entry, and puts them back where a run is resumed."""

    trainer: Trainer
    sums: StepSums
    resume_from: Path | None = None

    def save(self, folder: Path) -> None:
        """Write this rank's sums into its checkpoint."""
        saved = {
            "loss": self.trainer._tr_loss.item(),
            "last_logged": self.trainer._globalstep_last_logged,
            "sums": {name: float(value) for name, value in self.sums.sums.items()},
        }
        write_json(self._file(folder), saved)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Go on with the sums of the checkpoint."""
        if self.resume_from is None:
            return
        saved = json.loads(self._file(self.resume_from).read_text(encoding="utf-8"))
        self.trainer._tr_loss.fill_(saved["loss"])
        self.trainer._globalstep_last_logged = saved["last_logged"]
        self.sums.sums = saved["sums"]

    def _file(self, folder: Path) -> Path:
        return folder / FILE.format(rank=self.trainer.args.process_index)
