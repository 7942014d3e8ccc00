"""How the page shows a table: what all rows share stands above it, settings of all are folded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from analysis.tables.cells import NOT_THERE, heading, shown
from analysis.tables.settings import ALIKE as SAME_FOR_ALL
from analysis.tables.table import Table

ALIKE = ("study", "dataset", "model")
"""Columns that often say the same in every row: then it is said once, above the table."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Settings that do not vary in a study: how many in words, and each with its value."""

    summary: str
    values: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A table as the page has it; `shared` says by column key what all rows have in common."""

    table: Table
    shared: dict[str, str]
    folds: tuple[Fold, ...] = ()


def on_page(table: Table) -> Shown:
    """Return a table as the page shows it; its files hold all rows and columns."""
    if table.name != "settings":
        return Shown(table, _shared(table))
    same = [row for row in table.rows if row.get("range") == SAME_FOR_ALL]
    rows = tuple(row for row in table.rows if row.get("range") != SAME_FOR_ALL)
    shared = _shared(replace(table, rows=rows or table.rows))
    if not rows:
        return Shown(table, shared)
    return Shown(replace(table, rows=rows), shared, _folds(same))


def _folds(rows: Sequence[Mapping[str, object]]) -> tuple[Fold, ...]:
    """Return a fold a study; several name theirs."""
    counts = Counter(str(row["study"]) for row in rows)
    return tuple(
        Fold(
            f"{study}: {said}" if len(counts) > 1 else said,
            "; ".join(f"{r['field']} {r['chosen']}" for r in rows if str(r["study"]) == study),
        )
        for study, count in counts.items()
        for said in [f"{count} settings are the same for all"]
    )


def _shared(table: Table) -> dict[str, str]:
    """Return what all rows have in common, by column key, in words for above the table."""
    if len(table.rows) < 2:
        return {}
    found = {}
    for column in table.columns:
        # A row without a value says nothing: a control has no model.
        values = {shown(row.get(column.key)) for row in table.rows} - {NOT_THERE}
        if column.key in ALIKE and len(values) == 1:
            found[column.key] = f"{heading(column)}: {values.pop()}"
    return found
