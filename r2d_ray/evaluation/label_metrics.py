"""Scores of labels: macro-F1 and accuracy over a fixed label set, chance levels, calibration.

Every F1 comes from a confusion matrix, and a matrix is a sum over rows: the score of any subset
or bootstrap draw of rows needs only the sum of their matrices. Labels are compared as they are;
cleaning generated text is the caller's work. Rows that bring their own answer options have no
fixed set of texts: score the letters of their options. Open labels have scores of their own.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from r2d_ray.records import Prediction

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def confusion(
    gold: Sequence[str], predicted: Sequence[str | None], labels: Sequence[str]
) -> Counts:
    """Return how often each gold label met each output.

    Args:
        gold: The right label of each row, one of `labels`.
        predicted: The output of each row; a text outside `labels`, or None, is out of set.
        labels: The fixed label set, L names.

    Returns:
        Counts of shape (L, L + 1): rows gold, columns predicted, the last column out of set.
    """
    index = {label: i for i, label in enumerate(labels)}
    width = len(labels) + 1
    cells = [
        index[right] * width + (width - 1 if output is None else index.get(output, width - 1))
        for right, output in zip(gold, predicted, strict=True)
    ]
    flat = np.bincount(np.array(cells, dtype=np.int64), minlength=len(labels) * width)
    return flat.reshape(len(labels), width)


def class_scores(matrix: Counts) -> tuple[Floats, Floats, Floats]:
    """Return precision, recall and F1 of each class, each 0 to 1.

    A rate whose denominator is 0 is 0 (scikit-learn's `zero_division=0`). So a label that no gold
    row has and that is never predicted has F1 = 0 and still counts in the mean: leaving it out
    would make scores of different subsets or draws means over different classes, and one false
    alarm would bring it back and cost a whole class. A subset without some class therefore
    cannot reach 1.

    Args:
        matrix: Counts of shape (..., L, L + 1), see `confusion`; leading axes are kept.

    Returns:
        Three arrays of shape (..., L).
    """
    hits = np.diagonal(matrix[..., :-1], axis1=-2, axis2=-1)
    predicted = matrix[..., :-1].sum(axis=-2)
    support = matrix.sum(axis=-1)
    return _ratio(hits, predicted), _ratio(hits, support), _ratio(2 * hits, predicted + support)


def macro_f1(matrix: Counts) -> Floats:
    """Return the mean of the classes' F1, 0 to 1, of shape (...) for counts (..., L, L + 1).

    Source: the mean of per-class F1, not F1 of mean precision and recall (arXiv 1911.03347).
    """
    return np.asarray(class_scores(matrix)[2].mean(axis=-1))


def accuracy(matrix: Counts) -> Floats:
    """Return the share of right rows, 0 to 1, of shape (...) for counts (..., L, L + 1)."""
    hits = np.diagonal(matrix[..., :-1], axis1=-2, axis2=-1).sum(axis=-1)
    return _ratio(hits, matrix.sum(axis=(-2, -1)))


def label_scores(
    gold: Sequence[str], predicted: Sequence[str | None], labels: Sequence[str]
) -> dict[str, float]:
    """Return every score of the predicted labels under flat names.

    An out-of-set output is wrong: a miss of its gold class, never a class of its own.

    Returns:
        `macro_f1`, `accuracy`, `out_of_set_rate` (0 to 1), and for each label `precision[x]`,
        `recall[x]`, `f1[x]` (0 to 1; 0 where undefined, see `class_scores`) and `support[x]`
        (gold rows).

    Raises:
        ValueError: if there is no row.
    """
    return scores_from_confusion(confusion(gold, predicted, labels), labels)


FEW_ROWS = 30
"""Below so many rows the 95 % interval of an accuracy of 0.8 is more than 0.28 wide."""


def same_text(text: str) -> str:
    """Return what an open label is compared by: the text without case and extra spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def open_label_scores(gold: Sequence[str], predicted: Sequence[str | None]) -> dict[str, float]:
    """Return `macro_f1` and `accuracy` (0 to 1) of labels that may be any text.

    A label is right where it equals gold but for case and spaces. Macro-F1 is over the gold labels
    of these rows: there is no set that an output could be outside of.

    Raises:
        ValueError: if there is no row.
    """
    if not gold:
        raise ValueError("no row to score")
    pairs = [
        (same_text(a), None if b is None else same_text(b))
        for a, b in zip(gold, predicted, strict=True)
    ]
    support = Counter(right for right, _ in pairs)
    written = Counter(text for _, text in pairs)
    hits = Counter(right for right, text in pairs if text == right)
    f1 = [2 * hits[x] / (support[x] + written[x]) for x in support]
    return {"macro_f1": sum(f1) / len(f1), "accuracy": hits.total() / len(pairs)}


def scores_from_confusion(matrix: Counts, labels: Sequence[str]) -> dict[str, float]:
    """Return the scores of `label_scores` from counts of shape (L, L + 1).

    Raises:
        ValueError: if the counts are all 0.
    """
    rows = int(matrix.sum())
    if rows == 0:
        raise ValueError("no row to score")
    scores = {
        "macro_f1": float(macro_f1(matrix)),
        "accuracy": float(accuracy(matrix)),
        "out_of_set_rate": float(matrix[:, -1].sum()) / rows,
    }
    for name, values in zip(("precision", "recall", "f1"), class_scores(matrix), strict=True):
        scores |= {f"{name}[{x}]": float(value) for x, value in zip(labels, values, strict=True)}
    support = matrix.sum(axis=-1)
    return scores | {f"support[{x}]": float(n) for x, n in zip(labels, support, strict=True)}


def majority_label(train_labels: Sequence[str]) -> str:
    """Return the most frequent training label, the first in alphabetical order on ties."""
    counts = Counter(train_labels)
    return min(counts, key=lambda label: (-counts[label], label))


def coin_macro_f1(
    folds: Sequence[tuple[Sequence[str], Sequence[str]]],
    labels: Sequence[str],
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """Return what guessing by the training balance scores: mean `macro_f1` and `accuracy`.

    Args:
        folds: For each fold (one where there are none) the right label of each row to score, and
            the training labels whose shares the guesses of these rows follow.
        labels: The fixed label set.
        draws: Independent guesses of the rows of all folds, each scored as a whole, averaged.
        seed: Seed of the guesses.
    """
    drawn = np.random.default_rng(seed)
    guesses = np.zeros((draws, len(labels), len(labels)), dtype=np.int64)
    for gold, train in folds:
        counts = Counter(train)
        share = np.array([counts[label] for label in labels]) / len(train)
        support = confusion(gold, gold, labels).sum(axis=-1)
        # The guesses of one gold class are multinomial counts: the law of drawing row by row.
        guesses += drawn.multinomial(support, share, size=(draws, len(labels)))
    matrices = np.pad(guesses, ((0, 0), (0, 0), (0, 1)))
    return {
        "macro_f1": float(macro_f1(matrices).mean()),
        "accuracy": float(accuracy(matrices).mean()),
    }


def calibration_scores(
    gold: Sequence[str],
    probabilities: Sequence[Mapping[str, float]],
    labels: Sequence[str],
    bins: int = 10,
) -> dict[str, float]:
    """Return how far the label probabilities can be believed; lower is better.

    Args:
        gold: The right label of each row, at least one row.
        probabilities: For each row the probability (0 to 1) of every label; they sum to 1.
        labels: The fixed label set; of equal probabilities the first label is the prediction.
        bins: Equal-width bins (low, high] of the top probability, for the ECE.

    Returns:
        `ece`, 0 to 1: mean |accuracy - confidence| over bins weighted by rows (arXiv 1706.04599).
        `brier`, 0 to 2: squared error summed over labels, mean over rows (Brier 1950).
        `nll`, nats: mean -log probability of the gold label, which is clipped to at least
        2.2e-16 so that one certain mistake stays finite (scikit-learn's `log_loss`).
    """
    table = np.array([[row[label] for label in labels] for row in probabilities])
    index = {label: i for i, label in enumerate(labels)}
    right = np.array([index[label] for label in gold])
    rows = np.arange(len(right))
    errors = table.copy()
    errors[rows, right] -= 1.0
    chosen = np.clip(table[rows, right], np.finfo(np.float64).eps, 1.0)
    confidence = table.max(axis=1)
    inner_edges = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    gaps = np.bincount(
        np.digitize(confidence, inner_edges, right=True),
        weights=(table.argmax(axis=1) == right) - confidence,
    )
    return {
        "ece": float(np.abs(gaps).sum() / len(right)),
        "brier": float((errors**2).sum(axis=1).mean()),
        "nll": float(-np.log(chosen).mean()),
    }


def candidates(row: Prediction, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels that a row may have: its own options, else the fixed set.

    Of open labels, its gold and its predicted one: what must not be read off the rationale.
    """
    known = row.options or tuple(labels)
    return known or tuple(dict.fromkeys(x for x in (row.gold_label, row.label) if x))


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    result: Floats = np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)
    return result
