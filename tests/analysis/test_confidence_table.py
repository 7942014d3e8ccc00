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


def cells(table: Table, key: str) -> list[float | None]:
    return [cell and cell.mean for cell in (row[key] for row in table.rows)]


def test_fifths_go_from_the_least_sure_to_the_surest() -> None:
    table = table_of(answered())
    assert [row["part"] for row in table.rows] == list(FIFTHS)
    assert [row["rows"] for row in table.rows] == [2] * 5
    assert cells(table, "wrong") == [2, 1, 0, 0, 1]
    assert cells(table, "right") == [0, 0.5, 1, 1, 0.5]
    assert cells(table, "confidence") == pytest.approx([0.575, 0.675, 0.775, 0.875, 0.97])


def test_where_nothing_is_wrong_there_is_no_confidence_of_errors() -> None:
    table = table_of(answered())
    assert cells(table, "wrong_confidence") == [*(pytest.approx(0.575), 0.7, None, None, 0.99)]


def test_seeds_have_fifths_of_their_own_and_are_averaged() -> None:
    table = table_of(answered(), answered(wrong=()))
    assert cells(table, "wrong") == [1, 0.5, 0, 0, 0.5]
    assert table.rows[0]["right"].sd == pytest.approx(0.5**0.5)  # of 0 and 1
    assert {row["seeds"] for row in table.rows} == {2}


def test_rows_that_do_not_part_in_five_are_all_there_once() -> None:
    rows = answered()[:7]
    assert sum(row["rows"] for row in table_of(rows).rows) == 7
    assert [row["rows"] for row in table_of(rows[:3]).rows] == [1, 1, 1], "no part without a row"


def test_each_sub_population_has_a_line() -> None:
    table = table_of(answered(tags=("site=north",)))
    row = table.rows[-1]
    assert (row["part"], row["rows"], row["wrong"].mean) == ("site=north", 2, 2)


def test_a_method_without_probabilities_is_named_and_alone_leaves_no_table() -> None:
    bare = comparison({"sft-1": RIGHT})
    table = confidence_table(groups_of(bare))
    assert (table.rows, table.columns) == ((), ())
    assert table.notes == ("no run has stored test predictions with probabilities",)
    records = [record("r2d-1", 0), record("sft-1", 1)]
    both = study(records, {"r2d-1": answered(), "sft-1": predictions(RIGHT)})
    assert "without stored probabilities: sft" in confidence_table(groups_of(both)).notes
