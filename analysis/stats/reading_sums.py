"""What each row adds to a reader's scores: agreement, kappa, exposure gap and label following."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from r2d_ray.evaluation.label_metrics import candidates
from r2d_ray.records import Prediction

Floats = NDArray[np.float64]
READERS = ("reader", "parser", "own")
Verdicts = Callable[[str], str | None]
"""From `verdict`, `gold_verdict`, `swap` or `swap_verdict` to a row's label, None for none."""


def _agrees(row: Prediction, verdict: Verdicts) -> float:
    return float(row.label is not None and verdict("verdict") == row.label)


def _supports_gold(row: Prediction, verdict: Verdicts) -> float:
    return float(verdict("verdict") == row.gold_label)


def _gap(row: Prediction, verdict: Verdicts) -> float:
    return _agrees(row, verdict) - float(verdict("gold_verdict") == row.gold_label)


def _follows(_: Prediction, verdict: Verdicts) -> float:
    swap = verdict("swap")
    return float(verdict("swap_verdict") == swap) - float(verdict("verdict") == swap)


_MEANS = {
    "consistency": ("verdict", _agrees),
    "sufficiency": ("verdict", _supports_gold),
    "exposure_gap": ("gold_verdict", _gap),
    "exposure_gap_on_wrong": ("gold_verdict", _gap),
    "label_following": ("swap_verdict", _follows),
}
"""Of each score that is a mean over rows: the statistic that its rows have, and a row's value."""

READER_METRICS = tuple(f"{reader}_{what}" for reader in READERS for what in (*_MEANS, "kappa"))


def reading_values(
    predictions: Sequence[Prediction], metric: str, labels: Sequence[str]
) -> tuple[list[Prediction], Floats]:
    """Return the rows that have one of `READER_METRICS`, and what each adds to it.

    Args:
        predictions: The rows of one run.
        metric: What is scored, after its reader and an underscore.
        labels: The classes in the data set's order; none for open labels.

    Returns:
        Rows, and values of shape (rows, 2), a score's value and one (0 and 0 of rows that do not
        count), or those of `kappa`; no row where none counts.
    """
    reader, _, what = metric.partition("_")
    needed, value = _MEANS.get(what, ("verdict", _agrees))
    rows = [row for row in predictions if f"{reader}_{needed}" in row.statistics]
    if what == "kappa":
        return rows, _kappa_values(rows, reader, labels)
    counted = np.array([_counts(row, what) for row in rows], dtype=np.float64)
    found = np.array([value(row, _verdicts(row, reader, labels)) for row in rows])
    if not counted.any():
        return [], np.empty((0, 2))
    return rows, np.stack([found * counted, counted], axis=-1)


def _counts(row: Prediction, what: str) -> bool:
    """Return whether a row counts. Those that do not stay: runs are drawn by the same rows."""
    return row.label != row.gold_label if what.endswith("_on_wrong") else True


def _verdicts(row: Prediction, reader: str, labels: Sequence[str]) -> Verdicts:
    own = candidates(row, labels)

    def verdict(name: str) -> str | None:
        place = int(row.statistics[f"{reader}_{name}"][0])
        return own[place] if place >= 0 else None

    return verdict


def _kappa_values(rows: Sequence[Prediction], reader: str, labels: Sequence[str]) -> Floats:
    """Return each row's agreement, one, and which class its verdict and its prediction are."""
    verdicts = [row.class_of(_verdicts(row, reader, labels)("verdict")) for row in rows]
    said = [row.class_of(row.label) for row in rows]
    classes = np.array(list(dict.fromkeys([*labels, *filter(None, said)])), dtype=object)
    first = np.array(verdicts, dtype=object)[:, None] == classes
    second = np.array(said, dtype=object)[:, None] == classes
    agree = (first & second).any(axis=1, keepdims=True)
    return np.hstack([agree, np.ones((len(rows), 1)), first, second]).astype(np.float64)


def kappa(sums: Floats) -> Floats:
    """Return Cohen's kappa; equals `verdicts.kappa`.

    Args:
        sums: Shape (..., 2 + 2 C): rows that agree, rows, then verdicts and predictions by class.
    """
    agree, total = sums[..., 0] / sums[..., 1], sums[..., 1]
    first, second = np.split(sums[..., 2:], 2, axis=-1)
    chance = (first * second).sum(-1) / total**2
    certain = chance >= 1
    return np.asarray(
        np.where(certain, 0.0, (agree - chance) / np.where(certain, 1.0, 1.0 - chance))
    )
