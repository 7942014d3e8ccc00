"""Dealing rows out: keyed randomness and exact shares, the same in every process.

Shares are dealt from shuffled decks, not drawn: every split holds the stated shares, whatever the
seed. Only what is meant to be a coin (the label of an ambiguous row) is drawn.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Generic, TypeVar

from r2d_ray.data.examples import Example, normalised

T = TypeVar("T")
K = TypeVar("K")
AMBIGUOUS = "ambiguous"
BINDING = "binding"
PLAIN = "plain"
TAG_SHARES = {PLAIN: 87, BINDING: 8, AMBIGUOUS: 5}
"""Per cent of rows: `binding` needs an entity bound to its claim, `ambiguous` has no answer."""


def tag_shares(ambiguous: float | None) -> dict[str, int]:
    """Return the tags' whole weights for a share of ambiguous rows, 0 to 1; by default 5 %.

    The other two keep their ratio.
    """
    if ambiguous is None:
        return TAG_SHARES
    wanted = round(1000 * ambiguous)
    others = {tag: weight for tag, weight in TAG_SHARES.items() if tag != AMBIGUOUS}
    weights = exact_counts(1000 - wanted, others) | {AMBIGUOUS: wanted}
    return {tag: weight for tag, weight in weights.items() if weight}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows of each split."""

    train: int
    validation: int
    test: int

    def of(self, split: str) -> int:
        """Return the rows of one split, by its name."""
        count: int = getattr(self, split)
        return count

    def total(self) -> int:
        """Return the rows of all splits."""
        return self.train + self.validation + self.test


def sizes_of(rows: int) -> Sizes:
    """Return 15 % of the rows (rounded down) for validation and test, the rest for training."""
    part = rows * 15 // 100
    return Sizes(rows - 2 * part, part, part)


def keyed(*parts: object) -> random.Random:
    """Return a generator seeded by words: the same in every process, unlike hash()."""
    return random.Random("|".join(str(part) for part in parts))


def exact_counts(total: int, weights: Mapping[K, int]) -> dict[K, int]:
    """Return whole counts that add up to `total` in the ratio of the weights (largest remainder).

    Args:
        total: What is shared out, at least 0.
        weights: Positive whole weights; earlier keys win ties.
    """
    whole = sum(weights.values())
    quotas = {key: Fraction(total * weight, whole) for key, weight in weights.items()}
    counts = {key: int(quota) for key, quota in quotas.items()}
    by_remainder = sorted(quotas, key=lambda key: counts[key] - quotas[key])
    for key in by_remainder[: total - sum(counts.values())]:
        counts[key] += 1
    return counts


def shuffled_shares(total: int, weights: Mapping[K, int], rng: random.Random) -> list[K]:
    """Return `total` keys in random order, each as often as `exact_counts` says."""
    deck = [key for key, count in exact_counts(total, weights).items() for _ in range(count)]
    rng.shuffle(deck)
    return deck


class Deck(Generic[T]):
    """Items dealt from a shuffled deck that is shuffled anew when it runs out."""

    def __init__(self, items: Sequence[T], rng: random.Random) -> None:
        self._items = list(items)
        self._rng = rng
        self._left: list[T] = []

    def deal(self) -> T:
        """Return the next item."""
        if not self._left:
            self._left = self._rng.sample(self._items, len(self._items))
        return self._left.pop()


def sentence(text: str) -> str:
    """Return the text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def is_new(row: Example, seen: set[tuple[str, str]]) -> bool:
    """Return whether no earlier row has this question and context, and remember them."""
    key = (normalised(row.question), normalised(row.context))
    if key in seen:
        return False
    seen.add(key)
    return True


def numbered(rows: Sequence[Example], split: str, rng: random.Random) -> tuple[Example, ...]:
    """Return the rows in random order and with ids: `<split>-00000` and so on."""
    order = rng.sample(list(rows), len(rows))
    return tuple(replace(row, id=f"{split}-{i:05d}") for i, row in enumerate(order))


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation in three forms: `reduce`, `reduces`, `a lowering effect of {s} on {o}`."""

    base: str
    third: str
    noun: str


@dataclass(frozen=True, slots=True)
class Claim:
    """That a subject stands in a relation to an object; `setting` says in whom, may be empty."""

    subject: str
    relation: Relation
    object: str
    setting: str = ""

    def put(self, template: str) -> str:
        """Return the template with {s}, {o}, {in}, {base}, {third} and {noun} put in."""
        return template.format_map(
            {
                "s": self.subject,
                "o": self.object,
                "in": self.setting,
                "base": f"{self.relation.base} {self.object}",
                "third": f"{self.relation.third} {self.object}",
                "noun": self.relation.noun.format(s=self.subject, o=self.object),
            }
        )

    def key(self) -> str:
        """Return one line that names the claim."""
        words = (self.subject, self.relation.base, self.object, self.setting)
        return " ".join(word for word in words if word)


def other_than(taken: str, items: Sequence[str], rng: random.Random) -> str:
    """Return a random item that is not the one taken."""
    return rng.choice([item for item in items if item != taken])


def listed(text: str) -> tuple[str, ...]:
    """Return the items of a text that separates them by commas."""
    return tuple(item.strip() for item in text.split(","))
