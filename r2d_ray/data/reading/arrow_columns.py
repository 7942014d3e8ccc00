"""Columns of Arrow as rows: only those in use, class numbers as names, far dates as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from r2d_ray.data.files import Piece, Record, Table, filled_rows, is_missing
from r2d_ray.errors import UserError

if TYPE_CHECKING:
    import pyarrow

Choose = Callable[[Sequence[str]], Sequence[str]]
"""Says which of a table's columns are in use: no other is read or converted."""


def every_column(names: Sequence[str]) -> Sequence[str]:
    """Return all columns."""
    return names


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A cell that Python has no value for, such as a duration of 146 million years."""

    reason: str


def check_once(names: Sequence[str], header: str) -> None:
    """Raise UserError for a column that is there twice: a row would keep the last one silently."""
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{header}: column name {name!r} appears twice (rename one)")


@dataclass(frozen=True, slots=True)
class Columns:
    """A table of which columns are read by name.

    `names` are all of them, `features` what `datasets` says of them; None takes it from the
    metadata of what is read, if it has class names.
    """

    names: Sequence[str]
    read: Callable[[list[str]], pyarrow.Table]
    features: Mapping[str, Any] | None = None

    def table(self, chosen: Sequence[str]) -> pyarrow.Table:
        """Return the rows with these columns."""
        return self.read(list(chosen)).select(list(chosen))


def rows_of(columns: Columns, header: str, where: str, choose: Choose = every_column) -> Table:
    """Return the rows of a table with the columns in use; the table knows the names of all.

    Args:
        columns: The table.
        header: What names its columns, for errors.
        where: What stands before a row's number.
        choose: Which columns are in use.

    Raises:
        UserError: for a column that is there twice, and a table without rows.
    """
    names = columns.names
    check_once(names, header)
    used = choose(names)
    table = columns.table(used)
    records = list(records_of(table, where, features=columns.features))
    if not records:
        raise UserError(f"{header}: no rows")
    named = tuple(name for name in _classes(table, columns.features) if name in used)
    empty = [i for i, one in enumerate(records) if all(map(is_missing, one.values.values()))]
    others = [name for name in names if name not in used]
    if empty and others:  # whether a row has a value is a question to all of its columns
        rest = list(records_of(columns.table(others), where, features=columns.features))
        for place in empty:
            records[place].values.update(rest[place].values)
    found = filled_rows(records, header, names)
    found.pieces = (Piece(header, len(found), named),)
    return found


def records_of(
    table: pyarrow.Table,
    where: str,
    *,
    start: int = 1,
    features: Mapping[str, Any] | None = None,
) -> Iterator[Record]:
    """Yield the rows of an Arrow table, or of a part of one whose first row is number `start`."""
    names = table.column_names
    classes = _classes(table, features)
    columns = [
        _named(_values(table.column(name)), classes[name])
        if name in classes
        else _values(table.column(name))
        for name in names
    ]
    rows: Iterable[dict[str, Any]] = ({} for _ in range(table.num_rows))
    if names:
        rows = (dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True))
    return (Record(f"{where} {number}", row) for number, row in enumerate(rows, start=start))


def _classes(table: pyarrow.Table, features: Mapping[str, Any] | None) -> dict[str, Sequence[str]]:
    metadata = (table.schema.metadata or {}).get(b"huggingface", b"")
    if features is None and b"ClassLabel" not in metadata:
        return {}
    import datasets

    found = datasets.Features.from_arrow_schema(table.schema) if features is None else features
    return {
        name: feature.names
        for name, feature in found.items()
        if isinstance(feature, datasets.ClassLabel) and feature.names
    }


def _named(values: Sequence[Any], names: Sequence[str]) -> list[str | None]:
    # The hub writes -1 for a class that is not public.
    return [
        names[value] if isinstance(value, int) and 0 <= value < len(names) else None
        for value in values
    ]


def _values(column: pyarrow.ChunkedArray) -> list[Any]:
    """Return a column's values; what Python has no value for as text, or as `Unreadable`."""
    import pyarrow

    try:
        values = list(column.to_pylist())
        if pyarrow.types.is_float32(column.type) or pyarrow.types.is_float16(column.type):
            return [_shortest(value) for value in values]
        return values
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:
        reason = first_line(error)
    try:
        return list(column.cast(pyarrow.string()).to_pylist())
    except (pyarrow.ArrowException, ValueError, OverflowError):
        return [Unreadable(reason)] * len(column)


def _shortest(value: float | None) -> float | None:
    """Return a number of 32 bits as a CSV file has it: 36.6 and not 36.599998474121094."""
    return None if value is None else float(str(np.float32(value)))


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its name."""
    return (str(error).splitlines() or [type(error).__name__])[0]
