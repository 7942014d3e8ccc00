"""Errors by confidence: how often a model is right where it is sure, and where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.groups import Group, notes_on
from analysis.stats.intervals import mean_sd
from analysis.tables.score_rows import SEEDS, Row, nothing, who, who_columns
from analysis.tables.table import Column, Number, Table
from r2d_ray.records import Prediction

NAME = "confidence"
TITLE = "Errors by confidence, on test: fifths of the rows by the label's probability"
FIFTHS = ("least sure fifth", "second fifth", "third fifth", "fourth fifth", "surest fifth")


@dataclass(frozen=True, slots=True)
class _Counted:
    """One part of one run's rows: counts, shares of 1, None where there is nothing to average."""

    rows: int
    wrong: int
    confidence: float
    wrong_confidence: float | None

    @property
    def right(self) -> float:
        return 1 - self.wrong / self.rows


def confidence_table(groups: Sequence[Group]) -> Table:
    """Return each model's fifths from the least sure to the surest, then its sub-populations."""
    rows: list[Row] = []
    shown = []
    for group in groups:
        runs = [_parts(found) for seed in group.done if (found := _sure(group, seed))]
        if runs:
            shown.append(group)
            rows += [
                who(group) | {"seeds": len(runs), "part": part} | _cells(runs, part)
                for part in dict.fromkeys(part for run in runs for part in run)
            ]
    if not rows:
        return nothing(NAME, TITLE, "no run has stored test predictions with probabilities")
    columns = (
        *who_columns(shown),
        SEEDS,
        Column("part", "Rows that are"),
        Column("rows", "Rows"),
        Column("wrong", "Wrong"),
        Column("right", "Right, %"),
        Column("confidence", "Mean confidence, %"),
        Column("wrong_confidence", "Mean confidence where wrong, %"),
    )
    missing = [group.name for group in groups if group not in shown]
    notes = [
        "confidence: the probability of the chosen label; each run's own fifths, then means over "
        "seeds; n/a: nothing is wrong there",
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


def _parts(rows: Sequence[tuple[float, Prediction]]) -> dict[str, _Counted]:
    """Return a run's fifths, as equal as they can be, and its sub-populations."""
    bounds = [len(rows) * place // len(FIFTHS) for place in range(len(FIFTHS) + 1)]
    parts = {name: rows[bounds[place] : bounds[place + 1]] for place, name in enumerate(FIFTHS)}
    for tag in sorted({tag for _, row in rows for tag in row.tags}):
        parts[tag] = [(sure, row) for sure, row in rows if tag in row.tags]
    return {name: _counted(part) for name, part in parts.items() if part}


def _counted(rows: Sequence[tuple[float, Prediction]]) -> _Counted:
    wrong = [sure for sure, row in rows if row.label != row.gold_label]
    return _Counted(
        len(rows),
        len(wrong),
        sum(sure for sure, _ in rows) / len(rows),
        sum(wrong) / len(wrong) if wrong else None,
    )


def _cells(runs: Sequence[dict[str, _Counted]], part: str) -> Row:
    """Return a part's counts and shares as means over the runs that have it."""
    found = [run[part] for run in runs if part in run]
    sure_but_wrong = [c.wrong_confidence for c in found if c.wrong_confidence is not None]
    return {
        "rows": found[0].rows,
        "wrong": _mean([float(counted.wrong) for counted in found], 1.0, 1),
        "right": _mean([counted.right for counted in found], 100.0, 1),
        "confidence": _mean([counted.confidence for counted in found], 100.0, 1),
        "wrong_confidence": _mean(sure_but_wrong, 100.0, 1) if sure_but_wrong else None,
    }


def _mean(values: Sequence[float], factor: float, digits: int) -> Number:
    mean, sd = mean_sd(values)
    return Number(mean, sd, factor=factor, digits=digits)
