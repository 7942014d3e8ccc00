"""Running means over the optimiser steps so far, on which losses of later steps depend."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from r2d_ray.config import MIN_KEPT_SHARE, TrainConfig

FILE = "running.json"  # in a checkpoint


@dataclass
class RunningMeans:
    """Running means over the optimiser steps so far; saved with checkpoints, equal on all ranks.

    `train_error` is an exponential mean of the train label error, corrected for its start at 0.
    `kept_share` is the ratio of two such means: rationale ids that were learnt, and all of them.
    `threshold` is the confidence gate's: the mean confidence up to the start of sampling, then of
    the last full window (Reason2Decide-C `update_tau`, by micro-batch and rank in its code).
    """

    steps: int = 0
    error_sum: float = 0.0
    threshold: float = 1.0
    window_sum: float = 0.0
    window_rows: float = 0.0
    kept_ids: float = 0.0
    all_ids: float = 0.0

    def train_error(self, config: TrainConfig) -> float:
        """Return the running train label error in [0, 1]; 0 before the first step."""
        weight = 1.0 - config.train_error_memory**self.steps
        return self.error_sum / weight if weight > 0 else 0.0

    def kept_share(self) -> float:
        """Return the running share of rationale ids that are learnt, at least `MIN_KEPT_SHARE`.

        1 before the first step; above 1 where the rationales of other labels are longer.
        """
        return max(MIN_KEPT_SHARE, self.kept_ids / self.all_ids) if self.all_ids else 1.0

    def update(
        self,
        errors: float,
        rows: float,
        confidence: float,
        config: TrainConfig,
        ids: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Take in one optimiser step.

        Args:
            errors: Rows whose chosen label was wrong.
            rows: Rows of the step.
            confidence: Sum of the chosen labels' confidences.
            config: Uses `train_error_memory`, `gate_window_steps`, `sampling_start_ratio`.
            ids: Rationale ids that were learnt, and all of the step's.
        """
        memory = config.train_error_memory
        self.kept_ids = memory * self.kept_ids + (1.0 - memory) * ids[0]
        self.all_ids = memory * self.all_ids + (1.0 - memory) * ids[1]
        self.error_sum = memory * self.error_sum + (1.0 - memory) * errors / rows
        self.steps += 1
        self.window_sum += confidence
        self.window_rows += rows
        start = max(1, math.ceil(config.sampling_start_ratio * config.max_steps))
        after = self.steps - start
        if after == 0 or (after > 0 and after % config.gate_window_steps == 0):
            self.threshold = self.window_sum / self.window_rows
            self.window_sum = self.window_rows = 0.0

    def values(self) -> dict[str, float]:
        """Return the state as JSON values."""
        return asdict(self)
