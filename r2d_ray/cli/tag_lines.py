"""What a result says of sub-populations: a short table, the small ones marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from r2d_ray.evaluation.label_metrics import FEW_ROWS
from r2d_ray.evaluation.tags import tags_in

TAG_SCORES = (  # column, key, factor in a comparison, decimals there, decimals in a search
    ("macro-F1", "macro_f1", 100, 1, 3),
    ("accuracy", "accuracy", 100, 1, 3),
    ("ECE", "ece", 100, 1, 3),
    ("mean cost", "mean_cost", 1, 3, 3),
    ("decided by cost", "mean_cost_decided", 1, 3, 3),
)
"""Columns that no sub-population has a score of are left out."""

Row = tuple[str, Mapping[str, Any], Mapping[str, Any]]
"""A row's name, its scores, and their standard deviations over seeds where there are several."""


def search_tag_lines(result: Mapping[str, Any]) -> list[str]:
    """Return the table of the best model, the first of a search's test scores."""
    best = next(iter(result["test"]), None)
    if best is None:
        return []
    rows = [(best, result["test"][best], result.get("spread", {}).get(best, {}))]
    return tag_lines(rows, result, in_percent=False)


def arm_tag_lines(result: Mapping[str, Any]) -> list[str]:
    """Return the table of a comparison's arms: means over seeds."""
    rows = []
    for method, scores in result["methods"].items():
        known = {key: value for key, value in scores.items() if isinstance(value, Mapping)}
        means = {key: value["mean"] for key, value in known.items()}
        rows.append((method, means, {key: value["sd"] for key, value in known.items()}))
    return tag_lines(rows, result, in_percent=True)


def tag_lines(rows: Sequence[Row], result: Mapping[str, Any], in_percent: bool) -> list[str]:
    """Return one Markdown table of all sub-populations, none where no row has a tag.

    Of macro-F1, accuracy and ECE a comparison shows percent, a search shares.
    """
    tags = dict.fromkeys(tag for _, scores, _ in rows for tag in tags_in(scores))
    empty = result.get("tags_without_test_rows", [])
    none = [f"no test row, so no score: {', '.join(empty)}"] if empty else []
    if not tags:
        return none
    shown = [
        (name, key, *((factor, many) if in_percent else (1, few)))
        for name, key, factor, many, few in TAG_SCORES
        if any(f"{key}[{tag}]" in scores for _, scores, _ in rows for tag in tags)
    ]
    names = [f"{name} %" if (key, in_percent) == ("ece", True) else name for name, key, *_ in shown]
    lines = ["| sub-population | model | n | " + " | ".join(names) + " |"]
    lines += ["|---" * (len(names) + 3) + "|"]
    small = False
    for tag in tags:
        for row, scores, spread in rows:
            count = scores.get(f"rows[{tag}]")
            if count is None:
                continue
            mark = " *" if count < FEW_ROWS else ""
            small = small or bool(mark)
            cells = [
                _cell(scores.get(f"{key}[{tag}]"), spread.get(f"{key}[{tag}]"), factor, digits)
                for _, key, factor, digits in shown
            ]
            lines.append(f"| {tag} | {row} | {count:.0f}{mark} | " + " | ".join(cells) + " |")
    few = [f"* fewer than {FEW_ROWS} test rows: these scores may be chance"] if small else []
    return ["", *lines, *few, *none]


def _cell(value: Any, sd: float | None, factor: float, digits: int) -> str:
    if not isinstance(value, int | float):
        return "n/a"
    text = f"{factor * value:.{digits}f}"
    return text if sd is None else f"{text} ± {factor * sd:.{digits}f}"
