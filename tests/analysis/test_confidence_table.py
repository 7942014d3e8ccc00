"""Errors by confidence, by hand: fifths of ten rows, sub-populations, and what has no value."""

import pytest
from made_studies import RIGHT, comparison, predictions, record, study

from analysis.groups import groups_of
from analysis.tables.confidence import FIFTHS, confidence_table
from analysis.tables.table import Table
from r2d_ray.records import Prediction

SURE = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
WRONG = (0, 1, 3, 9)  # places in `SURE`, so of the fifths 2, 1, 0, 0 and 1 are wrong


def answered(wrong=WRONG, sure=SURE, tags=()) -> tuple[Prediction, ...]:
    """Ten rows, in an order that is not that of their confidence; the tags are of the first two."""
    rows = [
        Prediction(
            id=str(place),
            group=str(place),
            gold_label="yes",
            label="no" if place in wrong else "yes",
            probabilities={
                "no": p if place in wrong else 1 - p, "yes": 1 - p if place in wrong else p
            },
            tags=tags if place < 2 else (),
        )
        for place, p in enumerate(sure)
    ]  # fmt: skip
    return tuple(rows[5:] + rows[:5])


def table_of(*runs: tuple[Prediction, ...]) -> Table:
    records = [record(f"r2d-{n}", n) for n in range(1, len(runs) + 1)]
    made = study(records, {f"r2d-{n}": rows for n, rows in enumerate(runs, start=1)})
    return confidence_table(groups_of(made))


PARTS = (*FIFTHS, "all")


def line(table: Table, share: str) -> list[float | None]:
    (row,) = [row for row in table.rows if row["share"] == share]
    return [row[part] and row[part].mean for part in PARTS]


def test_fifths_go_from_the_least_sure_to_the_surest_and_all_rows_come_last() -> None:
    table = table_of(answered())
    assert line(table, "right") == pytest.approx([0, 0.5, 1, 1, 0.5, 0.6])
    sure = [0.575, 0.675, 0.775, 0.875, 0.97, sum(SURE) / 10]
    assert line(table, "mean confidence") == pytest.approx(sure)
    assert [row["rows"] for row in table.rows] == [10, 10]


def test_a_model_has_two_lines_however_many_sub_populations_there_are() -> None:
    table = table_of(answered(tags=("site=north", "site=south")))
    assert [row["share"] for row in table.rows] == ["right", "mean confidence"]
    headings = [column.heading for column in table.columns]
    assert headings[-6:] == [*FIFTHS.values(), "All rows"]


def test_seeds_have_fifths_of_their_own_and_are_averaged() -> None:
    table = table_of(answered(), answered(wrong=()))
    assert line(table, "right") == pytest.approx([0.5, 0.75, 1, 1, 0.75, 0.8])
    assert table.rows[0]["fifth_1"].sd == pytest.approx(0.5**0.5)  # of 0 and 1
    assert {row["seeds"] for row in table.rows} == {2}


def test_rows_that_do_not_part_in_five_are_all_there_once_and_an_empty_fifth_is_not_0() -> None:
    assert line(table_of(answered()[:3]), "right")[:5].count(None) == 2
    assert line(table_of(answered(wrong=())[:7]), "right") == [1] * 6


def test_a_method_without_probabilities_is_named_and_alone_leaves_no_table() -> None:
    bare = comparison({"sft-1": RIGHT})
    table = confidence_table(groups_of(bare))
    assert (table.rows, table.columns) == ((), ())
    assert table.notes == ("no run has stored test predictions with probabilities",)
    records = [record("r2d-1", 0), record("sft-1", 1)]
    both = study(records, {"r2d-1": answered(), "sft-1": predictions(RIGHT)})
    assert "without stored probabilities: sft" in confidence_table(groups_of(both)).notes
