"""A study as frames: what is there, by its names; what is not there raises, or is NaN."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from analysis import load_study
from analysis.asked import study_folder
from r2d_ray.errors import UserError
from r2d_ray.records import write_jsonl

STORED = Path(__file__).parents[2] / "examples" / "studies"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A search that has not ended: no test scores, no result, no predictions."""
    folder = Path(shutil.copytree(STORED / "search", tmp_path / "search"))
    records = load_study(folder).study.records
    untested = (record.model_copy(update={"test_metrics": {}}) for record in records)
    write_jsonl(folder / "records.jsonl", untested)
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "predictions")
    return folder


@pytest.mark.parametrize("name", ["search", "comparison"])
def test_there_is_a_row_for_each_trial_with_settings_and_scores(name: str) -> None:
    study = load_study(STORED / name)
    trials = study.trials()
    assert list(trials.index) == [record.trial for record in study.study.records]
    for record in study.study.records:
        row = trials.loc[record.trial]
        assert row["status"] == record.status
        assert row["learning_rate"] == record.config["learning_rate"]
        assert row["validation_macro_f1"] == record.metrics["macro_f1"]
        tested = record.test_metrics.get("macro_f1")
        assert row["test_macro_f1"] == tested if tested is not None else row.isna()["test_macro_f1"]
    assert ("arm" in trials) == (name == "comparison")


def test_trials_are_a_table_for_a_supplement(tmp_path: Path) -> None:
    study = load_study(STORED / "search")
    study.trials().to_csv(tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(study.study.records)
    assert set(study.study.info.space["search"]) <= set(rows[0])
    assert {row["test_macro_f1"] for row in rows} > {""}  # not tested is not 0


def test_runs_have_their_scores_and_predictions() -> None:
    study = load_study(STORED / "search")
    runs, scores = study.runs(), study.scores()
    assert list(runs.index) == list(scores.index)
    rows = study.predictions()
    best = runs.index[0]
    assert runs.loc[best, "rows"] == len(rows) == 40
    assert rows["right"].mean() == scores.loc[best, "accuracy"]
    assert rows["probability"].between(0, 1).all()
    coin = "coin, training balance"
    assert runs.isna().loc[coin, "rows"]
    assert scores.isna().loc[coin, "bleu"]


def test_what_is_not_there_is_said(bare: Path) -> None:
    study = load_study(bare)
    for made in (study.runs, study.scores, study.predictions, study.errors):
        with pytest.raises(UserError, match=r"no run was evaluated on test \(allowed: "):
            made()
    whole = load_study(STORED / "search")
    with pytest.raises(UserError, match="predictions of coin, training balance on test are missin"):
        whole.predictions("coin, training balance")
    with pytest.raises(UserError, match=r"unknown run 'best'"):
        whole.predictions("best")


def test_errors_come_surest_first() -> None:
    study = load_study(STORED / "search")
    wrong = study.errors(count=1000)
    rows = study.predictions()
    assert len(wrong.rows) == int((~rows["right"]).sum())
    sure = [row["probability"] for row in wrong.rows]
    assert sure == sorted(sure, key=float, reverse=True)


@pytest.mark.parametrize("name", ["runs", "scores", "predictions", "errors"])
def test_a_notebook_shows_a_frame_or_why_there_is_none(name: str, bare: Path) -> None:
    assert "<table" in load_study(STORED / "search").show(name).html
    said = load_study(bare).show(name).html
    assert "<table" not in said
    assert "no run was evaluated on test" in said


def test_a_notebook_shows_tables_and_pictures_or_why_there_are_none() -> None:
    study = load_study(STORED / "comparison")
    assert study.show("differences").html.count("<figure") == 2  # the picture, the table
    assert study.show("history").html == "<p>history: a comparison has no such picture</p>"
    assert "no search among these studies" in study.show("searches").html
    with pytest.raises(UserError, match="unknown table, picture or frame 'mian'"):
        study.show("mian")


def test_cells_of_a_frame_are_shown_as_text(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(STORED / "search", tmp_path / "s"))
    for path in (folder / "predictions").glob("best-trial-*-test.jsonl"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('"rationale":"', '"rationale":"<script>'), encoding="utf-8")
    assert "<script>" not in load_study(folder).show("predictions", "errors").html


def test_a_study_is_found_from_wherever_a_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("R2D_STUDY", raising=False)
    monkeypatch.chdir(tmp_path)
    assert study_folder(None, "search") == STORED / "search"
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("R2D_STUDY", "mine")
    assert study_folder(None, "search") == Path("mine")
    assert study_folder("examples/studies/comparison", "search") == STORED / "comparison"
    monkeypatch.delenv("R2D_STUDY")
    monkeypatch.setattr("analysis.asked.CHECKOUT", tmp_path / "site-packages")
    with pytest.raises(UserError, match=r"STUDY = 'FOLDER' .* or R2D_STUDY=FOLDER"):
        study_folder(None, "search")
