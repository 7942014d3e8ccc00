"""How rows are split: shares, whole groups, no leak, and the same answer in every order."""

import itertools
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2d_ray.data.examples import Example, label_kind
from r2d_ray.data.rows.draw import components, draw, hash_order
from r2d_ray.data.rows.leaks import leak_keys, remove_leaks
from r2d_ray.data.splits import (
    SourceRows,
    fixed_labels,
    limit_rows,
    split_rows,
)
from r2d_ray.method.label_kinds import CHOICES, FIXED, OPEN


def row(number, label="yes", group=None, question=None, context="", choices=None):
    return Example(
        id=f"r{number}",
        group=group or f"g{number}",
        question=question or f"question {number}",
        context=context,
        label=label,
        choices=choices,
    )


def rows_of(**counts):
    labels = [label for label, count in counts.items() for _ in range(count)]
    return tuple(row(i, label) for i, label in enumerate(labels))


def split_of(rows, seed=0, names=("test", "validation")):
    return dict(zip((r.id for r in rows), draw(rows, names, seed), strict=True))


drawn_rows = st.lists(
    st.tuples(st.sampled_from(("yes", "no", "maybe")), st.integers(0, 12), st.integers(0, 25)),
    min_size=1,
    max_size=60,
).map(
    lambda cells: tuple(
        row(i, label, f"g{group}", f"What of {question}?")
        for i, (label, group, question) in enumerate(cells)
    )
)


def test_rows_that_share_a_key_even_through_others_are_one_component():
    numbers = components([["a", "b"], ["c"], ["b", "d"], ["d"], []])
    assert numbers[0] == numbers[2] == numbers[3]
    assert len(set(numbers)) == 3


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=3), max_size=12))
def test_components_equal_repeated_merging(keys):
    sets = [set(ks) | {f"row {i}"} for i, ks in enumerate(keys)]
    merged = True
    while merged:
        merged = False
        for i, j in itertools.combinations(range(len(sets)), 2):
            if sets[i] & sets[j] and sets[i] != sets[j]:
                sets[i] = sets[j] = sets[i] | sets[j]
                merged = True
    numbers = components(keys)
    for i in range(len(keys)):
        for j in range(len(keys)):
            assert (numbers[i] == numbers[j]) == (sets[i] == sets[j])


def test_each_label_gives_15_per_cent_to_validation_and_to_test():
    rows = rows_of(yes=60, no=40)
    labels = {r.id: r.label for r in rows}
    counts = Counter((labels[i], split) for i, split in split_of(rows).items())
    assert counts == {
        ("yes", "test"): 9,
        ("yes", "validation"): 9,
        ("yes", "train"): 42,
        ("no", "test"): 6,
        ("no", "validation"): 6,
        ("no", "train"): 28,
    }


def test_a_label_of_two_rows_stays_in_training_and_one_of_three_is_everywhere():
    rows = rows_of(common=20, rare=2, few=3)
    splits = split_of(rows)
    assert {splits[r.id] for r in rows if r.label == "rare"} == {"train"}
    assert {splits[r.id] for r in rows if r.label == "few"} == {"train", "validation", "test"}


def test_rows_with_their_own_choices_are_drawn_without_strata():
    rows = tuple(row(i, f"option {i}", choices=(f"option {i}", "none")) for i in range(20))
    assert Counter(split_of(rows).values()) == {"train": 14, "validation": 3, "test": 3}


def test_the_draw_depends_on_the_seed_and_on_nothing_else():
    rows = rows_of(yes=30, no=30)
    shuffled = random.Random(1).sample(rows, len(rows))
    assert split_of(shuffled) == split_of(rows)
    assert split_of(rows, seed=1) != split_of(rows, seed=0)


def test_the_hash_order_is_the_same_in_every_process():
    assert hash_order(3, "a").startswith("a8d5d9d90aae")


@given(drawn_rows, st.integers(0, 5))
def test_no_group_and_no_question_is_drawn_apart(rows, seed):
    splits = split_of(rows, seed)
    keys = dict(zip((r.id for r in rows), leak_keys(rows), strict=True))
    for one in rows:
        for other in rows:
            if one.group == other.group or keys[one.id] == keys[other.id]:
                assert splits[one.id] == splits[other.id]


def test_groups_larger_than_a_share_still_fill_every_split():
    rows = tuple(row(i, group=f"document {i // 50}") for i in range(200))
    counts = Counter(split_of(rows).values())
    assert counts == {"train": 100, "validation": 50, "test": 50}


def test_named_splits_are_kept_and_only_the_missing_one_is_drawn():
    rows = rows_of(yes=40, no=40)
    assigned = {r.id: "test" for r in rows if int(r.id[1:]) % 2}
    train, validation, test = split_rows(SourceRows(rows, assigned), seed=0)
    assert [r.id for r in test] == [i for i in (r.id for r in rows) if i in assigned]
    assert Counter(r.label for r in validation) == {"yes": 3, "no": 3}
    assert len(train) == 34


def test_with_all_splits_named_nothing_is_drawn():
    rows = rows_of(yes=6)
    names = ["train", "validation", "test", "train", "validation", "test"]
    assigned = dict(zip((r.id for r in rows), names, strict=True))
    parts = split_rows(SourceRows(rows, assigned), seed=0)
    assert [[r.id for r in part] for part in parts] == [["r0", "r3"], ["r1", "r4"], ["r2", "r5"]]


def test_the_key_is_the_question_whatever_its_case_and_punctuation():
    assert (
        leak_keys([row(1, question="Is B12 LOW?"), row(2, question="is b12  low")])
        == ["is b12 low"] * 2
    )


def test_where_all_ask_the_same_the_context_is_part_of_the_key():
    same = [row(i, question="Where to?", context=f"note {i}") for i in range(8)]
    assert len(set(leak_keys(same))) == 8


def test_a_question_planted_twice_in_a_small_set_is_a_repeat_and_not_a_form():
    rows = [row(i, context=f"text {i}") for i in range(10)]
    rows[7] = replace(rows[7], question=rows[2].question)
    assert leak_keys(rows)[7] == leak_keys(rows)[2]


PLANTED = {
    "question in test, from train": (
        {"train": row(9, question="QUESTION 3!")},
        {"train row: its question is in test": 1},
    ),
    "group in test, from train": (
        {"train": row(9, group="g3")},
        {"train row: its group is in test": 1},
    ),
    "question in validation, from train": (
        {"train": row(9, question="question 2")},
        {"train row: its question is in validation": 1},
    ),
    "question in test, from validation": (
        {"validation": row(9, question="question 3")},
        {"validation row: its question is in test": 1},
    ),
    "group in test, from both": (
        {"train": row(8, group="g3"), "validation": row(9, group="g3")},
        {"train row: its group is in test": 1, "validation row: its group is in test": 1},
    ),
}


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_repeat_is_dropped_from_the_earlier_side_and_counted(case):
    planted, counts = PLANTED[case]
    clean = {"train": (row(1),), "validation": (row(2),), "test": (row(3),)}
    given_parts = {
        name: (*rows, planted[name]) if name in planted else rows for name, rows in clean.items()
    }
    *kept, dropped = remove_leaks(**given_parts)
    assert tuple(kept) == tuple(clean.values())
    assert dropped == counts


def test_a_training_row_is_kept_when_only_a_dropped_validation_row_shared_its_group():
    train, validation = row(1, group="a"), row(2, group="a", question="question 3")
    assert remove_leaks((train,), (validation,), (row(3),))[:2] == ((train,), ())


def test_repeats_within_one_split_stay():
    twice = (row(1), row(4, group="g1", question="question 1"))
    assert remove_leaks(twice, (row(2),), (row(3),))[0] == twice


@settings(max_examples=60)
@given(drawn_rows, st.lists(st.integers(0, 2), min_size=60, max_size=60))
def test_after_removal_nothing_is_shared_and_test_is_whole(rows, sides):
    parts = [tuple(r for r, s in zip(rows, sides, strict=False) if s == side) for side in range(3)]
    *kept, dropped = remove_leaks(*parts)
    assert kept[2] == parts[2]
    assert sum(map(len, kept)) + sum(dropped.values()) == len(rows)
    in_order = [r for part in parts for r in part]
    keys = dict(zip((r.id for r in in_order), leak_keys(in_order), strict=True))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not {r.group for r in kept[one]} & {r.group for r in kept[other]}
        assert not {keys[r.id] for r in kept[one]} & {keys[r.id] for r in kept[other]}


def test_a_limit_keeps_the_label_shares_and_the_order_of_rows():
    rows = rows_of(yes=60, no=30, maybe=10)
    kept = limit_rows(rows, 20, seed=0)
    assert Counter(r.label for r in kept) == {"yes": 12, "no": 6, "maybe": 2}
    assert [r for r in rows if r in kept] == list(kept)


def test_a_limit_leaves_every_label_a_row_and_a_larger_one_changes_nothing():
    rows = rows_of(yes=97, no=2, maybe=1)
    assert {r.label for r in limit_rows(rows, 3, seed=0)} == {"yes", "no", "maybe"}
    assert limit_rows(rows, 1000, seed=0) == rows


@given(st.integers(1, 30), st.integers(0, 3))
def test_a_smaller_limit_takes_from_the_larger_ones_rows(limit, seed):
    rows = rows_of(yes=20, no=11)
    assert set(r.id for r in limit_rows(rows, limit, seed)) <= set(
        r.id for r in limit_rows(rows, limit + 1, seed)
    )


def test_labels_are_sorted_save_where_custom_has_an_order():
    assert fixed_labels(rows_of(maybe=1, no=1, yes=1)) == ("yes", "no", "maybe")
    assert fixed_labels(rows_of(no=1, yes=1)) == ("yes", "no")
    assert fixed_labels(rows_of(urgent=1, home=1, no=1)) == ("home", "no", "urgent")


def test_rows_with_choices_have_no_fixed_label_set():
    assert fixed_labels((row(1, "a", choices=("a", "b")),)) == ()


def test_more_labels_than_a_set_may_have_are_open():
    rows = tuple(row(i, f"label {i}") for i in range(1001))
    assert fixed_labels(rows) == ()
    assert len(fixed_labels(rows[:1000])) == 1000


def test_the_kind_of_labels():
    assert label_kind(("yes", "no"), rows_of(yes=1, no=1)) == FIXED
    assert label_kind((), (row(1, "a", choices=("a", "b")),)) == CHOICES
    assert label_kind((), (row(1, "a"),)) == OPEN
