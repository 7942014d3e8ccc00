"""JSON tables: one object a line, or one array of objects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2d_ray.data.files import Record, Table, filled_rows, parse_json, read_jsonl, read_text
from r2d_ray.errors import UserError


def read_json_lines(path: Path) -> Table:
    """Return the rows of a file with one JSON object a line.

    Raises:
        UserError: as `read_jsonl`.
    """
    records = read_jsonl(path)
    if len(records) == 1 and _holds_rows(records[0].values):
        raise _one_object(path)
    return filled_rows(records, str(path))


def _holds_rows(row: Mapping[str, Any]) -> bool:
    """Return whether an object is a whole table: by column, by row, or as its member `data`."""
    data = row.get("data")
    by_row = isinstance(data, list) and bool(data) and isinstance(data[0], dict | list)
    return by_row or (bool(row) and all(isinstance(cell, dict | list) for cell in row.values()))


def _one_object(path: Path) -> UserError:
    return UserError(
        f"{path}: one JSON object, expected an array of objects or one object per line (pandas "
        "writes one with orient='records'; of {\"data\": [...]} keep the array)"
    )


def read_json_table(path: Path) -> Table:
    """Return the rows of a JSON file: an array of objects, or one object a line.

    Raises:
        UserError: for an entry that is no object, an empty array, or one object over many lines.
    """
    text = read_text(path)
    begin = text.lstrip()
    if not begin.startswith("["):
        first_line = begin.split("\n", 1)[0].strip()
        if first_line == "{":  # an object of its own, indented
            parse_json(text, str(path))
            raise _one_object(path)
        return read_json_lines(path)
    rows = parse_json(text, str(path))
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            kind = type(row).__name__
            raise UserError(f"{path}: row {number}: type {kind}, expected an array of objects")
    if not rows:
        raise UserError(f"{path}: no rows")
    records = (Record(f"{path}: row {number}", row) for number, row in enumerate(rows, start=1))
    return filled_rows(records, str(path))
