"""Trained models against the bag of words: the table, by hand, and what the summary says first."""

import json
from dataclasses import replace

import pytest
from made_studies import HALF, RIGHT, predictions
from studies_by_hand import SEARCH
from test_report_tables import HALF_F1, NONE, controls_study, said, tables_of

from analysis.groups import groups_of
from analysis.page.control_words import BagOfWords, with_bag_of_words
from analysis.page.findings import summarise
from analysis.page.words import Finding
from analysis.tables.controls import bag_of_words_table, controls_table
from analysis.tables.every_table import report_tables
from r2d_ray.records import prediction_file, write_jsonl

BAG = "bag of words, question"


def bagged(tmp_path, labels, beaten, **arms):
    """A comparison with a bag of words that predicted these labels."""
    made = controls_study(tmp_path, {BAG: {"macro_f1": HALF_F1, "setting": "counts, C 1"}}, **arms)
    folder = made.folder / "predictions"
    folder.mkdir(exist_ok=True)
    file = prediction_file(folder, f"control {BAG}", "test")
    write_jsonl(file, predictions(labels))
    found = {"control": BAG, "control_score": HALF_F1, "metric": "macro_f1", "beaten": beaten}
    found |= {"best": "r2d", "says": "It says so."}
    (made.folder / "result.json").write_text(
        json.dumps({"controls": {BAG: {"setting": "counts, C 1"}}, "bag_of_words": found})
    )
    return made


def test_every_method_is_paired_with_the_bag_of_words_row_by_row(tmp_path) -> None:
    arms = {"r2d-1": RIGHT, "r2d-2": RIGHT, "sft-1": HALF}
    made = bagged(tmp_path, HALF, True, **arms)
    table = tables_of(made)["bag_of_words"]
    assert [row["method"] for row in table.rows] == ["r2d", "sft"]
    r2d, sft = (row["difference"] for row in table.rows)
    assert r2d.mean == pytest.approx(1 - HALF_F1)
    assert r2d.high >= r2d.mean >= r2d.low
    assert (sft.mean, sft.low, sft.high) == (0, 0, 0), "the same labels"
    assert [row["seeds"] for row in table.rows] == [2, 1]
    assert said(table, "bag of words, question: counts, C 1")


@pytest.mark.parametrize("beaten", [True, False])
def test_the_summary_says_first_that_no_arm_beats_it(tmp_path, beaten) -> None:
    made = bagged(tmp_path, HALF if beaten else RIGHT, beaten)
    words = summarise([made], report_tables([made], NONE))
    place = -1 if beaten else 0
    assert "It says so. The difference on test is " in words[place]
    assert sum("It says so." in paragraph for paragraph in words) == 1
    assert ("say little here" in words[place]) is not beaten


def test_a_study_without_a_bag_of_words_is_not_scored_and_says_nothing_of_it(tmp_path) -> None:
    made = controls_study(tmp_path, {"coin": {"macro_f1": HALF_F1}})
    table = tables_of(made)["bag_of_words"]
    assert table.rows == ()
    assert said(table, ": not scored")
    assert not [words for words in summarise([made], report_tables([made], NONE)) if "bag" in words]


def test_where_it_is_not_applicable_the_table_says_why(tmp_path) -> None:
    made = controls_study(tmp_path, {"coin": {"macro_f1": HALF_F1}})
    reason = "bag of words with logistic regression: not applicable (labels are open texts)"
    (made.folder / "result.json").write_text(json.dumps({"bag_of_words": {"says": reason}}))
    assert said(tables_of(made)["bag_of_words"], reason)


def test_without_its_predictions_a_bag_of_words_has_a_score_and_no_interval(tmp_path) -> None:
    made = bagged(tmp_path, HALF, True)
    prediction_file(made.folder / "predictions", f"control {BAG}", "test").unlink()
    [r2d, *_] = tables_of(made)["bag_of_words"].rows
    assert (r2d["control"].mean, r2d["difference"]) == (HALF_F1, None)
    assert said(tables_of(made)["bag_of_words"], f"predictions of {BAG} on test are missing")


def test_a_search_pairs_its_best_and_its_defaults(tmp_path) -> None:
    names = {"best (trial 1)": RIGHT, "trial 0 (the defaults)": HALF, "best without context": HALF}
    classes = {"f1[yes]": 0.5, "f1[no]": 0.5}
    test = {
        name: {"macro_f1": 1.0 if x is RIGHT else HALF_F1} | classes for name, x in names.items()
    }
    found = {"control": BAG, "control_score": HALF_F1, "metric": "macro_f1", "beaten": True}
    found |= {"best": "best (trial 1)", "says": "It says so."}
    test |= {BAG: {"macro_f1": HALF_F1, "setting": "counts, C 1"}, "coin": {"macro_f1": 0.5}}
    (tmp_path / "predictions").mkdir()
    for name, labels in {**names, f"control {BAG}": HALF}.items():
        file = prediction_file(tmp_path / "predictions", name, "test")
        write_jsonl(file, predictions(labels))
    (tmp_path / "result.json").write_text(
        json.dumps({"best_trial": 1, "test": test, "bag_of_words": found})
    )
    made = replace(SEARCH, folder=tmp_path)
    table = bag_of_words_table([made], groups_of(made))
    rows = table.rows
    assert [row["method"] for row in rows] == ["best (trial 1)", "trial 0 (the defaults)"]
    assert [row["difference"].mean for row in rows] == [pytest.approx(1 - HALF_F1), 0]
    words = summarise([made], [table])
    assert words[-1].startswith("On d, It says so. The difference on test is +66.7 points")
    controls = [row["method"] for row in controls_table([made], []).rows]
    assert controls == ["r2d, best without context", BAG, "coin"]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.02, 0.06, "+2.0 points (95 % interval -2.0 to +6.0, which includes 0)."),
        (0.0, 0.04, "+2.0 points (95 % interval +0.0 to +4.0, which includes 0)."),
        (0.01, 0.03, "+2.0 points (95 % interval +1.0 to +3.0)."),
    ],
)
def test_an_interval_that_includes_0_is_said_to(low: float, high: float, said: str) -> None:
    gain = Finding("r2d", 0.02, low, high, None, None)
    [words] = with_bag_of_words(BagOfWords("d", "It says so.", True, gain), [])
    assert words == f"On d, It says so. The difference on test is {said}"
