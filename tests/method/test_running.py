"""Running means over steps: by hand, across a resume, and in runs that are broken off."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_config
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from r2d_ray.data.prepare import Prepared, open_prepared
from r2d_ray.method.running import FILE, RunningMeans
from r2d_ray.method.variants import METHODS
from r2d_ray.training.stage import StageOutcome, run_stage


def test_the_train_error_is_an_exponential_mean_corrected_for_its_start() -> None:
    config = tiny_config(train_error_memory=0.9)
    means = RunningMeans()
    assert means.train_error(config) == 0.0
    means.update(errors=3, rows=8, confidence=0.0, config=config)
    assert means.train_error(config) == pytest.approx(3 / 8)
    means.update(errors=1, rows=4, confidence=0.0, config=config)
    # Weights 0.1 x 0.9 and 0.1, which are 0.19 together.
    assert means.train_error(config) == pytest.approx((0.09 * 3 / 8 + 0.1 * 1 / 4) / 0.19)


def test_a_steady_error_is_known_from_the_first_step() -> None:
    config, means = tiny_config(), RunningMeans()
    for _ in range(20):
        means.update(errors=2, rows=8, confidence=0.0, config=config)
        assert means.train_error(config) == pytest.approx(0.25)


def test_the_threshold_is_the_mean_of_the_start_and_then_of_whole_windows() -> None:
    # Sampling starts after 2 of 8 steps; a window is 3 steps.
    config = tiny_config(max_steps=8, sampling_start_ratio=0.25, gate_window_steps=3)
    confidences = [4.0, 3.0, 2.0, 4.0, 6.0, 1.0, 1.0, 1.0]
    rows = [8, 4, 4, 8, 8, 4, 4, 4]
    means, thresholds = RunningMeans(), []
    for confidence, count in zip(confidences, rows, strict=True):
        means.update(errors=0, rows=count, confidence=confidence, config=config)
        thresholds.append(means.threshold)
    start, window, last = 7 / 12, 12 / 20, 3 / 12
    assert thresholds == pytest.approx([1.0, start, start, start, window, window, window, last])


def test_without_a_start_the_threshold_is_known_after_the_first_step() -> None:
    config, means = tiny_config(sampling_start_ratio=0.0), RunningMeans()
    means.update(errors=0, rows=4, confidence=3.0, config=config)
    assert means.threshold == 0.75


Step = tuple[int, int]  # errors and hundredths of confidence, of 8 rows


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 800)), max_size=12), st.data())
def test_means_that_went_through_a_checkpoint_go_on_as_if_they_had_not(
    steps: list[Step], data: st.DataObject
) -> None:
    config = tiny_config(max_steps=12, sampling_start_ratio=0.2, gate_window_steps=2)
    cut = data.draw(st.integers(0, len(steps)))
    whole, broken = RunningMeans(), RunningMeans()
    for number, (errors, confidence) in enumerate(steps):
        if number == cut:
            broken = RunningMeans(**json.loads(json.dumps(broken.values())))
        for means in (whole, broken):
            means.update(errors, 8, confidence / 100, config)
    assert broken == whole


@pytest.fixture(scope="module")
def prepared(prepared_dir: Path) -> Prepared:
    return open_prepared(prepared_dir)


def run(method: str, prepared: Prepared, folder: Path, **more: Any) -> StageOutcome:
    values: dict[str, Any] = {
        "sampling_decay": "constant",
        "gold_probability_floor": 0.0,
        "gate_window_steps": 1,
        "max_steps": 6,
        "eval_steps": 3,
        "logging_steps": 1,
    }
    config = tiny_config(**{**values, **METHODS[method].values})
    assert config.dropout_rate == 0.1
    return run_stage(
        config, prepared, "stage2", output_dir=folder, best_dir=folder / "best", **more
    )


def equal(one: Path, other: Path) -> bool:
    a, b = (load_file(folder / "model.safetensors") for folder in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("method", "carried"),
    [
        ("random_wrong", "changed_share"),
        ("r2d_c", "sampled_share"),
        ("drop_wrong_reweighted", "rationale_loss"),
    ],
)
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(
    method: str, carried: str, prepared: Prepared, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    want = run(method, prepared, whole)
    torch.rand(5)  # the generator stands elsewhere
    resumed = tmp_path / "resumed"
    found = run(method, prepared, resumed, resume_from=whole / "checkpoint-3")
    assert equal(resumed / "checkpoint-6", whole / "checkpoint-6")
    assert (found.curve, found.series) == (want.curve, want.series)
    at_3, at_6, again = (
        json.loads((folder / FILE).read_text())
        for folder in (whole / "checkpoint-3", whole / "checkpoint-6", resumed / "checkpoint-6")
    )
    assert at_3["steps"] == 3
    assert 0 < at_3["error_sum"] < 1
    assert 0.5 <= at_3["threshold"] < 1
    assert again == at_6 != at_3

    # The means are what carries it: without them the same checkpoint goes elsewhere.
    (whole / "checkpoint-3" / FILE).write_text(json.dumps(RunningMeans().values()))
    lost = run(method, prepared, tmp_path / "lost", resume_from=whole / "checkpoint-3")
    assert lost.series[carried] != want.series[carried]


def test_methods_that_need_no_means_keep_none(prepared: Prepared, tmp_path: Path) -> None:
    run("r2d", prepared, tmp_path)
    stored = json.loads((tmp_path / "checkpoint-6" / FILE).read_text())
    assert RunningMeans(**stored) == RunningMeans()
