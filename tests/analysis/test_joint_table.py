"""Several data sets in one table: what is joined, what is not, and what was run on one only."""

import json

from made_studies import HALF, RIGHT, THREE, comparison, predictions, record, study

from analysis.groups import groups_of
from analysis.tables.formats import to_csv, to_html, to_markdown
from analysis.tables.joint import joint_table
from analysis.tables.table import Table

HALF_F1 = 1 / 3


def on(dataset, name, folder, arms, controls=None):
    """A comparison on a data set of this name."""
    place = folder / name
    place.mkdir()
    (place / "result.json").write_text(json.dumps({"controls": controls or {}}))
    return comparison(arms, folder=place, dataset=dataset)


def table_of(*studies) -> Table:
    return joint_table(studies, [group for one in studies for group in groups_of(one)])


def test_a_method_has_one_line_and_each_data_set_its_columns(tmp_path) -> None:
    one = on("notes", "a", tmp_path, {"r2d-1": RIGHT, "sft-1": HALF})
    two = on("calls", "b", tmp_path, {"r2d-1": THREE, "sft-1": RIGHT})
    table = table_of(one, two)
    assert [row["method"] for row in table.rows] == ["r2d", "sft"]
    heads = [column.heading for column in table.columns]
    assert heads == [
        *("Model", "Method", "Setting"),
        *("notes: Macro-F1, %", "notes: Accuracy, %", "calls: Macro-F1, %", "calls: Accuracy, %"),
    ]
    assert [row["macro_f1[notes]"].mean for row in table.rows] == [1, HALF_F1]
    assert [row["accuracy[calls]"].mean for row in table.rows] == [0.75, 1]
    assert table.rows[0]["macro_f1[calls]"].low is not None
    assert table.notes == ("fewer than 3 finished seeds: r2d (1), sft (1)",)


def test_what_was_run_on_one_only_is_said_and_has_no_number(tmp_path) -> None:
    one = on("notes", "a", tmp_path, {"r2d-1": RIGHT, "dss-1": HALF, "sft-1": HALF})
    two = on("calls", "b", tmp_path, {"r2d-1": THREE})
    table = table_of(one, two)
    assert "run on notes only: dss; sft" in table.notes
    assert [row.get("macro_f1[calls]") is None for row in table.rows] == [False, True, True]


def test_controls_stand_below_and_a_majority_is_one_whatever_its_label(tmp_path) -> None:
    score = {"macro_f1": HALF_F1}
    one = on("notes", "a", tmp_path, {"r2d-1": RIGHT}, {"majority label (yes)": score})
    two = on("calls", "b", tmp_path, {"r2d-1": RIGHT}, {"majority label (no)": score})
    rows = table_of(one, two).rows
    assert [row["method"] for row in rows] == ["r2d", "majority label"]
    assert (rows[1]["model"], rows[1]["macro_f1[calls]"].mean) == (None, HALF_F1)


def test_other_models_are_not_joined(tmp_path) -> None:
    one = on("notes", "a", tmp_path, {"r2d-1": RIGHT})
    (tmp_path / "b").mkdir()
    other = record("r2d-1", 0, RIGHT, fields={"model": "google/t5-v1_1-base"})
    two = study([other], {"r2d-1": predictions(RIGHT)}, folder=tmp_path / "b", dataset="calls")
    table = table_of(one, two)
    assert len(table.rows) == 2
    assert len({row["model"] for row in table.rows}) == 2


def test_two_studies_of_one_data_set_have_columns_of_their_own(tmp_path) -> None:
    one = on("notes", "a", tmp_path, {"r2d-1": RIGHT})
    two = on("notes", "b", tmp_path, {"r2d-1": HALF})
    three = on("calls", "c", tmp_path, {"r2d-1": THREE})
    row = table_of(one, two, three).rows[0]
    found = [row[f"macro_f1[{place}]"].mean for place in ("notes, a", "notes, b")]
    assert found == [1, HALF_F1]
    assert "macro_f1[calls]" in row


def test_best_trials_of_two_searches_are_one_line(tmp_path) -> None:
    made = []
    for dataset, best in (("notes", 1), ("calls", 2)):
        place = tmp_path / dataset
        place.mkdir()
        name = f"best (trial {best})"
        trials = [record("x-1", 0), record("x-1", best, RIGHT)]
        scores = dict(trials[1].test_metrics)
        test = {name: scores, "trial 0 (the defaults)": scores, "best without context": scores}
        result = {"best_trial": best, "test": test}
        (place / "result.json").write_text(json.dumps(result))
        made.append(study(trials, folder=place, dataset=dataset, method="r2d"))
    table = table_of(*made)
    assert [row["setting"] for row in table.rows][:2] == ["best trial", "trial 0 (the defaults)"]
    assert table.rows[2]["method"] == "r2d, best without context"
    assert "best trial: notes: best (trial 1); calls: best (trial 2)" in table.notes


def test_of_one_data_set_there_is_nothing_to_join(tmp_path) -> None:
    table = table_of(on("notes", "a", tmp_path, {"r2d-1": RIGHT}))
    assert (table.rows, table.notes) == ((), ("these studies have one data set",))


def test_it_is_written_as_every_other_table(tmp_path) -> None:
    one = on("notes", "a", tmp_path, {"r2d-1": RIGHT})
    table = table_of(one, on("calls", "b", tmp_path, {"r2d-1": THREE}))
    assert "notes: Macro-F1, %" in to_markdown(table)
    assert "calls: Macro-F1, %" in to_html(table)
    assert "notes: Macro-F1, %, low" in to_csv(table)
