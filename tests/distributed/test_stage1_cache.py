"""Stage 1 is trained once by whoever comes first, whatever becomes of the builder."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_config
from filelock import FileLock, Timeout

from r2d_ray.config import STAGE1_FIELDS, TrainConfig
from r2d_ray.distributed import stage1_cache as module
from r2d_ray.distributed.stage1_cache import (
    MANIFEST,
    Stage1,
    read_entry,
    stage1_key,
    stage1_weights,
)
from r2d_ray.distributed.stage_job import TrainingJob

WEIGHTS = b"weights after stage 1"
OUTCOME = {"selected_step": 4, "best_metric": 1.5, "steps_done": 4}


class Builder:
    """Stands in for training with Ray: writes a weights file and counts its calls."""

    def __init__(self, seconds: float = 0.0, error: Exception | None = None) -> None:
        self.seconds, self.error = seconds, error
        self.jobs: list[TrainingJob] = []

    def __call__(self, job: TrainingJob) -> dict[str, Any]:
        self.jobs.append(job)
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        job.best_dir.mkdir(parents=True)
        (job.best_dir / "model.safetensors").write_bytes(WEIGHTS)
        (job.best_dir / "config.json").write_text("{}")
        return OUTCOME


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.02)


def get(
    root: Path, train: Callable[[TrainingJob], dict[str, Any]], config: TrainConfig | None = None
) -> Stage1:
    return stage1_weights(config or tiny_config(), root / "prepared" / "abc", root / "cache", train)


def test_it_is_trained_once_and_then_found(tmp_path: Path) -> None:
    builder = Builder()
    first, second = get(tmp_path, builder), get(tmp_path, builder)
    assert (first.built_here, second.built_here) == (True, False)
    assert first.folder == second.folder == tmp_path / "cache" / first.key
    assert first.outcome == second.outcome == OUTCOME
    assert (first.folder / "model.safetensors").read_bytes() == WEIGHTS
    [job] = builder.jobs
    assert (job.stage, job.weights) == ("stage1", None)
    left = {path.name for path in (tmp_path / "cache").iterdir()}
    assert left - {f"{first.key}.lock"} == {first.key}


def test_of_many_at_once_one_builds_and_the_others_wait_for_it(tmp_path: Path) -> None:
    builder = Builder(seconds=0.3)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: get(tmp_path, builder), range(8)))
    assert len(builder.jobs) == 1
    assert sum(each.built_here for each in found) == 1
    assert {each.folder for each in found} == {tmp_path / "cache" / found[0].key}


def test_different_settings_are_built_side_by_side(tmp_path: Path) -> None:
    barrier = threading.Barrier(2, timeout=5)

    def train(job: TrainingJob) -> dict[str, Any]:
        barrier.wait()  # both are in training now
        return Builder()(job)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda s: get(tmp_path, train, tiny_config(seed=s)), (1, 2)))
    assert all(each.built_here for each in found)


OTHER = {
    "model": "scratch-small",
    "model_revision": "main",
    "dropout_rate": 0.2,
    "max_input_length": 65,
    "max_rationale_length": 17,
    "stage1_max_steps": 5,
    "stage1_learning_rate": 2e-3,
    "stage1_eval_steps": 1,
    "stage1_early_stopping_patience": 1,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.1,
    "weight_decay": 0.1,
    "max_grad_norm": 0.5,
    "per_device_train_batch_size": 5,
    "num_workers": 2,
    "gradient_accumulation_steps": 2,
    "length_group_size": 2,
    "seed": 7,
    "bf16": True,
    "attn_implementation": "sdpa",
    "zero_stage": 1,
    "deepspeed_config": {"bf16": {"enabled": True}},
}
STAGE_2 = {
    "learning_rate": 5e-4,
    "max_steps": 9,
    "eval_steps": 3,
    "early_stopping_patience": 2,
    "selection_metric": "accuracy",
    "label_loss_weight": 0.5,
    "label_warmup_ratio": 0.1,
    "sampling_decay": "exponential",
    "sampling_start_ratio": 0.2,
    "sampling_decay_ratio": 0.3,
    "gold_probability_floor": 0.3,
    "sampling_dropout": False,
    "label_choice": "generate",
    "wrong_label_target": "drop",
    "rationale_prompt": "plain",
    "max_label_length": 5,
    "per_device_eval_batch_size": 3,
    "logging_steps": 1,
}


def key(data: str = "abc", **values: Any) -> str:
    return stage1_key(tiny_config(**values), Path("/prepared") / data)


def test_every_field_of_stage_1_has_another_value_here() -> None:
    assert OTHER.keys() == set(STAGE1_FIELDS)


@pytest.mark.parametrize("field", STAGE1_FIELDS)
def test_the_key_changes_with_every_field_of_stage_1(field: str) -> None:
    assert key(**{field: OTHER[field]}) != key()


@pytest.mark.parametrize("field", STAGE_2)
def test_the_key_does_not_change_with_a_field_of_stage_2(field: str) -> None:
    assert getattr(tiny_config(), field) != STAGE_2[field]
    assert key(**{field: STAGE_2[field]}) == key()


def test_the_key_changes_with_the_data_and_not_with_their_place() -> None:
    assert key("abd") != key()
    assert stage1_key(tiny_config(), Path("/elsewhere/abc")) == key()


def flip_a_byte(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"V" + WEIGHTS[1:])


def half_written(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    (folder / "model.safetensors").write_bytes(WEIGHTS[:5])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped byte": flip_a_byte,
    "half-written": half_written,
    "a lost file": lambda folder: (folder / "config.json").unlink(),
    "a foreign file": lambda folder: (folder / "extra.bin").touch(),
    "no manifest": lambda folder: (folder / MANIFEST).unlink(),
    "a torn manifest": lambda folder: (folder / MANIFEST).write_text('{"files": {'),
    "another manifest": lambda folder: (folder / MANIFEST).write_text("[]"),
    "a manifest of other files": lambda folder: (folder / MANIFEST).write_text(
        json.dumps({"outcome": OUTCOME, "files": {}})
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_rebuilt_and_never_used(tmp_path: Path, damage: str) -> None:
    builder = Builder()
    folder = get(tmp_path, builder).folder
    DAMAGE[damage](folder)
    assert read_entry(folder) is None
    again = get(tmp_path, builder)
    assert again.built_here
    assert again.folder == folder
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert read_entry(folder) == {
        "outcome": OUTCOME,
        "files": {
            # sha256sum of the two files
            "config.json": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "model.safetensors": "bf07bcfd4d1021962fc7cc581f0ead6c6815f251efeb19d803a189ec3d4c5882",
        },
    }


def test_a_builder_that_fails_lets_the_next_one_in_at_once(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        get(tmp_path, Builder(error=RuntimeError("out of memory")))
    assert get(tmp_path, Builder()).built_here


def checkpoints(job: TrainingJob) -> set[str]:
    """Return the checkpoints that the job's folder holds."""
    return {path.name for path in (job.run_dir / "ray").glob("checkpoint_*")}


BUILDER = """
import sys, time
from pathlib import Path
from conftest import tiny_config
from r2d_ray.distributed.stage1_cache import stage1_weights

def train(job):
    (job.run_dir / "ray" / "checkpoint_1").mkdir(parents=True)
    print(job.run_dir, flush=True)
    time.sleep(600)

root = Path(sys.argv[1])
stage1_weights(tiny_config(), root / "prepared" / "abc", root / "cache", train)
"""


def killed_builder(root: Path) -> Path:
    """Kill a driver in mid-training, as another waits for it; return the folder it worked in."""
    command = [sys.executable, "-c", BUILDER, str(root)]
    path = {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=path) as driver:
        assert driver.stdout is not None
        work = Path(driver.stdout.readline().strip())
        with pytest.raises(Timeout):
            FileLock(root / "cache" / f"{work.name.split('.')[0]}.lock", timeout=0).acquire()
        driver.send_signal(signal.SIGKILL)
    return work


def test_a_builder_that_was_killed_is_followed_at_once_from_its_checkpoints(tmp_path: Path) -> None:
    killed_builder(tmp_path)
    found: list[set[str]] = []

    def train(job: TrainingJob) -> dict[str, Any]:
        found.append(checkpoints(job))
        return Builder()(job)

    began = time.monotonic()
    assert get(tmp_path, train).built_here
    assert time.monotonic() - began < 5
    assert found == [{"checkpoint_1"}]


def test_workers_that_outlive_their_driver_write_nothing_into_the_entry(tmp_path: Path) -> None:
    work = killed_builder(tmp_path)

    def train(job: TrainingJob) -> dict[str, Any]:
        assert job.run_dir != work
        for name in ("ray/checkpoint_2", "best"):  # a dead driver's worker, which still lives
            (work / name).mkdir(parents=True)
        (work / "best" / "model.safetensors").write_bytes(b"theirs")
        assert checkpoints(job) == {"checkpoint_1"}
        return Builder()(job)

    folder = get(tmp_path, train).folder
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    left = {path.name for path in folder.parent.iterdir()}
    assert left - {f"{folder.name}.lock"} == {folder.name}


def test_a_folder_in_which_a_former_version_worked_is_taken_over(tmp_path: Path) -> None:
    key = stage1_key(tiny_config(), tmp_path / "prepared" / "abc")
    (tmp_path / "cache" / f"{key}.work" / "ray" / "checkpoint_1").mkdir(parents=True)
    builder = Builder()
    get(tmp_path, lambda job: {**builder(job), "found": sorted(checkpoints(job))})
    manifest = read_entry(tmp_path / "cache" / key)
    assert manifest is not None
    assert manifest["outcome"]["found"] == ["checkpoint_1"]
