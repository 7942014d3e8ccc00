"""Where a run stands, as a small file that the head reads: no message, no cost to a step."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

STAGE1, WAITS, STAGE2 = "stage1", "waiting_for_stage1", "stage2"
"""Phases of a run: it trains stage 1, waits for another's, trains stage 2."""

SAVE = "save"  # in the folder of these files: asks every worker for a checkpoint


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands.

    Attributes:
        phase: One of the three.
        step: Optimiser steps done of this stage.
        steps: Its steps in all.
        run: Which of the trial's seeds, from 0.
        kept: The step of the last checkpoint, None before training began.
        learning_rate: At the last log entry.
        loss: There, too.
        evaluations: Step and score of the last evaluations of stage 1.
        follows: The file (its stem) that tells more, of a stage 1 that several trials share.
    """

    phase: str
    step: int
    steps: int
    run: int = 0
    kept: int | None = None
    learning_rate: float | None = None
    loss: float | None = None
    evaluations: tuple[tuple[int, float], ...] = ()
    follows: str | None = None


def trial_file(folder: Path, number: int) -> Path:
    """Return the file of a trial in the folder of these files."""
    return folder / f"{number:04d}.json"


def stage1_file(folder: Path, key: str) -> Path:
    """Return the file of a shared stage 1."""
    return folder / f"stage1-{key}.json"


def write_standing(path: Path, standing: Standing) -> None:
    """Write it, whole, if that is possible: no training fails because it cannot be told."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with suppress(OSError):
        part.write_text(json.dumps(asdict(standing)), encoding="utf-8")
        part.replace(path)


def read_standing(path: Path) -> Standing | None:
    """Return what a file tells, None where there is none yet or it is not whole."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        told["evaluations"] = tuple(
            (int(step), float(score)) for step, score in told["evaluations"]
        )
        return Standing(**told)
    except (OSError, ValueError, TypeError, KeyError):
        return None
