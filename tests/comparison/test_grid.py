"""A grid's points as settings of a method: names, what falls away, which points are one run."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_config
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from toy_steps import gradients, loss_of, model_of

from r2d_ray.comparison.grid import (
    NAME_LENGTH,
    MethodGrid,
    check_grid,
    effective,
    method_grid,
    setting_name,
)
from r2d_ray.config import PROFILES, build_config
from r2d_ray.data.prepare import open_prepared
from r2d_ray.errors import UserError
from r2d_ray.method.variants import METHODS, get_method
from r2d_ray.search.domain import Domain
from r2d_ray.search.space import SearchSpace, load_search_space

EMBEDDED = PROFILES["embedded"]


def space(**choices: Any) -> SearchSpace:
    search = {name: {"type": "categorical", "choices": of} for name, of in choices.items()}
    return SearchSpace.model_validate(
        {"name": "mine", "metric": "macro_f1", "mode": "max", "search": search}
    )


def grid_of(
    grid: SearchSpace, method: str = "r2d", base: Any = EMBEDDED, **flags: Any
) -> MethodGrid:
    check_grid(grid)
    return method_grid(grid, get_method(method), {**base, **flags}, flags)


# The project's own grids


@pytest.mark.parametrize("profile", PROFILES)
def test_the_ablation_has_six_distinct_runs_of_eight_points(profile: str) -> None:
    found = grid_of(load_search_space("ablation"), base=PROFILES[profile])
    assert list(found.settings) == [
        "default",
        "rationale_prompt=plain",
        "sampling_decay=none",
        "stage1_max_steps=0",
        "rationale_prompt=plain,stage1_max_steps=0",
        "sampling_decay=none,stage1_max_steps=0",
    ]
    assert found.same == {
        "rationale_prompt=plain": ("rationale_prompt=plain,sampling_decay=none",),
        "rationale_prompt=plain,stage1_max_steps=0": (
            "rationale_prompt=plain,sampling_decay=none,stage1_max_steps=0",
        ),
    }
    steps = build_config(PROFILES[profile]).stage1_max_steps
    assert found.settings["default"]["stage1_max_steps"] == steps


def test_the_sensitivity_has_27_runs_one_of_them_the_default() -> None:
    found = grid_of(load_search_space("sensitivity"))
    assert len(found.settings) == 27
    assert found.same == {}
    assert "default" in found.settings
    assert "gold_probability_floor=0.3,sampling_decay=exponential" in found.settings


@pytest.mark.parametrize(
    ("setting", "method"),
    [("sampling_decay=none", "teacher_forcing"), ("stage1_max_steps=0", "no_stage1")],
)
def test_parts_switched_off_are_the_methods_of_the_same_meaning(setting: str, method: str) -> None:
    values = grid_of(load_search_space("ablation")).settings[setting]
    switched = build_config({**EMBEDDED, **values})
    named = build_config({**EMBEDDED, **get_method(method).values})
    assert effective(switched) == effective(named)
    assert effective(switched) != effective(build_config(EMBEDDED))


# Methods and flags


def test_what_a_method_fixes_is_not_varied_and_a_method_that_fixes_all_has_its_default() -> None:
    ablation = load_search_space("ablation")
    assert set(grid_of(ablation, "sft").settings) == {"default"}
    assert set(grid_of(ablation, "stage1_sft").settings) == {"default", "stage1_max_steps=0"}
    assert set(grid_of(ablation, "no_stage1").settings) == {
        *("default", "rationale_prompt=plain", "sampling_decay=none")
    }


def test_a_flag_ends_the_variation_of_a_field_or_is_the_default_that_the_word_stands_for() -> None:
    ablation = load_search_space("ablation")
    found = grid_of(ablation, stage1_max_steps=40, sampling_decay="exponential")
    assert set(found.settings) == {
        *("default", "rationale_prompt=plain", "stage1_max_steps=0"),
        "rationale_prompt=plain,stage1_max_steps=0",
    }
    assert found.settings["default"] == {"stage1_max_steps": 40, "rationale_prompt": "given_label"}
    off = grid_of(ablation, stage1_max_steps=0)
    assert len(off.settings) == 3, "default and 0 are one choice"


def test_a_grid_need_not_hold_the_default() -> None:
    found = grid_of(space(learning_rate=[1e-5, 3e-4]))
    assert set(found.settings) == {"learning_rate=1e-05", "learning_rate=0.0003"}


# Names


def test_a_setting_names_what_differs_sorted_as_the_file_has_it() -> None:
    defaults = {"b": 0.1, "a": True, "c": "x", "d": None}
    assert setting_name({"b": 0.1, "a": True}, defaults) == "default"
    point = {"c": "y", "b": 5e-05, "a": False, "d": 3}
    assert setting_name(point, defaults) == "a=false,b=5e-05,c=y,d=3"
    assert setting_name({"d": None, "b": 1.0}, {"d": 3, "b": 0.5}) == "b=1.0,d=null"


def test_a_name_that_no_file_could_have_is_refused() -> None:
    fields = {
        **{"warmup_ratio": [0.5], "weight_decay": [0.5], "dropout_rate": [0.5]},
        **{"label_loss_weight": [0.5], "gate_window_steps": [5], "sampling_start_ratio": [0.5]},
        **{"gumbel_temperature_floor": [0.25], "early_stopping_start_ratio": [0.5]},
        **{"gate_steepness": [5.0], "train_error_memory": [0.5]},
    }
    with pytest.raises(UserError, match=rf"--grid mine: setting .* {NAME_LENGTH} characters"):
        grid_of(space(**fields))


# What cannot be a grid


@pytest.mark.parametrize(
    ("field", "choices", "said"),
    [
        ("seed", [1, 2], "--grid mine: seed is not a setting of an arm (allowed: --seeds)"),
        ("rationale_source", ["a"], "(allowed: --rationale-sources)"),
        ("model", ["t5-small"], "--grid mine: model is not a setting of an arm"),
        ("early_stopping_patience", [1], "early_stopping_patience is not a setting"),
    ],
)
def test_a_field_that_all_arms_share_is_refused(field: str, choices: Any, said: str) -> None:
    with pytest.raises(UserError) as caught:
        check_grid(space(**{field: choices}))
    assert said in str(caught.value)


def test_a_range_is_refused_and_so_is_a_point_that_cannot_be_trained() -> None:
    ranges = {"learning_rate": Domain(type="float", low=1e-5, high=1e-3)}
    with pytest.raises(UserError, match=r"^--grid mine: learning_rate is a range"):
        check_grid(space(seed=[1]).model_copy(update={"search": ranges}))
    with pytest.raises(UserError, match="cycle_loss_weight needs the whole embedding"):
        grid_of(space(cycle_loss_weight=[0.0, 0.1]), zero_stage=3)


# The same run


@given(
    st.sampled_from(list(METHODS)),
    st.sampled_from(["linear", "exponential", "constant", "none"]),
    st.sampled_from([0.2, 0.6]),
    st.sampled_from([0.1, 0.5]),
)
@settings(deadline=None, max_examples=15)
def test_every_point_of_a_grid_is_run_once(
    method: str, decay: str, ratio: float, floor: float
) -> None:
    grid = space(
        sampling_decay=["linear", decay] if decay != "linear" else ["linear"],
        sampling_decay_ratio=[0.3, ratio],
        gold_probability_floor=[0.0, floor],
        rationale_prompt=["plain", "given_label"],
    )
    found = grid_of(grid, method)
    base = build_config({**EMBEDDED, **get_method(method).values}).model_dump()
    runs = [str(effective(build_config({**base, **v}))) for v in found.settings.values()]
    assert len(set(runs)) == len(runs)
    free = [
        d.choices or () for name, d in grid.search.items() if name not in get_method(method).values
    ]
    points = 1
    for choices in free:
        points *= len(choices)
    assert len(runs) + sum(map(len, found.same.values())) == points


def step_of(prepared_dir: Path, **values: Any) -> list[Tensor]:
    """Return loss and gradients of one late step with dropout on."""
    config = tiny_config(sampling_start_ratio=0.0, **values)
    prepared = open_prepared(prepared_dir)
    torch.manual_seed(0)
    model = model_of(config, prepared)
    return gradients(loss_of(config, prepared, 6, model)[0], model)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (
            {"rationale_prompt": "plain"},
            {"rationale_prompt": "plain", "sampling_decay": "none"},
            True,
        ),
        (
            {"sampling_decay": "none"},
            {"sampling_decay": "none", "gold_probability_floor": 0.5},
            True,
        ),
        ({"sampling_decay": "constant"}, {"sampling_decay": "none"}, False),
    ],
)
def test_what_counts_as_the_same_run_makes_the_same_step_bit_for_bit(
    prepared_dir: Path, one: Any, other: Any, same: bool
) -> None:
    assert (effective(tiny_config(**one)) == effective(tiny_config(**other))) is same
    steps = [step_of(prepared_dir, **values) for values in (one, other)]
    assert all(torch.equal(a, b) for a, b in zip(*steps, strict=True)) is same
