"""Damaged checkpoints under Ray: the one before serves; where none is whole, no fresh start."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from loopback import Heard, Run, job_of, log_lines, same_weights, several_nodes, steps_made
from loopback import watched as watched
from ray.cluster_utils import Cluster

from r2d_ray.data.prepare import open_prepared
from r2d_ray.distributed import stage_job as train
from r2d_ray.distributed.stage_job import CHECKPOINTS_KEPT
from r2d_ray.training.checkpoint import damage
from r2d_ray.training.stage import run_stage

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
Calm = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with several_nodes(1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, prepared_dir: Path) -> Calm:
    """An undisturbed run needs no Ray: the same loop in this process."""
    folder = tmp_path_factory.mktemp("calm")
    job = job_of(prepared_dir, folder)
    places = {"output_dir": folder / "output", "best_dir": job.best_dir}
    outcome = run_stage(job.config, open_prepared(prepared_dir), "stage2", **places)
    return folder, {**asdict(outcome), "step_s": None}


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def held_run(prepared_dir: Path, run_dir: Path) -> tuple[Run, list[Path]]:
    """Return a run held seven steps after its second checkpoint, and both of these."""
    run = Run(job_of(prepared_dir, run_dir), for_ever=47)
    run.wait_for("held-0")
    found = sorted(path for path in (run_dir / "ray").glob("checkpoint_*") if path.is_dir())
    assert [damage(path) for path in found] == [None, None]
    return run, found


def kill_worker(run_dir: Path) -> None:
    os.kill(steps_made(run_dir)[-1].pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("name", "harm"), [("model.safetensors", cut), ("optimizer.pt", os.remove)]
)
def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before_it(
    tmp_path: Path,
    prepared_dir: Path,
    nodes: Cluster,
    watched: None,
    calm: Calm,
    name: str,
    harm: Callable[[Path], None],
) -> None:
    run, (before, newest) = held_run(prepared_dir, tmp_path)
    harm(newest / name)
    kill_worker(tmp_path)
    assert run.result() == calm[1]
    assert same_weights(tmp_path, calm[0])
    assert [one.step for one in steps_made(tmp_path)] == [*range(1, 48), *range(21, 61)]
    [line, *_] = log_lines(nodes, f"{newest} is damaged: {name}")
    assert f"training continues from {before.name}" in line


def test_a_run_whose_checkpoints_are_all_damaged_fails_and_does_not_begin_anew(
    tmp_path: Path,
    prepared_dir: Path,
    nodes: Cluster,
    watched: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(train, "MAX_FAILURES", 1)  # one for the kill
    run, found = held_run(prepared_dir, tmp_path)
    for place in found:
        cut(place / "model.safetensors")
    kill_worker(tmp_path)
    with pytest.raises(RuntimeError, match="CheckpointError: no checkpoint is intact: ") as caught:
        run.result()
    for place in found:
        assert f"{place} is damaged: model.safetensors has " in str(caught.value)
    assert [one.step for one in steps_made(tmp_path)] == list(range(1, 48))


def test_a_checkpoint_that_was_whole_before_ray_counted_it_serves_and_is_counted_then(
    tmp_path: Path, prepared_dir: Path, nodes: Cluster, watched: None, calm: Calm
) -> None:
    heard = tmp_path / "heard.txt"
    run = Run(job_of(prepared_dir, tmp_path), [Heard(heard)], die_before_it_counts=40)
    assert run.result() == calm[1]
    assert same_weights(tmp_path, calm[0])
    assert [one.step for one in steps_made(tmp_path)] == list(range(1, 61))  # none twice
    assert heard.read_text().split() == ["20", "40", "60"]
    assert len(list((tmp_path / "ray").glob("checkpoint_*/"))) == CHECKPOINTS_KEPT
