"""What trackers are told of a run: names, keys, tags, parameters, addresses."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_config, toy_info

from r2d_ray.errors import UserError
from r2d_ray.tracking import asked
from r2d_ray.tracking.asked import check_trackers, tracker_lines, whole_address
from r2d_ray.tracking.callbacks import UntilItFails
from r2d_ray.tracking.names import TrackedTrial, parameters, study_key

INFO = toy_info("first", tiny_config(), {"metric": "macro_f1", "mode": "max"}, 2)


def trial(root: Path, number: int = 3, **more: Any) -> TrackedTrial:
    return TrackedTrial.of(root, INFO, ("tensorboard",), number, **more)


def test_a_run_is_named_by_study_trial_and_stage(tmp_path: Path) -> None:
    made = trial(tmp_path)
    assert made.name == "first-0003"
    assert made.stage_name("stage1") == "first-0003-stage1"
    assert made.stage_name("stage2", run=2) == "first-0003-stage2-run-2"
    assert made.events == tmp_path / "tensorboard" / "first-0003"
    assert TrackedTrial.from_payload(made.payload()) == made


def test_its_tags_say_what_it_is(tmp_path: Path) -> None:
    assert trial(tmp_path, seed=7).tags() == {
        **{"study": "first", "trial": "3", "method": "r2d", "dataset": "toy", "seed": "7"}
    }
    assert trial(tmp_path, arm="sft-7", method="sft").tags()["arm"] == "sft-7"


def test_the_key_is_the_studys_own_whatever_training_seeded(tmp_path: Path) -> None:
    keys = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        random.seed(42)
        keys |= {study_key(tmp_path / name), study_key(tmp_path / name)}
    assert len(keys) == 2


def test_every_field_of_a_run_is_a_parameter_and_a_path_is_not_told() -> None:
    config = tiny_config().model_dump()
    found = parameters({**config, "model": "/home/me/my-t5", "deepspeed_config": None})
    assert set(found) == set(config)
    assert found["model"] == "my-t5"
    assert found["deepspeed_config"] == "None"
    assert found["label_loss_weight"] == config["label_loss_weight"]


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ("sqlite:///a.db", "sqlite:///{here}/a.db"),
        ("sqlite:////x/a.db", "sqlite:////x/a.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("runs", "{here}/runs"),
    ],
)
def test_a_files_address_is_the_same_in_every_process(
    given: str, whole: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert whole_address(given) == whole.format(here=tmp_path)


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        check_trackers(["mlflow"])
    assert str(caught.value) == (
        "--trackers mlflow: not installed (allowed: after pip install 'r2d-ray[mlflow]')"
    )


def test_mlflow_without_an_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "find_spec", lambda name: name)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError, match="--trackers mlflow: MLFLOW_TRACKING_URI is not set"):
        check_trackers(["mlflow"])


def test_an_address_alone_sends_nothing_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracker_lines(["tensorboard"]) == [
        "MLFLOW_TRACKING_URI is set, but nothing goes to MLflow without --trackers mlflow"
    ]
    assert tracker_lines(["mlflow"]) == ["tracked by MLflow at http://127.0.0.1:5000"]


def test_offline_runs_stay_here_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert tracker_lines(["wandb"]) == ["tracked by Weights & Biases (offline: nothing is sent)"]


def test_a_tracker_that_fails_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def broken() -> None:
        calls.append(1)
        raise ConnectionError("no server\nmore")

    class Rank0:
        is_world_process_zero = True

    callback: Any = UntilItFails("mlflow", broken)
    for _ in range(3):
        callback.on_log(None, Rank0(), None)
    assert calls == [1]
    assert "mlflow: no server; this run goes on without it" in caplog.text
