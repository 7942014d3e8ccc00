"""What commands show, which no study stores, and what a prediction is asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from r2d_ray.study.asked import COMPARISON, Asked, Flag


class Output(Asked):
    """What a command shows; nothing of it is stored."""

    verbosity: Annotated[Literal["quiet", "normal", "debug"], Flag("output")] = "normal"
    """How much to print; debug adds the traceback of an error."""


class StudyOutput(Output):
    """What the command of a study shows."""

    dry_run: Annotated[bool, Flag("output")] = False
    """Print the plan without starting anything."""
    show_row: Annotated[bool, Flag("output")] = False
    """With --dry-run: print the prompts and targets of a training row as the model will see
    them."""
    as_json: Annotated[bool, Flag("output", name="json")] = False
    """Print the result as JSON on stdout, everything else on stderr."""


class CompareOutput(StudyOutput):
    """What a comparison shows."""

    list_methods: Annotated[bool, Flag(COMPARISON, name="list")] = False
    """Print every method with its source and values, and exit."""


class PredictSettings(Asked):
    """The command line of a prediction."""

    model: Annotated[str, Flag("files", "DIR")]
    """The best/ folder of a study."""
    input: Annotated[str, Flag("files", "FILE")]
    """JSONL, CSV or Parquet file with the questions."""
    output: Annotated[str, Flag("files", "FILE")]
    """JSONL file to write."""
    columns: Annotated[str | None, Flag("files", "TARGET=COLUMN,...")] = None
    """Which column holds what: question=q,context=note,id=key."""
    batch_size: Annotated[int, Flag("device"), Field(ge=1)] = 64
    """Rows per forward pass."""
    device: Annotated[Literal["auto", "cpu", "cuda"], Flag("device")] = "auto"
    """Where the model runs; auto: on a GPU if there is one."""
