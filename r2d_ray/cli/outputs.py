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
    json_events: Annotated[str | None, Flag("output", "FILE")] = None
    """Add a line of JSON to this file for every start, phase, evaluation and end; -: to stdout, and
    everything else goes to stderr; default: no file."""


class CompareOutput(StudyOutput):
    """What a comparison shows."""

    list_methods: Annotated[bool, Flag(COMPARISON, name="list")] = False
    """Print every method with its source and values, and exit."""


class ExportSettings(Asked):
    """The command line of an export."""

    study: Annotated[str, Flag("files", "STUDY", positional=True)]
    """The folder of a study."""
    to: Annotated[str, Flag("files", "DIR|hub:NAME")]
    """A new or empty folder, or a new model of the Hugging Face hub: hub:USER/NAME, with the token
    of HF_TOKEN or `hf auth login`."""
    licence: Annotated[str | None, Flag("files"), Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$")] = None
    """Licence of the weights for the card, in the hub's spelling: apache-2.0, mit, cc-by-4.0,
    other; default: not stated."""
    public: Annotated[bool, Flag("files")] = False
    """Make the model of the hub public; without it only you and your organisation see it."""


class PredictSettings(Asked):
    """The command line of a prediction."""

    model: Annotated[str, Flag("files", "DIR")]
    """The best/ folder of a study."""
    input: Annotated[str, Flag("files", "FILE")]
    """Rows to label: CSV, TSV, JSONL or Parquet, or what else training reads."""
    output: Annotated[str, Flag("files", "FILE")]
    """The same rows with labels and rationales: .csv, .tsv, .jsonl, .parquet, or .csv.gz."""
    columns: Annotated[str | None, Flag("files", "TARGET=COLUMN,...")] = None
    """Which column holds what, by default as in training: question=q,context=note."""
    abstain_below: Annotated[float | None, Flag("answers", "P"), Field(ge=0, le=1)] = None
    """Leave the label empty where its probability is below this, from 0 to 1; default: nowhere."""
    probabilities: Annotated[bool, Flag("answers")] = False
    """Add a column with the probability of each label."""
    long_inputs: Annotated[Literal["cut", "refuse"], Flag("answers")] = "cut"
    """What to do with a question that is too long for the model."""
    batch_size: Annotated[int, Flag("device"), Field(ge=1)] = 64
    """Rows per forward pass."""
    device: Annotated[Literal["auto", "cpu", "cuda"], Flag("device")] = "auto"
    """Where the model runs; auto: on a GPU if there is one."""
