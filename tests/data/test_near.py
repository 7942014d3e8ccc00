"""Texts that hardly differ across splits: found by sketches, counted by their pairs of words."""

import random
import time

import numpy as np
import pytest

from r2d_ray.config import FEW_TEST_ROWS
from r2d_ray.data.examples import Example, Provenance, Splits
from r2d_ray.data.rows import shared
from r2d_ray.data.rows.near import Sketches, likeness, nearest
from r2d_ray.data.rows.sample import sampled, sampled_places
from r2d_ray.data.rows.shared import shared_warnings
from r2d_ray.data.splits import few_rows_warnings

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "bdfgklmnprst"]


def text(seed, count=40):
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def other(words, *places):
    return " ".join("changed" if i in places else word for i, word in enumerate(words.split()))


def row(name, context, question="How urgent is it?", label="a"):
    return Example(name, name, question, context, label)


def splits(train, validation, test, labels=("a", "b")):
    origin = Provenance("file", "a.csv", "none")
    return Splits("a", tuple(train), tuple(validation), tuple(test), labels, origin)


def test_likeness_is_the_share_of_common_pairs_of_words():
    assert likeness("a b c d", "a b c d") == 1
    assert likeness("a b c d", "a b c e") == 2 / 4  # ab bc, of ab bc cd ce
    assert likeness("a b", "b a") == 0


def test_texts_are_found_by_their_sketches_and_others_are_not():
    earlier, later = Sketches(), Sketches()
    for i in range(3000):  # more than a block
        earlier.add(i, text(i))
    for i in range(100):
        later.add(i, other(text(i), 20) if i % 2 else text(f"new {i}"))
    assert dict(nearest(earlier, later)) == {i: i for i in range(1, 100, 2)}
    assert list(nearest(Sketches(), later)) == list(nearest(earlier, Sketches())) == []


def test_sketches_agree_as_often_as_pairs_overlap():
    one, two = Sketches(), Sketches()
    shares = []
    for i in range(400):
        whole = text(i)
        changed = other(whole, 3, 11, 19, 27)
        one.add(i, whole)
        two.add(i, changed)
        shares.append(likeness(whole, changed))
    agreed = (one.table() == two.table()).mean()
    assert agreed == pytest.approx(np.mean(shares), abs=0.02)


def test_texts_that_hardly_differ_are_warned_of_with_one_pair():
    train = [row(f"t{i}", text(i)) for i in range(60)]
    test = [row("x", other(text(7), 20)), row("y", other(text(8), 4)), row("z", text("new"))]
    [said] = shared_warnings(splits(train, [row("v", text("v"))], test))
    # 39 pairs, two of them changed: 37 of 41
    assert said == (
        "texts that hardly differ (80% or more of their pairs of words) and stand in two splits: "
        "train and test 2, such as rows 't7' and 'x', 90% (--columns group=COLUMN keeps rows of "
        "one patient or document together)"
    )


def test_what_a_form_has_in_common_makes_no_texts_alike():
    form = text("form", 60)
    train = [row(f"t{i}", text(i, 8), form) for i in range(60)]
    assert shared_warnings(splits(train, [row("v", text("v", 8), form)], train[:0])) == []


def test_no_row_of_few_words_and_no_equal_context_is_counted():
    train = [row(f"t{i}", text(i)) for i in range(60)]
    same = row("x", text(7), "And how old is the patient who is calling here?")
    [said] = shared_warnings(splits(train, [row("v", "mild pain")], [same, row("w", "mild pain")]))
    assert said.startswith("contexts of 8 or more words that stand in two splits: ")


def test_of_many_rows_a_sample_is_compared_and_said(monkeypatch):
    monkeypatch.setattr(shared, "COMPARED_ROWS", {"train": 50, "validation": 9, "test": 9})
    train = [row(f"t{i}", text(i)) for i in range(60)]
    test = [row(f"x{i}", other(text(i), 20)) for i in range(9)]
    [said] = shared_warnings(splits(train, [row("v", text("v"))], test))
    assert said.endswith("; from a sample of 50 train rows")


def test_a_sample_is_the_same_whatever_the_order():
    rows = [row(f"t{i}", "c") for i in range(30)]
    assert {r.id for r in sampled(rows, 7)} == {r.id for r in sampled(rows[::-1], 7)}
    assert {rows[i].id for i in sampled_places(rows, 7)} == {r.id for r in sampled(rows, 7)}
    assert sampled(rows, 30) is rows


def test_sketching_is_linear_and_quick():
    texts = [text(i, 60) for i in range(2000)]
    began = time.process_time()
    made = Sketches()
    for i, one in enumerate(texts):
        made.add(i, one)
    made.table()
    assert time.process_time() - began < 1  # 0.04 s when nothing else runs


def test_labels_with_few_test_rows_are_warned_of_with_their_counts():
    test = [row(f"x{i}", "c", label="a") for i in range(FEW_TEST_ROWS)]
    test += [row(f"y{i}", "c", label="b") for i in range(3)]
    [said] = few_rows_warnings(splits([], [], test, ("a", "b", "c")))
    assert said == (
        "labels with fewer than 10 test rows: b 3, c 0; each of these rows moves macro-F1, and "
        "the score of such a label says little"
    )
    assert few_rows_warnings(splits([], [], test[:FEW_TEST_ROWS], ("a",))) == []
    assert few_rows_warnings(splits([], [], [], ())) == []
    many = few_rows_warnings(splits([], [], test, tuple("abcdefghijklm")))
    assert "i 0, 4 more labels; " in many[0]
