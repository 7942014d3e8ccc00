"""The embedded `triage` sample: nurse notes whose disposition follows from the written protocol.

A note may leave facts out, but unless it is tagged `ambiguous` every way to fill them in leads to
the same disposition. A note tagged `ambiguous` leaves out the one fact that decides between
exactly two dispositions; a fair coin says which of them it was.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

from r2d_ray.data.examples import SPLIT_NAMES, Example
from r2d_ray.data.samples.dealing import (
    AMBIGUOUS,
    BINDING,
    PLAIN,
    TAG_SHARES,
    Deck,
    Sizes,
    exact_counts,
    is_new,
    keyed,
    numbered,
    shuffled_shares,
)
from r2d_ray.data.samples.triage_notes import Note
from r2d_ray.data.samples.triage_protocol import (
    DISPOSITIONS,
    OPEN_FIELDS,
    RULES,
    Case,
    Rule,
    all_cases,
    completions,
    decide,
    flags_of,
    possible_dispositions,
)
from r2d_ray.data.samples.triage_rationales import WORDING, rationales

T = TypeVar("T")

LABELS = DISPOSITIONS
LABEL_SHARES = dict(zip(DISPOSITIONS, (16, 20, 24, 20, 20), strict=True))
"""Per cent of the rows that are not ambiguous."""

QUESTION = "Which disposition does this call need?"

PREFIX = "triage:"
UNKNOWN = "?"
"""What a group is named with, and what stands there for a fact that the note had to name."""

RULE_WEIGHT_CAP = 24
"""A rule is as frequent as it has cases, up to this many: else two rules would make a class."""

HIDE_CHANCE = 0.25
"""Chance that a note leaves out a field that does not matter."""

DENIED_FLAGS = (0, 3)
"""Fewest and most red flags that a note denies."""


def build(
    sizes: Sizes, seed: int, shares: Mapping[str, int] = TAG_SHARES
) -> dict[str, tuple[Example, ...]]:
    """Return the rows of each split; a case is called about in one split only.

    `shares` are the tags' weights (`dealing.tag_shares`).
    """
    by_rule: dict[Rule, list[Case]] = {rule: [] for rule in RULES}
    for case in all_cases():
        by_rule[decide(case)[0]].append(case)
    weights = {rule: min(len(cases), RULE_WEIGHT_CAP) for rule, cases in by_rule.items()}
    clear = {rule: _parted(cases, sizes, seed) for rule, cases in by_rule.items()}
    unclear = _parted(unclear_cases(), sizes, seed)
    seen: set[tuple[str, str]] = set()
    splits = {}
    for split in SPLIT_NAMES:
        rng = keyed("triage", seed, split)
        decks = {rule: Deck(parts[split], rng) for rule, parts in clear.items()}
        unclear_deck = Deck(unclear[split], rng)
        rows = []
        for rule, tag in _rules_and_tags(sizes.of(split), weights, shares, rng):
            if rule is None:
                case, field = unclear_deck.deal()
                rows.append(_new_row(_by_coin(case, field, rng), {field}, tag, rng, seen))
            else:
                case = decks[rule].deal()
                rows.append(_new_row(case, irrelevant_fields(case, rng), tag, rng, seen))
        splits[split] = numbered(rows, split, rng)
    return splits


def unclear_cases() -> list[tuple[Case, str]]:
    """Return one (case, field) for every note that fits two dispositions without the field."""
    return [
        (case, field)
        for case in all_cases()
        for field in OPEN_FIELDS
        if case == completions(case, {field})[0] and len(possible_dispositions(case, {field})) == 2
    ]


def irrelevant_fields(case: Case, rng: random.Random) -> set[str]:
    """Return random fields of the case that may be left out without a doubt about the rule."""
    hidden: set[str] = set()
    for field in OPEN_FIELDS:
        wanted = hidden | {field}
        if rng.random() < HIDE_CHANCE and len(possible_dispositions(case, wanted)) == 1:
            hidden = wanted
    return hidden


def _parted(items: Sequence[T], sizes: Sizes, seed: int) -> dict[str, list[T]]:
    """Return the items in random order cut in three, in the ratio of the splits, none empty."""
    left = list(items)
    keyed("triage", seed, "cases").shuffle(left)
    weights = {split: sizes.of(split) for split in SPLIT_NAMES}
    counts = exact_counts(len(left) - len(SPLIT_NAMES), weights)
    parts = {}
    for split in SPLIT_NAMES:
        parts[split] = [left.pop() for _ in range(counts[split] + 1)]
    return parts


def _rules_and_tags(
    size: int, weights: Mapping[Rule, int], shares: Mapping[str, int], rng: random.Random
) -> list[tuple[Rule | None, str]]:
    """Return for every row the rule that it fires (None where that is left open) and its tag."""
    tags = shuffled_shares(size, shares, rng)
    counts = exact_counts(size - tags.count(AMBIGUOUS), LABEL_SHARES)
    rules: list[Rule] = []
    for label, count in counts.items():
        own = {rule: weight for rule, weight in weights.items() if rule.disposition == label}
        rules += shuffled_shares(count, own, rng)
    rng.shuffle(rules)
    return [(None if tag == AMBIGUOUS else rules.pop(), tag) for tag in tags]


def _by_coin(case: Case, field: str, rng: random.Random) -> Case:
    """Return the case with the field set so that one of its two dispositions holds: a fair coin."""
    disposition = rng.choice(sorted(possible_dispositions(case, {field})))
    fitting = [
        other for other in completions(case, {field}) if decide(other)[0].disposition == disposition
    ]
    return rng.choice(fitting)


def _new_row(
    case: Case, hidden: set[str], tag: str, rng: random.Random, seen: set[tuple[str, str]]
) -> Example:
    """Return a row whose note no earlier row has."""
    row = _row(case, hidden, tag, rng)
    while not is_new(row, seen):
        row = _row(case, hidden, tag, rng)
    return row


def _row(case: Case, hidden: set[str], tag: str, rng: random.Random) -> Example:
    absent = [flag for flag in flags_of(case.complaint) if flag not in case.flags]
    rng.shuffle(absent)
    of_other = absent.pop() if tag == BINDING else None
    note = Note(case, frozenset(hidden), tuple(absent[: rng.randint(*DENIED_FLAGS)]), of_other)
    facts = [
        UNKNOWN if tag == AMBIGUOUS and field in hidden else getattr(case, field)
        for field in OPEN_FIELDS
    ]
    return Example(
        id="",
        group=PREFIX + ", ".join((case.complaint, *facts, *case.flags)),
        question=QUESTION,
        context=note.written(rng),
        label=decide(case)[0].disposition,
        rationales=rationales(case, rng),
        tags=() if tag == PLAIN else (tag,),
        relabelled=relabelled(case, hidden) if tag == AMBIGUOUS else {},
    )


def relabelled(case: Case, hidden: set[str]) -> dict[str, dict[str, str]]:
    """Return by source the rationale of the other disposition that an ambiguous note fits.

    It is made from a case that the note fits too, so all it says of what the note tells is true.
    """
    label = decide(case)[0].disposition
    rng = keyed("triage", "relabelled", case, sorted(hidden))
    found: dict[str, dict[str, str]] = {}
    for other in sorted(possible_dispositions(case, hidden) - {label}):
        fitting = [c for c in completions(case, hidden) if decide(c)[0].disposition == other]
        for source, text in rationales(rng.choice(fitting), rng).items():
            found.setdefault(source, {})[other] = text
    return found


def facts_of(group: str) -> frozenset[str] | None:
    """Return the facts that hold in the call of a row of this sample, None for any other group.

    The fact that an ambiguous note leaves out is not among them: nobody can know it.
    """
    if not group.startswith(PREFIX):
        return None
    facts = frozenset(group.removeprefix(PREFIX).split(", ")) - {UNKNOWN}
    return facts if facts <= WORDING.keys() else None
