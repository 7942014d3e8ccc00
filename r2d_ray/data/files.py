"""Files as records: JSON, JSONL, CSV and Parquet, where every record knows its file and line.

Text is UTF-8, with or without a byte-order mark, lines end in LF or CRLF and have any length.
Files are only read.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import StringConstraints, TypeAdapter, ValidationError

from r2d_ray.errors import UserError, from_validation

T = TypeVar("T")
Text = Annotated[str, StringConstraints(strip_whitespace=True)]
FilledText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a file as it is written; `where` is `file:line`, or `file: row n`."""

    where: str
    values: dict[str, Any]


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        UserError: if it cannot be read, is empty, or is not UTF-8 (with the line).
    """
    try:
        data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8 (save the file as UTF-8)"
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
        UserError: for a line that is not an object.
    """
    records = []
    # str.splitlines would also split at characters that JSON allows inside a text.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        value = parse_json(line, f"{path}:{number}")
        if not isinstance(value, dict):
            kind = type(value).__name__
            raise UserError(f"{path}:{number}: type {kind}, expected one JSON object per line")
        records.append(Record(f"{path}:{number}", value))
    return records


def read_csv(path: Path) -> list[Record]:
    """Return the rows of a comma-separated file with a header; every value is a str.

    Raises:
        UserError: for a header without or with repeated names, a row of another length, an open
            quote, or no row at all.
    """
    text = read_text(path)
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # the default refuses 128 KiB
    lines = _csv_lines(path, text)
    number, header = next(lines)
    for name in header:
        if not name.strip() or header.count(name) > 1:
            raise UserError(f"{path}:{number}: column name {name!r} is empty or appears twice")
    records = []
    for number, values in lines:
        if len(values) != len(header):
            columns = f"{len(header)} columns" if len(header) > 1 else "1 column (split at commas)"
            raise UserError(f"{path}:{number}: {len(values)} values, but the header has {columns}")
        records.append(Record(f"{path}:{number}", dict(zip(header, values, strict=True))))
    if not records:
        raise UserError(f"{path}: a header but no rows")
    return records


def _csv_lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begin = 1
    try:
        for values in reader:
            if values:
                yield begin, values
            begin = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}:{begin}: not CSV: {error}") from None


def read_parquet(path: Path) -> list[Record]:
    """Return the rows of a Parquet file.

    Raises:
        UserError: if it is not a Parquet file, has a column twice, values unknown to Python, or no
            row.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        # ParquetFile, because read_table would take folder names such as `a=b` for columns.
        table = pyarrow.parquet.ParquetFile(path).read()
        for name in table.column_names:
            if table.column_names.count(name) > 1:  # a row would keep the last one silently
                raise UserError(f"{path}: column name {name!r} appears twice")
        rows = table.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: not a Parquet file: {str(error).splitlines()[0]}") from None
    if not rows:
        raise UserError(f"{path}: no rows")
    return [Record(f"{path}: row {number}", row) for number, row in enumerate(rows, start=1)]


TABLE_READERS: dict[str, Callable[[Path], list[Record]]] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_jsonl,
    ".csv": read_csv,
    ".parquet": read_parquet,
}


def read_records(path: Path) -> list[Record]:
    """Return the rows of a table file, told by its suffix.

    Raises:
        UserError: for a missing file, another suffix, or as the format's reader.
    """
    reader = TABLE_READERS.get(path.suffix.lower())
    if not os.path.lexists(path):
        raise UserError(f"{path}: no such file")
    if reader is None or not os.path.isfile(path):
        kinds = ", ".join(TABLE_READERS)
        raise UserError(f"{path}: not a table file (allowed: a file that ends in {kinds})")
    return reader(path)
