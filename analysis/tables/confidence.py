"""Errors by confidence: how often a model is right where it is sure, and where it is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analysis.groups import Group, notes_on
from analysis.stats.intervals import mean_sd
from analysis.tables.score_rows import SEEDS, Row, nothing, who, who_columns
from analysis.tables.table import Column, Number, Table
from r2d_ray.records import Prediction

NAME = "confidence"
TITLE = "Errors by confidence, on test: fifths of the rows by the label's probability"
FIFTHS = {
    "fifth_1": "Least sure fifth",
    "fifth_2": "Second fifth",
    "fifth_3": "Third fifth",
    "fifth_4": "Fourth fifth",
    "fifth_5": "Surest fifth",
}
ALL = "all"

Part = Sequence[tuple[float, Prediction]]
"""Rows with their confidence, from 0 to 1."""


def confidence_table(groups: Sequence[Group]) -> Table:
    """Return two lines a model: the share right and the mean confidence, by fifths and in all."""
    rows: list[Row] = []
    shown = []
    for group in groups:
        runs = [_parts(found) for seed in group.done if (found := _sure(group, seed))]
        if runs:
            shown.append(group)
            same = who(group) | {"seeds": len(runs), "rows": len(runs[0][ALL])}
            rows += [
                same | {"share": words} | {part: _over(runs, part, of) for part in (*FIFTHS, ALL)}
                for words, of in SHARES.items()
            ]
    if not rows:
        return nothing(NAME, TITLE, "no run has stored test predictions with probabilities")
    columns = (
        *who_columns(shown),
        SEEDS,
        Column("rows", "Rows"),
        Column("share", "Of these, %"),
        *(Column(key, heading) for key, heading in FIFTHS.items()),
        Column(ALL, "All rows"),
    )
    missing = [group.name for group in groups if group not in shown]
    notes = [
        "confidence: the probability of the chosen label; each run's own fifths, then means over "
        "seeds; a model is too sure where its confidence lies above the share that is right",
        *([f"without stored probabilities: {', '.join(missing)}"] if missing else []),
    ]
    return Table(NAME, TITLE, columns, tuple(rows), (*notes_on(shown), *notes))


def _sure(group: Group, seed: int) -> list[tuple[float, Prediction]]:
    """Return a run's labelled rows with their confidence, the least sure first."""
    rows = group.study.stored(group.run(seed)) or ()
    found = [
        (row.probabilities[row.label], row)
        for row in rows
        if row.gold_label is not None and row.label in row.probabilities
    ]
    return sorted(found, key=lambda pair: (pair[0], pair[1].id))


def _parts(rows: Part) -> dict[str, Part]:
    """Return a run's rows in fifths, as equal as they can be, and all of them."""
    bounds = [len(rows) * place // len(FIFTHS) for place in range(len(FIFTHS) + 1)]
    parts = {key: rows[bounds[place] : bounds[place + 1]] for place, key in enumerate(FIFTHS)}
    return {**parts, ALL: rows}


def _right(part: Part) -> float:
    return sum(row.label == row.gold_label for _, row in part) / len(part)


def _confidence(part: Part) -> float:
    return sum(sure for sure, _ in part) / len(part)


SHARES = {"right": _right, "mean confidence": _confidence}


def _over(
    runs: Sequence[dict[str, Part]], part: str, share: Callable[[Part], float]
) -> Number | None:
    """Return a share of a part as its mean over the runs that have rows there, None without any."""
    found = [share(run[part]) for run in runs if run[part]]
    if not found:
        return None
    mean, sd = mean_sd(found)
    return Number(mean, sd, factor=100.0, digits=0)
