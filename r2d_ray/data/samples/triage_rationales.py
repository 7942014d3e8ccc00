"""The three rationale sources of the embedded `triage` sample, and the parser that reads them."""

from __future__ import annotations

import difflib
import random
from functools import cache, lru_cache

from r2d_ray.data.examples import normalised
from r2d_ray.data.samples.dealing import sentence
from r2d_ray.data.samples.triage_protocol import DISPOSITIONS, Case, Rule, decide, fired

# Fact -> (shorthand, in a sentence).
WORDING = {
    "chest pain": ("chest pain", "chest pain"),
    "headache": ("headache", "a headache"),
    "abdominal pain": ("abdo pain", "abdominal pain"),
    "back pain": ("back pain", "back pain"),
    "cough": ("cough", "a cough"),
    "fever": ("fever", "a fever"),
    "vomiting": ("vomiting", "vomiting"),
    "rash": ("rash", "a rash"),
    "sore throat": ("sore throat", "a sore throat"),
    "earache": ("earache", "an earache"),
    "ankle injury": ("ankle inj", "an ankle injury"),
    "hand cut": ("hand cut", "a hand cut"),
    "dizziness": ("dizzy", "dizziness"),
    "mild": ("mild", "mild symptoms"),
    "moderate": ("moderate", "moderate symptoms"),
    "severe": ("severe", "severe symptoms"),
    "under 4 days": ("under 4 days", "a course of under four days"),
    "4 to 14 days": ("4 to 14 days", "a course of four to fourteen days"),
    "over 2 weeks": ("over 2 weeks", "a course of over two weeks"),
    "infant": ("infant", "an age under one year"),
    "child": ("child", "the age of a child"),
    "adult": ("adult", "the age of an adult"),
    "older adult": ("age over 65", "an age over 65"),
    "trouble breathing": ("SOB", "trouble breathing"),
    "blue lips": ("blue lips", "blue lips"),
    "fainting": ("fainting", "fainting"),
    "one sided weakness": ("one sided weakness", "weakness on one side"),
    "heavy bleeding": ("heavy bleeding", "heavy bleeding"),
    "stiff neck": ("stiff neck", "a stiff neck"),
    "passing blood": ("passing blood", "blood that was passed"),
    "little urine": ("little urine", "very little urine"),
    "spreading redness": ("spreading redness", "redness that is spreading"),
    "cannot stand": ("cannot stand", "an inability to stand"),
}

CARRIERS = ("the age of ", "a course of ", "an age ", "age ", "a ", "an ")

SENTENCE_OPENINGS = (
    "The caller reports",
    "The patient has",
    "The nurse notes",
    "The call is about",
)

DISPOSITION_ADVICE = {
    "call ambulance": "to call an ambulance",
    "emergency department": "to go to the emergency department",
    "doctor today": "to see a doctor today",
    "visit this week": "to book a visit this week",
    "home care": "to stay with home care",
}

NEGATIONS = frozenset({"no", "not", "denies", "denied", "without", "never"})
NEGATION_REACH = 2
"""Words before a fact in which a negation makes it void (`denies any fever`)."""

TYPO_CUTOFF = 0.85
TYPO_MIN_LETTERS = 4


def rationales(case: Case, rng: random.Random) -> dict[str, str]:
    """Return the three sources for a case, each made from the rule that fires."""
    rule, named = decide(case)
    return {
        "nurse": _shorthand(named, rng),
        "nurse_sentence": _one_sentence(named, rng),
        "llm": _explanation(case, rule, named, rng),
    }


def _shorthand(named: tuple[str, ...], rng: random.Random) -> str:
    mark = rng.choice((" yes", " - yes", ": yes"))
    return " AND ".join(f"{WORDING[fact][0]}{mark}" for fact in named)


def _one_sentence(named: tuple[str, ...], rng: random.Random) -> str:
    facts = rng.choice((" with ", " and ")).join(WORDING[fact][1] for fact in named)
    return f"{rng.choice(SENTENCE_OPENINGS)} {facts}."


def _explanation(case: Case, rule: Rule, named: tuple[str, ...], rng: random.Random) -> str:
    """Name the facts that decide, sometimes another fact of the call, the reason and the advice."""
    facts = " and ".join(WORDING[fact][1] for fact in named)
    other = WORDING[rng.choice(sorted(case.facts() - set(named)))][1]
    opening = rng.choice(
        (
            f"The protocol looks at {facts} here.",
            f"The decision rests on {facts}.",
            f"The call also mentions {other}, but the decision rests on {facts}.",
        )
    )
    advice = DISPOSITION_ADVICE[rule.disposition]
    closing = rng.choice(
        (
            f"{sentence(rule.reason)}, so the advice is {advice}.",
            f"The advice is {advice}, because {rule.reason}.",
            f"{sentence(rule.reason)}. No more urgent rule applies, so it is best {advice}.",
        )
    )
    return f"{opening} {closing}"


def disposition_from_rationale(text: str) -> str | None:
    """Return the disposition that a rationale of any source argues for, or None if it names none.

    The facts that the text affirms go through the protocol; what the text itself calls the
    disposition counts only where they fire no rule, and only if it names exactly one. Case,
    punctuation and misspelt letters do not matter; a negated fact (`denies …`, `… no`) is left out.
    """
    result = fired(facts_in(text))
    return result[0].disposition if result is not None else advised_in(text)


def facts_in(text: str) -> frozenset[str]:
    """Return the facts of the protocol that a text affirms."""
    return _affirmed(_words(text))


def advised_in(text: str) -> str | None:
    """Return the one disposition that a text names, whatever its facts; None of none or several."""
    joined = f" {' '.join(_words(text))} "
    advised = [
        disposition
        for disposition in DISPOSITIONS
        if any(f" {way} " in joined for way in _ways_to_advise(disposition))
    ]
    return advised[0] if len(advised) == 1 else None


def _words(text: str) -> list[str]:
    return [_corrected(word) for word in normalised(text).split()]


@cache
def _lexicon() -> dict[str, str]:
    """Return the core of every wording in normalised form -> its fact."""
    return {
        _core(wording): fact for fact, wordings in WORDING.items() for wording in (fact, *wordings)
    }


def _core(wording: str) -> str:
    """Return a wording, normalised, without the words that only carry it in a sentence."""
    text = normalised(wording).removesuffix(" symptoms")
    for carrier in CARRIERS:
        text = text.removeprefix(carrier)
    return text


@cache
def _ways_to_advise(disposition: str) -> tuple[str, ...]:
    advice = DISPOSITION_ADVICE[disposition].removeprefix("to ")
    return (disposition, advice.replace("a doctor", "doctor"), advice)


@cache
def _known_words() -> frozenset[str]:
    texts = (*_lexicon(), *(way for d in DISPOSITIONS for way in _ways_to_advise(d)))
    return frozenset(word for text in texts for word in text.split())


@lru_cache(maxsize=100_000)
def _corrected(word: str) -> str:
    """Return the known word that a long word misspells, else the word."""
    if word in _known_words() or len(word) < TYPO_MIN_LETTERS:
        return word
    near = difflib.get_close_matches(word, sorted(_known_words()), n=1, cutoff=TYPO_CUTOFF)
    return near[0] if near else word


def _affirmed(words: list[str]) -> frozenset[str]:
    """Return the facts whose wording occurs and is not negated, reading the longest first."""
    facts = set()
    at = read = 0  # `read`: where the words begin that belong to no fact yet
    while at < len(words):
        found = _wording_at(words, at)
        if found is None:
            at += 1
            continue
        fact, length = found
        before = words[max(read, at - NEGATION_REACH) : at]
        at += length
        denied = words[at : at + 1] == ["no"]
        if not denied and not NEGATIONS.intersection(before):
            facts.add(fact)
        at += denied
        read = at
    return frozenset(facts)


def _wording_at(words: list[str], at: int) -> tuple[str, int] | None:
    """Return the fact of the longest wording that begins at a word, and its words."""
    for length in range(_longest_wording(), 0, -1):
        fact = _lexicon().get(" ".join(words[at : at + length]))
        if fact is not None:
            return fact, length
    return None


@cache
def _longest_wording() -> int:
    return max(len(wording.split()) for wording in _lexicon())
