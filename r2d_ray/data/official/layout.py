"""Which files have a layout of their own, told by how they begin, and which are tables."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

TABLE_SUFFIXES = {".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".arrow", ".gz"}

HEAD = 4096
"""Characters of a file in which its layout shows."""

NAMES_SHOWN = 5
"""Files that a note or a refusal names."""


def json_files(folder: Path) -> list[Path]:
    """Return the JSON files of a folder and its folders, sorted; hidden ones are left alone."""
    inner = sorted(file.relative_to(folder) for file in folder.rglob("*.json"))
    return [folder / f for f in inner if not any(part.startswith(".") for part in f.parts)]


def head_of(file: Path) -> str:
    """Return the first characters of a file, or nothing where it cannot be read."""
    try:
        with file.open("rb") as opened:
            data = opened.read(HEAD)
    except OSError:
        return ""
    return data.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")


def has_key(file: Path, keys: Iterable[str]) -> bool:
    """Return whether one of these JSON keys stands at the beginning of a file."""
    names = "|".join(map(re.escape, keys))
    return re.search(rf'"(?:{names})"\s*:', head_of(file)) is not None


def is_table(path: Path, keys: Iterable[str]) -> bool:
    """Return whether a file or folder holds tables and nothing that begins with these keys.

    A JSON file is a table if it is an array or has an object on each line.
    """
    keys = tuple(keys)
    if not os.path.isdir(path):
        return path.suffix.lower() != ".json" or _is_json_table(path, keys)
    if any(has_key(file, keys) for file in json_files(path)):
        return False
    tables = (file for file in path.rglob("*") if file.suffix.lower() in TABLE_SUFFIXES)
    named = any(not file.name.startswith((".", "llm_rationales")) for file in tables)
    return named or any(_is_json_table(file, keys) for file in json_files(path))


def _is_json_table(file: Path, keys: tuple[str, ...]) -> bool:
    head = head_of(file).lstrip()
    if head.startswith("["):
        return True
    if has_key(file, keys) or "\n" not in head.rstrip():
        return False
    try:
        return isinstance(json.loads(head.split("\n", 1)[0]), dict)
    except ValueError:
        return False


def listed(names: Iterable[str]) -> str:
    """Return names as one text, the first few of many."""
    every = list(names)
    more = [f"{len(every) - NAMES_SHOWN} more"] if len(every) > NAMES_SHOWN else []
    return ", ".join([*every[:NAMES_SHOWN], *more])
