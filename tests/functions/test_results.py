"""What a study returns to Python: the stored studies, and the words while it runs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from r2d_ray import StudyResult, UserError
from r2d_ray.functions.trial_bar import TrialBar
from r2d_ray.study.progress.events import (
    EndedTrial,
    PlannedTrial,
    ScoringEvent,
    StudyNote,
    StudyPlanned,
    TrialEvent,
)

STORED = Path(__file__).parents[2] / "examples" / "studies"


def stored(name: str) -> StudyResult:
    folder = STORED / name
    return StudyResult(folder, json.loads((folder / "result.json").read_text(encoding="utf-8")))


def test_a_search_has_a_row_for_each_model_and_control() -> None:
    result = stored("search")
    assert list(result.table.index) == list(result["test"])
    assert result.table.index.name == "run"
    best = f"best (trial {result['best_trial']})"
    assert result.table.loc[best, "macro_f1"] == result["test"][best]["macro_f1"]
    assert math.isnan(result.table.loc["majority label (no)", "bleu"])  # absent, not 0
    assert set(result.table.dtypes.astype(str)) == {"float64"}


def test_a_comparison_has_means_beside_their_deviations() -> None:
    result = stored("comparison")
    assert list(result.table.index) == [*result["methods"], *result["controls"]]
    spread = result["methods"]["r2d"]["macro_f1"]
    row = result.table.loc["r2d"]
    assert (row["macro_f1"], row["macro_f1_sd"]) == (spread["mean"], spread["sd"])
    assert row["seeds"] == 3


def test_what_has_no_model_says_so() -> None:
    with pytest.raises(UserError, match="a comparison exports no model"):
        stored("comparison").best_model  # noqa: B018
    failed = StudyResult(Path("s"), {"trials": {"failed": 2}, "failures": {}, "test": {}})
    with pytest.raises(UserError, match=r"^s: no trial finished: there is no best model$"):
        failed.best_model  # noqa: B018
    assert failed.table.empty


def test_it_is_shown_in_a_line() -> None:
    result = StudyResult(Path("studies/s"), {"trials": {"pruned": 1, "done": 3}})
    assert repr(result) == "<StudyResult studies/s: 3 done, 1 pruned>"


@pytest.mark.parametrize(("mode", "best"), [("max", "0.750 (trial 1)"), ("min", "0.250 (trial 2)")])
def test_the_bar_says_how_far_a_study_is(
    mode: str, best: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = [PlannedTrial(f"trial {number}", 60) for number in range(4)]
    ended = {2: EndedTrial("done", 0.25, 1.0, 60)}
    with TrialBar() as bar:
        bar.show(StudyNote("resumed with another version"))
        bar.show(StudyPlanned("s", "studies/s", True, "macro_f1", mode, trials, ended))
        bar.show(TrialEvent(0, "started", {"learning_rate": 0.1}))
        bar.show(TrialEvent(1, "started"))
        bar.show(TrialEvent(0, "evaluated", {"phase": "stage1", "macro_f1": 1.0}))
        bar.show(TrialEvent(1, "ended", {"status": "done", "score": 0.75}))
        assert bar.words() == f"best macro_f1 {best}, 1 running"
        bar.show(TrialEvent(0, "ended", {"status": "failed", "score": None}))
        bar.show(ScoringEvent("controls", 0, 1))
    out, error = capsys.readouterr()
    assert out == ""
    assert "resumed with another version\n" in error
    assert "3/4" in error
    assert "scoring: controls" in error


def test_steps_alone_do_not_draw_the_bar_anew(capsys: pytest.CaptureFixture[str]) -> None:
    with TrialBar() as bar:
        bar.show(StudyPlanned("s", "studies/s", False, "macro_f1", "max", [PlannedTrial("t", 9)]))
        bar.show(TrialEvent(0, "started"))
        capsys.readouterr()
        for step in range(9):
            bar.show(TrialEvent(0, "step", {"phase": "stage2", "step": step, "steps": 9}))
        assert capsys.readouterr().err == ""
