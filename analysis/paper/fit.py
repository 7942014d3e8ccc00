"""Tables that fit a page: what all rows share goes into the caption, what is too wide is parted.

A page is A4 with margins of 2 cm; a column is one of two on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analysis import names
from analysis.paper.captions import caption
from analysis.paper.columns import Set, columns_set
from analysis.paper.letters import said, written_out
from analysis.paper.widths import lines
from analysis.tables.cells import NOT_THERE, one_line, without_absent
from analysis.tables.table import Table

COLUMN, PAGE = 234.0, 480.0  # points of a column and of the page's width, with a little to spare
BETWEEN = 8.0  # points between two columns of a table
LONGEST = 46  # lines of a table that stands on one page with its caption and notes
NOTE_LETTERS = 115  # letters of a note's line across the page
SMALLEST_SHARE = 0.6  # of its width to which words are broken before a table spans the page

ALIKE = ("dataset", "model", "study")
"""Columns of which rows without a value say nothing: a control has no model."""

Place = Literal["column", "page", "long"]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table of a paper: what it says, and whether it takes a column, the page or several."""

    name: str
    caption: str
    columns: tuple[Set, ...]
    notes: tuple[str, ...]
    place: Place

    @property
    def wide(self) -> float:
        """The points that it takes."""
        return _taken(self.columns)


def sheets(table: Table) -> tuple[Sheet, ...]:
    """Return a table in as many parts as it takes for each to fit; none of one without values."""
    table = without_absent(table)
    if not table.rows:
        return ()
    columns = columns_set(table)
    shared = _shared(columns, len(table.rows))
    title = ". ".join([caption(table), *_told(shared)])
    shown = tuple(column for column in columns if column not in shared)
    notes = _notes(table, columns)
    parts = _parts(shown)
    return tuple(
        _sheet(
            table.name if place == 1 else f"{table.name}-{place}",
            f"{title}." if len(parts) == 1 else f"{title} (part {place} of {len(parts)}).",
            part,
            notes if place == len(parts) else (),
        )
        for place, part in enumerate(parts, start=1)
    )


def _shared(columns: Sequence[Set], rows: int) -> tuple[Set, ...]:
    """Return the columns that say the same in every row; one column of values always stays.

    Of a single row it is what it belongs to that goes.
    """
    same = [
        column
        for column in columns
        if len({*column.cells} - ({NOT_THERE} if column.key in ALIKE else set())) == 1
    ]
    if rows == 1:
        same = [column for column in same if column.key in ALIKE]
    if all(column in same for column in columns if not column.names):
        same = [column for column in same if column.names]
    if len(same) == len(columns):
        same = same[1:]
    return tuple(same)


def _told(shared: Sequence[Set]) -> list[str]:
    parts: list[str] = []
    for column in shared:
        value = next(cell for cell in column.cells if cell != NOT_THERE)
        word = (column.head.split() or [""])[0]
        plain = bool(parts) and word[1:].islower()
        head = word.lower() + column.head[len(word) :] if plain else column.head
        parts.append(f"{head}: {value}")
    return ["; ".join(parts)] if parts else []


def _notes(table: Table, columns: Sequence[Set]) -> tuple[str, ...]:
    texts = [text for column in columns for text in (column.head, *column.cells)]
    notes = [names.in_words(one_line(note)) for note in table.notes]
    spelt = said(written_out([*texts, *notes]))
    return (*notes, *([spelt] if spelt else []))


def _parts(columns: Sequence[Set]) -> list[tuple[Set, ...]]:
    """Return the columns in the fewest parts that fit the page, about equally wide."""
    if _fits(columns, COLUMN, SMALLEST_SHARE) or _fits(columns, PAGE):
        return [tuple(columns)]
    named = _narrowed([column for column in columns if column.names], PAGE / 3)
    values = [column for column in columns if not column.names]
    if not values:
        return [tuple(columns)]
    fewest = _packed(named, values, PAGE)
    room = max(_least((*named, column)) for column in values)
    while len(found := _packed(named, values, room)) > len(fewest) and room < PAGE:
        room += BETWEEN
    return found if len(found) <= len(fewest) else fewest


def _packed(named: Sequence[Set], values: Sequence[Set], room: float) -> list[tuple[Set, ...]]:
    """Return the values in parts that each fit the room beside the names, in their order."""
    found: list[list[Set]] = [[]]
    for column in values:
        if found[-1] and _least((*named, *found[-1], column)) > room:
            found.append([])
        found[-1].append(column)
    return [(*named, *part) for part in found]


def _sheet(name: str, title: str, columns: tuple[Set, ...], notes: tuple[str, ...]) -> Sheet:
    in_column = _fits(columns, COLUMN, SMALLEST_SHARE)
    fitted = _fitted(columns, COLUMN if in_column else PAGE)
    tall = _lines(fitted) + sum(len(note) // NOTE_LETTERS + 1 for note in notes)
    place: Place = "long" if tall > LONGEST else "column" if in_column else "page"
    if place == "long" and in_column:
        fitted = _fitted(columns, PAGE)
    return Sheet(name, title, fitted, notes, place)


def _lines(columns: Sequence[Set]) -> int:
    """Return how many lines the rows take."""
    rows = zip(*(column.cells for column in columns), strict=True)
    return sum(
        max(len(lines(c, col.room)) if col.room else 1 for c, col in zip(row, columns, strict=True))
        for row in rows
    )


def _taken(columns: Sequence[Set]) -> float:
    return sum(column.taken for column in columns) + BETWEEN * (len(columns) - 1)


def _least(columns: Sequence[Set]) -> float:
    taken = [column.least if column.room is None else column.room for column in columns]
    return sum(taken) + BETWEEN * (len(columns) - 1)


def _fits(columns: Sequence[Set], room: float, share: float = 0.0) -> bool:
    """Return whether columns fit, of words not less than this share of their width."""
    needed = [max(c.least, share * c.natural) if c.words else c.natural for c in columns]
    return sum(needed) + BETWEEN * (len(columns) - 1) <= room


def _narrowed(columns: Sequence[Set], room: float) -> list[Set]:
    """Return columns of names broken to a share of the page, where they are wider."""
    if _taken(columns) <= room or not columns:
        return list(columns)
    return list(_fitted(columns, room))


def _fitted(columns: Sequence[Set], room: float) -> tuple[Set, ...]:
    """Return the columns in this room: the widest words are broken first, none below its least."""
    cap = max(column.natural for column in columns)
    found = tuple(columns)
    while _taken(found) > room and cap > 0:
        cap -= 2.0
        found = tuple(
            column.within(max(cap, column.least)) if column.words else column for column in columns
        )
    return found
