"""Cells as text: what a column, or a member of an object in it, says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from r2d_ray.data.files import is_missing
from r2d_ray.errors import UserError

EVERY = ".*"
"""What ends the name of a column whose members are all meant."""

LARGEST_WHOLE = 2**53
"""Whole floats up to here are exact, and so the number that was meant."""


def find(values: Mapping[str, Any], column: str) -> Any:
    """Return the value of a column, or of a member written with dots; None where there is none.

    NaN is no value.
    """
    if column in values:
        value = values[column]
        return None if isinstance(value, float) and value != value else value
    head, dot, rest = column.partition(".")
    inner = values.get(head) if dot else None
    return find(inner, rest) if isinstance(inner, Mapping) else None


def members(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the members of an object, or the columns that begin with this name and a dot."""
    inner = find(values, prefix)
    if isinstance(inner, Mapping):
        return dict(inner)
    dotted = f"{prefix}."
    return {name.removeprefix(dotted): v for name, v in values.items() if name.startswith(dotted)}


def text_of(value: Any, where: str, column: str, is_key: bool = False) -> str:
    """Return a cell as text without outer spaces: what a CSV file of the same rows says.

    Whole numbers that are floats are those numbers (3.0 is `3`), truth values `true` and `false`.

    Args:
        value: The cell.
        where: File and line, for the error.
        column: Its column, for the error.
        is_key: For ids, groups, labels and options: inner spaces count as one.

    Raises:
        UserError: for an empty cell, a list, an object, and what else is neither text nor number.
    """
    if isinstance(value, str):
        return " ".join(value.split()) if is_key else value.strip()
    if is_missing(value):
        raise UserError(f"{where}: column {column!r} is empty, expected text")
    text = _number(value)
    if text is None:
        kind = type(value).__name__
        raise UserError(f"{where}: column {column!r} is of type {kind}, expected text{_way(value)}")
    return text


def _number(value: Any) -> str | None:
    """Return a number or truth value as text; None for anything else, and for an inexact one."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not value.is_integer():
            return repr(float(value))  # of a number of NumPy, too
        return str(int(value)) if abs(value) <= LARGEST_WHOLE else None
    if isinstance(value, Decimal) and value.is_finite():
        return str(int(value)) if value == int(value) else str(value)
    return None


def _way(value: Any) -> str:
    if isinstance(value, Mapping) and value:
        return f" (a member is named with a dot: {next(iter(value))!s:.40})"
    if isinstance(value, list):
        return " (join its parts to one text)"
    if isinstance(value, float | Decimal):
        return f" ({value} has more digits than are exact: write it as text)"
    return ""


def member_names(values: Mapping[str, Any], names: Iterable[str]) -> Iterator[str]:
    """Yield these columns; of one that holds an object its members instead, written with dots."""
    for name in names:
        inner = values.get(name)
        if isinstance(inner, Mapping) and inner:
            yield from (f"{name}.{member}" for member in member_names(inner, inner))
        else:
            yield name
