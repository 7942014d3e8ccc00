"""Every run of a study has its place in the report, and what is missing is never read as empty."""

import shutil
from pathlib import Path

import pytest
from studies_by_hand import arm, comparison, drawn, printed, rows

from analysis.notebook import Reading
from analysis.page.limits import limits
from analysis.pictures.every_picture import draw_pictures
from analysis.runs import runs_in
from analysis.studies import Study, open_study
from analysis.tables.every_table import report_tables
from r2d_ray.errors import UserError

STORED = Path(__file__).parents[2] / "examples" / "studies"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORED / "search", tmp_path / "search"))


def best_of(study: Study) -> str:
    return next(run.name for run in runs_in(study) if run.name.startswith("best ("))


def told(study: Study) -> str:
    """Return all that tables and the limits say in notes, and why pictures are left out."""
    notes = [note for table in report_tables([study]) for note in table.notes]
    return "\n".join([*notes, *limits(study), *draw_pictures([study])[1]])


def test_a_searchs_models_are_runs_and_so_are_its_controls() -> None:
    study = open_study(STORED / "search")
    runs = {run.name: run for run in runs_in(study)}
    trained = [name for name, run in runs.items() if run.kind == "trained"]
    assert trained == [best_of(study), "trial 0 (the defaults)"]
    for name in (*trained, "best without context"):
        assert len(runs[name].predictions() or ()) == study.info.data_card["rows"]["test"]
    coin = runs["coin, training balance"]
    assert (coin.kind, coin.record, coin.predictions()) == ("control", None, None)


@pytest.mark.parametrize(
    "name", ["main", "differences", "per_class", "plausibility", "calibration"]
)
def test_the_report_of_a_search_has_test_scores_of_its_models(name: str) -> None:
    study = open_study(STORED / "search")
    table = next(table for table in report_tables([study]) if table.name == name)
    said = " ".join(str(row.get("setting")) + str(row.get("method")) for row in table.rows)
    assert "best (trial" in said


def test_its_confusions_and_calibration_are_drawn() -> None:
    names = [picture.name for picture in draw_pictures([open_study(STORED / "search")])[0]]
    assert {"confusion", "calibration"} <= set(names)


def test_its_best_and_its_controls_stand_against_its_defaults_and_their_training_is_drawn() -> None:
    study = open_study(STORED / "search")
    drawn = {picture.name: picture for picture in draw_pictures([study])[0]}
    picture = drawn["differences"]
    assert picture.title == "Differences from trial 0 (the defaults)"
    assert picture.caption.startswith("Differences from the defaults on the test set")
    assert picture.page_figure is not None
    marks = {trace["name"]: trace["x"][0] for trace in reversed(picture.page_figure["data"])}
    scores = study.result["test"]
    for name in (best_of(study), "best without context"):
        gain = scores[name]["macro_f1"] - scores["trial 0 (the defaults)"]["macro_f1"]
        assert marks[name] == pytest.approx(100 * gain)
    assert "or of rows: majority label (no), coin, training balance." in picture.description
    for name in ("schedules", "dose", "training"):
        figure = drawn[name].page_figure
        assert figure is not None
        assert {trace["name"] for trace in figure["data"]} == {
            *(best_of(study), "trial 0 (the defaults)")
        }


def test_calibration_names_the_error_of_the_table() -> None:
    study = open_study(STORED / "search")
    drawn = {picture.name: picture for picture in draw_pictures([study])[0]}
    table = next(table for table in report_tables([study]) if table.name == "calibration")
    errors = [f"{100 * row['ece'].mean:.2f}" for row in table.rows]
    for name in (best_of(study), "trial 0 (the defaults)"):
        error = f"{100 * study.result['test'][name]['ece']:.2f}"
        assert error in errors
        assert f"{name} (ECE {error} %)" in drawn["calibration"].description


def test_calibration_is_zoomed_to_its_marks() -> None:
    # One of two right at 0.6, three of four at 0.8: the error is (2 x 0.1 + 4 x 0.05) / 6.
    unsure = [("yes", "yes", 0.6), ("yes", "no", 0.6)]
    surer = [("no", "no", 0.8), ("no", "no", 0.8), ("yes", "yes", 0.8), ("no", "yes", 0.8)]
    record = arm(0, "r2d-1", 2 / 3)
    record = record.model_copy(update={"test_metrics": {**record.test_metrics, "ece": 0.4 / 6}})
    picture = drawn(comparison([record], {"r2d-1": rows(*unsure, *surer)}))["calibration"]
    assert printed(picture, "r2d") == [(0.6, 0.5), (0.8, 0.75)]
    axes = picture.print_figure.axes[0]
    assert axes.get_xlim() == axes.get_ylim() == (0.4, 0.9)
    assert "both axes go from 0.4 to 0.9" in picture.description
    assert "r2d (ECE 6.67 %) 0.60: 0.50 of 2; 0.80: 0.75 of 4" in picture.description


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("predictions/best-trial-*-test.jsonl", "predictions on test are missing: best (trial"),
        ("predictions/trial-0-*.jsonl", "predictions on test are missing: trial 0 (the defaults)"),
        ("result.json", "result.json is missing"),
    ],
)
def test_a_file_that_is_taken_away_is_said_to_be_missing(
    folder: Path, gone: str, words: str
) -> None:
    assert words not in told(open_study(folder))
    (file,) = folder.glob(gone)
    file.unlink()
    said = told(open_study(folder))
    assert words in said
    assert " 0 of 0 " not in said


def test_missing_empty_and_faultless_predictions_differ(folder: Path) -> None:
    (file,) = folder.glob("predictions/best-trial-*-test.jsonl")
    whole = file.read_text().splitlines(keepends=True)
    title = Reading(open_study(folder)).errors("r2d", 3).title
    assert title.startswith("The first 3 of ")
    assert title.endswith(f"of {len(whole)} test rows")
    right = [r for r in open_study(folder).predictions(best_of(open_study(folder)))]
    right = [row.model_copy(update={"label": row.gold_label}) for row in right]
    file.write_text("".join(row.model_dump_json() + "\n" for row in right))
    title = Reading(open_study(folder)).errors("r2d", 3).title
    assert title.startswith(f"None of {len(whole)} predictions of best (trial")
    file.unlink()
    with pytest.raises(UserError, match=r"predictions of best \(trial \d+\) on test are missing"):
        Reading(open_study(folder)).errors("r2d", 3)


@pytest.mark.parametrize("name", ["search", "comparison"])
def test_a_small_study_is_never_without_limits(name: str) -> None:
    said = "\n".join(limits(open_study(STORED / name)))
    for words in ("40 test rows", "an embedded sample", "random weights", "validation split"):
        assert words in said
