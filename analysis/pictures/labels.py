"""Pictures of labels on test: confusion matrices and reliability diagrams, pooled over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.groups import Group, Score, labels_of, over_seeds
from analysis.pictures.heat import Heat, draw_heats
from analysis.pictures.lines import draw_panels
from analysis.pictures.looks import looks_of
from analysis.pictures.panels import Line, Panel
from analysis.pictures.style import Picture, listed, number, percent
from r2d_ray.evaluation.label_metrics import Counts, confusion
from r2d_ray.records import Prediction
from r2d_ray.storage import counted

BINS = 10
ROOM = 0.02  # of the axes of calibration, beyond the outermost mark
ECE = Score("ece", "ECE")  # of each run, as in the tables: pooled rows would look better
OUT_OF_SET = "none of them"


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """A group's test rows with a gold label, of all finished seeds, and the label set."""

    group: Group
    seeds: int
    rows: tuple[Prediction, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows whose top probability lies in one tenth: their number, mean confidence, accuracy."""

    rows: int
    confidence: float
    accuracy: float


def label_pictures(groups: Sequence[Group]) -> list[Picture | str]:
    """Return the pictures of a comparison's labels, or why one is left out."""
    found = [outputs for group in groups if (outputs := _outputs(group)) is not None]
    if not found:
        lost = [
            group.run(seed)
            for group in groups
            for seed in group.done
            if group.study.stored(group.run(seed)) is None
        ]
        why = "no finished run has predictions of a fixed label set on test"
        why = f"predictions on test are missing: {', '.join(lost)}" if lost else why
        return [f"confusion matrices: {why}", f"calibration: {why}"]
    return [_confusions(found), _calibration(found)]


def _outputs(group: Group) -> Outputs | None:
    labels: tuple[str, ...] = ()
    rows: list[Prediction] = []
    seeds = 0
    for seed, record in group.done.items():
        found = [r for r in group.study.predictions(group.run(seed)) if r.gold_label]
        labels = labels or tuple(labels_of(record))
        rows += found
        seeds += bool(found)
    return Outputs(group, seeds, tuple(rows), labels) if rows and labels else None


def _matrix(outputs: Outputs) -> Counts:
    gold = [row.gold_label or "" for row in outputs.rows]
    return confusion(gold, [row.label for row in outputs.rows], outputs.labels)


def _confusions(found: Sequence[Outputs]) -> Picture:
    matrices = [_matrix(outputs) for outputs in found]
    out_of_set = any(matrix[:, -1].any() for matrix in matrices)
    labels = found[0].labels
    width = len(labels) + out_of_set
    names = (*labels, OUT_OF_SET)[:width]
    heats, words = [], []
    for outputs, matrix in zip(found, matrices, strict=True):
        shares = matrix[:, :width] / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        texts = tuple(tuple(f"{100 * share:.0f}" for share in row) for row in shares.tolist())
        values = tuple(tuple(row) for row in shares.tolist())
        name = outputs.group.name
        heats.append(Heat(name, labels, names, values, texts))
        right = [f"{x} {percent(shares[i, i])}" for i, x in enumerate(labels)]
        words.append(f"{name} ({counted(outputs.seeds, 'seed')}) gets right: {', '.join(right)}")
        words[-1] += _worst(matrix, labels)
    description = (
        "Of the test rows with each gold label (a row), how many in 100 got each predicted label "
        f"(a column), pooled over seeds. {'. '.join(words)}."
    )
    columns = 1 if len(heats) == 1 else 2 if len(labels) > 3 else 3
    drawn = draw_heats(heats, "predicted label, of 100 rows", "gold label", (0.0, 1.0), columns)
    return Picture("confusion", "Confusion matrices", description, *drawn)


def _worst(matrix: Counts, labels: Sequence[str]) -> str:
    wrong = matrix[:, :-1].copy()
    np.fill_diagonal(wrong, 0)
    if not wrong.any():
        return "; no label is mistaken for another"
    gold, said = divmod(int(wrong.argmax()), len(labels))
    rows = counted(int(wrong.max()), "row")
    return f"; most often {labels[gold]} is mistaken for {labels[said]} ({rows})"


def reliability(outputs: Outputs) -> list[Bin]:
    """Return the bins that hold rows, of rows with probabilities; as `calibration_scores` bins.

    Bins are (low, high] of the top probability; of equal ones the first label counts.
    """
    rows = [row for row in outputs.rows if row.probabilities]
    if not rows:
        return []
    table = np.array([[row.probabilities[label] for label in outputs.labels] for row in rows])
    gold = np.array([outputs.labels.index(row.gold_label or "") for row in rows])
    confidence = table.max(axis=1)
    right = table.argmax(axis=1) == gold
    place = np.digitize(confidence, np.linspace(0.0, 1.0, BINS + 1)[1:-1], right=True)
    return [
        Bin(int(mask.sum()), float(confidence[mask].mean()), float(right[mask].mean()))
        for mask in (place == i for i in range(BINS))
        if mask.any()
    ]


def _calibration(found: Sequence[Outputs]) -> Picture | str:
    looks = looks_of([outputs.group for outputs in found])
    lines, words, without = [], [], []
    for outputs in found:
        name = outputs.group.name
        if not (bins := reliability(outputs)):
            without.append(name)
            continue
        most = max(b.rows for b in bins)
        lines.append(
            Line(
                name,
                [b.confidence for b in bins],
                [b.accuracy for b in bins],
                looks[name],
                mode="lines+markers",
                sizes=[2 + 8 * (b.rows / most) ** 0.5 for b in bins],
                notes=[counted(b.rows, "row") for b in bins],
            )
        )
        told = [f"{number(b.confidence, 2)}: {number(b.accuracy, 2)} of {b.rows}" for b in bins]
        error = over_seeds(outputs.group, ECE)
        mean = f" (ECE {number(100 * error.mean, 2)} %)" if error and error.mean else ""
        words.append(f"{name}{mean} {listed(told)}")
    if not lines:
        return "calibration: no predictions have label probabilities"
    ends = _ends([value for line in lines for value in (*line.x, *line.y) if value is not None])
    axes = ("confidence", "share right")
    panels = [Panel(line.label, *axes, (line,), ends, ends, equal=True) for line in lines]
    whole = Panel("", *axes, tuple(lines), ends, ends, equal=True)
    description = (
        "How often a label of a given confidence is right, in tenths of the confidence, pooled "
        "over seeds (ECE, the expected calibration error, is their mean, as in the table); both "
        f"axes go from {number(ends[0], 1)} to {number(ends[1], 1)}; on the dotted line both "
        "agree, below it the model is too sure; larger marks hold more rows. Mean confidence: "
        f"share right of rows, for {'. For '.join(words)}."
    )
    if without:
        description += f" Without probabilities: {', '.join(without)}."
    printed, page = draw_panels(panels, columns=min(3, len(panels)), page=[whole])
    return Picture("calibration", "Calibration", description, printed, page)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Return the tenths around all values with a little room, within 0 to 1."""
    low = math.floor(BINS * (min(values) - ROOM)) / BINS
    high = math.ceil(BINS * (max(values) + ROOM)) / BINS
    return max(0.0, low), min(1.0, high)
