"""Where a report or a paper's folder may be written: nothing but one of its own is replaced."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from r2d_ray.errors import UserError

MADE_BY = "r2d_ray analysis"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of folder: its flag, what it is in words, its marker and all that it may hold."""

    flag: str
    words: str
    marker: str
    parts: frozenset[str]


def check_place(kind: Kind, out: Path, studies: Sequence[Path]) -> None:
    """Refuse a place whose content is not of this kind, or that holds a study.

    Raises:
        UserError: with the place and what is there.
    """
    said = f"{kind.flag} {out}"
    for folder in studies:
        if folder.resolve().is_relative_to(out):
            raise UserError(f"{said}: holds the study {folder} (allowed: a folder outside it)")
    if not out.exists():
        return
    allowed = f"(allowed: a new folder, or {kind.words}'s)"
    if not out.is_dir():
        raise UserError(f"{said}: a file {allowed}")
    found = {path.name for path in out.iterdir()}
    if not found:
        return
    if not _is_ours(out / kind.marker):
        raise UserError(f"{said}: not {kind.words} {allowed}")
    if foreign := sorted(found - kind.parts):
        raise UserError(f"{said}: holds {foreign[0]}, which is not part of {kind.words}")


def _is_ours(marker: Path) -> bool:
    try:
        values = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.get("made_by") == MADE_BY
