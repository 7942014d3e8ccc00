"""What a result says of its controls: whether a model beats the bag of words, and its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from r2d_ray.evaluation.controls.labels import in_words


def with_verdict(
    result: Mapping[str, Any], lines: Sequence[str], in_percent: bool = True
) -> list[str]:
    """Return a result's lines with the sentence on the bag of words: first if nothing beats it.

    Its scores are in the unit of the lines' table: a comparison's has percent, a search's shares.
    """
    found = result.get("bag_of_words", {})
    says = found.get("says")
    if says is None:
        return list(lines)
    if "best" in found and not in_percent:
        says = in_words(found, "model", in_percent=False)
    if found.get("beaten") is False:
        return [says, "", *lines]
    return [*lines, says]


def absent_lines(result: Mapping[str, Any]) -> list[str]:
    """Return a line for each reason why something has no score."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in result.get("not_applicable", {}).items():
        by_reason.setdefault(reason, []).append(name)
    return [f"{reason}: {', '.join(names)} not applicable" for reason, names in by_reason.items()]


def setting_lines(controls: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line for each control that has a setting, which was chosen on validation."""
    return [
        f"{name}: {scores['setting']}" for name, scores in controls.items() if "setting" in scores
    ]
