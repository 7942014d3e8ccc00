"""A cell in words: headings, rounding, what is not there."""

from __future__ import annotations

import math
from dataclasses import replace

from analysis.tables.table import Cell, Column, Number, Table

NOT_THERE = "n/a"
PUBLISHED = " (published)"


def heading(column: Column) -> str:
    """Return a column's heading, marked where its values are published ones."""
    return column.heading + (PUBLISHED if column.published else "")


def is_numeric(table: Table, column: Column) -> bool:
    """Return whether a column holds numbers alone, at least one."""
    values = [row.get(column.key) for row in table.rows]
    found = [value for value in values if value is not None]
    return bool(found) and not any(isinstance(value, str) for value in found)


def shown(value: Cell | Number) -> str:
    """Return a cell as people read it: `60.58 ± 0.46 [59.10, 61.90]`, `n/a`, or the text."""
    if value is None:
        return NOT_THERE
    if not isinstance(value, Number):
        return rounded(value, Number(None)) if isinstance(value, float) else str(value)
    text = rounded(value.mean, value)
    if value.sd is not None:
        text += f" ± {rounded(value.sd, value)}"
    if value.low is not None or value.high is not None:
        text += f" [{rounded(value.low, value)}, {rounded(value.high, value)}]"
    return text


def rounded(value: float | None, like: Number) -> str:
    """Return a number as people read it; never a nan.

    Raises:
        ValueError: if it is not finite: a table must not print what no one computed.
    """
    if value is None:
        return NOT_THERE
    if not math.isfinite(value):
        raise ValueError(f"{value} in a table (allowed: a finite number, or None for n/a)")
    text = f"{value * like.factor:.{like.digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def one_line(text: str) -> str:
    """Return the text on one line."""
    return " ".join(text.split())


def without_absent(table: Table) -> Table:
    """Return the table without the columns that are n/a in every row, and a note that names them.

    Without any other column it has no rows either.
    """
    absent = [
        column
        for column in table.columns
        if all(shown(row.get(column.key)) == NOT_THERE for row in table.rows)
    ]
    if not absent:
        return table
    note = f"left out, n/a in every row: {', '.join(heading(column) for column in absent)}"
    kept = tuple(column for column in table.columns if column not in absent)
    return replace(table, columns=kept, rows=table.rows if kept else (), notes=(*table.notes, note))
