"""What a rank summed since its last log entry goes through a checkpoint, which may lie between two.

transformers keeps the loss of those steps in private fields and drops it on a resume; the means of
the next entry would then be over other steps than in an undisturbed run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from r2d_ray.records import write_json
from r2d_ray.series import StepSums

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
