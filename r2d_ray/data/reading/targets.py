"""What a column of a table may become, and which columns are therefore read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from r2d_ray.data.reading.cells import EVERY
from r2d_ray.errors import UserError

TARGETS = ("id", "group", "question", "context", "label", "split", "choices", "rationale")
KEYS = ("id", "group", "label")
"""Targets that name something: numbers are taken too, and inner spaces count as one."""

RATIONALE = "rationale."
DEFAULT_RATIONALES = (
    (f"{RATIONALE}human", "rationale"),
    (f"{RATIONALE}*", f"rationale{EVERY}"),
    (f"{RATIONALE}*", f"rationales{EVERY}"),
)

SOURCE_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)


def check_source_name(name: str, where: str) -> None:
    """Raise UserError unless this can name a rationale source (it is shown and stored as a key)."""
    if not SOURCE_NAME.fullmatch(name):
        raise UserError(
            f"{where}: rationale source {name[:80]!r} (allowed: up to 64 letters, digits and _ . -)"
        )


def rationale_columns(columns: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """Return rationale targets and their columns: those that are named, else the usual ones."""
    named = [pair for pair in columns.items() if pair[0].startswith(RATIONALE)]
    return named or DEFAULT_RATIONALES


def used_columns(names: Iterable[str], columns: Mapping[str, str]) -> list[str]:
    """Return which of a table's columns are read, in their order.

    Args:
        names: The table's columns.
        columns: Target to source column, as `parse_columns` returns it.
    """
    plain = [target for target in TARGETS if target != "rationale"]
    asked = {*columns.values(), *(columns.get(target, target) for target in plain)}
    asked |= {column for _, column in rationale_columns(columns)}
    prefixes = tuple(column.removesuffix("*") for column in asked if column.endswith(EVERY))
    heads = {part for column in asked for part in _heads(column)}
    return [name for name in names if name in heads or name.startswith(prefixes)]


def _heads(column: str) -> Iterable[str]:
    """Return the column and every object in which it may be a member."""
    parts = column.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))
