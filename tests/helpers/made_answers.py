"""A stand-in for a model that answers at once, and inputs of all kinds, for tests of prediction."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import datasets
import pandas as pd
from conftest import tiny_config

from r2d_ray.data.examples import Example
from r2d_ray.errors import UserError
from r2d_ray.prediction.answers import Answer
from r2d_ray.study.model_file import MODEL_FILE

LABELS = ["emergency", "urgent", "home"]


class HashPredictor:
    """Answers from a hash of the row's text; keeps how many rows it saw at once."""

    seen: list[int] = []  # noqa: RUF012  of the class: the code under test makes the instances
    stop_after: int | None = None

    def __init__(self, *_: object) -> None:
        """Take what a Predictor takes."""

    def answers(
        self,
        rows: Sequence[Example],
        *,
        abstain_below: float | None = None,
        refuse_long: bool = False,
    ) -> list[Answer]:
        """Return the answer to every row, in order."""
        if self.stop_after is not None and len(self.seen) >= self.stop_after:
            raise KeyboardInterrupt
        self.seen.append(len(rows))
        if refuse_long and any("too long" in row.question for row in rows):
            raise UserError("a question is too long")
        return [answer_to(row.question, row.context, abstain_below) for row in rows]


def answer_to(question: str, context: str, abstain_below: float | None = None) -> Answer:
    """Return what the stand-in says of a row."""
    weights = [1 + crc32(f"{label}|{question}|{context}".encode()) % 97 for label in LABELS]
    shares = dict(zip(LABELS, (w / sum(weights) for w in weights), strict=True))
    label = max(shares, key=lambda name: shares[name])
    answer = Answer(label, shares, None, len(context) % 3)
    return answer if answer.abstains(abstain_below) else answer.with_rationale(f"Why: {context}")


def model_folder(folder: Path, **keys: Any) -> Path:
    """Write what prediction reads of a model besides its weights."""
    folder.mkdir()
    values = {
        "labels": LABELS,
        "label_kind": "fixed",
        "columns": {"question": "q", "context": "note", "label": "triage"},
        "context": True,
        "dataset": "notes",
        "config": tiny_config().model_dump(),
        **keys,
    }
    (folder / MODEL_FILE).write_text(json.dumps(values))
    return folder


Rows = list[dict[str, Any]]
SAVERS: Mapping[str, Callable[[Rows, Path], object]] = {
    "in.csv": lambda rows, path: pd.DataFrame(rows).to_csv(path, index=False),
    "in.tsv": lambda rows, path: pd.DataFrame(rows).to_csv(path, index=False, sep="\t"),
    "semicolons.csv": lambda rows, path: pd.DataFrame(rows).to_csv(path, index=False, sep=";"),
    "in.csv.gz": lambda rows, path: pd.DataFrame(rows).to_csv(path, index=False),
    "in.jsonl": lambda rows, path: path.write_text(_lines(rows)),
    "in.jsonl.gz": lambda rows, path: path.write_bytes(gzip.compress(_lines(rows).encode())),
    "in.json": lambda rows, path: path.write_text(json.dumps(rows, indent=1)),
    "in.parquet": lambda rows, path: pd.DataFrame(rows).to_parquet(path, index=False),
    "saved": lambda rows, path: datasets.Dataset.from_list(rows).save_to_disk(str(path)),
    "shards": lambda rows, path: _shards(rows, path),
}
"""Writes rows of texts in a container, by the name of the file or folder."""


def _lines(rows: Rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _shards(rows: Rows, path: Path) -> None:
    path.mkdir()
    half = len(rows) // 2
    for number, part in enumerate((rows[:half], rows[half:])):
        pd.DataFrame(part).to_parquet(path / f"data-{number:05d}-of-00002.parquet", index=False)


READERS: Mapping[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda path: pd.read_csv(path, dtype=str, keep_default_na=False),
    ".tsv": lambda path: pd.read_csv(path, dtype=str, keep_default_na=False, sep="\t"),
    ".csv.gz": lambda path: pd.read_csv(path, dtype=str, keep_default_na=False),
    ".jsonl": lambda path: pd.DataFrame(map(json.loads, path.read_text().splitlines())),
    ".jsonl.gz": lambda path: pd.DataFrame(
        map(json.loads, gzip.decompress(path.read_bytes()).splitlines())
    ),
    ".parquet": pd.read_parquet,
}
"""Reads an output by its ending, as its user would."""
