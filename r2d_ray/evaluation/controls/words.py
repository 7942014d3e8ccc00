"""Rows as scikit-learn's regression reads them: words of a row, or of a pair of row and option."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from scipy.special import softmax
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from r2d_ray.data.examples import Example
from r2d_ray.records import Prediction

CLASS_WEIGHTS = (None, "balanced")
MAX_WORDS = 50_000
"""Most words and pairs of words, the most frequent ones, so that long texts cost seconds."""

PLACES = 26
"""Places of options that are told apart: as many as there are letters."""

WORD = r"\b\w+\b"
VOCABULARIES = ((WORD, 2), (WORD, 1), (r"(?s).+", 1))
"""Pattern of a word and in how many texts it must stand, the first that finds one: words of one
text only are left out if others stay, and texts without a word (signs alone) are words themselves.
"""

Matrix = Any  # scipy's sparse matrix, which carries no type of its numbers


class Words(ABC):
    """Rows as numbers: fitted on training rows, then the same for every row."""

    class_weights: ClassVar[tuple[str | None, ...]]

    def __init__(
        self, train: Sequence[Example], labels: Sequence[str], weighting: str, with_context: bool
    ) -> None:
        self.labels = labels
        self.with_context = with_context
        self.vectoriser = self.fit(list(map(self.text, train)) + self.more_texts(train), weighting)
        self._kept: dict[tuple[str, ...], Matrix] = {}

    def fit(self, texts: Sequence[str], weighting: str) -> Any:
        """Return scikit-learn's vectoriser, fitted (see `VOCABULARIES`)."""
        kind = {"tf-idf": TfidfVectorizer, "counts": CountVectorizer}[weighting]
        more = {"sublinear_tf": True} if weighting == "tf-idf" else {}
        shared = {"ngram_range": (1, 2), "max_features": MAX_WORDS, **more}
        for pattern, rows in VOCABULARIES:
            try:
                return kind(token_pattern=pattern, min_df=rows, **shared).fit(texts)
            except ValueError:  # no word
                continue
        raise AssertionError("a question is not empty")

    def text(self, row: Example) -> str:
        """Return what is read of a row."""
        return f"{row.question}\n{row.context}" if self.with_context else row.question

    def matrix(self, rows: Sequence[Example]) -> Matrix:
        """Return the numbers of these rows, made once."""
        key = tuple(row.id for row in rows)
        if key not in self._kept:
            self._kept[key] = self.numbers(rows)
        return self._kept[key]

    def predictions(self, model: LogisticRegression, rows: Sequence[Example]) -> list[Prediction]:
        """Return what a model predicts of these rows: the first of equally probable labels."""
        return [
            Prediction(
                id=row.id,
                group=row.group,
                gold_label=row.label,
                label=max(shares, key=shares.__getitem__),
                probabilities=shares,
                options=tuple(row.choices or ()),
                tags=row.tags,
            )
            for row, shares in zip(rows, self.probabilities(model, rows), strict=True)
        ]

    def more_texts(self, rows: Sequence[Example]) -> list[str]:
        """Return texts beside those of the rows that words are learnt from."""
        return []

    @abstractmethod
    def numbers(self, rows: Sequence[Example]) -> Matrix:
        """Return the numbers of these rows."""

    @abstractmethod
    def targets(self, rows: Sequence[Example]) -> list[Any]:
        """Return what is right for each line of `numbers`."""

    @abstractmethod
    def probabilities(
        self, model: LogisticRegression, rows: Sequence[Example]
    ) -> list[dict[str, float]]:
        """Return the probability of each label that a row may have, by row."""


class LabelWords(Words):
    """One fixed set of labels: a line a row, its words."""

    class_weights = CLASS_WEIGHTS

    def numbers(self, rows: Sequence[Example]) -> Matrix:
        """Return the rows' words."""
        return self.vectoriser.transform(map(self.text, rows))

    def targets(self, rows: Sequence[Example]) -> list[Any]:
        """Return the rows' labels."""
        return [row.label for row in rows]

    def probabilities(
        self, model: LogisticRegression, rows: Sequence[Example]
    ) -> list[dict[str, float]]:
        """Return the probability of every label, in the set's order."""
        known = list(model.classes_)
        found = model.predict_proba(self.matrix(rows))
        return [
            {x: float(line[known.index(x)]) if x in known else 0.0 for x in self.labels}
            for line in found
        ]


class OptionWords(Words):
    """Options that rows bring: a line for each pair of row and option, right or wrong.

    Read of a pair: the option's words, those that it shares with the row, their cosine, the
    option's length against its row's mean, and its place. Weighting classes would rank no option
    otherwise.
    """

    class_weights = (None,)

    def more_texts(self, rows: Sequence[Example]) -> list[str]:
        """Return the options."""
        return [option for row in rows for option in row.choices or ()]

    def numbers(self, rows: Sequence[Example]) -> Matrix:
        """Return the pairs' numbers, row by row."""
        counts = [len(row.choices or ()) for row in rows]
        text = self.vectoriser.transform(map(self.text, rows))
        text = text[np.repeat(np.arange(len(rows)), counts)]
        option = self.vectoriser.transform(self.more_texts(rows))
        cosine = normalize(text).multiply(normalize(option)).sum(axis=1)
        lengths = [np.array([len(x) for x in row.choices or ()]) for row in rows]
        against = np.concatenate([x / max(1.0, float(x.mean())) for x in lengths])
        place = np.concatenate([np.arange(count) for count in counts])
        at = place[:, None] == np.arange(PLACES)
        dense = sparse.csr_array(np.column_stack([np.asarray(cosine).ravel(), against, at]))
        return sparse.csr_matrix(sparse.hstack([option, text.multiply(option), dense]))

    def targets(self, rows: Sequence[Example]) -> list[Any]:
        """Return which pairs are right: of a repeated option the first."""
        return [
            place == (row.choices or ()).index(row.label)
            for row in rows
            for place in range(len(row.choices or ()))
        ]

    def probabilities(
        self, model: LogisticRegression, rows: Sequence[Example]
    ) -> list[dict[str, float]]:
        """Return the softmax of the log odds over a row's different options."""
        odds = iter(model.decision_function(self.matrix(rows)))
        found = []
        for row in rows:
            own: dict[str, float] = {}
            for option in row.choices or ():
                own.setdefault(option, float(next(odds)))
            shares = softmax(list(own.values()))
            found.append(dict(zip(own, map(float, shares), strict=True)))
        return found
