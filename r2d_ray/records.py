"""What runs write and analysis reads: TrialRecord, Prediction, StudyInfo, as JSON.

The only border between training and analysis: no log parsing, no pickles, no meaning in path names.
`SCHEMA_VERSION` grows when a reader must change.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from r2d_ray.config import not_pretrained
from r2d_ray.errors import from_validation
from r2d_ray.method.prompts import choice_letter
from r2d_ray.storage import cut_torn_line, write_atomically

SCHEMA_VERSION = 1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class Evaluation(_Record):
    """One evaluation while training: `step` (optimiser steps done) and its scores."""

    step: int
    scores: dict[str, FiniteFloat]


class SeedRun(_Record):
    """One of a trial's runs, which differ in their seed alone."""

    seed: int
    curve: tuple[Evaluation, ...]
    selected_step: int
    steps_done: int
    metrics: dict[str, FiniteFloat]
    test_metrics: dict[str, FiniteFloat | None] = Field(default_factory=dict)
    stage1: dict[str, Any] = Field(default_factory=dict)


class TrialRecord(_Record):
    """One trial of a study, finished, pruned or failed.

    `curve` holds every evaluation; `series` the logged training series (rule 6: losses, alpha,
    gold probability, sampled and changed share, train label error, padding share) as columns
    beside `step`; `metrics` the scores of the selected step; `test_metrics` the scores on test,
    for trials that were evaluated there; `arm` is the run's name in a comparison, `fold` its fold
    from 1; `judge` is room for a judge's scores. With several `seeds` scores are means over them,
    `counts` sums, the rest is the first seed's.
    Scores are finite. A logged value may be no number (a gradient norm of an overflow): null.
    """

    schema_version: int = SCHEMA_VERSION
    study: str
    trial: int
    arm: str | None = None
    fold: int | None = Field(default=None, exclude_if=lambda number: number is None)
    method: str
    dataset: str
    config: dict[str, Any]
    seed: int
    status: Literal["done", "pruned", "failed"]
    reason: str | None = None
    curve: tuple[Evaluation, ...] = ()
    series: dict[str, list[float | None]] = Field(default_factory=dict)
    rung: dict[str, FiniteFloat] = Field(default_factory=dict)
    selected_step: int | None = None
    steps_done: int = 0
    metrics: dict[str, FiniteFloat] = Field(default_factory=dict)
    test_metrics: dict[str, FiniteFloat | None] = Field(default_factory=dict)
    counts: dict[str, FiniteFloat] = Field(default_factory=dict)
    stage1: dict[str, Any] = Field(default_factory=dict)
    wall_s: float = 0.0
    step_s: float | None = None
    device: str = "cpu"
    versions: dict[str, str] = Field(default_factory=dict)
    judge: dict[str, float] = Field(default_factory=dict)
    seeds: tuple[SeedRun, ...] = Field(default=(), exclude_if=lambda runs: not runs)


class Prediction(_Record):
    """One row's output: labels, probabilities over the label set, rationale, statistics.

    `options` are the answer options of a row that brings its own, in its order, repeated texts
    too; `probabilities` are then over the different ones. They are empty where labels are open.
    `rationale` is written given the predicted label, `given_gold` given the gold one; `swapped`
    holds rationales that were written for another label than the prediction.
    """

    id: str
    group: str
    gold_label: str | None = None
    label: str | None = None
    probabilities: dict[str, FiniteFloat] = Field(default_factory=dict)
    options: tuple[str, ...] = ()
    rationale: str | None = None
    given_gold: str | None = None
    reference: str | None = None
    tags: tuple[str, ...] = ()
    generated_label: str | None = None
    swapped: dict[str, str] = Field(default_factory=dict)
    statistics: dict[str, list[FiniteFloat]] = Field(default_factory=dict)

    def class_of(self, label: str | None) -> str | None:
        """Return what a label counts as in scores: itself, or the letter of the row's option.

        None for a text that is none of the row's options; of repeated options it is the first.
        """
        if not self.options:
            return label
        return choice_letter(self.options.index(label)) if label in self.options else None

    def class_probabilities(self, classes: Sequence[str]) -> dict[str, float]:
        """Return the probability of every class (`class_of`), 0 of those that the row lacks."""
        found = {self.class_of(label): value for label, value in self.probabilities.items()}
        return {name: found.get(name, 0.0) for name in classes}


@dataclass(frozen=True, slots=True)
class Objective:
    """What a study optimises: a score, and whether more or less of it is better.

    It stands beside the records because it ranks them, for training and analysis alike.
    """

    metric: str
    mode: Literal["max", "min"]

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Optuna's word for the mode."""
        return "maximize" if self.mode == "max" else "minimize"

    def better(self, a: float, b: float) -> bool:
        """Return whether score `a` beats score `b`; equal scores do not beat each other."""
        return a > b if self.mode == "max" else a < b

    def so_far(self, scores: Iterable[float]) -> list[float]:
        """Return the best score up to each one."""
        return list(itertools.accumulate(scores, max if self.mode == "max" else min))

    def best_of(self, records: Iterable[TrialRecord]) -> TrialRecord | None:
        """Return the best finished trial by its validation score, the earliest on ties."""
        best: TrialRecord | None = None
        for record in sorted(records, key=lambda r: r.trial):
            if record.status != "done" or self.metric not in record.metrics:
                continue
            if best is None or self.better(record.metrics[self.metric], best.metrics[self.metric]):
                best = record
        return best


class RowText(_Record):
    """What a row asks: once a study, beside the predictions, for whoever reads them."""

    id: str
    question: str
    context: str


class StudyInfo(_Record):
    """study.json: everything that must stay the same when the study is resumed, and its origin."""

    schema_version: int = SCHEMA_VERSION
    name: str
    method: str
    dataset: str
    profile: str
    config: dict[str, Any]
    space: dict[str, Any]
    study: dict[str, Any]
    data_card: dict[str, Any]
    data_hash: str
    provenance: dict[str, Any]
    versions: dict[str, str]
    git_commit: str | None = None

    @property
    def objective(self) -> Objective:
        """What the study optimises."""
        return Objective(self.space["metric"], self.space["mode"])

    @property
    def random_weights(self) -> str | None:
        """What must be said wherever a model that was not pretrained is named; None of others."""
        return not_pretrained(self.config.get("model"), self.data_card.get("rows", {}).get("train"))

    @property
    def on_weights(self) -> list[str]:
        """What must be said of where the weights come from, a line each."""
        at = self.config.get("model_revision")
        return list(filter(None, [self.random_weights, at and f"weights: revision {at}"]))


def file_slug(name: str) -> str:
    """Return a run's name as a part of a file name."""
    return "-".join("".join(c if c.isalnum() or c == "_" else " " for c in name).split())


def prediction_file(folder: Path, name: str, split: str) -> Path:
    """Return where a run's predictions on a split lie."""
    return folder / f"{file_slug(name)}-{split}.jsonl"


def rows_file(folder: Path, split: str) -> Path:
    """Return where the texts of a split's rows lie, in the folder of predictions."""
    return folder / f"rows-{split}.jsonl"


R = TypeVar("R", bound=_Record)


def read_jsonl(path: Path, kind: type[R]) -> Iterator[R]:
    """Yield the records of a JSONL file; a torn last line (no newline) is left out.

    Raises:
        UserError: for a whole line that is no record of this kind, with file and line.
    """
    if not path.exists():
        return
    with path.open("rb") as lines:  # bytes: a torn line may end within a character
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield kind.model_validate_json(line)
            except ValidationError as error:
                raise from_validation(error, f"{path}:{number}") from None


def append_jsonl(path: Path, record: _Record) -> None:
    """Append one record as a line and flush it to disk; a torn last line is cut off first."""
    cut_torn_line(path)
    with path.open("ab") as file:
        file.write(record.model_dump_json().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def write_jsonl(path: Path, records: Iterable[_Record]) -> None:
    """Write a whole JSONL file atomically."""
    write_atomically(path, "".join(record.model_dump_json() + "\n" for record in records))
