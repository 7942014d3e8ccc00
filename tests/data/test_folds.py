"""Folds: each row is tested once, what belongs together stays so, classes are balanced."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest
from conftest import toy_splits
from hypothesis import given, settings
from hypothesis import strategies as st

from r2d_ray.data.examples import Example, Splits
from r2d_ray.data.rows.folds import folded
from r2d_ray.data.rows.leaks import leak_keys
from r2d_ray.errors import UserError

LABELS = ("green", "red", "yellow")


def row(number: int, label: str, group: str | None = None, question: str | None = None) -> Example:
    return Example(
        id=f"r{number}",
        group=group or f"r{number}",
        question=question or f"What of case {number}?",
        context=f"Note {number}.",
        label=label,
    )


def set_of(rows: list[Example]) -> Splits:
    labels = tuple(sorted({row.label for row in rows}))
    third = len(rows) // 3
    parts = {
        "train": tuple(rows[: -2 * third]),
        "validation": tuple(rows[-2 * third : -third]),
        "test": tuple(rows[-third:]),
    }
    return replace(toy_splits().with_rows(parts), labels=labels)


def drawn_set(draw: random.Random) -> Splits:
    """Rows of patients, some of whom ask the same: what belongs together goes by both."""
    rows = []
    for number in range(draw.randint(30, 60)):
        shared = draw.randint(0, 40)
        question = f"What of case {shared}?" if shared < 3 else None
        rows.append(row(number, LABELS[number % 3], f"p{draw.randint(0, 24)}", question))
    return set_of(rows)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(2, 4))
def test_every_row_is_tested_once_and_nothing_that_belongs_together_is_parted(
    seed: int, count: int
) -> None:
    whole = drawn_set(random.Random(seed))
    with suppress(UserError):  # a few large components are refused, never parted
        check_parts(whole, folded(whole, count, seed))


def check_parts(whole: Splits, folds: tuple[Splits, ...]) -> None:
    rows = [r for _, part in whole.items() for r in part]
    keys = dict(zip([r.id for r in rows], leak_keys(rows), strict=True))
    ids = sorted(r.id for _, part in whole.items() for r in part)
    assert sorted(r.id for fold in folds for r in fold.test) == ids
    for fold in folds:
        assert sorted(r.id for _, part in fold.items() for r in part) == ids
        for get in (lambda r: r.group, lambda r: keys[r.id]):
            held = [{get(r) for r in part} for _, part in fold.items()]
            assert not held[0] & held[1]
            assert not held[0] & held[2]
            assert not held[1] & held[2]


def test_classes_keep_their_shares_in_every_fold() -> None:
    labels = ["red"] * 20 + ["yellow"] * 40 + ["green"] * 140
    folds = folded(set_of([row(n, label) for n, label in enumerate(labels)]), 5, 1)
    for fold in folds:
        assert Counter(r.label for r in fold.test) == {"red": 4, "yellow": 8, "green": 28}
        # 15 % of the others, by class: of 16, 32 and 112 rows.
        assert Counter(r.label for r in fold.validation) == {"red": 2, "yellow": 5, "green": 17}


def members(folds: tuple[Splits, ...]) -> set[frozenset[str]]:
    return {frozenset(r.id for r in fold.test) for fold in folds}


def test_folds_follow_the_seed_and_not_the_order_of_rows_or_their_splits() -> None:
    rows = [row(n, LABELS[n % 3], f"p{n // 2}") for n in range(60)]
    first = folded(set_of(rows), 4, 7)
    turned = folded(set_of(rows[::-1]), 4, 7)
    assert [{r.id for r in f.test} for f in first] == [{r.id for r in f.test} for f in turned]
    assert [{r.id for r in f.validation} for f in first] == [
        {r.id for r in f.validation} for f in turned
    ]
    assert members(first) != members(folded(set_of(rows), 4, 8))
    assert len({fold.hash for fold in first}) == 4, "each has its own data hash"


@pytest.mark.parametrize(
    ("red_groups", "count", "said"),
    [
        (3, 4, "label 'red' stands in 3 groups of rows that stay together (allowed: 2 to 3)"),
        (1, 2, "label 'red' stands in 1 groups of rows that stay together (allowed: no --folds)"),
    ],
)
def test_more_folds_than_groups_of_the_rarest_class_are_refused(
    red_groups: int, count: int, said: str
) -> None:
    rows = [row(n, "red", f"red{n % red_groups}") for n in range(12)]
    rows += [row(n, "green") for n in range(12, 60)]
    with pytest.raises(UserError) as caught:
        folded(set_of(rows), count, 1)
    assert str(caught.value) == f"--folds {count}: {said}"


def test_more_folds_than_groups_of_open_rows_are_refused() -> None:
    whole = set_of([row(n, f"text {n}", f"p{n % 4}") for n in range(40)])
    with pytest.raises(UserError, match="--folds 5: the rows make 4 groups"):
        folded(replace(whole, labels=()), 5, 1)


def test_the_card_says_what_became_of_the_sources_splits() -> None:
    [fold, *_] = folded(set_of([row(n, LABELS[n % 3]) for n in range(60)]), 3, 1)
    note = fold.provenance.notes[-1]
    assert note.startswith("3 folds over all 60 rows, stratified, groups whole: each row is tested")
