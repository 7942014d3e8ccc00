"""The run's numbers: bounds, unknown names, what is refused, profiles and methods."""

from typing import Any

import pytest
from conftest import TINY
from pydantic import ValidationError

from r2d_ray.config import PROFILES, SELECTION_METRICS, STAGE1_FIELDS, TrainConfig, build_config
from r2d_ray.errors import UserError
from r2d_ray.method.variants import METHODS, get_method


def test_defaults_are_the_authors() -> None:
    config = TrainConfig()
    assert (config.stage1_max_steps, config.max_steps) == (50_000, 30_000)
    assert config.learning_rate == config.stage1_learning_rate == 5e-5
    assert (config.label_loss_weight, config.label_warmup_ratio) == (0.7, 0.05)
    assert (config.sampling_decay, config.gold_probability_floor) == ("linear", 0.1)
    assert (config.sampling_start_ratio, config.sampling_decay_ratio) == (0.05, 0.6)


BOUNDS = [
    ("label_loss_weight", [0.0, 1.0], [-0.01, 1.01]),
    ("label_warmup_ratio", [0.0, 1.0], [-0.01, 1.01]),
    ("sampling_start_ratio", [0.0, 1.0], [-0.01, 1.01]),
    ("sampling_decay_ratio", [0.01, 1.0], [0.0, 1.01]),
    ("gold_probability_floor", [0.0, 1.0], [-0.01, 1.01]),
    ("early_stopping_start_ratio", [0.0, 1.0], [-0.01, 1.01]),
    ("warmup_ratio", [0.0, 1.0], [-0.01, 1.01]),
    ("learning_rate", [1e-9, 1.0], [0.0, -1e-3, 1.5, float("nan"), float("inf")]),
    ("dropout_rate", [0.0, 0.99], [-0.1, 1.0]),
    ("weight_decay", [0.0, 1.0], [-0.1, 1.1]),
    ("max_grad_norm", [0.0, 1000.0], [-1.0, 1001.0]),
    ("max_steps", [1], [0, -1, 10_000_001, 1.5]),
    ("stage1_max_steps", [0], [-1]),
    ("early_stopping_patience", [0, 7], [-1]),
    ("max_input_length", [8, 8192], [7, 8193]),
    ("max_label_length", [2, 512], [1, 513]),
    ("num_workers", [1], [0]),
    ("gradient_accumulation_steps", [1], [0]),
    ("zero_stage", [0, 3], [-1, 4]),
    ("seed", [0, 2**31 - 1], [-1, 2**31]),
    ("gpus_per_worker", [0.0, 0.5], [-1.0]),
    ("sampling_decay", ["exponential"], ["cosine"]),
    ("selection_metric", list(SELECTION_METRICS), ["bleu"]),
    ("rationale_prompt", ["plain"], [None]),
]


@pytest.mark.parametrize(("field", "allowed", "refused"), BOUNDS, ids=[b[0] for b in BOUNDS])
def test_bounds(field: str, allowed: list[Any], refused: list[Any]) -> None:
    for value in allowed:
        assert getattr(build_config({field: value}), field) == value
    for value in refused:
        with pytest.raises(UserError, match=f"^{field} = ") as caught:
            build_config({field: value})
        assert "\n" not in str(caught.value)


def test_an_unknown_field_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="unknown field 'learning_rat'; did you mean 'learning_r"):
        build_config({"learning_rat": 1e-3})
    with pytest.raises(ValidationError, match="extra"):
        TrainConfig.model_validate({"learning_rat": 1e-3})


@pytest.mark.parametrize("value", [True, False])
def test_fp16_is_refused_with_its_reason(value: bool) -> None:
    with pytest.raises(UserError, match=r"fp16 overflows .*\(allowed: bf16=true"):
        build_config({"fp16": value})


def test_a_metric_that_the_run_does_not_compute_is_refused() -> None:
    with pytest.raises(UserError, match=r"rationale_loss.*label_loss_weight = 1"):
        build_config({"selection_metric": "rationale_loss", "label_loss_weight": 1.0})


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrainConfig().seed = 1  # type: ignore[misc]


def test_a_config_survives_json() -> None:
    config = build_config({**TINY, "deepspeed_config": {"zero_optimization": {"stage": 2}}})
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("field", list(TrainConfig.model_fields))
def test_every_field_says_what_it_is(field: str) -> None:
    description = TrainConfig.model_fields[field].description
    assert description
    assert description.endswith(".")


def test_derived_numbers() -> None:
    config = build_config(
        {"per_device_train_batch_size": 4, "num_workers": 3, "gradient_accumulation_steps": 2}
    )
    assert config.global_batch_size == 24
    assert build_config({"label_loss_weight": 0.99}).trains_rationales
    assert not build_config({"label_loss_weight": 1.0}).trains_rationales
    assert build_config({"rationale_source": "llm"}).stage1_source == "llm"
    both = {"rationale_source": "llm", "stage1_rationale_source": "human"}
    assert build_config(both).stage1_source == "human"


def test_stage1_fields_are_fields_and_none_is_of_stage_2() -> None:
    assert set(STAGE1_FIELDS) <= set(TrainConfig.model_fields)
    assert {name for name in TrainConfig.model_fields if name.startswith("stage1_")} - {
        "stage1_rationale_source"  # the prepared data's key holds it
    } <= set(STAGE1_FIELDS)
    method = [name for name in TrainConfig.model_fields if name.startswith(("label_", "sampling_"))]
    assert not set(STAGE1_FIELDS) & {*method, "max_steps", "learning_rate", "eval_steps"}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_valid_in_every_profile(profile: str, method: str) -> None:
    values = {**PROFILES[profile], **METHODS[method].values}
    config = build_config(values)
    assert {name: getattr(config, name) for name in values} == values


def test_a_profile_sets_nothing_of_the_method() -> None:
    method_fields = {name for method in METHODS.values() for name in method.values}
    for values in PROFILES.values():
        shared = set(values) & method_fields
        assert all(name.startswith("stage1_") for name in shared)  # sft switches stage 1 off


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_a_name_a_description_and_a_source(name: str) -> None:
    method = get_method(name)
    assert method.name == name
    assert method.description
    assert method.source


def test_an_unknown_method_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UserError, match=r"unknown method 'r2dd'; did you mean 'r2d'\?.*sft"):
        get_method("r2dd")
