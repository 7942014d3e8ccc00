"""A notice of preemption makes a checkpoint at once, and the run goes on as if there were none."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import tiny_config
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState

from r2d_ray.data.prepare import Prepared, open_prepared
from r2d_ray.distributed.stage_job import reported
from r2d_ray.method.variants import METHODS
from r2d_ray.training import callbacks as module
from r2d_ray.training.callbacks import SaveOnNotice
from r2d_ray.training.stage import StageOutcome, run_stage

STEPS = {"max_steps": 8, "eval_steps": 4, "logging_steps": 3}  # entries at 3 and 6: none at 4
SAMPLED = {"sampling_decay": "constant", "gold_probability_floor": 0.5}
CONFIGS = {
    "stage2": tiny_config(**{**STEPS, **SAMPLED, "gradient_accumulation_steps": 2}),
    "r2d_c": tiny_config(**{**STEPS, **METHODS["r2d_c"].values, "gate_window_steps": 3}),
    "stage1": tiny_config(stage1_max_steps=8, stage1_eval_steps=4, logging_steps=3),
}
assert {config.dropout_rate for config in CONFIGS.values()} == {0.1}


def run(name: str, prepared: Prepared, folder: Path, **more: Any) -> StageOutcome:
    config, stage = CONFIGS[name], "stage1" if name == "stage1" else "stage2"
    best_dir = folder / "best"
    found = run_stage(config, prepared, stage, output_dir=folder, best_dir=best_dir, **more)  # type: ignore[arg-type]
    return replace(found, step_s=None)


def same_weights(one: Path, other: Path) -> bool:
    a, b = (load_file(folder / "best" / "model.safetensors") for folder in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def prepared(prepared_dir: Path) -> Prepared:
    return open_prepared(prepared_dir)


Runs = tuple[str, StageOutcome, Path, list[tuple[dict[str, Any], str]]]


@pytest.fixture(scope="module", params=list(CONFIGS))
def noticed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, prepared: Prepared
) -> Runs:
    """An undisturbed run's outcome, and a run with a notice from its first step on."""
    calm = tmp_path_factory.mktemp("calm")
    want = run(request.param, prepared, calm)
    folder, reports = tmp_path_factory.mktemp("noticed"), []
    found = run(
        request.param,
        prepared,
        folder,
        callbacks=[SaveOnNotice(lambda: True, 0.0)],
        report=lambda scores, checkpoint: reports.append((scores, checkpoint.name)),
    )
    assert found == want
    assert same_weights(folder, calm)
    return request.param, want, folder, reports


def test_a_checkpoint_at_every_step_changes_nothing_and_only_evaluations_are_told(
    noticed: Runs,
) -> None:
    _, want, _, reports = noticed
    assert [name for _, name in reports] == [f"checkpoint-{step}" for step in range(1, 9)]
    told = {scores["step"]: scores for scores, _ in reports if scores}
    assert set(told) == {4, 8} == {entry["step"] for entry in want.curve}
    for entry in want.curve:
        assert told[entry["step"]].items() >= entry["scores"].items()


@pytest.mark.parametrize("step", [2, 5])
def test_a_run_that_goes_on_from_such_a_checkpoint_equals_an_undisturbed_one(
    noticed: Runs, prepared: Prepared, tmp_path: Path, step: int
) -> None:
    name, want, folder, _ = noticed
    torch.rand(5)  # the generator stands elsewhere
    assert run(name, prepared, tmp_path, resume_from=folder / f"checkpoint-{step}") == want
    best = tmp_path if want.selected_step > step else folder  # the weights lie apart
    assert same_weights(best, folder)
    for file in ("model.safetensors", "trainer_state.json"):
        assert (tmp_path / "checkpoint-8" / file).exists()
    a, b = (load_file(at / "checkpoint-8" / "model.safetensors") for at in (tmp_path, folder))
    assert all(torch.equal(a[key], b[key]) for key in b)


def test_without_its_sums_the_next_log_entry_would_be_over_other_steps(
    noticed: Runs, prepared: Prepared, tmp_path: Path
) -> None:
    name, want, folder, _ = noticed
    file = folder / "checkpoint-5" / "since-log-0.json"
    kept = file.read_text()
    assert json.loads(kept)["last_logged"] == 3
    file.write_text(json.dumps({"loss": 0.0, "last_logged": 5, "sums": {}}))
    found = run(name, prepared, tmp_path, resume_from=folder / "checkpoint-5")
    file.write_text(kept)
    assert found.series["loss"][1] != want.series["loss"][1]
    assert found.series["rationale_loss"][1] != want.series["rationale_loss"][1]


# How often is looked


class Clock:
    """Seconds that pass as they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(module, "time", fake)
    return fake


def looks(clock: Clock, step_s: float, steps: int, save_s: float = 0.0) -> list[int]:
    """Return the steps at which a callback looks that is to look every five seconds."""
    found: list[int] = []
    state, control = TrainerState(), TrainerControl()

    def noticed() -> bool:
        found.append(state.global_step)
        return save_s > 0

    args: Any = SimpleNamespace(world_size=1)
    watch = SaveOnNotice(noticed, 5.0)
    watch.on_train_begin(args, state, control)
    for step in range(1, steps + 1):
        state.global_step, control.should_save = step, False
        clock.now += step_s
        watch.on_step_end(args, state, control)
        assert control.should_save == (save_s > 0 and found[-1] == step)
        if control.should_save:
            clock.now += save_s
            watch.on_save(args, state, control)
    return found


def test_quick_steps_are_looked_at_every_five_seconds_and_slow_ones_each(clock: Clock) -> None:
    assert looks(clock, 0.125, 150) == [1, 3, 7, 15, 31, 63, 103, 143]  # 40 steps are 5 s
    assert looks(clock, 5.0, 4) == looks(clock, 60.0, 4) == [1, 2, 3, 4]


def test_the_time_of_the_checkpoint_itself_is_no_step(clock: Clock) -> None:
    assert looks(clock, 0.125, 150, save_s=30.0) == looks(clock, 0.125, 150)


def test_all_ranks_look_at_the_same_steps_by_the_clock_of_the_first(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []

    def broadcast(values: list[int], src: int) -> None:
        if rank == src:
            sent.append(values[0])
        values[0] = sent[-1]

    monkeypatch.setattr(module, "dist", SimpleNamespace(broadcast_object_list=broadcast))
    found: list[list[int]] = [[], []]
    args: Any = SimpleNamespace(world_size=2)
    state, control = TrainerState(), TrainerControl()

    def of_rank(number: int) -> SaveOnNotice:
        return SaveOnNotice(lambda: bool(found[number].append(state.global_step)), 5.0)

    ranks = [of_rank(0), of_rank(1)]
    for step in range(1, 64):
        state.global_step = step
        for rank, watch in enumerate(ranks):
            clock.now += 0.1 if rank == 0 else 7.0  # the second would look at each step
            watch.on_step_end(args, state, control)
    assert found[0] == found[1]
    assert 3 < len(found[0]) < 63


def test_ray_hears_the_best_so_far_of_an_evaluation_and_nothing_of_what_is_none() -> None:
    scores = {"macro_f1": 0.25, "best_metric": 0.5, "step": 8}
    assert reported(scores, "macro_f1") == {
        "current_macro_f1": 0.25,
        "macro_f1": 0.5,
        "best_metric": 0.5,
        "step": 8,
    }
    assert reported(scores, None) == scores
    assert reported({}, "macro_f1") == {}
