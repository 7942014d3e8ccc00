"""What one may type after a study has ended, with the study's own paths."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

EXTEND = "--extend"
TRIALS = 4  # that the line for more of them would add
ROWS = "rows.csv"  # stands for a table of the reader's
LABELLED = "labelled.csv"


def shown_path(path: str | Path) -> str:
    """Return a path as one would type it here, quoted where a shell needs it."""
    place = Path(path).absolute()
    here = Path.cwd()
    return shlex.quote(str(place.relative_to(here) if place.is_relative_to(here) else place))


def next_lines(
    folder: str | Path,
    dataset: str,
    typed: Sequence[str] = (),
    predicts: bool = False,
    quiet: bool = False,
) -> list[str]:
    """Return the commands that go on from a study.

    Args:
        folder: The study's.
        dataset: What it was trained on: a file is what `predict` is shown with.
        typed: The command of a search, which can be extended; empty for any other.
        predicts: Whether there is a model in best/.
        quiet: Say nothing.
    """
    if quiet:
        return []
    lines = ["next:"]
    if predicts:
        rows = shown_path(dataset) if Path(dataset).is_file() else ROWS
        lines.append(
            f"  python -m r2d_ray.predict --model {shown_path(Path(folder) / 'best')} "
            f"--input {rows} --output {LABELLED}"
        )
    report = shown_path(Path(folder) / "report")
    lines.append(f"  python -m analysis {shown_path(folder)} --out {report}")
    if typed:
        lines.append(f"  {shlex.join(extending(typed))}")
    return lines


def extending(typed: Sequence[str]) -> list[str]:
    """Return a search's command with a number of trials to add in place of any that it has."""
    words, skip = [], False
    for word in typed:
        if skip or word == EXTEND or word.startswith(f"{EXTEND}="):
            skip = word == EXTEND
            continue
        words.append(word)
    return [*words, EXTEND, str(TRIALS)]
