"""Which reader a table file needs, told by how its name ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from r2d_ray.data.files import Table
from r2d_ray.data.reading.arrow_tables import read_arrow, read_parquet
from r2d_ray.data.reading.delimited import read_delimited
from r2d_ray.data.reading.json_tables import read_json_lines, read_json_table
from r2d_ray.errors import UserError

TEXT_READERS: Mapping[str, Callable[[Path], Table]] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json_table,
    ".csv": read_delimited,
    ".tsv": read_delimited,
}
"""Readers of text tables, which may be compressed too."""

TABLE_READERS: Mapping[str, Callable[[Path], Table]] = {
    **TEXT_READERS,
    **{f"{ending}.gz": reader for ending, reader in TEXT_READERS.items()},
    ".parquet": read_parquet,
    ".arrow": read_arrow,
}
"""Readers by the end of a file's name."""


def ending_of(path: Path) -> str | None:
    """Return the end of a table file's name (`.csv`, `.csv.gz`); None for any other file."""
    name = path.name.lower()
    ending = "".join(Path(name).suffixes[-2:]) if name.endswith(".gz") else Path(name).suffix
    return ending if ending in TABLE_READERS else None


def read_records(path: Path) -> Table:
    """Return the rows of a table file.

    Raises:
        UserError: for a missing file, another ending, or as the format's reader.
    """
    return TABLE_READERS[check_table_file(path)](path)


def check_table_file(path: Path) -> str:
    """Return the ending of a table file; raise UserError for a missing file or another ending."""
    if not os.path.lexists(path):
        raise UserError(f"{path}: no such file")
    ending = ending_of(path)
    if ending is None or not os.path.isfile(path):
        kinds = ", ".join(name for name in TABLE_READERS if not name.endswith(".gz"))
        raise UserError(
            f"{path}: not a table file (allowed: a file that ends in {kinds}; text also .gz)"
        )
    return ending
