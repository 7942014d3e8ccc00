"""What may not stand in two splits, what is warned of, and what the messages advise."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2d_ray.data.examples import Example, Provenance, Splits, normalised
from r2d_ray.data.rows.leaks import shared_contexts, without_leaks
from r2d_ray.data.rows.shared import shared_warnings, without_numbers
from r2d_ray.errors import UserError

PREMISE = "A man in a red coat waits at the gate of the station"


def row(name: str, question: str = "", context: str = "", group: str | None = None) -> Example:
    return Example(name, group or name, question or f"Question {name}?", context, "yes")


def splits(train: list[Example], validation: list[Example], test: list[Example]) -> Splits:
    origin = Provenance("file", "notes.csv", "none")
    return Splits("notes", tuple(train), tuple(validation), tuple(test), (), origin)


def notes(part: str, count: int, question: str, context: str = "") -> list[Example]:
    return [row(f"{part}{i}", question, context and f"{context} {i}") for i in range(count)]


EMPTIED = {
    "a forgotten context": (
        splits(*(notes(part, 9, "How urgent is this?") for part in "vwt")),
        r"leaves no train row: each of its 9 asks a question of the test or validation split "
        r"\(if the note is another column, name it: --columns context=COLUMN\)",
    ),
    "the same rows twice": (
        splits(*(notes(part, 9, "How urgent is this?", "pain") for part in "vwt")),
        r"the same rows stand in both: leave them out of one",
    ),
    "one group for all": (
        splits(*([row(f"{part}{i}", group="site A") for i in range(9)] for part in "vwt")),
        r"--columns group=COLUMN",
    ),
    "validation alone": (
        splits(
            notes("a", 9, "", "pain"),
            [row("v", "How urgent?")],
            [row("t", "How urgent?")],
        ),
        r"leaves no validation row: each of its 1 asks a question of the test split",
    ),
}


@pytest.mark.parametrize("case", EMPTIED)
def test_a_split_that_the_leak_rule_empties_is_named_with_the_likely_cause(case: str) -> None:
    given, said = EMPTIED[case]
    with pytest.raises(UserError, match=said):
        without_leaks(given)


def test_long_contexts_of_several_rows_are_found_and_forms_are_not() -> None:
    rows = [row(f"{i}", context=f"{PREMISE} {i // 2}") for i in range(80)]
    assert len(shared_contexts(rows)) == 80
    assert shared_contexts([row("a", context=PREMISE), row("b")]) == {}
    assert shared_contexts([row(f"{i}", context="No known allergies") for i in range(3)]) == {}
    assert shared_contexts([row(f"{i}", context=PREMISE) for i in range(80)]) == {}
    grouped = [row(f"{i}", context=PREMISE, group="g") for i in range(2)]
    assert shared_contexts(grouped) == {}


def test_contexts_and_texts_in_two_splits_are_counted() -> None:
    many = [
        row(f"m{i}", context=f"Note {'abcdefghij'[i % 10] * (i + 1)} of a day") for i in range(60)
    ]
    given = splits(
        [*many, row("a", context=PREMISE), row("b", context=f"{PREMISE} twice over")],
        [row("c", context=PREMISE)],
        [row("d", context=f"{PREMISE} twice over"), row("e", context=PREMISE.upper())],
    )
    [contexts] = shared_warnings(given)
    assert "train and validation 1, train and test 2, validation and test 1" in contexts
    assert "--columns group=COLUMN" in contexts


def test_texts_that_differ_in_numbers_alone_are_counted() -> None:
    text = "Patient {} of {} years has had pain in the chest since {}"
    given = splits(
        [row("a", "How urgent?", text.format("A1", 40, "2/3"))],
        [row("b", "How urgent?", "Something else entirely is told here about a fall")],
        [row("c", "How urgent?", text.format("B7", 71, "5/6"))],
    )
    [near] = shared_warnings(given)
    assert near.startswith("texts that differ in numbers alone and stand in two splits: ")
    assert "train and test 1" in near
    assert shared_warnings(splits(list(given.train), list(given.validation), [])) == []


def test_numbers_dates_and_ids_are_left_out_of_a_text() -> None:
    assert without_numbers("On 2024-05-01 MRN12 had 38.5 °C, twice.") == "on had c twice"


def by_the_letter(text: str) -> str:
    """`normalised` in its plain words: one character after the other."""
    bare = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(c for c in bare if not unicodedata.combining(c))
    return " ".join(re.sub(r"[^\w\s]|_", " ", bare).split())


def test_every_character_is_normalised_as_in_plain_words() -> None:
    for start in range(0, 0x110000, 1000):  # each between letters, and beside its neighbours
        found = [chr(c) for c in range(start, min(start + 1000, 0x110000))]
        assert normalised("a".join(found)) == by_the_letter("a".join(found))
    pairs = "".join(f"A{chr(a)}{chr(b)}b" for a in range(128) for b in range(128))
    assert normalised(pairs) == by_the_letter(pairs)


@settings(max_examples=50)
@given(st.text(), st.text())
def test_question_and_context_are_normalised_apart_as_together(one: str, other: str) -> None:
    assert normalised(f"{one} {other}") == f"{normalised(one)} {normalised(other)}".strip()


@given(st.text(st.sampled_from("aB1²٣ⅷ፩ -,é"), max_size=30))
def test_numbers_are_words_with_a_digit(text: str) -> None:
    words = by_the_letter(text).split()
    kept = [word for word in words if not any(c.isdigit() for c in word)]
    assert without_numbers(text) == " ".join(kept)
