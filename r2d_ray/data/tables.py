"""Where tables come from: a file, a folder with a file per split, or a set of the hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2d_ray.data.columns import SPLIT_ALIASES, Parts
from r2d_ray.data.files import TABLE_READERS, Record, read_records
from r2d_ray.errors import UserError, unknown


def read_parts(path: Path) -> Parts:
    """Return the records of a table file, or of a folder's train / validation / test files.

    Raises:
        UserError: for a folder with neither named splits nor exactly one table file.
    """
    if not os.path.isdir(path):
        return {"": read_records(path)}
    files = [f for f in sorted(path.iterdir()) if f.suffix.lower() in TABLE_READERS]
    files = [f for f in files if not f.name.startswith(".")]
    named: dict[str, Path] = {}
    for file in files:
        split = SPLIT_ALIASES.get(file.stem.lower())
        if split in named:
            raise UserError(f"{path}: both {named[split].name} and {file.name} are {split} sets")
        if split:
            named[split] = file
    if named:
        return {split: read_records(file) for split, file in named.items()}
    if len(files) != 1:
        found = ", ".join(file.name for file in files[:5]) or "none"
        raise UserError(
            f"{path}: expected train, validation and test files or exactly one table "
            f"(found: {found})"
        )
    return {"": read_records(files[0])}


def hub_parts(name: str, config: str | None, revision: str) -> Parts:
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
    parts: Parts = {}
    for split, table in loaded.items():
        if split not in SPLIT_ALIASES:
            raise unknown(f"split of hub:{name}", split, SPLIT_ALIASES)
        classes = {
            column: feature
            for column, feature in table.features.items()
            if isinstance(feature, datasets.ClassLabel)
        }
        where = f"hub:{name}@{revision}: {split} row"
        parts[SPLIT_ALIASES[split]] = [
            Record(f"{where} {number}", row | _class_names(row, classes))
            for number, row in enumerate(table.to_list(), start=1)
        ]
    return parts


def _class_names(row: Mapping[str, Any], classes: Mapping[str, Any]) -> dict[str, str | None]:
    # The hub writes -1 for a class that is not public.
    values = {column: row[column] for column in classes}
    return {
        column: classes[column].names[value] if value is not None and value >= 0 else None
        for column, value in values.items()
    }
