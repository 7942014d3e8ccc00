"""Which reader a table file needs, told by how its name ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from r2d_ray.data.files import Table
from r2d_ray.data.reading.arrow_columns import Choose, every_column
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

ARROW_READERS: Mapping[str, Callable[[Path, Choose], Table]] = {
    ".parquet": read_parquet,
    ".arrow": read_arrow,
}
"""Readers of tables that lie on the disk column by column."""

ENDINGS = (*TEXT_READERS, *(f"{ending}.gz" for ending in TEXT_READERS), *ARROW_READERS)
"""Ends of the names of table files."""


def ending_of(path: Path) -> str | None:
    """Return the end of a table file's name (`.csv`, `.csv.gz`); None for any other file."""
    name = path.name.lower()
    ending = "".join(Path(name).suffixes[-2:]) if name.endswith(".gz") else Path(name).suffix
    return ending if ending in ENDINGS else None


def read_records(path: Path, choose: Choose = every_column) -> Table:
    """Return the rows of a table file.

    Args:
        path: The file.
        choose: Which columns are in use, where the file need not be read whole.

    Raises:
        UserError: for a missing file, another ending, or as the format's reader.
    """
    ending = check_table_file(path)
    if ending in ARROW_READERS:
        return ARROW_READERS[ending](path, choose)
    return TEXT_READERS[ending.removesuffix(".gz")](path)


def check_table_file(path: Path) -> str:
    """Return the ending of a table file; raise UserError for a missing file or another ending."""
    if not os.path.lexists(path):
        raise UserError(f"{path}: no such file")
    if os.path.islink(path) and not os.path.exists(path):
        raise UserError(f"{path}: a link to {os.readlink(path)}, which is not there")
    ending = ending_of(path)
    if ending is None or not os.path.isfile(path):
        kinds = ", ".join(name for name in ENDINGS if not name.endswith(".gz"))
        raise UserError(
            f"{path}: not a table file (allowed: a file that ends in {kinds}; text also .gz)"
        )
    return ending
