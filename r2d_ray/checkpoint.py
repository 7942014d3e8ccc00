"""A checkpoint's list of files: without its optimiser transformers would resume and say nothing."""

from __future__ import annotations

import json
from pathlib import Path

from r2d_ray.records import write_json

FILES = "files.json"


def seal(folder: Path) -> None:
    """Write the list of all files of a checkpoint into it, last."""
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    write_json(folder / FILES, found)


def check_whole(folder: Path) -> None:
    """Raise RuntimeError unless every file that the checkpoint was saved with is there."""
    try:
        files = json.loads((folder / FILES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RuntimeError(f"{folder.name} is damaged: {FILES} is missing") from None
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise RuntimeError(f"{folder.name} is damaged: {missing[0]} is missing")
