"""Trivial rationales by hand: where a sentence ends, whose rationale a row is given."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from conftest import toy_splits
from hypothesis import given
from hypothesis import strategies as st

from r2d_ray.data.examples import Example
from r2d_ray.evaluation.controls import trivial_rationales as module
from r2d_ray.evaluation.controls.trivial_rationales import (
    FIRST_SENTENCE,
    NEAREST,
    RANDOM,
    TrainingRationales,
    first_sentence,
    given_predicted_label,
    label_key,
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


def gold(rows: list[Example]) -> list[str | int | None]:
    return [label_key(row, row.label) for row in rows]


def drawn(rows: list[Example], train: list[Example], source: str = "human", seed: int = 1):
    """What the oracle gives: a random rationale of the gold label."""
    return TrainingRationales(rows, train, source, seed).random(gold(rows))


def test_a_row_is_given_a_rationale_of_its_own_label() -> None:
    found = drawn(ROWS, TRAIN)
    assert [text.split()[0] for text in found] == [r.label for r in ROWS]
    # 133 rows drawn from 4 texts, 67 from 4: each about equally often.
    times = Counter(found)
    assert len(times) == 8
    assert all(20 <= times[f"yes {i}"] <= 47 for i in range(4))


def test_of_any_label_every_training_rationale_is_as_likely() -> None:
    found = TrainingRationales(ROWS, TRAIN, "human", seed=1).random()
    times = Counter(found)
    # 200 rows drawn from 8 texts: 25 each, with a standard deviation below 5.
    assert len(times) == 8
    assert all(10 <= count <= 40 for count in times.values())


def test_the_draw_does_not_depend_on_the_order_of_rows_but_on_the_seed() -> None:
    found = drawn(ROWS, TRAIN)
    order = random.Random(0).sample(range(len(ROWS)), len(ROWS))
    mixed = random.Random(0).sample(TRAIN, len(TRAIN))
    assert drawn([ROWS[i] for i in order], mixed) == [found[i] for i in order]
    assert drawn(ROWS, TRAIN, seed=2) != found


OPTIONS = [row("t1", "dog", "first", ("dog", "cat")), row("t2", "sun", "second", ("fog", "sun"))]


def test_rows_with_their_own_options_are_matched_by_position() -> None:
    rows = [row("r1", "rice", choices=("corn", "rice")), row("r2", "tin", choices=("tin", "zinc"))]
    assert drawn(rows, OPTIONS) == ["second", "first"]
    known = TrainingRationales(rows, OPTIONS, "human", seed=1)
    assert known.nearest(gold(rows)) == ["second", "first"]


@pytest.mark.parametrize(("label", "source"), [("maybe", "human"), ("yes", "llm"), (None, "human")])
def test_a_label_without_a_training_rationale_gives_an_empty_text(
    label: str | None, source: str
) -> None:
    known = TrainingRationales([row("r", "yes")], TRAIN, source, seed=0)
    assert known.random([label]) == known.nearest([label]) == [""]


def test_the_nearest_row_shares_the_rarest_words() -> None:
    def note(id_: str, context: str, label: str) -> Example:
        return Example(id_, id_, "What now?", context, label, {"human": f"why {id_}"})

    train = [
        note("a", "pain and fever", "yes"),
        note("b", "pain and rash", "no"),
        note("c", "pain and cough", "no"),
    ]
    rows = [note("1", "fever", "no"), note("2", "a cough", "yes"), note("3", "nothing", "yes")]
    known = TrainingRationales(rows, train, "human", seed=0)
    assert known.nearest()[:2] == ["why a", "why c"]
    # Of label no, b and c are equally unlike "fever": the first by id. Of yes there is only a.
    assert known.nearest(["no", "yes", "no"]) == ["why b", "why a", "why b"]
    back = TrainingRationales(rows[::-1], train[::-1], "human", seed=0)
    assert back.nearest() == known.nearest()[::-1]


def test_the_nearest_of_many_rows_is_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [replace(r, context=f"note {i % 7} of {i % 5}") for i, r in enumerate(ROWS)]
    train = [replace(r, context=f"note {i % 7} of {i % 3}") for i, r in enumerate(TRAIN)]
    whole = TrainingRationales(rows, train, "human", seed=0)
    found = whole.nearest(), whole.nearest(gold(rows))
    monkeypatch.setattr(module, "AT_ONCE", 3)
    parts = TrainingRationales(rows, train, "human", seed=0)
    assert (parts.nearest(), parts.nearest(gold(rows))) == found


ORACLE, ANY = "gold label (oracle)", "any label"
NAMES = [FIRST_SENTENCE, *(f"{kind}, {of}" for kind in (RANDOM, NEAREST) for of in (ANY, ORACLE))]


def test_trivial_rationales_are_predictions_of_no_label_beside_the_sources_references() -> None:
    splits = toy_splits()
    found = trivial_rationales(splits, "llm", seed=3)
    assert list(found) == NAMES
    for predictions in found.values():
        assert [p.id for p in predictions] == [r.id for r in splits.test]
        assert [p.reference for p in predictions] == [r.rationales["llm"] for r in splits.test]
        assert [p.gold_label for p in predictions] == [r.label for r in splits.test]
        assert {p.label for p in predictions} == {None}
    sentences = [p.rationale for p in found[FIRST_SENTENCE]]
    assert sentences == [f"{r.context.split('.')[0]}." for r in splits.test]
    training = {r.rationales["llm"] for r in splits.train}
    assert all(p.rationale in training for name in NAMES[1:] for p in found[name])


def test_only_the_oracle_depends_on_the_gold_label() -> None:
    splits = toy_splits()
    swapped = tuple(replace(r, label="no" if r.label == "yes" else "yes") for r in splits.test)
    before = trivial_rationales(splits, "human", seed=3)
    after = trivial_rationales(replace(splits, test=swapped), "human", seed=3)
    for name in NAMES:
        same = [p.rationale for p in before[name]] == [p.rationale for p in after[name]]
        assert same == (ORACLE not in name), name


def test_a_predicted_label_that_is_gold_makes_it_the_oracle() -> None:
    splits = toy_splits()
    right = {r.id: r.label for r in splits.test}
    wrong = {id_: "no" if label == "yes" else "yes" for id_, label in right.items()}
    out_of_set: dict[str, str | None] = dict.fromkeys(right, "maybe")
    knows, errs, none = given_predicted_label(splits, "human", 3, [right, wrong, out_of_set])
    oracle = trivial_rationales(splits, "human", seed=3)
    for name in (RANDOM, NEAREST):
        assert knows[name] == oracle[f"{name}, {ORACLE}"]
        assert errs[name] != knows[name]
        assert {p.rationale for p in none[name]} == {""}


def test_a_row_without_a_context_or_a_reference_has_none() -> None:
    splits = toy_splits()
    first, *others = (replace(r, rationales={}) for r in splits.test)
    some = (replace(first, context=""), *others)
    found = trivial_rationales(replace(splits, test=some), "human", seed=3)
    sentence = found[FIRST_SENTENCE][0]
    assert (sentence.rationale, sentence.reference) == (None, None)
    assert all(found[name][0].rationale for name in NAMES[1:])


def test_where_no_row_has_a_context_there_is_no_first_sentence() -> None:
    splits = toy_splits()
    bare = tuple(replace(r, context=" ") for r in splits.test)
    found = trivial_rationales(replace(splits, test=bare), "human", seed=3)
    assert list(found) == list(NAMES[1:])
