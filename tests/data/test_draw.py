"""Drawn splits have their shares, whatever labels, groups and contexts the rows have."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2d_ray.data.examples import Example
from r2d_ray.data.rows.draw import draw, off_shares
from r2d_ray.data.splits import SourceRows, check_drawn, drawing_notes, share_warnings, split_rows
from r2d_ray.errors import UserError

NAMES = ("test", "validation")


def row(i: int, label: str, group: str | None = None, context: str = "") -> Example:
    return Example(f"r{i}", group or f"r{i}", f"Question {i}?", context, label)


def counts(rows: list[Example], seed: int = 0) -> Counter[str]:
    return Counter(draw(rows, NAMES, seed))


def test_labels_of_three_rows_each_leave_most_rows_to_training() -> None:
    rows = [row(i, f"label {i // 3}") for i in range(750)]
    drawn = draw(rows, NAMES, 0)
    assert Counter(drawn) == {"train": 526, "validation": 112, "test": 112}
    trained = {r.label for r, split in zip(rows, drawn, strict=True) if split == "train"}
    assert len(trained) == 250  # a fixed set needs every label in training


@given(st.integers(0, 20), st.integers(2, 5))
def test_a_label_whose_rows_share_groups_with_others_is_in_training_too(
    seed: int, size: int
) -> None:
    rows = [row(i, "ab"[i % 2], f"patient {i // size}") for i in range(120)]
    rows[3] = row(3, "once", rows[3].group)
    rows[9] = row(9, "twice", rows[9].group)
    rows[40] = row(40, "twice", rows[40].group)
    drawn = draw(rows, NAMES, seed)
    trained = {r.label for r, split in zip(rows, drawn, strict=True) if split == "train"}
    assert trained == {"a", "b", "once", "twice"}
    assert set(drawn) == {"train", *NAMES}
    groups = {(r.group, split) for r, split in zip(rows, drawn, strict=True)}
    assert len(groups) == len({r.group for r in rows})  # moved as a whole


def test_open_labels_are_drawn_although_each_stands_alone() -> None:
    rows = [row(i, f"free text {i}") for i in range(1504)]
    assert counts(rows) == {"train": 1052, "validation": 226, "test": 226}


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3)), min_size=60, max_size=120),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=40)
def test_shares_hold_for_any_labels_and_small_groups(
    units: list[tuple[int, int]], seed: int
) -> None:
    rows = [
        row(1000 * u + i, f"label {label}", f"group {u}")
        for u, (label, size) in enumerate(units)
        for i in range(size)
    ]
    drawn = draw(rows, NAMES, seed)
    found = Counter(drawn)
    # Labels of one group alone stay in training; all others leave a group to draw.
    free = len(rows) - sum(
        size for label, size in units if sum(other == label for other, _ in units) == 1
    )
    if free > 0.7 * len(rows):
        assert off_shares(found, len(rows), NAMES) == []
    by_group = {}
    for r, split in zip(rows, drawn, strict=True):
        assert by_group.setdefault(r.group, split) == split
    closed = {label for label, _ in units}
    trained = {r.label for r, split in zip(rows, drawn, strict=True) if split == "train"}
    assert trained == {f"label {label}" for label in closed}


def test_rows_of_one_context_stay_together_unless_groups_are_given() -> None:
    premise = "A man in a red coat waits at the gate of station"
    rows = [row(i, "yes" if i % 2 else "no", context=f"{premise} {i // 3}") for i in range(120)]
    drawn = draw(rows, NAMES, 0)
    parts = {r.context: set() for r in rows}
    for r, split in zip(rows, drawn, strict=True):
        parts[r.context].add(split)
    assert all(len(found) == 1 for found in parts.values())
    [note] = drawing_notes(SourceRows(tuple(rows)))
    assert "40 contexts" in note
    assert "--columns group=COLUMN" in note
    named = tuple(row(i, r.label, f"g{i}", r.context) for i, r in enumerate(rows))
    assert drawing_notes(SourceRows(named)) == ()
    assert len({s for r, s in zip(named, draw(named, NAMES, 0), strict=True)}) == 3


def test_a_share_that_cannot_be_had_is_warned_of() -> None:
    rows = tuple(row(i, f"label {i}") for i in range(100))  # a fixed set of single rows
    source = SourceRows(rows)
    parts = dict(zip(("train", "validation", "test"), split_rows(source, 0), strict=True))
    said = share_warnings(source, parts)
    assert [line.split(" of ")[0] for line in said] == [
        "the test split has 1",
        "the validation split has 1",
    ]


def test_rows_that_all_ask_the_same_cannot_be_drawn_and_the_context_is_asked_for() -> None:
    rows = tuple(
        Example(f"r{i}", f"r{i}", "How urgent is this?", "", "ab"[i % 2]) for i in range(40)
    )
    source = SourceRows(rows)
    parts = dict(zip(("train", "validation", "test"), split_rows(source, 0), strict=True))
    with pytest.raises(UserError, match=r"no test split can be drawn: .*--columns context=COLUMN"):
        check_drawn(source, parts, "notes")
