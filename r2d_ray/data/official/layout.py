"""Which files have a layout of their own, told by how they begin, and which are tables."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

from r2d_ray.data.reading.formats import ending_of

JSON_ENDINGS = (".json", ".json.gz")

HEAD = 4096
"""Characters of a file in which its layout shows."""

OWN_JSON = {
    "bioasq": re.compile(r'\s*\{.*"questions"\s*:\s*\[\s*[{\]]', re.DOTALL),
    "pubmedqa": re.compile(r'\s*\{\s*"[^"]*"\s*:\s*\{.*"(QUESTION|CONTEXTS)"\s*:', re.DOTALL),
}
"""How the JSON files of these sets begin, as no table does."""

TITLES = {"bioasq": "BioASQ Task B", "pubmedqa": "PubMedQA", "medmcqa": "MedMCQA"}
"""What a line for the user calls an official layout."""

NAMES_SHOWN = 5
"""Files that a note or a refusal names."""


def json_files(folder: Path) -> list[Path]:
    """Return the JSON files of a folder and its folders, sorted; hidden ones are left alone."""
    inner = sorted(f.relative_to(folder) for f in folder.rglob("*.json*") if is_json(f))
    return [folder / f for f in inner if not any(part.startswith(".") for part in f.parts)]


def is_json(file: Path) -> bool:
    """Return whether a file's name ends as JSON's does, compressed or not."""
    return file.name.lower().endswith(JSON_ENDINGS)


def head_of(file: Path) -> str:
    """Return the first characters of a file, or nothing where it cannot be read."""
    try:
        opener = gzip.open if file.suffix.lower() == ".gz" else open
        with opener(file, "rb") as opened:
            data = bytes(opened.read(HEAD))
    except (OSError, EOFError, zlib.error):
        return ""
    return data.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")


def has_key(file: Path, keys: Iterable[str]) -> bool:
    """Return whether one of these JSON keys stands at the beginning of a file."""
    names = "|".join(map(re.escape, keys))
    return re.search(rf'"(?:{names})"\s*:', head_of(file)) is not None


def json_layout(path: Path) -> str | None:
    """Return the set whose official JSON a file, or a file of a folder, is; None of any other."""
    files = json_files(path) if os.path.isdir(path) else [path] if is_json(path) else []
    heads = [head_of(file) for file in files]
    return next((set_ for set_, own in OWN_JSON.items() if any(map(own.match, heads))), None)


def is_table(path: Path, keys: Iterable[str]) -> bool:
    """Return whether a file or folder holds tables and nothing that begins with these keys.

    A JSON file is a table if it is an array or has an object on each line.
    """
    keys = tuple(keys)
    if not os.path.isdir(path):
        return not is_json(path) or _is_json_table(path, keys)
    if any(has_key(file, keys) for file in json_files(path)):
        return False
    tables = (file for file in path.rglob("*") if ending_of(file) and not is_json(file))
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
