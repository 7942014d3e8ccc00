"""Values that are class numbers in one file of a set and their names in another: refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations

from r2d_ray.data.files import Piece
from r2d_ray.data.reading.seen import TAG
from r2d_ray.data.rows.joined import ReadRow
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


def check_other_columns(read: Sequence[ReadRow], columns: Mapping[str, str]) -> None:
    """Raise UserError as `check_class_numbers` for groups and for the columns kept as tags.

    Groups are looked at where a file gives names to their numbers: patients may be numbered in one
    hospital and named in another.

    Args:
        read: The rows of all files.
        columns: Target to the column that filled it.
    """
    for target, column in columns.items():
        if target.startswith(TAG):
            begin = f"{column}="
            check_class_numbers(
                (
                    (one.piece, tag.removeprefix(begin))
                    for one in read
                    for tag in one.row.tags
                    if tag.startswith(begin)
                ),
                column,
            )
        if target == "group" and any(column in one.piece.named for one in read):
            found = ((one.piece, one.row.group) for one in read if one.row.group != one.row.id)
            check_class_numbers(found, column)


def numbers_taken_as_names(labels: Iterable[tuple[Piece, str]], column: str) -> tuple[str, ...]:
    """Return a warning where a file's class names are numbers and another has numbers alone.

    They may be grades there too, or the classes' numbers, which no file can tell.

    Args:
        labels: File and label of every row.
        column: The label's column.
    """
    found: dict[Piece, set[str]] = {}
    for piece, label in labels:
        found.setdefault(piece, set()).add(label)
    numbered = [piece for piece in found if _is_numbered(piece, found)]
    named = next((piece for piece in numbered if column in piece.named), None)
    bare = next((piece for piece in numbered if column not in piece.named), None)
    if named is None or bare is None:
        return ()
    return (
        f"column {column!r} has class names that are numbers in {named.where} "
        f"({_shown(found[named])}); the numbers of {bare.where} ({_shown(found[bare])}) are taken "
        "as these names",
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
