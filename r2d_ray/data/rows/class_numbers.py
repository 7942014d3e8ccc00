"""Labels that are class numbers in one file of a set and their names in another: refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import permutations

from r2d_ray.data.files import Piece
from r2d_ray.errors import UserError

CLASS_NUMBER = re.compile(r"[0-9]{1,4}")
"""A class as `datasets` stores it; its name stands in the file's metadata."""

LABELS_SHOWN = 3
"""Labels of a file that the error shows."""


def check_class_numbers(labels: Iterable[tuple[Piece, str]], column: str) -> None:
    """Raise UserError where a file has class numbers and another has their names.

    So it is where one file gives names to its numbers and another has only numbers; and, of files
    that do not say, where the numbers of one, at least two, count the names of another from 0.

    Args:
        labels: File and label of every row.
        column: The label's column, for the error.
    """
    found: dict[Piece, set[str]] = {}
    for piece, label in labels:
        if label:
            found.setdefault(piece, set()).add(label)
    for named, numbered in permutations(found, 2):
        if _is_numbered(numbered, found) and _gives_names(named, column, found, found[numbered]):
            raise UserError(
                f"column {column!r} has names in {named.where} ({_shown(found[named])}) and class "
                f"numbers in {numbered.where} ({_shown(found[numbered])}): write the names in both"
            )


def _is_numbered(piece: Piece, found: Mapping[Piece, set[str]]) -> bool:
    return all(CLASS_NUMBER.fullmatch(label) for label in found[piece])


def _gives_names(
    piece: Piece, column: str, found: Mapping[Piece, set[str]], numbers: set[str]
) -> bool:
    names = found[piece]
    if any(CLASS_NUMBER.fullmatch(name) for name in names):
        return False
    return column in piece.named or len(names) >= 1 + max(map(int, numbers)) >= len(numbers) > 1


def _shown(labels: set[str]) -> str:
    more = ", …" if len(labels) > LABELS_SHOWN else ""
    return ", ".join(sorted(labels)[:LABELS_SHOWN]) + more
