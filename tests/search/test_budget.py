"""What of a profile follows data and machine: steps, intervals, lengths, the device, the model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import toy_splits

from r2d_ray.config import FITTED, PROFILES, build_config
from r2d_ray.data.examples import Splits
from r2d_ray.distributed.cluster import NO_GPUS, Capacity
from r2d_ray.errors import UserError
from r2d_ray.method.variants import METHODS
from r2d_ray.search import plan as plan_module
from r2d_ray.search.budget import (
    evaluation_interval,
    fitted_values,
    lengths_of,
    profile_values,
    stage2_steps,
    step_values,
)
from r2d_ray.search.plan import NAMED_SPACES, default_space, make_plan
from r2d_ray.search.space import load_search_space, prepare_space
from r2d_ray.study.settings import SearchSettings, build_settings


def asked(**values: Any) -> SearchSettings:
    return build_settings({"dataset": "toy", **values})


@pytest.mark.parametrize(
    ("epochs", "rows", "batch", "steps"),
    [
        (1.0, 160, 16, 10),
        (1.0, 161, 16, 11),  # 10.06
        (2.5, 417, 16, 66),  # 65.2
        (0.1, 100, 64, 1),  # 0.16
        (3.0, 5_000, 32, 469),  # 468.75
        (None, 417, 16, 1_000),  # 260.6, the least
        (None, 5_000, 16, 3_125),
        (None, 170_000, 16, 30_000),  # 106,250, the most
        (200.0, 170_000, 64, 531_250),  # asked for: no bounds
    ],
)
def test_steps_of_stage_2(epochs: float | None, rows: int, batch: int, steps: int) -> None:
    assert stage2_steps(epochs, rows, batch) == steps


@pytest.mark.parametrize(
    ("steps", "rows", "batch", "interval"),
    [
        (100, 160, 16, 5),  # half an epoch
        (1_000, 417, 16, 25),  # half an epoch is 14: more than 40 evaluations
        (3_125, 5_000, 16, 157),
        (30_000, 170_000, 16, 5_313),
        (3, 5_000, 16, 3),  # one at the end
        (0, 5_000, 16, 1),  # no stage: an interval that is none
    ],
)
def test_an_evaluation_each_half_epoch(steps: int, rows: int, batch: int, interval: int) -> None:
    assert evaluation_interval(steps, rows, batch) == interval


@pytest.mark.parametrize(
    ("explained", "named", "stage1"),
    [
        (400, {}, 100),  # 5 / 3 of 60
        (100, {}, 25),  # the epochs of stage 1 are those of the rows that it has
        (0, {}, 0),
        (400, {"stage1_max_steps": 7}, 7),
    ],
)
def test_stage_1_has_five_thirds_of_the_epochs(
    explained: int, named: dict[str, int], stage1: int
) -> None:
    assert step_values(60, 400, explained, 16, named)["stage1_max_steps"] == stage1


def test_the_authors_budgets_have_this_proportion() -> None:
    paper = build_config(PROFILES["paper"])
    same = step_values(paper.max_steps, 500, 500, 64, {})
    assert same["stage1_max_steps"] == paper.stage1_max_steps


@pytest.mark.parametrize(
    ("profile", "capacity", "flags", "expected"),
    [
        ("finetune", NO_GPUS, {}, ("google/t5-v1_1-base", 0.0, False)),
        ("finetune", Capacity(8, 4), {}, ("google/t5-v1_1-base", 1.0, True)),
        ("finetune", Capacity(8, 4, 24.0), {}, ("google/t5-v1_1-base", 1.0, True)),
        ("finetune", Capacity(8, 1, 15.8), {}, ("google/t5-v1_1-base", 1.0, True)),
        ("finetune", Capacity(8, 1, 12.6), {}, ("google/t5-v1_1-small", 1.0, True)),
        ("finetune", Capacity(8, 1), {"gpus_per_worker": 0.0}, ("google/t5-v1_1-base", 0.0, False)),
        ("paper", Capacity(8, 1, 12.6), {}, ("google/t5-v1_1-base", 1.0, True)),
        ("embedded", Capacity(8, 1, 12.6), {}, ("scratch-tiny", 0.0, False)),
    ],
)
def test_device_and_model_follow_the_machine(
    profile: str, capacity: Capacity, flags: dict[str, Any], expected: tuple[str, float, bool]
) -> None:
    values = profile_values(asked(profile=profile, overrides=flags), capacity)
    config = build_config({**values, **flags})
    assert (config.model, config.gpus_per_worker, config.bf16) == expected


def fitted(splits: Splits, given: dict[str, Any], **settings: Any) -> dict[str, Any]:
    wanted = asked(**settings)
    values = {**profile_values(wanted, NO_GPUS), "model": "scratch-tiny", **given}
    return fitted_values(wanted, build_config(values), splits, given)


def test_what_is_given_is_not_fitted() -> None:
    found = fitted(toy_splits(), {}, profile="finetune")
    assert found.keys() == {
        *("max_steps", "eval_steps", "stage1_max_steps", "stage1_eval_steps"),
        *("max_input_length", "max_label_length", "max_rationale_length"),
    }
    assert found.keys() == set(FITTED["finetune"])
    given = {"max_input_length": 99, "max_steps": 48}
    rest = fitted(toy_splits(), given, profile="finetune")
    assert rest.keys() == found.keys() - given.keys()
    assert rest["eval_steps"] == 2, "40 evaluations at most, of the steps that were given"
    assert fitted(toy_splits(), {}, profile="embedded") == {}
    assert fitted(toy_splits(), {}, profile="paper") == {}
    # 24 rows, 64 a step: 4 epochs are 2 steps.
    of_epochs = fitted(toy_splits(), {}, profile="paper", epochs=4.0)
    assert of_epochs == {
        **{"max_steps": 2, "eval_steps": 1},
        **{"stage1_max_steps": 4, "stage1_eval_steps": 1},
    }


@pytest.mark.parametrize("settings", [{"overrides": {"max_steps": 9}}, {"smoke_test": True}])
def test_epochs_beside_steps_are_refused(settings: dict[str, Any]) -> None:
    given = settings.get("overrides", {})
    with pytest.raises(UserError, match=r"^--epochs 2: max_steps = \d is set too \(allowed: one"):
        fitted(toy_splits(), given, profile="finetune", epochs=2.0, **settings)


def test_lengths_are_the_datas_within_bounds() -> None:
    config = build_config({"model": "scratch-tiny"})
    short = toy_splits()
    found = lengths_of(short, config)
    assert found["max_input_length"] == 64, "the least"
    assert found["max_rationale_length"] == 32, "the least"
    long = tuple(
        replace(row, context=row.context + " gout" * 2_000, rationales={"human": "gout " * 999})
        for row in short.train
    )
    found = lengths_of(replace(short, train=long), config)
    assert found["max_input_length"] == 1024, "the most"
    assert found["max_rationale_length"] == 256, "the most"


@pytest.mark.parametrize("outliers", [1, 3])
def test_one_row_in_twenty_does_not_set_the_length(outliers: int) -> None:
    splits = toy_splits(train=40)
    rows = [replace(row, context="gout " * 100) for row in splits.train]
    rows[:outliers] = [replace(row, context="gout " * 800) for row in rows[:outliers]]
    found = lengths_of(replace(splits, train=tuple(rows)), build_config({"model": "scratch-tiny"}))
    assert (found["max_input_length"] < 256) == (outliers == 1)
    assert found["max_input_length"] % 32 == 0


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("dataset", [*NAMED_SPACES, "notes.csv"])
@pytest.mark.parametrize("method", METHODS)
def test_trial_0_of_every_method_lies_in_the_space_of_its_profile(
    profile: str, dataset: str, method: str
) -> None:
    space = load_search_space(default_space(asked(dataset=dataset, profile=profile)))
    fixed = METHODS[method].values
    values = {**PROFILES[profile], **space.fixed, **fixed}
    prepared, _ = prepare_space(space, values, fixed)
    trial_0 = build_config(values)
    assert "learning_rate" in prepared.search
    assert all(d.contains(getattr(trial_0, field)) for field, d in prepared.search.items())


def test_a_stored_study_keeps_its_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 0.2 took `paper` where there were GPUs: the same command goes on with it."""
    monkeypatch.setattr(plan_module, "read_data", lambda settings: toy_splits())
    (tmp_path / "toy.csv").touch()
    where = {"storage_path": str(tmp_path), "name": "s", "num_samples": 2}
    where |= {"dataset": str(tmp_path / "toy.csv")}
    flags = {"model": "scratch-tiny", "gpus_per_worker": 0.0}
    former = make_plan(asked(profile="paper", overrides=flags, **where), Capacity(2, 1)).info
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "study.json").write_text(json.dumps(former.model_dump(mode="json")))
    same = make_plan(asked(overrides=flags, **where), Capacity(2, 1)).info
    assert same == former
    named = make_plan(asked(profile="embedded", overrides=flags, **where), Capacity(2, 1)).info
    assert named.profile == "embedded"
