"""What each row adds to a score, and the score of any sum of rows: the currency of this room.

A score of a corpus (macro-F1, BLEU) is no mean over rows, but it is a function of sums over rows.
So the score of every bootstrap draw is one matrix product away, and no text is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.stats.reading_sums import READER_METRICS, kappa, reading_values
from r2d_ray.evaluation.label_metrics import same_text
from r2d_ray.records import Prediction

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
"""From sums (..., k) to scores (...)."""

NGRAM_ORDER = 4
LABEL_METRICS = ("macro_f1", "accuracy")
PARTS = {"": "", "[gold_label]": "gold_", "[human]": "human_"}
"""What a rationale metric's name ends with, and what its rows' statistics begin with then."""

RATIONALE_METRICS = {
    f"{name}{part}": f"{prefix}{name}"
    for name in ("bleu", "rouge_l", "bertscore")
    for part, prefix in PARTS.items()
}
"""The rows' statistic of each rationale metric."""


GROUNDED_METRICS = {"facts_grounded": "facts", "words_grounded": "words"}
"""The rows' statistic of each metric that is what holds over all that is named."""


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """The sufficient statistics of one run's rows for one metric.

    `values` has shape (rows, k); `groups` and `ids` name each row's group (rows of a group are
    drawn together) and the row itself; `score` gives the metric of sums over rows.

    Raises:
        ValueError: if there is no row, the lengths differ, or an id comes twice.
    """

    metric: str
    values: Floats
    groups: tuple[str, ...]
    ids: tuple[str, ...]
    score: Score

    def __post_init__(self) -> None:
        rows, groups, ids = len(self.values), len(self.groups), len(self.ids)
        if not rows == groups == ids:
            raise ValueError(f"{self.metric}: {rows} rows of values, {groups} groups, {ids} ids")
        if rows == 0:
            raise ValueError(f"no row has {self.metric}")
        if len(set(self.ids)) < ids:
            twice = next(id_ for i, id_ in enumerate(self.ids) if id_ in self.ids[:i])
            raise ValueError(f"{self.metric}: row {twice!r} comes twice")

    @property
    def value(self) -> float:
        """The score of all rows."""
        return float(self.score(self.values.sum(axis=0)))


def row_statistics(
    predictions: Sequence[Prediction], metric: str, labels: Sequence[str]
) -> Statistics:
    """Return the statistics of a run's predictions for one metric; rows without it are left out.

    Args:
        predictions: The rows of one run.
        metric: One of `LABEL_METRICS`, `RATIONALE_METRICS`, `GROUNDED_METRICS` or
            `READER_METRICS`.
        labels: The classes in the data set's order (letters where rows bring options); none for
            open labels, whose classes are the gold labels of these rows.

    Raises:
        ValueError: for an unknown metric, a gold label outside the set, or if no row has it.
    """
    score: Score = mean
    if metric in LABEL_METRICS:
        rows = [row for row in predictions if row.gold_label is not None]
        values = _label_values(rows, metric, labels)
        score = macro_f1 if metric == "macro_f1" else mean
    elif metric in RATIONALE_METRICS:
        key = RATIONALE_METRICS[metric]
        rows = [row for row in predictions if key in row.statistics]
        found = np.array([row.statistics[key] for row in rows], dtype=np.float64)
        if metric.startswith("bleu"):
            values, score = found, bleu
        else:
            values = _with_one(found.reshape(-1))
    elif metric in GROUNDED_METRICS:
        key = GROUNDED_METRICS[metric]
        rows = [row for row in predictions if key in row.statistics]
        values = np.array([row.statistics[key] for row in rows], dtype=np.float64)
    elif metric in READER_METRICS:
        rows, values = reading_values(predictions, metric, labels)
        score = kappa if metric.endswith("_kappa") else mean
    else:
        known = (*LABEL_METRICS, *RATIONALE_METRICS, *GROUNDED_METRICS, *READER_METRICS)
        raise ValueError(f"metric {metric!r} (allowed: {', '.join(known)})")
    groups = tuple(row.group for row in rows)
    return Statistics(metric, values, groups, tuple(row.id for row in rows), score)


def mean(sums: Floats) -> Floats:
    """Return the mean, shape (...), of sums (..., 2) of values and of ones; 0 of no row."""
    total = sums[..., 1]
    return np.divide(sums[..., 0], total, out=np.zeros(total.shape), where=total > 0)


def macro_f1(sums: Floats) -> Floats:
    """Return the mean of the classes' F1, 0 to 1; equals `label_metrics.macro_f1`.

    Args:
        sums: Shape (..., 2 L): the L classes' hits, then how often each class is gold plus how
            often it is predicted. Far fewer columns than a confusion matrix of many classes.
    """
    hits, marks = np.split(sums, 2, axis=-1)
    shares = np.divide(2 * hits, marks, out=np.zeros(hits.shape), where=marks > 0)
    return np.asarray(shares.mean(axis=-1))


def bleu(sums: Floats) -> Floats:
    """Return corpus BLEU, 0 to 100, with exponential smoothing; equals sacreBLEU's.

    Args:
        sums: Shape (..., 10), summed rows of `text_metrics.BleuResult.statistics`.
    """
    candidate, reference = sums[..., 0], sums[..., 1]
    matched, total = np.split(sums[..., 2:], 2, axis=-1)
    none = matched == 0
    # Exponential smoothing: the j-th order without a match counts 2 ** -j matches.
    smoothed = np.where(none, 0.5 ** np.cumsum(none, axis=-1), matched)
    scored = (total > 0).all(axis=-1) & (matched > 0).any(axis=-1)
    logs = np.log(smoothed) - np.log(np.where(total > 0, total, 1.0))
    brevity = np.minimum(0.0, 1.0 - reference / np.where(candidate > 0, candidate, 1.0))
    return np.where(scored, 100.0 * np.exp(brevity + logs.mean(axis=-1)), 0.0)


def _label_values(rows: Sequence[Prediction], metric: str, labels: Sequence[str]) -> Floats:
    """Return right and one, or for macro-F1 each class's hit and marks (see `macro_f1`).

    Outputs outside the set mark no class.
    """
    gold = [row.class_of(row.gold_label) or "" for row in rows]
    output = [row.class_of(row.label) for row in rows]
    if labels:
        if unknown := set(gold) - set(labels):
            raise ValueError(f"gold label {min(unknown)!r} (allowed: {', '.join(labels)})")
    else:
        gold = [same_text(label) for label in gold]
        output = [None if label is None else same_text(label) for label in output]
        labels = sorted(set(gold))
    if metric == "accuracy":
        return _with_one([right == said for right, said in zip(gold, output, strict=True)])
    classes = np.array(labels, dtype=object)
    right = np.array(gold, dtype=object)[:, None] == classes
    said = np.array(output, dtype=object)[:, None] == classes
    return np.hstack([right & said, right.astype(np.float64) + said])


def _with_one(values: Sequence[bool] | Floats) -> Floats:
    column = np.array(values, dtype=np.float64)
    return np.stack([column, np.ones(len(column))], axis=1)
