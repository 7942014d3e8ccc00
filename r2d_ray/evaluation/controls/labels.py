"""Label controls: the majority label, a coin, and whether a study beats its bag of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from r2d_ray.data.examples import Example, Splits
from r2d_ray.evaluation.label_metrics import (
    coin_macro_f1,
    label_scores,
    majority_label,
    open_label_scores,
)
from r2d_ray.method.prompts import choice_letter

LABEL_METRICS = {"macro_f1": "macro-F1", "accuracy": "accuracy"}
"""Scores that a control without rationales has, and how people call them."""


def controls(*folds: Splits) -> dict[str, dict[str, Any]]:
    """Return the scores of the majority label and of a coin with the training balance.

    Over the test rows of all folds, each row guessed from its own fold's training rows. Where rows
    bring options, both are over the options' letters. Open labels have no coin: nearly every label
    occurs once.
    """
    parts = [(label_classes(fold.test), label_classes(fold.train)) for fold in folds]
    tops = [majority_label(train) for _, train in parts]
    same = len(set(tops)) == 1
    name = f"majority label ({tops[0]})" if same else "majority label of each fold"
    gold = [label for own, _ in parts for label in own]
    guess = [top for top, (own, _) in zip(tops, parts, strict=True) for _ in own]
    classes = classes_of(*folds)
    if not classes:
        return {name: dict(open_label_scores(gold, guess))}
    return {
        name: dict(label_scores(gold, guess, classes)),
        "coin, training balance": dict(coin_macro_f1(parts, classes)),
    }


def classes_of(*folds: Splits) -> tuple[str, ...]:
    """Return what scores are over: labels, letters of options, nothing where labels are open."""
    rows = (row for fold in folds for _, rows in fold.items() for row in rows)
    most = max(len(row.choices or ()) for row in rows)
    return folds[0].label_kind.classes(folds[0].labels, most)


def label_classes(rows: Sequence[Example]) -> list[str]:
    """Return what each row's label counts as: itself, or the letter of the row's own option."""
    return [
        row.label if row.choices is None else choice_letter(row.choices.index(row.label))
        for row in rows
    ]


def label_metric(metric: str) -> str:
    """Return the study's metric, macro-F1 where a control without rationales has no such score."""
    return metric if metric in LABEL_METRICS else "macro_f1"


def verdict(
    bags: Mapping[str, Mapping[str, Any]],
    reason: str | None,
    models: Mapping[str, float],
    metric: str,
    word: str = "arm",
) -> dict[str, Any]:
    """Return whether some trained model beats the bag of words on test, in numbers and a sentence.

    Args:
        bags: The scores of the bags of words by name; of several the best on validation counts.
        reason: Why there is none.
        models: The models' scores by name, 0 to 1; of several the best counts, though chosen on
            test: no model may be said to lose to a control that it beats.
        metric: The score, one of `LABEL_METRICS`; an equal score does not beat.
        word: What the models are called: `arm`, `model`.

    Returns:
        `says`, one sentence; with a bag of words also `control`, `control_score`, `metric`; with
        a model also `best`, `best_score` and `beaten`.
    """
    if not bags:
        return {"says": f"bag of words with logistic regression: not applicable ({reason})"}
    control = max(bags, key=lambda name: bags[name]["validation"])
    score = float(bags[control][metric])
    found: dict[str, Any] = {"control": control, "control_score": score, "metric": metric}
    if not models:
        return {**found, "says": f"no {word} has a score to compare with a bag of words"}
    best = max(models, key=models.__getitem__)
    found |= {"best": best, "best_score": models[best], "beaten": models[best] > score}
    return {**found, "says": in_words(found, word, in_percent=True)}


def in_words(found: Mapping[str, Any], word: str, in_percent: bool) -> str:
    """Return the sentence of a `verdict` with a best model, in the unit of the table beside it."""
    scores = (found["best_score"], found["control_score"])
    ours, theirs = (f"{100 * x:.1f}" if in_percent else f"{x:.3f}" for x in scores)
    name, best = LABEL_METRICS[found["metric"]], found["best"]
    against = "a bag of words with logistic regression"
    if found["beaten"]:
        return f"{best} beats {against}: {name} {ours} against {theirs}."
    return f"No {word} beats {against}: {name} {theirs} against {ours} for {best}."
