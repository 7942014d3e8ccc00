"""Cells as text: what a column, or a member of an object in it, says."""

from __future__ import annotations

from collections.abc import Mapping
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
    """Return a cell as text without outer spaces.

    Args:
        value: The cell.
        where: File and line, for the error.
        column: Its column, for the error.
        is_key: For ids, labels and options: whole numbers (1.0 is `1`) and truth values are taken
            too, and inner spaces count as one.

    Raises:
        UserError: for any other value.
    """
    if isinstance(value, str):
        return " ".join(value.split()) if is_key else value.strip()
    if is_key and isinstance(value, int):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if is_key and isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST_WHOLE:
        return str(int(value))
    if is_key and isinstance(value, Decimal) and value.is_finite() and value == int(value):
        return str(int(value))
    kind = "empty" if is_missing(value) else f"of type {type(value).__name__}"
    raise UserError(f"{where}: column {column!r} is {kind}, expected text")
