"""Text and JSON files, and the rows of a table, where every row knows its file and line.

Text is UTF-8, with or without a byte-order mark, plain or compressed as `.gz`; lines end in LF or
CRLF and have any length. Files are only read.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar, cast

from pydantic import StringConstraints, TypeAdapter, ValidationError

from r2d_ray.errors import UserError, from_validation

T = TypeVar("T")
UTF8_MARK = b"\xef\xbb\xbf"
AS_UTF8 = "(save the file as UTF-8; one of Windows: iconv -f WINDOWS-1252 -t UTF-8)"
OTHER_FILES = {
    b"\xff\xfe": "the file is UTF-16 (save it as UTF-8)",
    b"\xfe\xff": "the file is UTF-16 (save it as UTF-8)",
    b"\x1f\x8b": "the file is compressed (allowed if its name ends in .gz)",
}
"""Beginnings of files that are no text, and what they are."""

Text = Annotated[str, StringConstraints(strip_whitespace=True)]
FilledText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a file as it is written; `where` is `file:line`, or `file: row n`."""

    where: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """A file of a table: its place, its rows, and the columns whose class numbers got names."""

    where: str
    rows: int
    named: tuple[str, ...] = ()


class Table(list[Record]):
    """The rows of one file, folder or split: a list that knows its columns.

    `header` is where the columns are named (`file`, `file:line`), `columns` their names in order,
    `notes` what reading it found that a user should know: rows left out, a separator. `pieces` are
    the files that it lies in, one after the other; one unless they are given.
    """

    def __init__(
        self,
        rows: Iterable[Record],
        header: str,
        columns: Iterable[str] | None = None,
        notes: Iterable[str] = (),
        pieces: Iterable[Piece] = (),
    ) -> None:
        super().__init__(rows)
        self.header = header
        names = columns if columns is not None else (name for row in self for name in row.values)
        self.columns = tuple(dict.fromkeys(names))
        self.notes = tuple(notes)
        self.pieces = tuple(pieces) or (Piece(header, len(self)),)


Parts = dict[str, list[Record]]
"""Records by the split that their file or hub set names; "" where none is named."""


def notes_of(parts: Parts) -> tuple[str, ...]:
    """Return what reading these records found that a user should know."""
    tables = (table for table in parts.values() if isinstance(table, Table))
    return tuple(dict.fromkeys(note for table in tables for note in table.notes))


def is_missing(value: Any) -> bool:
    """Return whether a cell has no value: null, NaN, or a text without a sign."""
    if value is None or isinstance(value, str):
        return not value or value.isspace()
    return isinstance(value, float) and value != value


def left_out(where: str, count: int, thing: str, lacking: str) -> list[str]:
    """Return a note that so many things (`row`, `column`) are left out, or none."""
    ending, verb = ("", "is") if count == 1 else ("s", "are")
    said = f"{where}: {count} {thing}{ending} without a {lacking} {verb} left out"
    return [said] if count else []


def filled_rows(rows: Iterable[Record], header: str, columns: Iterable[str] | None = None) -> Table:
    """Return the rows that have a value in some column; a note counts the others.

    Raises:
        UserError: if no row has one.
    """
    every = list(rows)
    kept = [row for row in every if not all(map(is_missing, row.values.values()))]
    if not kept:
        raise UserError(f"{header}: no row has a value")
    notes = left_out(header, len(every) - len(kept), "row", "value")
    return Table(kept, header, columns, notes)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading as bytes; one that ends in `.gz` is decompressed.

    Raises:
        UserError: if it cannot be read, also later on.
    """
    try:
        opener = gzip.open if path.suffix.lower() == ".gz" else open
        with opener(path, "rb") as file:
            yield cast(IO[bytes], file)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UserError(f"{path}: not a whole gzip file ({error})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def read_text(path: Path) -> str:
    """Return a file's text; a file that ends in `.gz` is decompressed.

    Raises:
        UserError: if it cannot be read, is empty, or is not UTF-8 (with the line).
    """
    with opened(path) as file:
        data = file.read()
    data = data.removeprefix(UTF8_MARK)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        for begin, said in OTHER_FILES.items():
            if data.startswith(begin):
                raise UserError(f"{path}: {said}") from None
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8 {AS_UTF8}"
        ) from None
    if not text.strip():
        raise UserError(f"{path}: the file is empty")
    return text


def parse_json(text: str, where: str) -> Any:
    """Return the value of a JSON text; `where` is what an error names.

    Raises:
        UserError: if it is not JSON, is nested too deeply, has a key twice (json would keep the
            last one silently) or holds half of a surrogate pair.
    """
    try:
        value = json.loads(text, object_pairs_hook=_each_key_once)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        line = f":{error.lineno}" if "\n" in text else ""
        raise UserError(f"{where}{line}: not JSON at column {error.colno}: {error.msg}") from None
    except UnicodeEncodeError:
        raise UserError(f"{where}: half of a surrogate pair is not text") from None
    except (RecursionError, ValueError) as error:
        raise UserError(f"{where}: not usable JSON: {error}") from None
    return value


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"key {twice[:80]!r} appears twice")
    return members


def read_json(path: Path) -> Any:
    """Return the value of a JSON file.

    Raises:
        UserError: as `read_text` and `parse_json`.
    """
    return parse_json(read_text(path), str(path))


def checked(adapter: TypeAdapter[T], value: Any, where: str) -> T:
    """Return the value as this type.

    Raises:
        UserError: naming `where`, the entry in it and what is wrong.
    """
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise from_validation(error, where) from None


def read_jsonl(path: Path) -> list[Record]:
    """Return the objects of a file with one JSON object a line; blank lines are left out.

    Raises:
        UserError: as `jsonl_records`.
    """
    return list(jsonl_records(path))


def jsonl_records(path: Path) -> Iterator[Record]:
    """Yield the objects of a file with one JSON object a line; blank lines are left out.

    Raises:
        UserError: for a file as `read_text`, and for a line that is not an object.
    """
    filled = False
    with opened(path) as lines:
        # Bytes: text lines would also end at characters that JSON allows inside a text.
        for number, data in enumerate(lines, start=1):
            where = f"{path}:{number}"
            line = _decoded(data.removeprefix(UTF8_MARK) if number == 1 else data, where)
            if not line.strip():
                continue
            filled = True
            value = parse_json(line.rstrip("\n"), where)
            if not isinstance(value, dict):
                kind = type(value).__name__
                raise UserError(f"{where}: type {kind}, expected one JSON object per line")
            yield Record(where, value)
    if not filled:
        raise UserError(f"{path}: the file is empty")


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: byte 0x{data[error.start]:02x} is not UTF-8 {AS_UTF8}") from None
