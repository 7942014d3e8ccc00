"""What a model put out, as one `Prediction` a row, and the label scores of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datasets import Dataset

from r2d_ray.evaluation.label_metrics import label_scores, open_label_scores
from r2d_ray.method.tokens import LabelTokens
from r2d_ray.records import Prediction


@dataclass(frozen=True, slots=True)
class LabelOutput:
    """A row's label and the probabilities of the labels that it may have, in their order.

    That is the fixed set's order or that of the row's different options; none of open labels.
    """

    label: str
    probabilities: tuple[float, ...]


def predictions(
    rows: Dataset,
    labels: Sequence[LabelOutput],
    label_set: Sequence[str],
    rationales: Sequence[str] | None = None,
    generated: Sequence[str] | None = None,
) -> list[Prediction]:
    """Return one Prediction per row from what the model put out.

    `label_set` is the fixed set, empty where rows bring options or labels are open.
    """
    choices: list[list[str]] = [[]] * len(rows) if label_set else rows["choices"]
    options = [label_set] * len(rows) if label_set else rows["options"]
    columns = zip(
        rows["id"], rows["group"], rows["label"], rows["reference"], rows["tags"], strict=True
    )
    return [
        Prediction(
            id=id_,
            group=group,
            gold_label=gold,
            label=labels[i].label,
            probabilities=probabilities_of(options[i], labels[i]),
            options=tuple(choices[i]),
            rationale=rationales[i] if rationales is not None else None,
            reference=reference or None,
            tags=tuple(tags),
            generated_label=generated[i] if generated is not None else None,
        )
        for i, (id_, group, gold, reference, tags) in enumerate(columns)
    ]


def probabilities_of(options: Sequence[str], output: LabelOutput) -> dict[str, float]:
    """Return the probability of each option, none where labels are open."""
    if not output.probabilities:
        return {}
    return dict(zip(options, output.probabilities, strict=True))


def label_metrics(
    rows: Dataset, labels: Sequence[LabelOutput], tokens: LabelTokens
) -> dict[str, float]:
    """Return the label scores of a split: from labels alone.

    A diverged model's probabilities are not finite, which is for the trainer to say.
    """
    bare = [LabelOutput(output.label, ()) for output in labels]
    return prediction_metrics(predictions(rows, bare, tokens.labels), tokens.classes)


def prediction_metrics(found: Sequence[Prediction], classes: Sequence[str]) -> dict[str, float]:
    """Return the label scores of predictions: macro-F1, accuracy and, of `classes`, those by class.

    Options are scored by their letters. Without `classes` labels are open and compared as texts.
    """
    if not classes:
        gold = [row.gold_label or "" for row in found]
        return open_label_scores(gold, [row.label for row in found])
    gold = [row.class_of(row.gold_label) or "" for row in found]
    return label_scores(gold, [row.class_of(row.label) for row in found], classes)
