"""What a prediction is asked, and whether its model and its output can give it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from r2d_ray.errors import UserError
from r2d_ray.method.label_kinds import CHOICES, FIXED, OPEN
from r2d_ray.prediction.answers import Column, answer_columns
from r2d_ray.prediction.columns import OPTIONS
from r2d_ray.prediction.part import part_folder
from r2d_ray.study.model_file import ModelFile

CHUNK_BATCHES = 8
"""Batches of a chunk: rows that are sorted by length together, and lost together by a kill."""

MOST_CHUNK_ROWS = 65536
"""Rows that memory holds at once, whatever the batch."""

NOT_PLAIN = "it is no plain file, and an output appears when it is whole"


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """What a prediction is asked, whatever its rows come from.

    `columns` maps targets to columns where they differ from training's.
    """

    model: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    batch_size: int = 64
    device: str = "auto"
    abstain_below: float | None = None
    probabilities: bool = False
    long_inputs: Literal["cut", "refuse"] = "cut"

    def __post_init__(self) -> None:
        """Raise UserError for a number out of bounds."""
        if self.batch_size < 1:
            raise UserError(f"batch_size {self.batch_size} (allowed: at least 1)")
        if self.abstain_below is not None and not 0 <= self.abstain_below <= 1:
            raise UserError(f"abstain_below {self.abstain_below} (allowed: 0 to 1)")

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk."""
        return min(CHUNK_BATCHES * self.batch_size, MOST_CHUNK_ROWS)


def columns_for(
    request: PredictRequest, model: ModelFile, columns: Mapping[str, str], taken: Mapping[str, None]
) -> tuple[Column, ...]:
    """Return the columns of this model's answers beside an input's."""
    return answer_columns(
        closed=bool(model.labels) or OPTIONS in columns,
        rationales=model.config.trains_rationales,
        taken=taken,
        labels=model.labels if request.probabilities else (),
        abstain_below=request.abstain_below,
    )


def check_asked(request: PredictRequest, model: ModelFile) -> None:
    """Raise UserError for what this model's labels cannot give."""
    kind = model.label_kind or (FIXED.word if model.labels else "")
    if request.probabilities and kind in (CHOICES.word, OPEN.word):
        said = "options of their own" if kind == CHOICES.word else "open labels"
        raise UserError(
            f"--probabilities: the rows of this model have {said} (allowed: a model of one label "
            "set for all rows)"
        )
    if request.abstain_below is not None and kind == OPEN.word:
        raise UserError(
            f"--abstain-below {request.abstain_below}: open labels have no probabilities (allowed: "
            "a model of a label set or of options)"
        )


def checked_output(output: Path, source: Path) -> Path:
    """Return where an output will lie: at the end of its links.

    Raises:
        UserError: unless a file can be written there that is no part of the input.
    """
    if os.path.exists(output) and not (os.path.isfile(output) or os.path.isdir(output)):
        # A pipe's link leads to a name that no folder has: looked at before links are followed.
        raise UserError(f"--output {output}: {NOT_PLAIN} (allowed: a file to write)")
    place = Path(os.path.realpath(output))
    if (why := _no_output(place, source)) is None:
        return place
    to = f" (a link to {place})" if output.is_symlink() else ""
    raise UserError(f"--output {output}{to}: {why}")


def _no_output(output: Path, source: Path) -> str | None:
    """Return why an output cannot lie there, and what is allowed; None if it can."""
    said = "it is a folder" if os.path.isdir(output) else None
    if not said and os.path.lexists(output) and not os.path.isfile(output):
        said = NOT_PLAIN
    if not said and not os.path.isdir(output.parent):
        said = "its folder does not exist"
    if not said and _is_input(output, source):
        return "it is the input, or lies in it (allowed: a file elsewhere)"
    try:
        if not said:
            with tempfile.NamedTemporaryFile(dir=output.parent, prefix=f".{output.name}."):
                return None
    except OSError as error:
        said = str(error.strerror)
    return f"{said} (allowed: a file to write)"


def _is_input(output: Path, source: Path) -> bool:
    if os.path.exists(output) and os.path.exists(source) and os.path.samefile(output, source):
        return True
    place, inside = source.resolve(), output.parent.resolve()
    if source.is_dir() and (place == inside or place in inside.parents):
        return True
    if source.is_dir() and output.exists():  # under another name, by a link
        return any(os.path.samefile(output, f) for f in source.rglob("*") if f.is_file())
    part = part_folder(inside / output.name)
    return part == place or part in place.parents
