"""Sub-populations in the report: every number by hand or by another way, and what is said of gaps.

The four rows have gold labels yes, yes, no, no; the first and third are of the north.
"""

import json
from dataclasses import replace

import pytest
from made_studies import HALF, RIGHT, THREE, predictions, record, study
from studies_by_hand import SEARCH

from analysis.groups import groups_of
from analysis.stats.intervals import hierarchical_interval
from analysis.stats.row_sums import row_statistics
from analysis.tables.sub_populations import sub_populations_table
from r2d_ray.errors import UserError
from r2d_ray.records import Prediction, prediction_file, write_jsonl

NORTH, SOUTH = "site=north", "site=south"
COSTS = {"yes": {"yes": 0.0, "no": 5.0}, "no": {"yes": 1.0, "no": 0.0}}
BAG = "bag of words, question"


def tagged(labels: str, sure: float = 0.9) -> tuple[Prediction, ...]:
    sites = (NORTH, SOUTH, NORTH, SOUTH)
    return tuple(
        row.model_copy(
            update={
                "tags": (site,),
                "probabilities": {x: sure if x == row.label else 1 - sure for x in ("yes", "no")},
            }
        )
        for row, site in zip(predictions(labels), sites, strict=True)
    )


def made(folder, arms, result=None, costs=None, scores=None, stored=True):
    folder.mkdir(exist_ok=True)
    (folder / "result.json").write_text(json.dumps(result or {}))
    more = scores or {}
    records = [record(arm, n, x, test_metrics=more) for n, (arm, x) in enumerate(arms.items())]
    rows = {arm: tagged(x) for arm, x in arms.items()} if stored else {}
    if result and stored:
        rows[f"control {BAG}"] = tagged(HALF)
    return study(records, rows, folder=folder, study={"costs": costs} if costs else {})


def table_of(one):
    return sub_populations_table([one], groups_of(one))


def cells(table, tag, method):
    [row] = [r for r in table.rows if (r["sub_population"], r["method"]) == (tag, method)]
    return row


def test_every_score_of_a_tag_by_hand_beside_the_bag_of_words(tmp_path) -> None:
    # THREE misses the last `no`, of the south; HALF says yes of all.
    result = {"bag_of_words": {"control": BAG}, "controls": {BAG: {}}}
    table = table_of(made(tmp_path / "made", {"r2d-1": THREE}, result, COSTS))
    assert [(r["sub_population"], r["method"]) for r in table.rows] == [
        *((NORTH, "r2d"), (NORTH, BAG), (SOUTH, "r2d"), (SOUTH, BAG)),
    ]
    north, south = cells(table, NORTH, "r2d"), cells(table, SOUTH, "r2d")
    assert [north[key].mean for key in ("macro_f1", "accuracy", "mean_cost")] == [1, 1, 0]
    assert north["ece"].mean == pytest.approx(0.1)  # sure 0.9, always right
    # South: yes, and a `no` called yes at cost 1: F1 of yes 2/3, of no 0.
    found = [south[key].mean for key in ("macro_f1", "accuracy", "mean_cost", "ece")]
    assert found == pytest.approx([1 / 3, 0.5, 0.5, 0.4])
    bag = cells(table, NORTH, BAG)
    assert [bag[key].mean for key in ("macro_f1", "mean_cost")] == pytest.approx([1 / 3, 0.5])
    assert {row["rows"] for row in table.rows} == {2}
    assert any("fewer than 30 test rows" in note and f"{NORTH} (2)" in note for note in table.notes)


def test_intervals_are_those_of_the_rows_of_the_tag_alone(tmp_path) -> None:
    one = made(tmp_path / "made", {"r2d-1": THREE, "r2d-2": HALF})
    table = table_of(one)
    rows = [tagged(THREE), tagged(HALF)]
    for tag, places in ((NORTH, (0, 2)), (SOUTH, (1, 3))):
        for metric in ("macro_f1", "accuracy"):
            parts = [[run[place] for place in places] for run in rows]
            runs = [row_statistics(part, metric, ["yes", "no"]) for part in parts]
            known = hierarchical_interval(runs)
            cell = cells(table, tag, "r2d")[metric]
            assert cell.mean == pytest.approx(known.estimate)
            assert (cell.low, cell.high) == (max(known.low, 0), min(known.high, 1))
    assert cells(table, SOUTH, "r2d")["ece"].low is None


def test_a_study_without_stored_predictions_has_its_scores_and_no_interval(tmp_path) -> None:
    scores = {"accuracy[old]": 0.5, "rows[old]": 40.0}
    table = table_of(made(tmp_path / "made", {"r2d-1": THREE}, scores=scores, stored=False))
    [row] = table.rows
    assert (row["rows"], row["accuracy"].mean, row["accuracy"].low) == (40, 0.5, None)
    assert row["macro_f1"] is None, "not scored, which is not 0"
    assert "macro_f1" not in [column.key for column in table.columns]
    assert any(note.endswith("groups of rows: old") or ": old" in note for note in table.notes)
    assert not any("fewer than 30 test rows" in note for note in table.notes)


def test_scores_that_their_predictions_deny_are_refused(tmp_path) -> None:
    scores = {f"macro_f1[{SOUTH}]": 0.9, f"rows[{SOUTH}]": 2.0}
    with pytest.raises(UserError, match=r"macro_f1\[site=south\] is \[0.9\] in its scores but"):
        table_of(made(tmp_path / "made", {"r2d-1": THREE}, scores=scores))


def test_without_tags_the_table_says_how_to_have_some(tmp_path) -> None:
    one = study([record("r2d-1", 0, RIGHT)], {"r2d-1": predictions(RIGHT)}, folder=tmp_path)
    table = table_of(one)
    assert (table.rows, table.columns) == ((), ())
    assert "--keep-columns" in table.notes[0]


def test_a_sub_population_without_test_rows_is_named(tmp_path) -> None:
    result = {"tags_without_test_rows": ["site=east"]}
    table = table_of(made(tmp_path / "made", {"r2d-1": RIGHT}, result))
    assert "made: no test row, so no score: site=east" in table.notes
    assert "site=east" not in {row["sub_population"] for row in table.rows}


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_search_has_its_models_and_the_seeds_of_a_trial_in_one_line(tmp_path, seeds) -> None:
    best = "best (trial 1)"
    labels = dict(zip([f"{best}, seed {n}" for n in range(seeds)], (THREE, HALF), strict=False))
    if seeds == 1:
        labels = {best: THREE}
    classes = {"f1[yes]": 0.5, "f1[no]": 0.5}
    test = {best: classes} | dict.fromkeys([*labels, "best without context"], classes) | {BAG: {}}
    (tmp_path / "predictions").mkdir()
    for name, said in {**labels, f"control {BAG}": HALF}.items():
        write_jsonl(prediction_file(tmp_path / "predictions", name, "test"), tagged(said))
    result = {"best_trial": 1, "test": test, "bag_of_words": {"control": BAG}}
    (tmp_path / "result.json").write_text(json.dumps(result))
    table = table_of(replace(SEARCH, folder=tmp_path))
    assert [r["method"] for r in table.rows] == [best, BAG] * 2
    south = cells(table, SOUTH, best)
    assert south["seeds"] == seeds
    assert south["accuracy"].mean == pytest.approx(0.5)
    assert "mean_cost" not in [column.key for column in table.columns]
