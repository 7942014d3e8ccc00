"""Trivial baselines: majority label, coin, and rationales that nobody had to learn.

The first sentence of the context, and the rationale of a random training row of the same label,
are written as predictions without a label and scored like any arm's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from r2d_ray.data.examples import Example, Splits
from r2d_ray.evaluation.label_metrics import (
    coin_macro_f1,
    label_scores,
    majority_label,
    open_label_scores,
)
from r2d_ray.method.prompts import choice_letter
from r2d_ray.method.schedules import coin
from r2d_ray.records import Prediction


def controls(splits: Splits) -> dict[str, dict[str, Any]]:
    """Return the scores of the majority label and of a coin with the training balance.

    Where rows bring options, both are over the options' letters. Open labels have no coin: nearly
    every label occurs once.
    """
    train, gold = label_classes(splits.train), label_classes(splits.test)
    top = majority_label(train)
    name, guess = f"majority label ({top})", [top] * len(gold)
    kind = splits.label_kind
    if not kind.closed:
        return {name: dict(open_label_scores(gold, guess))}
    most = max(len(row.choices or ()) for _, rows in splits.items() for row in rows)
    classes = kind.classes(splits.labels, most)
    return {
        name: dict(label_scores(gold, guess, classes)),
        "coin, training balance": dict(coin_macro_f1(gold, train, classes)),
    }


def label_classes(rows: Sequence[Example]) -> list[str]:
    """Return what each row's label counts as: itself, or the letter of the row's own option."""
    return [
        row.label if row.choices is None else choice_letter(row.choices.index(row.label))
        for row in rows
    ]


FIRST_SENTENCE = "first context sentence"
SAME_LABEL = "random training rationale, same label"
MARK = r"""[.!?]["')\]]*"""
SENTENCE_END = re.compile(rf"(?<=[^\W\d_]{{4}}){MARK}(?=\s)|{MARK}(?=\s+[^\sa-z0-9])|(?=\n\s*\n)")


def first_sentence(text: str) -> str:
    """Return a text's first sentence, the whole text where none ends before its end.

    A sentence ends at an empty line, and at `.`, `!` or `?` (and closing quotes or brackets)
    before white space if at least four letters stand before it or what follows does not begin
    with a lower-case letter or a digit: notes begin sentences in any case. So "e.g. this" and
    "vs. 5 mg" do not end one; "approx. 5 mg" and "Dr. Who" do.
    """
    text = text.strip()
    end = SENTENCE_END.search(text)
    return text[: end.end()].rstrip() if end else text


def label_key(row: Example) -> str | int:
    """Return what makes two rows' labels the same: the label, or the position of an own option."""
    return row.label if row.choices is None else row.choices.index(row.label)


def same_label_rationales(
    rows: Sequence[Example], train: Sequence[Example], source: str, seed: int
) -> list[str]:
    """Return, by row, the rationale of a random training row of its (gold) label.

    The draw is keyed by seed and row id: neither the order of the rows nor that of the training
    rows matters. A label without a training rationale of this source gives an empty text.
    """
    pools: dict[str | int, list[str]] = {}
    for row in sorted(train, key=lambda row: row.id):
        if row.rationales.get(source, "").strip():
            pools.setdefault(label_key(row), []).append(row.rationales[source])
    found = []
    for row in rows:
        pool = pools.get(label_key(row), [""])
        found.append(pool[int(coin(seed, row.id, 0, SAME_LABEL) * len(pool))])
    return found


def trivial_rationales(splits: Splits, source: str, seed: int) -> dict[str, list[Prediction]]:
    """Return the trivial rationales of the test split beside this source's references, by name.

    A row without a context has no first sentence and is not scored there.
    """
    written: dict[str, Sequence[str | None]] = {
        FIRST_SENTENCE: [first_sentence(row.context) or None for row in splits.test],
        SAME_LABEL: same_label_rationales(splits.test, splits.train, source, seed),
    }
    return {
        name: [
            Prediction(
                id=row.id,
                group=row.group,
                gold_label=row.label,
                rationale=text,
                reference=row.rationales.get(source) or None,
                tags=row.tags,
            )
            for row, text in zip(splits.test, texts, strict=True)
        ]
        for name, texts in written.items()
    }
