"""Where tables come from: a file, a folder, a saved data set, or a set of the hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from r2d_ray.data.files import Parts, Table
from r2d_ray.data.reading.arrow_columns import Choose, every_column
from r2d_ray.data.reading.arrow_tables import dataset_rows, is_saved, read_saved
from r2d_ray.data.reading.folders import read_table, shards, split_files, split_named
from r2d_ray.data.reading.formats import read_records
from r2d_ray.errors import UserError
from r2d_ray.storage import counted


def read_parts(path: Path, choose: Choose = every_column) -> Parts:
    """Return the records of a table file, a folder of them, or a saved data set.

    Args:
        path: File or folder.
        choose: Which columns are in use, where a container can be read by column.

    Raises:
        UserError: for a folder that does not tell its splits or its one table (`split_files`).
    """
    if not os.path.isdir(path):
        table = read_records(path, choose)
        if shards(path) > 1:
            note = f"{path.name} alone is read, one of {shards(path)} files (all: name the folder)"
            table.notes = (*table.notes, note)
        return {"": table}
    if is_saved(path):
        return _by_split(read_saved(path, choose), str(path))
    files, others = split_files(path)
    tables = {split: read_table(path, members, choose) for split, members in files.items()}
    if others:
        names = ", ".join(file.name for file in others[:5])
        first = next(iter(tables.values()))
        first.notes = (*first.notes, f"{counted(len(others), 'file')} not read: {names}")
    return dict(tables)


def hub_parts(name: str, config: str | None, revision: str, choose: Choose = every_column) -> Parts:
    """Return the records of a data set of the Hugging Face hub; no code of the set is run.

    Raises:
        UserError: if it cannot be had, in one line with the client's own reason.
    """
    import datasets

    try:
        loaded = datasets.load_dataset(name, config, revision=revision)
    except Exception as error:  # the client's errors (network, cache, parsing) share no base class
        reason = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"hub:{name}@{revision}: cannot be loaded: {type(error).__name__}: {reason}"
        ) from None
    where = f"hub:{name}@{revision}"
    return _by_split(
        {
            split: dataset_rows(table, where, f"{where}: {split} row", choose)
            for split, table in loaded.items()
        },
        f"hub:{name}",
    )


def _by_split(tables: Mapping[str, Table], where: str) -> Parts:
    parts: Parts = {}
    for name, table in tables.items():
        split = split_named(name, where) if name else ""
        if split in parts:
            raise UserError(f"{where}: more than one of its splits is a {split} set")
        parts[split] = table
    return parts
