"""A run's calibration in a line: before and after, on test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def calibration_line(scores: Mapping[str, Any]) -> str | None:
    """Return a run's calibration in a line, None where it has none."""
    if "temperature" not in scores:
        return None
    line = (
        f"calibration on test, before -> after temperature {scores['temperature']:.2f} (fitted on "
        f"validation): ECE {scores['ece']:.3f} -> {scores['ece_calibrated']:.3f}, "
        f"Brier {scores['brier']:.3f} -> {scores['brier_calibrated']:.3f}"
    )
    if "mean_cost" not in scores:
        return line
    return (
        f"{line}; mean cost {scores['mean_cost']:.3f} -> {scores['mean_cost_decided']:.3f} where "
        f"costs decide ({100 * scores['decided_otherwise']:.0f} % of labels change)"
    )
