"""What runs leave behind when they fail, are stopped or are asked to end: nothing, in 10 s."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from conftest import tiny_config
from leftovers import (
    FREE_WITHIN_S,
    alive,
    assert_nothing_is_left,
    descendants,
    here,
    seconds_until,
)
from optuna.trial import TrialState
from ray.util.state import list_actors
from real_study import RealStudy

from r2d_ray.data.prepare import open_prepared
from r2d_ray.distributed import cluster
from r2d_ray.distributed.stage_job import MAX_FAILURES, STOP_FILE, TrainingJob, run_training
from r2d_ray.model.t5 import load_model

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster that outlives the searches on it."""
    cluster.connect(None, cluster.Capacity(2, 0))
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


def workers_so_far() -> list[Any]:
    """Return the training workers of the cluster, dead ones too."""
    return list(list_actors(here(), filters=[("class_name", "=", "RayTrainWorker")]))


def test_a_run_that_would_fail_again_fails_once_and_leaves_nothing(
    tmp_path: Path, prepared_dir: Path, address: str
) -> None:
    config = tiny_config(logging_steps=2)
    model = load_model(config, open_prepared(prepared_dir).tokenizer)
    torch.nn.init.constant_(model.shared.weight, float("nan"))
    model.save_pretrained(tmp_path / "poisoned")
    job = TrainingJob(config, "stage2", prepared_dir, tmp_path / "run", tmp_path / "poisoned")
    assert MAX_FAILURES > 0
    before = len(workers_so_far())
    with pytest.raises(RuntimeError, match=r"^NonFiniteError: .* = nan at step 2$"):
        run_training(job)
    gc.collect()  # the error's traceback holds the run's controller; a driver ends with it
    assert_nothing_is_left()
    assert len(workers_so_far()) == before + 1


def test_trials_that_fail_or_are_asked_to_end_leave_nothing(tmp_path: Path, address: str) -> None:
    study = RealStudy(tmp_path, 3, "--address", address, "--max-concurrent-trials", "1")
    place = study.root / "trials"
    process = study.start()
    seconds_until((place / "0000").exists, 120)
    (place / "0001").mkdir()
    (place / "0001" / STOP_FILE).touch()
    (place / "0002").mkdir()
    (place / "0002" / "ray").touch()  # a file where Ray wants a folder
    assert study.end(process) == 3, study.log.read_text()[-3000:]
    assert_nothing_is_left()
    done, pruned, failed = study.journal()
    assert [t.state for t in (done, pruned, failed)] == [
        *(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    ]
    records = study.records()
    assert [[e.step for e in r.curve] for r in records] == [[10, 20, 30, 40], [10], []]
    assert list(pruned.intermediate_values) == [10]
    assert records[2].reason is not None
    assert f"Cannot create directory '{place / '0002' / 'ray'}'" in records[2].reason
    assert f"trial 2 failed: {records[2].reason}" in study.log.read_text()


@pytest.mark.parametrize("where", ["on a cluster that stays", "on a cluster of its own"])
def test_a_search_stopped_by_sigterm_leaves_nothing(
    tmp_path: Path, address: str, where: str
) -> None:
    own = where == "on a cluster of its own"
    more = ["--address", "local" if own else address, "--set", "max_steps=4000"]
    study = RealStudy(tmp_path, 2, *more)
    process = study.start()
    checkpoints = study.root / "trials" / "0000" / "ray"
    seconds_until(lambda: list(checkpoints.glob("checkpoint_*/trainer_state.json")), 240)
    started = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    assert study.end(process, 60) == 75, study.log.read_text()[-3000:]
    if own:
        assert len(started) > 3
        seconds_until(lambda: not alive(started), FREE_WITHIN_S)
    else:
        assert_nothing_is_left()
    assert not (study.root / "study.lock.holder").exists()
    assert study.records() == []
    assert TrialState.RUNNING in {t.state for t in study.journal()}  # the same command goes on
