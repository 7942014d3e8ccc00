"""The page's browser of predictions: which ones it holds, within a number of bytes.

All wrong ones come first, then a sample of the right ones; what is left out is counted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from analysis.studies import Study
from r2d_ray.records import Prediction

RowKey = tuple[str, str, str | None, str | None]
"""Data set, id, gold label and reference: runs on another rationale source have other rows."""

RIGHT_PER_RUN = 100  # right predictions shown of each run, the same rows for all where they can be


@dataclass(frozen=True, slots=True)
class Run:
    """What made the predictions: an arm of a comparison, or a row of a search's result table."""

    study: str
    dataset: str
    name: str
    method: str
    seed: int | None


@dataclass(frozen=True, slots=True)
class Held:
    """How many predictions of a run there are, and how many of them the browser holds."""

    run: Run
    wrong: int
    wrong_held: int
    right: int
    right_held: int


@dataclass(frozen=True, slots=True)
class Browser:
    """What the page embeds: `data` as JSON values, and how much of each run that is."""

    data: dict[str, Any]
    held: tuple[Held, ...]


def browser(studies: Sequence[Study], max_bytes: int, *, with_text: bool) -> Browser:
    """Return the browser's content.

    Args:
        studies: Opened studies; runs without a predictions file are left out here and stand
            in the notes of the report.
        max_bytes: The size that the embedded JSON may have.
        with_text: Whether what the rows ask stands beside their predictions.

    Raises:
        UserError: for a line of a predictions file that is no prediction, with file and line.
    """
    found = [(run, rows) for study in studies for run, rows in _runs(study) if rows]
    texts = {study.info.dataset: study.texts() for study in studies} if with_text else {}
    shelf = _Shelf([run for run, _ in found], texts, max_bytes)
    wrong = [[row for row in rows if row.label != row.gold_label] for _, rows in found]
    right = [[row for row in rows if row.label == row.gold_label] for _, rows in found]
    wrong_held = shelf.add(wrong)
    right_held = shelf.add([_by_hash(rows)[:RIGHT_PER_RUN] for rows in right])
    held = tuple(
        Held(run, len(wrong[place]), wrong_held[place], len(right[place]), right_held[place])
        for place, (run, _) in enumerate(found)
    )
    return Browser(shelf.data(), held)


def _runs(study: Study) -> list[tuple[Run, tuple[Prediction, ...]]]:
    """Return the runs of a study that may be browsed, with their test predictions."""
    place = (study.info.name, study.info.dataset)
    if study.is_comparison:
        runs = [
            Run(*place, record.arm, record.arm.rpartition("-")[0], record.seed)
            for record in study.done()
            if record.arm is not None
        ]
    else:
        rows = study.result.get("test", {})
        runs = [Run(*place, row, row, None) for row in rows]
    return [(run, study.predictions(run.name)) for run in runs]


def _hash(row: Prediction) -> str:
    return hashlib.sha256(row.id.encode("utf-8", "surrogatepass")).hexdigest()


def _by_hash(rows: Iterable[Prediction]) -> list[Prediction]:
    """Return rows in an order that is the same for all runs and follows nothing in the data."""
    return sorted(rows, key=_hash)


def embedded(value: Any) -> str:
    """Return JSON that may stand in a script element: no character in it can end the element."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@dataclass(slots=True)
class _Shelf:
    """Predictions taken until `room` bytes are used: all runs of a row before the next row."""

    runs: Sequence[Run]
    texts: Mapping[str, Mapping[str, str]]
    room: int
    used: int = 0
    rows: dict[RowKey, int] = field(default_factory=dict)
    items: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, by_run: Sequence[Sequence[Prediction]]) -> list[int]:
        """Take these predictions, by run; return how many of each run there was room for."""
        taken = [0] * len(by_run)
        queue = [(_hash(row), place, row) for place, rows in enumerate(by_run) for row in rows]
        queue.sort(key=lambda entry: entry[:2])
        for _, group in groupby(queue, key=lambda entry: entry[0]):
            for _, place, row in group:
                taken[place] += self._take(place, row)
        return taken

    def _take(self, place: int, row: Prediction) -> bool:
        key = (self.runs[place].dataset, row.id, row.gold_label, row.reference)
        number = self.rows.get(key, len(self.rows))
        share = row.probabilities.get(row.label or "")
        item = (
            *(place, number, row.label, None if share is None else round(share, 3)),
            *(row.rationale, row.given_gold),
        )
        size = len(embedded(item)) + 1
        if key not in self.rows:
            size += len(embedded(self._row(key))) + 1
        if self.used + size > self.room:
            return False
        self.rows[key] = number
        self.items.append(item)
        self.used += size
        return True

    def _row(self, key: RowKey) -> dict[str, Any]:
        dataset, name, gold, reference = key
        return {
            "dataset": dataset,
            "id": name,
            "gold": gold,
            "reference": reference,
            "note": self.texts.get(dataset, {}).get(name),
        }

    def data(self) -> dict[str, Any]:
        return {
            "runs": [
                {"study": r.study, "name": r.name, "method": r.method, "seed": r.seed}
                for r in self.runs
            ],
            "rows": [self._row(key) for key in self.rows],
            "items": self.items,
        }
