"""Which column of a table became what, and what is not used: for the card, the model, a warning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

UNUSED_SHOWN = 12
"""Columns that the printed card names; the card has all of them."""

TAG = "tag."
"""Begins the target of a column that is kept (`--keep-columns`), beside those of `--columns`."""

ALWAYS_FILLED = ("question", "label")
"""Targets that a row of training must have."""

ABSENT = {
    "context": "no context column: a model sees the question alone",
    "group": "no group column: rows of one patient may lie in several splits",
}
"""Columns that are often forgotten, and what follows."""


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """How the columns of a table are used.

    `columns` maps a target (`question`, `rationale.human`) to its column, `filled` to the number
    of the `rows` that have a value there, `unused` are the other columns in their order.
    """

    columns: Mapping[str, str]
    filled: Mapping[str, int]
    rows: int
    unused: tuple[str, ...] = ()

    def warnings(self) -> tuple[str, ...]:
        """Return a line for each column that is missing and often forgotten."""
        return tuple(
            f"{text}; name it with --columns {target}=COLUMN"
            for target, text in ABSENT.items()
            if not self.filled.get(target)
        )


@dataclass(slots=True)
class ColumnCount:
    """Counts, while rows are read, which column filled which target."""

    columns: dict[str, str] = field(default_factory=dict)
    filled: Counter[str] = field(default_factory=Counter)

    def add(self, target: str, column: str, cells: int = 1) -> None:
        """Count filled cells."""
        if cells:
            self.columns[target] = column
            self.filled[target] += cells

    def use(self, rows: int, names: Iterable[str], order: Iterable[str]) -> ColumnUse:
        """Return the use of these columns, targets in this order and rationales behind."""
        found = sorted(self.columns)
        targets = [target for target in order if target in self.columns]
        targets += [target for target in found if target not in targets]
        every = list(names)
        used = {_owner(column, every) for column in self.columns.values()}
        return ColumnUse(
            {target: self.columns[target] for target in targets},
            {target: self.filled[target] for target in targets},
            rows,
            tuple(name for name in every if name not in used),
        )


def _owner(column: str, names: list[str]) -> str:
    return column if column in names else column.partition(".")[0]


def column_card(use: ColumnUse | None) -> dict[str, Any]:
    """Return the use of columns as the card's keys; none for a fixed layout."""
    if use is None:
        return {}
    return {
        "columns": dict(use.columns),
        "filled": dict(use.filled),
        "table_rows": use.rows,
        "unused_columns": list(use.unused),
    }


def without_tags(columns: Mapping[str, str]) -> dict[str, str]:
    """Return what a model needs of these columns: a row can be predicted without its site."""
    return {target: name for target, name in columns.items() if not target.startswith(TAG)}


def resolved_columns(card: Mapping[str, Any]) -> dict[str, str]:
    """Return target to column as the rows of a data card were read; empty for a fixed layout."""
    return without_tags(card.get("columns", {}))


def column_lines(card: Mapping[str, Any]) -> Iterator[str]:
    """Yield the card's line on columns, if its rows came from a table."""
    columns, filled, rows = (card.get(key, {}) for key in ("columns", "filled", "table_rows"))
    if not columns:
        return
    used = ", ".join(
        f"{target} <- {column}"
        + ("" if target in ALWAYS_FILLED else f" ({filled[target]} of {rows} filled)")
        for target, column in columns.items()
    )
    unused = card.get("unused_columns", [])
    more = [f"{len(unused) - UNUSED_SHOWN} more"] if len(unused) > UNUSED_SHOWN else []
    names = ", ".join([*unused[:UNUSED_SHOWN], *more])
    yield f"columns: {used}" + (f"; not used: {names}" if names else "")
