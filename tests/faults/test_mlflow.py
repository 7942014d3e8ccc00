"""A search with a tracking server named in the environment logs every trial's series to MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from real_study import RealStudy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
TRIALS = 2
SCORE = "eval_macro_f1"


def test_every_trial_is_a_run_with_the_series_of_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow: Any = pytest.importorskip("mlflow", reason="pip install 'r2d-ray[mlflow]'")
    address = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "first")
    client = mlflow.MlflowClient(address)
    first = client.create_experiment("first")  # makes the tables: two trials at once cannot
    study = RealStudy(tmp_path / "studies", TRIALS)
    assert study.end(study.start(), limit=500) == 0, study.log.read_text()[-3000:]

    runs = client.search_runs([first])
    assert {run.info.status for run in runs} == {"FINISHED"}
    logged = [
        sorted((p.step, p.value) for p in client.get_metric_history(run.info.run_id, SCORE))
        for run in runs
    ]
    recorded = [
        [(e.step, e.scores["macro_f1"]) for e in record.curve] for record in study.records()
    ]
    assert len(recorded) == TRIALS
    assert sorted(logged) == sorted(recorded)
