"""Rationales that nobody had to learn: the context's first sentence, and those of training rows.

Of a random training row, or of the nearest one; of any label, of the label that a model predicted,
or of the gold label, which no model knows: an oracle. They are written as predictions without a
label and scored like any arm's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property

from sklearn.feature_extraction.text import TfidfVectorizer

from r2d_ray.data.examples import Example, Splits, has_context
from r2d_ray.method.schedules import coin
from r2d_ray.records import Prediction

FIRST_SENTENCE = "first context sentence"
RANDOM, NEAREST = "random training rationale", "nearest training rationale"
ANY, GOLD = "any label", "gold label (oracle)"
DRAW = "random training rationale, same label"  # keys the coin: the draws of former versions
AT_ONCE = 256
"""Test rows whose likeness to all training rows is held at once."""

MARK = r"""[.!?]["')\]]*"""
SENTENCE_END = re.compile(rf"(?<=[^\W\d_]{{4}}){MARK}(?=\s)|{MARK}(?=\s+[^\sa-z0-9])|(?=\n\s*\n)")

Key = str | int


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


def label_key(row: Example, label: str | None) -> Key | None:
    """Return what makes two rows' labels the same: the label, or the position of an own option.

    None for a text that is none of the row's options.
    """
    if row.choices is None or label is None:
        return label
    return row.choices.index(label) if label in row.choices else None


class TrainingRationales:
    """The rationales of one source in the training rows, as given to rows that have none.

    Neither the order of the rows nor that of the training rows matters. A label without a training
    rationale gives an empty text. Where `labels` are asked for, they are `label_key`s, one a row;
    None stands for any label.
    """

    def __init__(
        self, rows: Sequence[Example], train: Sequence[Example], source: str, seed: int
    ) -> None:
        self.rows, self.seed = rows, seed
        having = (row for row in train if row.rationales.get(source, "").strip())
        self.known = sorted(having, key=lambda row: row.id)
        self.texts = [row.rationales[source] for row in self.known]
        self.places: dict[Key | None, list[int]] = {}
        for place, row in enumerate(self.known):
            self.places.setdefault(label_key(row, row.label), []).append(place)

    def random(self, labels: Sequence[Key | None] | None = None) -> list[str]:
        """Return, by row, the rationale of a random training row; drawn by seed and row id."""
        every = range(len(self.known))
        found = []
        for number, row in enumerate(self.rows):
            pool = every if labels is None else self.places.get(labels[number], [])
            at = int(coin(self.seed, row.id, 0, DRAW) * len(pool))
            found.append(self.texts[pool[at]] if pool else "")
        return found

    def nearest(self, labels: Sequence[Key | None] | None = None) -> list[str]:
        """Return, by row, the rationale of the training row that is most alike.

        Likeness is the cosine of TF-IDF words of question and context; of equals the first by id.
        """
        if labels is None:
            return [self.texts[place] if self.texts else "" for place in self._nearest[ANY_PLACE]]
        found = []
        for number, label in enumerate(labels):
            places = self._nearest.get((label,))
            found.append(self.texts[places[number]] if places else "")
        return found

    @cached_property
    def _nearest(self) -> dict[tuple[Key | None, ...], list[int]]:
        """Return the place of the nearest training row, by row: of each label, and of any."""
        pools: dict[tuple[Key | None, ...], list[int]] = {ANY_PLACE: list(range(len(self.known)))}
        pools |= {(label,): places for label, places in self.places.items()}
        found = {name: list[int]() for name in pools}
        if not self.known:
            return {ANY_PLACE: [0] * len(self.rows)}
        reader = TfidfVectorizer(token_pattern=r"\b\w+\b|[^\w\s]", sublinear_tf=True)
        known = reader.fit_transform(map(whole_text, self.known))
        for start in range(0, len(self.rows), AT_ONCE):
            part = reader.transform(map(whole_text, self.rows[start : start + AT_ONCE]))
            likeness = (part @ known.T).toarray()
            for name, pool in pools.items():
                found[name] += [pool[best] for best in likeness[:, pool].argmax(axis=1)]
        return found


ANY_PLACE: tuple[Key | None, ...] = ()  # no label is asked for


def whole_text(row: Example) -> str:
    """Return question and context, in which rows are alike or not."""
    return f"{row.question}\n{row.context}"


def trivial_rationales(splits: Splits, source: str, seed: int) -> dict[str, list[Prediction]]:
    """Return the trivial rationales of the test split beside this source's references, by name.

    A row without a context has no first sentence and is not scored there; where no row has one,
    that control is left out.
    """
    known = TrainingRationales(splits.test, splits.train, source, seed)
    gold = [label_key(row, row.label) for row in splits.test]
    written: dict[str, Sequence[str | None]] = {}
    if has_context(splits.test):
        written[FIRST_SENTENCE] = [first_sentence(row.context) or None for row in splits.test]
    written |= {
        f"{RANDOM}, {ANY}": known.random(),
        f"{RANDOM}, {GOLD}": known.random(gold),
        f"{NEAREST}, {ANY}": known.nearest(),
        f"{NEAREST}, {GOLD}": known.nearest(gold),
    }
    return {name: as_predictions(splits.test, texts, source) for name, texts in written.items()}


def given_predicted_label(
    splits: Splits, source: str, seed: int, runs: Sequence[Mapping[str, str | None]]
) -> list[dict[str, list[Prediction]]]:
    """Return for each run (its predicted labels by row id) training rationales of those labels.

    By `RANDOM` and `NEAREST`: what the two oracles are for a model that has to find the label.
    """
    known = TrainingRationales(splits.test, splits.train, source, seed)
    found = []
    for labels in runs:
        keys = [label_key(row, labels.get(row.id)) for row in splits.test]
        texts = {RANDOM: known.random(keys), NEAREST: known.nearest(keys)}
        found.append({n: as_predictions(splits.test, said, source) for n, said in texts.items()})
    return found


def as_predictions(
    rows: Sequence[Example], texts: Sequence[str | None], source: str
) -> list[Prediction]:
    """Return texts as predictions without a label, beside the rows' references of this source."""
    return [
        Prediction(
            id=row.id,
            group=row.group,
            gold_label=row.label,
            rationale=text,
            reference=row.rationales.get(source) or None,
            tags=row.tags,
        )
        for row, text in zip(rows, texts, strict=True)
    ]
