"""The control that a referee asks for: a bag of words with logistic regression (scikit-learn).

Fitted on training rows alone, its setting chosen on validation, and stored as predictions on test,
like those of any trained model. Twice: on the question alone, and on the question with its context.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from r2d_ray.data.examples import Example, Splits, has_context
from r2d_ray.data.rows.draw import hash_order
from r2d_ray.evaluation.controls.labels import classes_of
from r2d_ray.evaluation.controls.words import LabelWords, OptionWords, Words
from r2d_ray.evaluation.label_metrics import calibration_scores
from r2d_ray.evaluation.predictions import prediction_metrics
from r2d_ray.evaluation.tags import tag_scores
from r2d_ray.records import Prediction

QUESTION = "bag of words, question"
WITH_CONTEXT = "bag of words, question and context"

WEIGHTINGS = ("tf-idf", "counts")
"""How a word weighs: rare words more in rows of length 1, or as often as it stands there."""

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""scikit-learn's C, the inverse of the L2 penalty."""

CHOSEN_ON = 5_000
"""Training rows that settings are tried on; the chosen one is fitted on all of them."""

ITERATIONS, TOLERANCE = 300, 1e-3  # of lbfgs, for each fit


@dataclass(frozen=True, slots=True)
class Setting:
    """What is chosen on validation: the weighting of words, C and scikit-learn's class weights."""

    weighting: str
    strength: float
    class_weight: str | None

    def __str__(self) -> str:
        """Return the setting as a note below a table names it."""
        weights = f", class weights {self.class_weight}" if self.class_weight else ""
        return f"words and pairs of words, {self.weighting}, C {self.strength:g}{weights}"

    def fitted(self, words: Words, rows: Sequence[Example]) -> LogisticRegression:
        """Return the regression fitted on these rows."""
        model = LogisticRegression(
            C=self.strength, class_weight=self.class_weight, max_iter=ITERATIONS, tol=TOLERANCE
        )
        with warnings.catch_warnings():  # a fit that stops early competes as it is
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(words.matrix(rows), words.targets(rows))


@dataclass(frozen=True, slots=True)
class BagOfWords:
    """A control: its setting, its score on validation, its predictions on test."""

    setting: str
    validation: float
    predictions: tuple[Prediction, ...]


def not_applicable(splits: Splits) -> str | None:
    """Return why no bag of words is fitted on this data, None where one is."""
    if not splits.label_kind.closed:
        return "labels are open texts: there is no list of labels to regress on"
    if splits.labels and len({row.label for row in splits.train}) < 2:
        return "the training rows have one label only"
    if not splits.labels and not all(row.choices for _, rows in splits.items() for row in rows):
        return "some rows bring no options"
    return None


def bags_of_words(splits: Splits, metric: str) -> dict[str, BagOfWords]:
    """Return the controls by name: of the question and, where some row has one, with the context.

    Args:
        splits: The data. Neither the order of its rows nor any test label changes a prediction.
        metric: Score on validation that chooses the setting: `macro_f1` or `accuracy`.
    """
    if not_applicable(splits) is not None:
        return {}
    contexts = {WITH_CONTEXT: True} if has_context(splits.train) else {}
    names = {QUESTION: False, **contexts}
    return {name: bag_of_words(splits, metric, context) for name, context in names.items()}


def bag_of_words(splits: Splits, metric: str, with_context: bool) -> BagOfWords:
    """Return one control: settings tried on validation in order, the earliest best one kept."""
    train = sorted(splits.train, key=lambda row: row.id)
    tried = sorted(train, key=lambda row: hash_order(0, row.id))[:CHOSEN_ON]
    if len(train) <= CHOSEN_ON or (splits.labels and len({row.label for row in tried}) < 2):
        tried = train
    kind: type[Words] = LabelWords if splits.labels else OptionWords
    classes = classes_of(splits)
    best: tuple[float, Setting, Words] | None = None
    for weighting in WEIGHTINGS:
        words = kind(tried, splits.labels, weighting, with_context)
        for strength, class_weight in product(STRENGTHS, kind.class_weights):
            setting = Setting(weighting, strength, class_weight)
            found = words.predictions(setting.fitted(words, tried), splits.validation)
            score = prediction_metrics(found, classes)[metric]
            if best is None or score > best[0]:
                best = score, setting, words
    assert best is not None
    score, setting, words = best
    if tried is not train:
        words = kind(train, splits.labels, setting.weighting, with_context)
    test = words.predictions(setting.fitted(words, train), splits.test)
    few = "" if tried is train else f" with {len(tried):,} of {len(train):,} training rows"
    said = f"{setting}, chosen on validation{few} ({metric} {score:.3f})"
    return BagOfWords(said, score, tuple(test))


def out_of_fold(folds: Sequence[Splits], metric: str) -> dict[str, BagOfWords]:
    """Return the controls of folds by name, each fold's fitted on its own training rows.

    A control that some fold cannot have is left out: its scores would be over other rows.
    """
    made = [bags_of_words(fold, metric) for fold in folds]
    if len(made) == 1:
        return made[0]
    common = [name for name in made[0] if all(name in bags for bags in made)]
    return {name: _together([bags[name] for bags in made]) for name in common}


def _together(bags: Sequence[BagOfWords]) -> BagOfWords:
    settings = Counter(bag.setting.partition(", chosen on")[0] for bag in bags)
    counted = (f"{setting} ({n} of {len(bags)} folds)" for setting, n in settings.most_common())
    said = "; ".join(counted)
    return BagOfWords(
        f"{said}, chosen on each fold's validation",
        fmean(bag.validation for bag in bags),
        tuple(row for bag in bags for row in bag.predictions),
    )


def bag_scores(bag: BagOfWords, *folds: Splits) -> dict[str, Any]:
    """Return a control's test scores and calibration, beside `validation` and its `setting`."""
    classes = classes_of(*folds)
    found = bag.predictions
    gold = [row.class_of(row.gold_label) or "" for row in found]
    scores: dict[str, Any] = dict(prediction_metrics(found, classes))
    scores |= calibration_scores(gold, [row.class_probabilities(classes) for row in found], classes)
    scores |= tag_scores(found, classes)
    return scores | {"validation": bag.validation, "setting": bag.setting}
