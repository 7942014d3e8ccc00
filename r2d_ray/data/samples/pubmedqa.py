"""The embedded `pubmedqa` sample: yes/no/maybe questions on a small structured abstract.

The answer is the verdict sentence of the results. Every question is asked twice, on two abstracts;
both rows are one group, and two thirds of the pairs are one yes and one no. So the question alone
tells nothing about the label.
"""

from __future__ import annotations

import random
from itertools import product

from r2d_ray.data.examples import SPLIT_NAMES, Example
from r2d_ray.data.samples.dealing import (
    AMBIGUOUS,
    BINDING,
    PLAIN,
    TAG_SHARES,
    Claim,
    Deck,
    Sizes,
    is_new,
    keyed,
    numbered,
    other_than,
    sentence,
    shuffled_shares,
)
from r2d_ray.data.samples.pubmedqa_tables import (
    BACKGROUND,
    DISTRACTORS,
    EXPOSURES,
    HUMAN,
    HUMAN_AMBIGUOUS,
    LLM,
    LLM_AMBIGUOUS,
    LLM_BINDING,
    METHODS,
    OUTCOMES,
    QUESTIONS,
    RELATIONS,
    SETTINGS,
    VERDICTS,
)

LABELS = ("yes", "no", "maybe")
PAIR_SHARES = {("yes", "no"): 68, ("yes", "maybe"): 22, ("yes", "yes"): 10}
"""Per cent of the pairs that are not ambiguous: 55 % yes, 34 % no, 11 % maybe."""

AMBIGUOUS_PAIR = ("yes", "no")


def facts() -> list[Claim]:
    """Return every claim that can be asked about: each triple in two of the settings."""
    triples = product(EXPOSURES, RELATIONS, OUTCOMES)
    return [
        Claim(exposure, relation, outcome, SETTINGS[(i + step) % len(SETTINGS)])
        for i, (exposure, relation, outcome) in enumerate(triples)
        for step in (0, len(SETTINGS) // 2)
    ]


def build(sizes: Sizes, seed: int) -> dict[str, tuple[Example, ...]]:
    """Return the rows of each split; a claim is asked about in one split only."""
    left = facts()
    keyed("pubmedqa", seed, "facts").shuffle(left)
    seen: set[tuple[str, str]] = set()
    splits = {}
    for split in SPLIT_NAMES:
        rng = keyed("pubmedqa", seed, split)
        writer = _Writer(rng)
        size = sizes.of(split)
        rows: list[Example] = []
        for labels, tag in _labels_and_tags((size + 1) // 2, rng):
            rows += writer.pair(left.pop(), labels, tag, seen)
        splits[split] = numbered(rows[:size], split, rng)
    return splits


def _labels_and_tags(pairs: int, rng: random.Random) -> list[tuple[tuple[str, str], str]]:
    """Return the two labels and the tag of every pair, in random order."""
    tags = shuffled_shares(pairs, TAG_SHARES, rng)
    labels = shuffled_shares(pairs - tags.count(AMBIGUOUS), PAIR_SHARES, rng)
    return [(AMBIGUOUS_PAIR if tag == AMBIGUOUS else labels.pop(), tag) for tag in tags]


class _Writer:
    """Writes rows; deals phrases from decks, so that each occurs equally often in the split."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._questions = Deck(QUESTIONS, rng)
        self._verdicts = {label: Deck(VERDICTS[label], rng) for label in LABELS}
        self._human = {label: Deck(HUMAN[label], rng) for label in LABELS}
        self._llm = {label: Deck(LLM[label], rng) for label in LABELS}

    def pair(
        self, claim: Claim, labels: tuple[str, str], tag: str, seen: set[tuple[str, str]]
    ) -> list[Example]:
        """Return the same question with both labels, in random order (the coin of `ambiguous`)."""
        question = sentence(claim.put(self._questions.deal()))
        rows = []
        for label in self._rng.sample(labels, 2):
            row = self._row(claim, question, label, tag)
            while not is_new(row, seen):
                row = self._row(claim, question, label, tag)
            rows.append(row)
        return rows

    def _row(self, claim: Claim, question: str, label: str, tag: str) -> Example:
        rng = self._rng
        rival = Claim(other_than(claim.subject, EXPOSURES, rng), claim.relation, claim.object)
        verdict = claim.put(self._verdicts[label].deal())
        results = [] if tag == AMBIGUOUS else [verdict]
        if tag == BINDING:
            results.append(rival.put(self._verdicts[other_than(label, LABELS, rng)].deal()))
        results += [
            self._put(claim, template)
            for template in rng.sample(DISTRACTORS, 2 if tag == AMBIGUOUS else 1)
        ]
        rng.shuffle(results)
        context = (
            f"BACKGROUND: {self._put(claim, rng.choice(BACKGROUND))}"
            f" METHODS: {self._put(claim, rng.choice(METHODS))}"
            f" RESULTS: {' '.join(sentence(text) for text in results)}"
        )
        return Example(
            id="",
            group=f"pubmedqa:{claim.key()}",
            question=question,
            context=context,
            label=label,
            rationales=self._rationales(claim, rival, verdict, label, tag),
            tags=() if tag == PLAIN else (tag,),
        )

    def _put(self, claim: Claim, template: str) -> str:
        """Return a sentence with numbers: {n} of patients, years or per cent, {m} of months."""
        numbers = {"{n}": self._rng.randint(40, 80), "{m}": self._rng.randint(3, 18)}
        for slot, number in numbers.items():
            template = template.replace(slot, str(number))
        return sentence(claim.put(template))

    def _rationales(
        self, claim: Claim, rival: Claim, verdict: str, label: str, tag: str
    ) -> dict[str, str]:
        if tag == AMBIGUOUS:
            human, llm = (
                text.replace("{label}", label) for text in (HUMAN_AMBIGUOUS, LLM_AMBIGUOUS)
            )
        else:
            human = self._human[label].deal()
            cue = sentence(verdict) if ". {cue}" in human else verdict
            human = human.replace("{cue}", cue)
            llm = self._llm[label].deal()
            if tag == BINDING:
                llm += rival.put(LLM_BINDING)
        return {"human": sentence(claim.put(human)), "llm": claim.put(llm)}
