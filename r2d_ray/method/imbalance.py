"""Rare classes: weights of the label loss and shares of a step's rows, from training counts.

Both concern the rows' labels in stage 2 over a fixed label set. Neither is in the paper.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from r2d_ray.config import TrainConfig


def class_weights(counts: NDArray[np.int64], config: TrainConfig) -> NDArray[np.float64] | None:
    """Return each class's weight (classes,) in the label loss, None where all weigh the same.

    `balanced` is inverse to the class's number of rows n (scikit-learn's `balanced`);
    `effective_number` is (1 - beta) / (1 - beta^n), equal for all classes at beta = 0, `balanced`
    as beta nears 1 (Cui et al. 2019, arXiv 1901.05555). Both are scaled so that the mean over
    training rows is 1: the label loss keeps its place beside the rationale loss.

    Args:
        counts: Training rows of each class; a class without any has weight 0.
        config: `class_weights` and `class_weight_beta`.
    """
    if config.class_weights == "none":
        return None
    there = counts > 0
    rows = np.where(there, counts, 1).astype(np.float64)
    if config.class_weights == "balanced":
        raw = 1.0 / rows
    else:
        beta = config.class_weight_beta
        raw = (1.0 - beta) / (1.0 - beta**rows)
    raw = np.where(there, raw, 0.0)
    weights: NDArray[np.float64] = raw * (counts.sum() / (raw * counts).sum())
    return weights


def class_shares(counts: NDArray[np.int64], config: TrainConfig) -> NDArray[np.float64] | None:
    """Return the share (classes,) of the rows that each class gets, None where rows are not drawn.

    The share goes with n^(1 - s), n the class's training rows and s the `balanced_sampling`: at 1
    all classes that occur are equally frequent (arXiv 1901.07291, 3.1, has it for languages).
    """
    strength = config.balanced_sampling
    if strength == 0:
        return None
    raw = np.where(counts > 0, np.maximum(counts, 1.0) ** (1.0 - strength), 0.0)
    shares: NDArray[np.float64] = raw / raw.sum()
    return shares
