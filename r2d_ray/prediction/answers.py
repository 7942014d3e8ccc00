"""What a model says of a row, and the columns that it becomes in a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

DIGITS = 6
"""Decimals of a probability that is written; what is compared with a threshold has as many."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A row's label, what is known of how sure it is, and its rationale.

    `probabilities` are those of the labels that the row may have, calibrated if the model is; none
    of open labels. `cut_tokens` counts the tokens of the input that were cut.
    """

    label: str
    probabilities: dict[str, float]
    rationale: str | None
    cut_tokens: int

    @property
    def probability(self) -> float | None:
        """The label's probability; 0 of a label that none of the row's is, None of open labels."""
        if not self.probabilities:
            return None
        return round(self.probabilities.get(self.label, 0.0), DIGITS)

    @property
    def margin(self) -> float | None:
        """The label's probability less that of the most probable other label."""
        if self.probability is None:
            return None
        others = (p for label, p in self.probabilities.items() if label != self.label)
        return round(self.probabilities.get(self.label, 0.0) - max(others, default=0.0), DIGITS)

    def abstains(self, below: float | None) -> bool:
        """Return whether no label is as probable as asked for.

        Where costs decide, the label given may be less probable than another on purpose.
        """
        if below is None:
            return False
        named = self.label in self.probabilities
        return not named or round(max(self.probabilities.values()), DIGITS) < below

    @property
    def by_costs(self) -> bool:
        """Whether another label is more probable: costs decided."""
        return self.margin is not None and self.margin < 0 < (self.probability or 0.0)

    def with_rationale(self, text: str) -> Answer:
        """Return the answer with this rationale."""
        return replace(self, rationale=text)

    def values(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the output: its name, its type as Arrow calls it, its value of an answer."""

    name: str
    kind: str
    value: Callable[[Answer], Any]


def answer_columns(
    *,
    closed: bool,
    rationales: bool,
    taken: Collection[str],
    labels: Sequence[str] = (),
    abstain_below: float | None = None,
) -> tuple[Column, ...]:
    """Return the columns that answers become, after those of the input.

    Args:
        closed: Whether labels have probabilities.
        rationales: Whether the model writes rationales.
        taken: The input's columns; where one of ours is among them, all of ours get a number.
        labels: Those whose probability has a column of its own.
        abstain_below: Probability below which the label is left empty.
    """

    def label(answer: Answer) -> str | None:
        return None if answer.abstains(abstain_below) else answer.label

    columns = [Column("predicted_label", "string", label)]
    if closed:
        columns += [
            Column("probability", "float64", lambda answer: answer.probability),
            Column("margin", "float64", lambda answer: answer.margin),
        ]
    columns += [
        Column(f"probability_{name}", "float64", partial(probability_of, name)) for name in labels
    ]
    if rationales:
        columns.append(Column("predicted_rationale", "string", lambda answer: answer.rationale))
    columns.append(Column("cut_tokens", "int64", lambda answer: answer.cut_tokens))
    if abstain_below is not None:
        columns.append(Column("abstained", "bool", lambda a: a.abstains(abstain_below)))
    number, own = 1, columns
    while any(column.name in taken for column in own):
        number += 1
        own = [replace(column, name=f"{column.name}_{number}") for column in columns]
    return tuple(own)


def probability_of(label: str, answer: Answer) -> float:
    """Return the probability of a label; 0 where the row does not have it."""
    return round(answer.probabilities.get(label, 0.0), DIGITS)
