"""Text tables with a header: values separated by commas, semicolons or tabs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from r2d_ray.data.files import Record, Table, left_out, opened, read_text
from r2d_ray.errors import UserError
from r2d_ray.storage import counted

SEPARATORS = {",": "','", ";": "';'", "\t": "tab"}
"""What may separate values, and how a line of ours writes it."""

LONGEST_FIELD = 2**31 - 1
"""Characters of a value, the most that the reader can be told on every platform."""

EXCEL_SEPARATOR = re.compile(r"sep=([,;\t])\r?\n")
"""A first line by which Excel names the separator."""


@dataclass(frozen=True, slots=True)
class Delimited:
    """A text table that is read row by row: where its header is and what separates its values.

    `header` has a text for every value of a row; columns without a name are left out.
    """

    path: Path
    separator: str
    skipped: int
    header_at: str
    header: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The columns that have a name."""
        return [name for name in self.header if name.strip()]

    def notes(self, rows_left_out: int) -> list[str]:
        """Return what a user should know of it."""
        notes, name = [], self.path.name
        if self.separator != (expected := "\t" if ".tsv" in self.path.suffixes else ","):
            said = f"{SEPARATORS[self.separator]}, not {SEPARATORS[expected]}"
            notes.append(f"{name}: values are separated by {said}")
        notes += left_out(name, len(self.header) - len(self.names), "column", "name")
        return notes + left_out(name, rows_left_out, "row", "value")

    def records(self) -> Iterator[Record]:
        """Yield the rows; one without a value has no columns.

        Raises:
            UserError: for a row of another length and an open quote.
        """
        with _text(self.path) as source:
            lines = _lines(self.path, source, self.separator, self.skipped)
            next(lines)
            yield from _records(self.path, lines, self.header, self.separator)


def open_delimited(path: Path) -> Delimited:
    """Return a text table by its header.

    The separator is the one that the header has most often outside quotes.

    Raises:
        UserError: for a file that cannot be read, and a header without a name or with one twice.
    """
    csv.field_size_limit(LONGEST_FIELD)  # the default refuses 128 KiB
    with _text(path) as source:
        head = _head(source)
    if not head.strip():
        read_text(path)  # says that it is empty
    named = EXCEL_SEPARATOR.match(head)
    separator = named[1] if named else separator_of(head)
    skipped = 1 if named else 0
    with _text(path) as source:
        number, header = next(_lines(path, source, separator, skipped))
    _check_names(header, f"{path}:{number}")
    return Delimited(path, separator, skipped, f"{path}:{number}", tuple(header))


def read_delimited(path: Path) -> Table:
    """Return the rows of a text table; every value is a str.

    A column without a name (an index of pandas, an empty column of Excel) and rows without a value
    are left out, and noted.

    Raises:
        UserError: as `open_delimited` and `Delimited.records`, and if there is no row at all.
    """
    table = open_delimited(path)
    records = list(table.records())
    kept = [record for record in records if record.values]
    if not kept:
        raise UserError(f"{path}: a header but no rows")
    notes = table.notes(len(records) - len(kept))
    return Table(kept, table.header_at, table.names, notes)


@contextmanager
def _text(path: Path) -> Iterator[io.TextIOBase]:
    """Open a table's text; what is not UTF-8 is an error that names its line."""
    with opened(path) as file:
        try:
            yield io.TextIOWrapper(cast(io.BufferedReader, file), "utf-8-sig", newline="")
        except UnicodeDecodeError:
            read_text(path)
            raise  # the file was changed meanwhile


def _head(source: Iterable[str]) -> str:
    """Return a text up to the end of its header, which may go over several lines by quotes."""
    head = ""
    for line in source:
        head += line
        bare = EXCEL_SEPARATOR.sub("", head, count=1)
        if bare.strip() and bare.count('"') % 2 == 0:
            break
    return head


def _check_names(header: Sequence[str], where: str) -> None:
    names = [name for name in header if name.strip()]
    if any("\0" in name for name in names):
        raise UserError(f"{where}: NUL signs in the header: is the file UTF-16? (save it as UTF-8)")
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{where}: column name {name!r} appears twice (rename one)")
    if not names:
        raise UserError(f"{where}: no column has a name")


def _records(
    path: Path, lines: Iterable[tuple[int, list[str]]], header: Sequence[str], separator: str
) -> Iterator[Record]:
    """Yield the rows; one without a value has no columns."""
    width = len(header)
    whole = all(name.strip() for name in header)
    for number, values in lines:
        if len(values) != width:
            raise UserError(
                f"{path}:{number}: {counted(len(values), 'value')}, but {_said(width, separator)}"
            )
        filled = any(map(str.strip, values))
        cells = zip(header, values, strict=True) if filled else ()
        row = dict(cells) if whole else {name: cell for name, cell in cells if name.strip()}
        yield Record(f"{path}:{number}", row)


def separator_of(header: str) -> str:
    """Return the separator of a header: what stands most often in it, else a comma."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(SEPARATORS, key=bare.count)


def _said(width: int, separator: str) -> str:
    return f"the header has {counted(width, 'column')} (separated by {SEPARATORS[separator]})"


def _lines(
    path: Path, source: io.TextIOBase, separator: str, skipped: int
) -> Iterator[tuple[int, list[str]]]:
    for _ in range(skipped):
        source.readline()
    reader = csv.reader(source, delimiter=separator, strict=True)
    begin = 1 + skipped
    try:
        for values in reader:
            if values:
                yield begin, values
            begin = reader.line_num + 1 + skipped
    except csv.Error as error:
        why = "a quote is opened and never closed" if "end of data" in str(error) else str(error)
        raise UserError(f"{path}:{begin}: not CSV: {why}") from None
    if begin == 1 + skipped:
        raise UserError(f"{path}: no header")
