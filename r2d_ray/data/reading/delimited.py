"""Text tables with a header: values separated by commas, semicolons or tabs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from r2d_ray.data.files import Record, Table, left_out, read_text
from r2d_ray.errors import UserError

SEPARATORS = {",": "','", ";": "';'", "\t": "tab"}
"""What may separate values, and how a line of ours writes it."""

EXCEL_SEPARATOR = re.compile(r"sep=([,;\t])\r?\n")
"""A first line by which Excel names the separator."""


def read_delimited(path: Path) -> Table:
    """Return the rows of a text table; every value is a str.

    The separator is the one that the header has most often outside quotes. A column without a
    name (an index of pandas, an empty column of Excel) and rows without a value are left out, and
    noted.

    Raises:
        UserError: for a header without a name or with one twice, a row of another length, an open
            quote, or no row at all.
    """
    text = read_text(path)
    named = EXCEL_SEPARATOR.match(text)
    separator = named[1] if named else separator_of(text)
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # the default refuses 128 KiB
    lines = _lines(path, text, separator, skipped=1 if named else 0)
    number, header = next(lines)
    header_at = f"{path}:{number}"
    names = _names(header, header_at)
    records = list(_records(path, lines, header, separator))
    kept = [record for record in records if record.values]
    if not kept:
        raise UserError(f"{path}: a header but no rows")
    notes = []
    if separator != (expected := "\t" if ".tsv" in path.suffixes else ","):
        said = f"{SEPARATORS[separator]}, not {SEPARATORS[expected]}"
        notes.append(f"{path.name}: values are separated by {said}")
    notes += left_out(path.name, len(header) - len(names), "column", "name")
    notes += left_out(path.name, len(records) - len(kept), "row", "value")
    return Table(kept, header_at, names, notes)


def _names(header: Sequence[str], where: str) -> list[str]:
    names = [name for name in header if name.strip()]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{where}: column name {name!r} appears twice")
    if not names:
        raise UserError(f"{where}: no column has a name")
    return names


def _records(
    path: Path, lines: Iterable[tuple[int, list[str]]], header: Sequence[str], separator: str
) -> Iterator[Record]:
    """Yield the rows; one without a value has no columns."""
    width = len(header)
    whole = all(name.strip() for name in header)
    for number, values in lines:
        if len(values) != width:
            raise UserError(f"{path}:{number}: {len(values)} values, but {_said(width, separator)}")
        filled = any(value and not value.isspace() for value in values)
        cells = zip(header, values, strict=True) if filled else ()
        row = dict(cells) if whole else {name: cell for name, cell in cells if name.strip()}
        yield Record(f"{path}:{number}", row)


def separator_of(text: str) -> str:
    """Return the separator of a text table: what stands most often in its header, else a comma."""
    header = ""
    for line in io.StringIO(text, newline=""):  # a quoted name may go over several lines
        header += line
        if header.strip() and header.count('"') % 2 == 0:
            break
    bare = re.sub(r'"[^"]*"', "", header)
    return max(SEPARATORS, key=bare.count)


def _said(width: int, separator: str) -> str:
    columns = f"{width} columns" if width > 1 else "1 column"
    return f"the header has {columns} (separated by {SEPARATORS[separator]})"


def _lines(path: Path, text: str, separator: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    source = io.StringIO(text, newline="")
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
        raise UserError(f"{path}:{begin}: not CSV: {error}") from None
    if begin == 1 + skipped:
        raise UserError(f"{path}: no header")
