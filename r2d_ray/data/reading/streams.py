"""Rows of tables of any size, a chunk at a time: the same rows as reading them whole gives.

A chunk is all that memory holds; only a JSON array is parsed whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2d_ray.data.files import Record, is_missing, jsonl_records, opened
from r2d_ray.data.reading.arrow_columns import records_of
from r2d_ray.data.reading.arrow_tables import (
    is_saved,
    open_arrow,
    open_saved,
    parquet_batches,
    saved_row,
)
from r2d_ray.data.reading.delimited import Delimited, open_delimited
from r2d_ray.data.reading.folders import split_files
from r2d_ray.data.reading.formats import check_table_file
from r2d_ray.data.reading.json_tables import read_json_table
from r2d_ray.storage import counted

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

JSON_HEAD = 65536
"""Bytes at the beginning of a JSON file that tell an array from objects on lines."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows that have a value, in order, and how many between them have none.

    `table` holds the same rows as Arrow where they come from there, so that their types can be
    kept.
    """

    records: list[Record]
    table: pyarrow.Table | None = None
    without_value: int = 0


Part = Callable[[int], Iterator[Chunk]]
"""A file's rows in chunks of at most so many rows; it can be asked again."""


@dataclass(frozen=True, slots=True)
class RowStream:
    """The rows of an input, to be read any number of times.

    `files` are what it is read from; `notes` say what a user should know of them.
    """

    name: str
    parts: tuple[Part, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Yield the rows in chunks of at most `size`: the same ones whenever it is asked.

        Raises:
            UserError: as reading the table whole would.
        """
        for part in self.parts:
            yield from part(size)


def open_stream(path: Path) -> RowStream:
    """Return the rows of a table file, of all tables of a folder, or of a saved data set.

    Raises:
        UserError: for what is none of them, and for the header of a text table.
    """
    if not os.path.isdir(path):
        return _of_files(str(path), [path])
    if is_saved(path):
        parts = [
            partial(_of_dataset, table, saved_row(path, split))
            for split, table in open_saved(path).items()
        ]
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return RowStream(str(path), tuple(parts), tuple(files))
    found, others = split_files(path)
    files = [file for members in found.values() for file in members]
    stream = _of_files(str(path), files)
    notes = [f"{path}: {counted(len(files), 'file')}: {', '.join(file.name for file in files[:5])}"]
    notes += [f"{path}: {file.name} is not read" for file in others]
    return RowStream(stream.name, stream.parts, stream.files, (*notes, *stream.notes))


def stream_of(records: Iterable[Record], name: str, files: Iterable[Path] = ()) -> RowStream:
    """Return rows that are in memory as a stream."""
    held = list(records)
    return RowStream(name, (lambda size: _filled(held, size),), tuple(files))


def _of_files(name: str, files: list[Path]) -> RowStream:
    parts: list[Part] = []
    notes: list[str] = []
    for file in files:
        ending = check_table_file(file).removesuffix(".gz")
        if ending in (".csv", ".tsv"):
            table = open_delimited(file)
            notes += table.notes(rows_left_out=0)
            parts.append(partial(_of_delimited, table))
        elif ending == ".parquet":
            parts.append(partial(_of_parquet, file))
        elif ending == ".arrow":
            parts.append(partial(_of_dataset, open_arrow(file), f"{file}: row"))
        elif ending == ".json" and _is_array(file):
            parts.append(partial(_of_array, file))
        else:
            parts.append(partial(_of_lines, file))
    return RowStream(name, tuple(parts), tuple(files), tuple(notes))


def _is_array(file: Path) -> bool:
    with opened(file) as opened_file:
        return opened_file.read(JSON_HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["


def _of_delimited(table: Delimited, size: int) -> Iterator[Chunk]:
    return _filled(table.records(), size)


def _of_array(file: Path, size: int) -> Iterator[Chunk]:
    return _filled(read_json_table(file), size)


def _of_lines(file: Path, size: int) -> Iterator[Chunk]:
    return _filled(jsonl_records(file), size)


def _filled(records: Iterable[Record], size: int) -> Iterator[Chunk]:
    rest = iter(records)
    while rows := list(islice(rest, size)):
        kept = [row for row in rows if has_value(row)]
        yield Chunk(kept, None, len(rows) - len(kept))


def _of_parquet(file: Path, size: int) -> Iterator[Chunk]:
    return _of_tables(parquet_batches(file, size), f"{file}: row", None)


def _of_dataset(dataset: Dataset, where: str, size: int) -> Iterator[Chunk]:
    tables = dataset.with_format("arrow").iter(batch_size=size)
    return _of_tables(tables, where, dataset.features)


def _of_tables(tables: Iterable[Any], where: str, features: Any) -> Iterator[Chunk]:
    start = 1
    for table in tables:
        records = list(records_of(table, where, start=start, features=features))
        start += len(records)
        kept = [place for place, record in enumerate(records) if has_value(record)]
        if len(kept) < len(records):
            table = table.take(kept)
        yield Chunk([records[place] for place in kept], table, len(records) - len(kept))


def has_value(record: Record) -> bool:
    """Return whether some cell of a row has a value."""
    return not all(map(is_missing, record.values.values()))
