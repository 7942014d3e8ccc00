"""Texts that stand in two splits: the same contexts, and texts that hardly differ.

They are warned of and never dropped: that is the user's choice.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from itertools import combinations

from r2d_ray.data.examples import Example, Splits, normalised
from r2d_ray.data.rows.leaks import LONG_TEXT_WORDS, digest, has_groups, is_long, most_repeats
from r2d_ray.data.rows.near import LIKE, Sketches, likeness, nearest
from r2d_ray.data.rows.sample import sampled_places

REMEDY = "--columns group=COLUMN keeps rows of one patient or document together"

COMPARED_ROWS = {"train": 160_000, "validation": 20_000, "test": 20_000}
"""Rows of a split, at most, among which texts that hardly differ are looked for: seconds."""


class SharedTexts:
    """The texts of all splits, as digests and sketches, added split by split."""

    def __init__(self, splits: Splits) -> None:
        self.parts = dict(splits.items())
        self.grouped = any(has_groups(rows) for rows in self.parts.values())
        every = [row for rows in self.parts.values() for row in rows]
        most = most_repeats(len(every))
        counts = Counter(row.context for row in every)
        self.forms = {text for text, count in counts.items() if count > most}
        asked = Counter(row.question for row in every)
        self.asked_forms = {text for text, count in asked.items() if count > most}
        self.normalised = functools.lru_cache(normalised)  # a form is asked in every row
        self.whole: dict[str, set[bytes]] = {name: set() for name in self.parts}
        self.wordy: dict[str, set[bytes]] = {name: set() for name in self.parts}
        self.sketches = {name: Sketches() for name in self.parts}
        for name in self.parts:
            self._add(name)

    def _add(self, name: str) -> None:
        rows = self.parts[name]
        compared = sampled_places(rows, COMPARED_ROWS[name])
        for place, row in enumerate(rows):
            context = normalised(row.context)
            if is_long(context) and row.context not in self.forms:
                self.whole[name].add(digest(context))
            asked, noted = without_numbers(self.normalised(row.question)), wordy(context)
            text = f"{asked} {noted}".strip()
            if is_long(text):
                self.wordy[name].add(digest(text))
                if place in compared:
                    self.sketches[name].add(place, self._own(row, asked, noted))

    def _own(self, row: Example, asked: str, noted: str) -> str:
        """Return what a row does not share with many others: a form makes all texts alike."""
        own = "" if row.question in self.asked_forms else asked
        return own if row.context in self.forms else f"{own} {noted}".strip()

    def own_words(self, name: str, place: int) -> str:
        """Return the words of a row that are compared."""
        row = self.parts[name][place]
        return self._own(row, without_numbers(row.question), without_numbers(row.context))

    def near(self) -> tuple[str, str]:
        """Return how many rows of each two splits hardly differ, and one pair of them."""
        said, example = [], ""
        for earlier, later in combinations(self.parts, 2):
            count = 0
            for place, other in nearest(self.sketches[earlier], self.sketches[later]):
                row, twin = self.parts[later][place], self.parts[earlier][other]
                texts = self.own_words(later, place), self.own_words(earlier, other)
                same = row.context and normalised(row.context) == normalised(twin.context)
                alike = likeness(*texts)
                if alike >= LIKE and texts[0] != texts[1] and not same:  # those are named already
                    count += 1
                    example = example or f"{twin.id!r} and {row.id!r}, {alike:.0%}"
            if count:
                said.append(f"{earlier} and {later} {count}")
        return ", ".join(said), example


def shared_warnings(splits: Splits) -> list[str]:
    """Return what the user should know of contexts and texts that stand in two splits."""
    found = SharedTexts(splits)
    remedy = "they are of different groups" if found.grouped else REMEDY
    contexts, numbers = _across(found.whole), _across(found.wordy)
    near, example = found.near()
    warnings = []
    if contexts:
        warnings.append(
            f"contexts of {LONG_TEXT_WORDS} or more words that stand in two splits: {contexts}; a "
            "model may know them from training (--columns group=COLUMN keeps rows of one text "
            "together)"
        )
    if numbers and numbers != contexts:
        warnings.append(
            f"texts that differ in numbers alone and stand in two splits: {numbers} ({remedy})"
        )
    if near:
        cut = {n: most for n, most in COMPARED_ROWS.items() if len(found.parts[n]) > most}
        of = ", ".join(f"{most} {name} rows" for name, most in cut.items())
        warnings.append(
            f"texts that hardly differ ({LIKE:.0%} or more of their pairs of words) and stand in "
            f"two splits: {near}, such as rows {example} ({remedy})"
            + (f"; from a sample of {of}" if of else "")
        )
    return warnings


def without_numbers(text: str) -> str:
    """Return the normalised text without the words that have a digit: numbers, dates, ids."""
    return wordy(normalised(text))


def wordy(text: str) -> str:
    """Return a normalised text without the words that have a digit."""
    words = text.split()
    # Letters alone are no digits: the cheap question first, for millions of words.
    return " ".join([w for w in words if w.isalpha() or not any(map(str.isdigit, w))])


def _across(texts: Mapping[str, set[bytes]]) -> str:
    """Return how many texts stand in each two splits: `train and test 12`."""
    counts = {pair: len(texts[pair[0]] & texts[pair[1]]) for pair in combinations(texts, 2)}
    return ", ".join(f"{a} and {b} {count}" for (a, b), count in counts.items() if count)
