"""Which checkpoint serves: the newest whose files, of every rank, are as they were saved.

Without a seal transformers would resume from a checkpoint that lost its optimiser and say nothing.
"""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

from r2d_ray.storage import file_digest, write_json

SEAL = "seal-{rank}.json"
FOLDERS = "checkpoint_*"  # Ray's names for the checkpoints of a run
logger = logging.getLogger(__name__)


class CheckpointError(RuntimeError):
    """A run has checkpoints and none of them is whole: another attempt would find the same."""


def seal(folder: Path, step: int, rank: int, ranks: int) -> None:
    """Write size and SHA-256 of all that this rank saved into its folder, last.

    Each rank saves into a folder of its own, and Ray puts them together.
    """
    files = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": file_digest(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    write_json(folder / SEAL.format(rank=rank), {"step": step, "ranks": ranks, "files": files})


def damage(folder: Path) -> str | None:
    """Return what is wrong with a checkpoint in a few words, None if it is whole."""
    name, rank, ranks = SEAL.format(rank=0), 0, 1
    try:
        while rank < ranks:
            name = SEAL.format(rank=rank)
            sealed = _read(folder / name)
            rank, ranks = rank + 1, sealed["ranks"]
            for name, saved in sealed["files"].items():
                size = (folder / name).stat().st_size
                if size != saved["bytes"]:
                    return f"{name} has {size} of {saved['bytes']} bytes"
                if file_digest(folder / name) != saved["sha256"]:
                    return f"{name} does not hold the bytes that were saved"
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name}: {error.strerror}"
    except (ValueError, KeyError, TypeError):
        return f"{name} is truncated"
    return None


def newest_whole(run: Path, handed: Path | None) -> Path | None:
    """Return the checkpoint to go on from, None where training begins; log each damaged one.

    Args:
        run: The folder in which Ray puts a run's checkpoints.
        handed: The newest that Ray knows. A kill may have come before it knew of a later one.

    Raises:
        CheckpointError: if Ray knows of a checkpoint and none is whole; says what each lacks.
    """
    places = {path for path in run.glob(FOLDERS) if path.is_dir()} | ({handed} if handed else set())
    wrong: list[str] = []
    chosen = None
    for place in sorted(places, key=lambda path: (_steps(path), path.name), reverse=True):
        found = damage(place)
        if found is None:
            chosen = place
            break
        wrong.append(f"{place} is damaged: {found}")
    if handed is not None and chosen is None:
        raise CheckpointError(f"no checkpoint is intact: {'; '.join(wrong)}")
    for line in wrong:
        then = f"continues from {chosen.name}" if chosen else "starts over: it was never counted"
        logger.warning("%s; training %s", line, then)
    return chosen


def _read(path: Path) -> Any:
    """Return a seal."""
    return json.loads(path.read_text(encoding="utf-8"))


def _steps(folder: Path) -> float:
    """Return the steps of a checkpoint; one without a seal comes first, to be named as damaged."""
    try:
        return float(_read(folder / SEAL.format(rank=0))["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return math.inf
