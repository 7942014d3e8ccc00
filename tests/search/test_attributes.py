"""What a stranger reads of a search's journal with plain Optuna, as docs/trackers.md shows it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution

from r2d_ray.records import Evaluation, Objective, TrialRecord
from r2d_ray.search.journal.attributes import tell_result, trial_attributes
from r2d_ray.search.searcher import open_journal, settle

LOSS = Objective("rationale_loss", "min")
PAGE = Path(__file__).parents[2] / "docs" / "trackers.md"


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # Optuna's, after every line


def record(status: str, number: int = 0, steps: int = 300, **more: Any) -> TrialRecord:
    known: dict[str, Any] = {
        "study": "s",
        "trial": number,
        "method": "r2d",
        "dataset": "toy",
        "config": {"max_steps": 300},
        "seed": 1,
        "status": status,
        "steps_done": steps,
    }
    return TrialRecord(**{**known, **more})


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        (record("done"), None),
        (record("done", steps=250), "stopped early after 250 of 300 steps"),
        (record("pruned", steps=200), "asked to end after 200 of 300 steps"),
        (record("failed", steps=0, reason="out of memory"), "out of memory"),
    ],
)
def test_a_trial_says_why_it_ended_unless_it_made_all_steps(
    ended: TrialRecord, reason: str | None
) -> None:
    assert trial_attributes(ended).get("reason") == reason


def test_no_attribute_depends_on_the_time() -> None:
    slow, fast = (record("done", wall_s=seconds, step_s=seconds) for seconds in (900.0, 1.0))
    assert trial_attributes(slow) == trial_attributes(fast)


def test_a_result_that_is_told_again_adds_no_line_and_a_new_one_takes_its_place(
    tmp_path: Path,
) -> None:
    path = tmp_path / "optuna.journal"
    scores = {"macro_f1": 0.5, "rows": 12, "model": "a text"}
    tell_result(open_journal(path, "s", LOSS), 3, scores)
    study = open_journal(path, "s", LOSS)
    told = path.read_bytes()
    tell_result(study, 3, scores)
    assert path.read_bytes() == told
    assert study.user_attrs == {"best_trial": 3, "test_macro_f1": 0.5, "test_rows": 12}
    tell_result(study, 4, {"macro_f1": 0.6})
    assert open_journal(path, "s", LOSS).user_attrs["best_trial"] == 4


def test_the_lines_that_the_documents_show_work_for_a_stranger(tmp_path: Path) -> None:
    """Plain Optuna, in a process of its own that imports nothing of ours."""
    [shown] = [
        block.partition("```")[0]
        for block in PAGE.read_text(encoding="utf-8").split("```python\n")[1:]
        if "JournalFileBackend" in block
    ]
    place = tmp_path / "studies" / "first"
    place.mkdir(parents=True)
    study = open_journal(place / "optuna.journal", "first", LOSS)
    for number, loss in enumerate((2.0, 1.5)):
        study.ask({"learning_rate": FloatDistribution(1e-5, 1e-2)})
        scores = {"rationale_loss": loss}
        curve = (Evaluation(step=300, scores=scores),)
        settle(study, record("done", number, curve=curve, metrics=scores, selected_step=300), LOSS)
    tell_result(study, 1, {"rationale_loss": 1.7, "macro_f1": 0.5})
    again = optuna.load_study(study_name="first", storage=study._storage)
    assert again.metric_names == ["rationale_loss"]

    done = subprocess.run(
        [sys.executable, "-c", f"{shown}\nimport sys\nassert 'r2d_ray' not in sys.modules"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "{'best_trial': 1, 'test_rationale_loss': 1.7, 'test_macro_f1': 0.5}" in done.stdout
    assert "trials/0001" in done.stdout
