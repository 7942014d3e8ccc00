"""Trivial rationales by hand: where a sentence ends, whose rationale a row is given."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from conftest import toy_splits
from hypothesis import given
from hypothesis import strategies as st

from r2d_ray.data.examples import Example
from r2d_ray.evaluation.controls import (
    FIRST_SENTENCE,
    SAME_LABEL,
    first_sentence,
    same_label_rationales,
    trivial_rationales,
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("It helped. It was fine.", "It helped."),
        ("Did it help? Yes.", "Did it help?"),
        ('He said "it helps!" Then he left.', 'He said "it helps!"'),
        ("It fell (by half.) [See below.]", "It fell (by half.)"),
        ("A 2.5 mg dose, i.e. ca. 5 drops, of E. xena. So.", "A 2.5 mg dose, i.e. ca. 5 drops, of "
         "E. xena."),
        ("pt is worried. denies all.", "pt is worried."),
        ("3 of 10. 4 more?", "3 of 10. 4 more?"),
        ("No end here", "No end here"),
        ("  One line\nand its rest.\n", "One line\nand its rest."),
        ("A heading\n \nA text.", "A heading"),
        ("Its end is the text's.", "Its end is the text's."),
        ("", ""),
    ],
)  # fmt: skip
def test_a_sentence_ends_before_something_that_may_begin_one(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence


@given(text=st.text(alphabet="aB1.!?\n \"'", max_size=30))
def test_the_first_sentence_begins_the_text_and_is_its_own_first_sentence(text: str) -> None:
    sentence = first_sentence(text)
    assert text.strip().startswith(sentence)
    assert first_sentence(sentence) == sentence
    assert bool(sentence) == bool(text.strip())


def row(id_: str, label: str, why: str = "", choices: tuple[str, ...] | None = None) -> Example:
    rationales = {"human": why} if why else {}
    return Example(id_, id_, "Q?", "", label, rationales, choices)


TRAIN = [
    *(row(f"y{i}", "yes", f"yes {i}") for i in range(4)),
    *(row(f"n{i}", "no", f"no {i}") for i in range(4)),
    *(row("y-none", "yes"), row("y-blank", "yes", " ")),
]
ROWS = [row(str(i), "yes" if i % 3 else "no") for i in range(200)]


def test_a_row_is_given_a_rationale_of_its_own_label() -> None:
    found = same_label_rationales(ROWS, TRAIN, "human", seed=1)
    assert [text.split()[0] for text in found] == [r.label for r in ROWS]
    # 133 rows drawn from 4 texts, 67 from 4: each about equally often.
    times = Counter(found)
    assert len(times) == 8
    assert all(20 <= times[f"yes {i}"] <= 47 for i in range(4))


def test_the_draw_does_not_depend_on_the_order_of_rows_but_on_the_seed() -> None:
    found = same_label_rationales(ROWS, TRAIN, "human", seed=1)
    order = random.Random(0).sample(range(len(ROWS)), len(ROWS))
    mixed = random.Random(0).sample(TRAIN, len(TRAIN))
    again = same_label_rationales([ROWS[i] for i in order], mixed, "human", seed=1)
    assert again == [found[i] for i in order]
    assert same_label_rationales(ROWS, TRAIN, "human", seed=2) != found


def test_rows_with_their_own_options_are_matched_by_position() -> None:
    train = [row("t1", "dog", "first", ("dog", "cat")), row("t2", "sun", "second", ("fog", "sun"))]
    rows = [row("r1", "rice", choices=("corn", "rice")), row("r2", "tin", choices=("tin", "zinc"))]
    assert same_label_rationales(rows, train, "human", seed=0) == ["second", "first"]


def test_a_label_without_a_training_rationale_gives_an_empty_text() -> None:
    assert same_label_rationales([row("r", "maybe")], TRAIN, "human", seed=0) == [""]
    assert same_label_rationales([row("r", "yes")], TRAIN, "llm", seed=0) == [""]


def test_trivial_rationales_are_predictions_of_no_label_beside_the_sources_references() -> None:
    splits = toy_splits()
    found = trivial_rationales(splits, "llm", seed=3)
    assert list(found) == [FIRST_SENTENCE, SAME_LABEL]
    for predictions in found.values():
        assert [p.id for p in predictions] == [r.id for r in splits.test]
        assert [p.reference for p in predictions] == [r.rationales["llm"] for r in splits.test]
        assert [p.gold_label for p in predictions] == [r.label for r in splits.test]
        assert {p.label for p in predictions} == {None}
    sentences = [p.rationale for p in found[FIRST_SENTENCE]]
    assert sentences == [f"{r.context.split('.')[0]}." for r in splits.test]
    assert all((p.rationale or "").startswith("It ") for p in found[SAME_LABEL])


def test_a_row_without_a_context_or_a_reference_has_none() -> None:
    splits = toy_splits()
    bare = tuple(replace(r, context="", rationales={}) for r in splits.test)
    sentence, same = (p[0] for p in trivial_rationales(
        replace(splits, test=bare), "human", seed=3
    ).values())  # fmt: skip
    assert (sentence.rationale, sentence.reference) == (None, None)
    assert same.rationale
