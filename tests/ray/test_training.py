"""One stage under Ray Train: workers that die are replaced without a trace; stops are asked for."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from conftest import tiny_config

from r2d_ray.data.prepare import open_prepared
from r2d_ray.distributed import cluster
from r2d_ray.distributed.stage_job import STOP_FILE, TrainingJob, run_training
from r2d_ray.model.t5 import load_model, load_weights
from r2d_ray.training.stage import run_stage

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]
STEPS = {"max_steps": 60, "eval_steps": 10, "logging_steps": 10}


@pytest.fixture(scope="module", autouse=True)
def ray_cluster() -> Iterator[None]:
    import ray

    cluster.connect(None, cluster.Capacity(2, 0))
    yield
    ray.shutdown()


def worker_pids() -> set[int]:
    """Processes of this machine that are Ray Train workers, by their titles."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"RayTrainWorker" in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def kill_a_worker_after_a_checkpoint(run_dir: Path, killed: list[int]) -> None:
    deadline = time.time() + 180
    while time.time() < deadline and not killed:
        if list((run_dir / "ray").glob("checkpoint_*/trainer_state.json")):
            for pid in sorted(worker_pids())[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        time.sleep(0.02)


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return load_weights(str(run_dir / "best")).state_dict()


def test_a_run_whose_worker_was_killed_equals_an_undisturbed_one(
    tmp_path: Path, prepared_dir: Path
) -> None:
    config = tiny_config(**STEPS, dropout_rate=0.1)
    # The undisturbed run needs no Ray: the same loop in this process.
    best_dir = tmp_path / "calm" / "best"
    output_dir = tmp_path / "calm" / "output"
    prepared = open_prepared(prepared_dir)
    calm = asdict(run_stage(config, prepared, "stage2", output_dir=output_dir, best_dir=best_dir))
    killed: list[int] = []
    killer = threading.Thread(
        target=kill_a_worker_after_a_checkpoint, args=(tmp_path / "hit", killed)
    )
    killer.start()
    hit = run_training(TrainingJob(config, "stage2", prepared_dir, tmp_path / "hit"))
    killer.join()
    assert killed, "no worker was there to be killed"
    assert hit["steps_done"] == calm["steps_done"] == STEPS["max_steps"]
    assert hit["curve"] == calm["curve"]
    assert hit["series"] == calm["series"]
    want = weights(tmp_path / "calm")
    assert all(torch.equal(value, want[name]) for name, value in weights(tmp_path / "hit").items())


def test_two_zero_workers_train_and_a_run_asked_to_stop_ends_at_its_next_evaluation(
    tmp_path: Path, prepared_dir: Path
) -> None:
    config = tiny_config(**STEPS, num_workers=2, zero_stage=2, per_device_train_batch_size=2)
    tmp_path.joinpath(STOP_FILE).touch()
    outcome = run_training(TrainingJob(config, "stage2", prepared_dir, tmp_path))
    assert outcome["pruned"]
    assert outcome["steps_done"] == STEPS["eval_steps"]
    assert weights(tmp_path)


def test_a_loss_that_is_not_finite_fails_with_its_reason(
    tmp_path: Path, prepared_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("r2d_ray.distributed.stage_job.MAX_FAILURES", 0)
    config = tiny_config(**STEPS)
    model = load_model(config, open_prepared(prepared_dir).tokenizer)
    torch.nn.init.constant_(model.shared.weight, float("nan"))
    model.save_pretrained(tmp_path / "poisoned")
    job = TrainingJob(config, "stage2", prepared_dir, tmp_path / "run", tmp_path / "poisoned")
    with pytest.raises(RuntimeError, match=r"NonFiniteError: .* = nan at step 10"):
        run_training(job)
