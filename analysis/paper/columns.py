"""The columns of a paper's table: in a paper's words, rounded, and how wide they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from analysis import names
from analysis.paper.decimals import decimals
from analysis.paper.widths import lines, width
from analysis.tables.cells import heading, is_numeric, shown
from analysis.tables.table import Cell, Column, Number, Table

NARROWEST = 44.0  # points that a column of words keeps
VALUES = {"null": "none", "true": "yes", "false": "no"}
MINUS = "\N{MINUS SIGN}"


def _value(text: str) -> str:
    """Return a setting's value: of words of code the underscores become spaces."""
    text = VALUES.get(text, text)
    return text.replace("_", " ") if re.fullmatch(r"[a-z0-9_, ]+", text) else text


def _upper(text: str) -> str:
    """Return words with a capital, but for those that hold one."""
    return text[:1].upper() + text[1:] if re.match(r"[a-z-]+(?![\w:.])", text) else text


def _method(text: str) -> str:
    return _upper(names.run(text))


WORDS: Mapping[str, Callable[[str], str]] = {
    "method": _method,
    "setting": names.setting,
    "field": lambda text: _upper(names.field(text)),
    "metric": lambda text: _upper(names.metric(text)),
    "range": _value,
    "default": _value,
    "chosen": _value,
}
"""How the texts of a column become a paper's words, by the column's key; others are as they are."""


@dataclass(frozen=True, slots=True)
class Set:
    """A column as it is set: the words of head and cells; `room` in points where cells are broken.

    `words` says that it stands left and may be broken, `names` that it tells rows apart and stands
    in every part of a table.
    """

    key: str
    head: str
    cells: tuple[str, ...]
    words: bool
    names: bool
    room: float | None = None

    @property
    def natural(self) -> float:
        """The points it takes with each cell on one line and the head broken as far as it can."""
        return max(*(width(cell) for cell in self.cells), self._head_word)

    @property
    def least(self) -> float:
        """The points it can do with: of words that of the longest one, within reason."""
        if not self.words:
            return self.natural
        longest = max(width(w) for cell in self.cells for w in cell.split() or [""])
        return min(self.natural, max(min(longest, 2 * NARROWEST), self._head_word, NARROWEST))

    @property
    def taken(self) -> float:
        """The points it takes as it is set."""
        return self.natural if self.room is None else self.room

    @property
    def head_lines(self) -> list[str]:
        """The head on as many lines as the column's cells make it need."""
        return lines(self.head, max(self.taken, self._head_word))

    @property
    def _head_word(self) -> float:
        return max(width(word) for word in self.head.split() or [""])

    def within(self, room: float) -> Set:
        """Return the column, broken to so many points if it is wider."""
        return self if self.natural <= room else replace(self, room=room)


def columns_set(table: Table) -> tuple[Set, ...]:
    """Return a table's columns."""
    telling = _telling(table)
    found = []
    for column in table.columns:
        values = [row.get(column.key) for row in table.rows]
        numeric = is_numeric(table, column)
        cells = _numbers(column, values) if numeric else _texts(column, values)
        found.append(Set(column.key, _head(column), cells, not numeric, column.key in telling))
    return tuple(found)


def _telling(table: Table) -> set[str]:
    """Return the keys of columns that tell rows apart: the first ones, up to a score."""
    found: set[str] = set()
    for column in table.columns:
        if is_numeric(table, column) and column.key not in ("seeds", "rows"):
            break
        found.add(column.key)
    return found


def _head(column: Column) -> str:
    text = heading(column)
    text = names.field(text) if text in names.FIELDS else names.in_words(text)
    return re.sub(r", (%|MB|nats)(?=,| \(|$)", r" (\1)", text)


def _texts(column: Column, values: Sequence[Cell | Number]) -> tuple[str, ...]:
    words = WORDS.get(column.key, str)
    return tuple(words(v) if isinstance(v, str) else shown(v) for v in values)


def _numbers(column: Column, values: Sequence[Cell | Number]) -> tuple[str, ...]:
    digits = decimals(values)
    return tuple(_number(v, digits, of_p=column.key.startswith("p")) for v in values)


def _number(value: Cell | Number, digits: int, *, of_p: bool) -> str:
    if not isinstance(value, Number):
        return shown(value).replace("-", MINUS)
    if of_p and value.mean is not None and value.sd is None and value.low is None:
        least = 10.0**-digits
        if 0 <= value.mean * value.factor < least and value.factor == 1:
            return f"< {least:.{digits}f}"
    return shown(replace(value, digits=digits)).replace("-", MINUS)
