"""Columns that some files or splits of a set fill and others do not: said, as rows then differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from r2d_ray.data.reading.seen import TAG
from r2d_ray.data.rows.joined import ReadRow

PLACES_SHOWN = 3
"""Files or splits that a warning names."""

FOLLOWS = {
    "group": "a group that stands in both is not noticed",
    "context": "a model sees the question alone there",
}
"""What follows where no row of a file or split has a value."""

UNSCORED = "rows there belong to no value of it"

Place = tuple[str, str]  # the file, and the split of its rows


def uneven_warnings(read: Sequence[ReadRow], columns: Mapping[str, str]) -> tuple[str, ...]:
    """Return a line for each column that is empty in a whole file or split and not in another.

    Looked at are group, context and the columns that are kept as tags.

    Args:
        read: The rows of all files.
        columns: Target to the column that filled it.
    """
    watched = [target for target in columns if target in FOLLOWS or target.startswith(TAG)]
    filled: dict[Place, set[str]] = {}
    for place, rows in groupby(read, key=_place):
        held = list(rows)
        found = filled.setdefault(place, set())
        found |= {t for t in watched if t not in found and _is_filled(t, columns[t], held)}
    names = dict(zip(filled, _names(list(filled)), strict=True))
    return tuple(
        _said(target, columns[target], having, lacking)
        for target in watched
        if (having := [names[p] for p, found in filled.items() if target in found])
        and (lacking := [names[p] for p, found in filled.items() if target not in found])
    )


def _place(one: ReadRow) -> Place:
    return one.piece.where, one.split


def _is_filled(target: str, column: str, rows: Sequence[ReadRow]) -> bool:
    if target == "group":
        return any(one.row.group != one.row.id for one in rows)
    if target == "context":
        return any(one.row.context for one in rows)
    return any(tag.startswith(f"{column}=") for one in rows for tag in one.row.tags)


def _names(places: Sequence[Place]) -> Iterator[str]:
    """Yield what a reader calls each place: its file, its split where one file has several."""
    files = [where for where, _ in places]
    for where, split in places:
        file = re.sub(r":[0-9]+$", "", Path(where).name)
        part = f"the {split} rows" if split else "the rows without a split"
        if files.count(where) == 1:
            yield file
        else:
            yield part if len(set(files)) == 1 else f"{part} of {file}"


def _said(target: str, column: str, having: Sequence[str], lacking: Sequence[str]) -> str:
    named = column if target.startswith(TAG) or target == column else f"{column} ({target})"
    follows = FOLLOWS.get(target, UNSCORED)
    return f"{named} is empty in {_listed(lacking)} and not in {_listed(having)}: {follows}"


def _listed(names: Sequence[str]) -> str:
    more = [f"{len(names) - PLACES_SHOWN} more"] if len(names) > PLACES_SHOWN else []
    return ", ".join([*names[:PLACES_SHOWN], *more])
