"""The DeepSpeed configuration that is made from a run's fields."""

import os

import pytest
from conftest import tiny_config

from r2d_ray.training.arguments import deepspeed_config, prepare_process


def test_stage_0_needs_no_deepspeed() -> None:
    assert deepspeed_config(tiny_config(zero_stage=0)) is None


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("norm", [0.0, 1.0, 2.5])
def test_gradient_clipping_is_always_set(stage: int, norm: float) -> None:
    made = deepspeed_config(tiny_config(zero_stage=stage, max_grad_norm=norm))
    assert made is not None
    assert made["gradient_clipping"] == norm
    assert made["zero_optimization"]["stage"] == stage


def test_batch_and_precision_are_those_of_the_run() -> None:
    config = tiny_config(zero_stage=1, gradient_accumulation_steps=3, bf16=True)
    made = deepspeed_config(config)
    assert made is not None
    assert made["train_micro_batch_size_per_gpu"] == config.per_device_train_batch_size
    assert made["gradient_accumulation_steps"] == 3
    assert made["bf16"] == {"enabled": True}


def test_the_users_configuration_lies_over_the_made_one_key_by_key() -> None:
    users = {
        "zero_optimization": {"stage": 3, "overlap_comm": False},
        "gradient_clipping": 0.25,
        "steps_per_print": 7,
    }
    config = tiny_config(zero_stage=2, deepspeed_config=users)
    made = deepspeed_config(config)
    assert made is not None
    assert made["zero_optimization"] == {
        "stage": 3,
        "overlap_comm": False,
        "stage3_gather_16bit_weights_on_model_save": True,
    }
    assert (made["gradient_clipping"], made["steps_per_print"]) == (0.25, 7)
    assert made["zero_allow_untested_optimizer"] is True
    assert config.deepspeed_config == users


def test_the_users_configuration_alone_switches_deepspeed_on() -> None:
    made = deepspeed_config(tiny_config(deepspeed_config={"steps_per_print": 7}))
    assert made is not None
    assert made["zero_optimization"]["stage"] == 0


def test_a_process_without_zero_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DS_ACCELERATOR", raising=False)
    prepare_process(tiny_config())
    prepare_process(tiny_config(zero_stage=2, gpus_per_worker=1.0))
    assert "DS_ACCELERATOR" not in os.environ
