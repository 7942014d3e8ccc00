"""A comparison that collapsed says that nothing was tested: no interval of 0, no 100 of nothing."""

from dataclasses import replace

import pytest
from made_studies import HALF, RIGHT, comparison, predictions, record, study

from analysis.collapse import collapsed, same_labels
from analysis.groups import groups_of
from analysis.page.findings import summarise
from analysis.page.limits import limits
from analysis.studies import Study
from analysis.tables.every_table import report_tables

UNTESTED = "neither labels nor whether rationales fit them is tested"
ONE_TEXT = "sft wrote one text for every test row: such rationales say nothing of their rows"


def one_label(names: str) -> str:
    return f"{names} gave every test row one label (yes): {UNTESTED}"


def summary(made: Study) -> str:
    return " ".join(summarise([made], report_tables([made], [])))


def with_texts(texts: list[str]) -> Study:
    rows = predictions(RIGHT)
    rows = tuple(
        row.model_copy(update={"rationale": text}) for row, text in zip(rows, texts, strict=True)
    )
    records = [record("r2d-1", 0, RIGHT), record("sft-1", 1, RIGHT)]
    return study(records, {"r2d-1": predictions(RIGHT), "sft-1": rows})


def test_where_every_arm_predicts_one_label_the_summary_says_that_nothing_was_tested() -> None:
    made = comparison({"r2d-1": HALF, "sft-1": HALF, "dss-1": HALF})
    words = summary(made)
    assert "On the 4 test rows of made, with 1 seed, nothing was tested." in words
    assert "The same label as r2d for every row, so no test against it: sft and dss." in words
    assert one_label("r2d, sft, dss") in words
    for never in ("0.0 points", "interval +0.0", "differs significantly"):
        assert never not in words
    assert one_label("r2d, sft, dss") in limits(made)


def test_equal_arms_that_are_right_are_no_test_either_but_have_not_collapsed() -> None:
    made = comparison({"r2d-1": RIGHT, "sft-1": RIGHT})
    assert "nothing was tested" in summary(made)
    assert collapsed(groups_of(made)) == ()


def test_what_differs_is_tested_beside_what_does_not() -> None:
    words = summary(comparison({"r2d-1": RIGHT, "sft-1": RIGHT, "dss-1": HALF}))
    assert "Differences in points: dss -66.7" in words
    assert "so no test against it: sft." in words


def test_the_table_of_differences_has_no_test_of_equal_labels() -> None:
    tables = {t.name: t for t in report_tables([comparison({"r2d-1": HALF, "sft-1": HALF})], [])}
    (row,) = tables["differences"].rows
    assert row["mcnemar"] == "not tested: the same label in every row"
    assert (row["difference"].mean, row["difference"].low) == (0, None)
    assert not {"p", "p_holm", "detectable", "t_interval"} & set(row)
    for name in ("main", "differences"):
        (note,) = [note for note in tables[name].notes if "one label" in note]
        assert note in (one_label("r2d, sft"), one_label("sft, r2d"))


@pytest.mark.parametrize(
    ("texts", "said"),
    [(["same"] * 4, (ONE_TEXT,)), (["one", "two", "one", "two"], ())],
)
def test_one_text_for_all_rows_is_said(texts: list[str], said: tuple[str, ...]) -> None:
    assert collapsed(groups_of(with_texts(texts))) == said


def test_the_seeds_that_collapsed_are_counted() -> None:
    (note,) = collapsed(groups_of(comparison({"sft-1": HALF, "sft-2": RIGHT})))
    assert note.startswith("sft in 1 of 2 seeds gave every test row one label (yes)")


def test_labels_are_the_same_only_if_they_are_in_every_common_seed() -> None:
    made = comparison({"r2d-1": RIGHT, "r2d-2": RIGHT, "sft-1": RIGHT, "sft-2": HALF})
    r2d, sft = groups_of(made)
    assert not same_labels(r2d, sft)
    assert same_labels(r2d, r2d)
    without = replace(made, _read={}, folder=made.folder / "elsewhere")
    one, other = groups_of(without)
    assert not same_labels(one, other), "without predictions nothing is known"
