"""The embedded `bioasq` sample: yes/no questions whose answer is one cue sentence of the context.

Every question is asked twice, with a context that says yes and with one that says no; both rows
are one group. So a model that sees the question only is right on exactly half of the rows.
"""

from __future__ import annotations

import random
from itertools import product

from r2d_ray.data.examples import SPLIT_NAMES, Example
from r2d_ray.data.samples.bioasq_tables import (
    CUES,
    DISTRACTORS,
    FAMILIES,
    HUMAN,
    HUMAN_AMBIGUOUS,
    LLM,
    LLM_AMBIGUOUS,
    LLM_BINDING,
    QUESTIONS,
    Family,
)
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

LABELS = ("yes", "no")
OPPOSITE = {"yes": "no", "no": "yes"}


def facts() -> list[tuple[Family, Claim]]:
    """Return every claim that can be asked about, with its family."""
    return [
        (family, Claim(subject, relation, item))
        for family in FAMILIES
        for relation, subject, item in product(family.relations, family.subjects, family.objects)
    ]


def build(sizes: Sizes, seed: int) -> dict[str, tuple[Example, ...]]:
    """Return the rows of each split; a fact is asked about in one split only."""
    left = facts()
    keyed("bioasq", seed, "facts").shuffle(left)
    seen: set[tuple[str, str]] = set()
    splits = {}
    for split in SPLIT_NAMES:
        rng = keyed("bioasq", seed, split)
        writer = _Writer(rng)
        size = sizes.of(split)
        rows: list[Example] = []
        for tag in shuffled_shares((size + 1) // 2, TAG_SHARES, rng):
            family, claim = left.pop()
            rows += writer.pair(family, claim, tag, seen)
        splits[split] = numbered(rows[:size], split, rng)
    return splits


class _Writer:
    """Writes rows; deals phrases from decks, so that each occurs equally often in the split."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._questions = Deck(QUESTIONS, rng)
        self._cues = {label: Deck(CUES[label], rng) for label in LABELS}
        self._human = {label: Deck(HUMAN[label], rng) for label in LABELS}
        self._llm = {label: Deck(LLM[label], rng) for label in LABELS}

    def pair(
        self, family: Family, claim: Claim, tag: str, seen: set[tuple[str, str]]
    ) -> list[Example]:
        """Return the same question with both answers, in random order (the coin of `ambiguous`)."""
        question = claim.put(self._questions.deal())
        rows = []
        for label in self._rng.sample(LABELS, 2):
            row = self._row(family, claim, question, label, tag)
            while not is_new(row, seen):
                row = self._row(family, claim, question, label, tag)
            rows.append(row)
        return rows

    def _row(self, family: Family, claim: Claim, question: str, label: str, tag: str) -> Example:
        rng = self._rng
        rival = Claim(other_than(claim.subject, family.subjects, rng), claim.relation, claim.object)
        cue = sentence(claim.put(self._cues[label].deal()))
        verdicts = [] if tag == AMBIGUOUS else [cue]
        if tag == BINDING:
            verdicts.append(sentence(rival.put(self._cues[OPPOSITE[label]].deal())))
        fewest = 2 if tag == AMBIGUOUS else 1
        sentences = verdicts + self._distractors(
            family, claim, rng.randint(fewest, 4 - len(verdicts))
        )
        rng.shuffle(sentences)
        return Example(
            id="",
            group=f"bioasq:{claim.key()}",
            question=question,
            context=" ".join(sentences),
            label=label,
            rationales=self._rationales(claim, rival, cue, label, tag),
            tags=() if tag == PLAIN else (tag,),
        )

    def _distractors(self, family: Family, claim: Claim, count: int) -> list[str]:
        """Return sentences without a verdict; each half of each names the question's own entity."""
        rng = self._rng
        written = []
        for template in rng.sample(DISTRACTORS, count):
            subject = rng.choice((claim.subject, other_than(claim.subject, family.subjects, rng)))
            item = rng.choice((claim.object, other_than(claim.object, family.objects, rng)))
            written.append(sentence(Claim(subject, claim.relation, item).put(template)))
        return written

    def _rationales(
        self, claim: Claim, rival: Claim, cue: str, label: str, tag: str
    ) -> dict[str, str]:
        if tag == AMBIGUOUS:
            return {
                "human": claim.put(HUMAN_AMBIGUOUS.replace("{label}", label)),
                "llm": claim.put(LLM_AMBIGUOUS.replace("{label}", label)),
            }
        human = claim.put(self._human[label].deal().replace("{cue}", cue))
        llm = claim.put(self._llm[label].deal())
        if tag == BINDING:
            llm += rival.put(LLM_BINDING)
        return {"human": sentence(human), "llm": llm}
