"""A run's calibration in a line: before and after, on test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def not_calibrated_lines(result: Mapping[str, Any]) -> list[str]:
    """Return why runs have no calibration, a line for each reason; nothing where all have one."""
    found = result.get("calibration", {}).get("not_applicable")
    if isinstance(found, str):
        return [f"calibration not applicable: {found}"]
    by_reason: dict[str, list[str]] = {}
    for run, reason in (found or {}).items():
        by_reason.setdefault(reason, []).append(run)
    return [
        f"calibration not applicable: {', '.join(runs)}: {reason}"
        for reason, runs in by_reason.items()
    ]


def arm_calibration_lines(result: Mapping[str, Any]) -> list[str]:
    """Return a line for each method of a comparison, of means over its seeds."""
    lines = []
    for method, row in result["methods"].items():
        means = {key: value["mean"] for key, value in row.items() if isinstance(value, Mapping)}
        if line := calibration_line(means):
            mean = " (means over seeds)" if row["seeds"] > 1 else ""
            lines.append(f"{method}{mean}: {line}")
    return [*lines, *not_calibrated_lines(result)]


def exported_seed_lines(result: Mapping[str, Any]) -> list[str]:
    """Return which seed's model is in best/ and what calibrates it, where a trial has several."""
    if not result.get("spread"):
        return []
    said = f"best/ holds seed {result['config']['seed']} of the best trial, its best on validation"
    found = result.get("calibration", {})
    if "temperature" in found:
        rows = f"{found['rows']} validation rows"
        said += f"; predict uses its own temperature {found['temperature']:.2f}, fitted on {rows}"
    return [said]


def calibration_line(scores: Mapping[str, Any]) -> str | None:
    """Return a run's calibration in a line, None where it has none."""
    if "temperature" not in scores:
        return None
    line = (
        f"calibration on test, before -> after temperature {scores['temperature']:.2f} (fitted on "
        f"validation): ECE {scores['ece']:.3f} -> {scores['ece_calibrated']:.3f}, "
        f"Brier {scores['brier']:.3f} -> {scores['brier_calibrated']:.3f}"
    )
    if scores["ece_calibrated"] > scores["ece"]:
        line += " (ECE rose, as it may by chance with few rows)"
    if "mean_cost" not in scores:
        return line
    return (
        f"{line}; mean cost {scores['mean_cost']:.3f} -> {scores['mean_cost_decided']:.3f} where "
        f"costs decide ({100 * scores['decided_otherwise']:.0f} % of labels change)"
    )
