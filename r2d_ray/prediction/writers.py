"""Tables with answers beside every row: CSV, TSV, JSONL and Parquet, written a chunk at a time.

A writer first learns the whole input, because a header and Parquet's types stand for all rows.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, cast

from r2d_ray.data.files import Record
from r2d_ray.data.reading.streams import Chunk
from r2d_ray.errors import UserError
from r2d_ray.prediction.answers import Answer, Column
from r2d_ray.prediction.parquet_writer import ParquetWriter

TABLES = (".csv", ".tsv")
TEXT_ENDINGS = (*TABLES, ".jsonl", ".ndjson")
ENDINGS = (*TEXT_ENDINGS, *(f"{ending}.gz" for ending in TEXT_ENDINGS), ".parquet")


class Writer(Protocol):
    """Writes chunks with their answers into an open file."""

    names: dict[str, None]
    """The input's columns that it has learnt, in order."""

    def learn(self, chunk: Chunk) -> None:
        """Take in the columns of a chunk."""

    def begin(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        """Begin a file; the answers become these columns."""

    def write(self, chunk: Chunk, answers: Sequence[Answer]) -> None:
        """Write the rows of a chunk, in order."""

    def end(self) -> None:
        """Write what is left."""


def ending_of(path: Path) -> str:
    """Return the ending by which an output's format is told.

    Raises:
        UserError: for any other.
    """
    name = path.name.lower()
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if name.endswith(ending) and len(name) > len(ending):
            return ending
    raise UserError(
        f"--output {path}: the ending says no format (allowed: {', '.join(TEXT_ENDINGS)}, "
        ".parquet; text also .gz)"
    )


def writer_for(ending: str) -> Writer:
    """Return a writer of the format that an ending says."""
    plain = ending.removesuffix(".gz")
    if plain == ".parquet":
        return ParquetWriter()
    return DelimitedWriter("\t" if plain == ".tsv" else ",") if plain in TABLES else LinesWriter()


@contextmanager
def written(path: Path, ending: str) -> Iterator[IO[bytes]]:
    """Open a file for writing as bytes, compressed if its name will end in `.gz`."""
    with path.open("wb") as file:
        if not ending.endswith(".gz"):
            yield file
            return
        # Neither a name nor a time: the same rows are the same bytes.
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
            yield cast(IO[bytes], packed)


class DelimitedWriter:
    """Text with a header; a missing value is empty, an object is its JSON."""

    def __init__(self, separator: str) -> None:
        self.names: dict[str, None] = {}
        self._separator = separator

    def learn(self, chunk: Chunk) -> None:
        """Take in the columns of a chunk."""
        for record in chunk.records:
            self.names.update(dict.fromkeys(record.values))

    def begin(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        """Write the header."""
        self._file, self._columns = file, columns
        self._write([*self.names, *(column.name for column in columns)])

    def write(self, chunk: Chunk, answers: Sequence[Answer]) -> None:
        """Write the rows of a chunk, in order."""
        for record, answer in zip(chunk.records, answers, strict=True):
            own = [record.values.get(name) for name in self.names]
            cells = [column.value(answer) for column in self._columns]
            self._write([text_of_cell(cell) for cell in (*own, *cells)])

    def _write(self, cells: Sequence[str]) -> None:
        line = io.StringIO(newline="")
        # By this end of a line the writer knows that both of its characters need quotes in a cell.
        csv.writer(line, delimiter=self._separator, lineterminator="\r\n").writerow(cells)
        self._file.write(line.getvalue().removesuffix("\r\n").encode() + b"\n")

    def end(self) -> None:
        """Do nothing: every line is written."""


class LinesWriter:
    """One JSON object a line: what the row's own object has, then the answer."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}

    def learn(self, chunk: Chunk) -> None:
        """Take in the columns of a chunk."""
        for record in chunk.records:
            self.names.update(dict.fromkeys(record.values))

    def begin(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        """Take the file."""
        self._file, self._columns = file, columns

    def write(self, chunk: Chunk, answers: Sequence[Answer]) -> None:
        """Write the rows of a chunk, in order."""
        for record, answer in zip(chunk.records, answers, strict=True):
            values = row_values(record, answer, self._columns)
            self._file.write(json_text(values).encode() + b"\n")

    def end(self) -> None:
        """Do nothing: every line is written."""


def row_values(record: Record, answer: Answer, columns: Sequence[Column]) -> dict[str, Any]:
    """Return a row's own values and those of its answer."""
    return {**record.values, **{column.name: column.value(answer) for column in columns}}


def json_text(value: Any) -> str:
    """Return a value as JSON on one line: NaN is null, what JSON has no word for is text."""
    try:
        return json.dumps(value, ensure_ascii=False, default=text_of_cell, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=text_of_cell)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def text_of_cell(value: Any) -> str:
    """Return a cell as a text table has it."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | dict | list | tuple):
        return json_text(value)
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
