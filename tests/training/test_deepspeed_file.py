"""A DeepSpeed file against DeepSpeed's own keys and against the flags."""

import copy
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import tiny_config
from hypothesis import given
from hypothesis import strategies as st
from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

from r2d_ray.config import build_config
from r2d_ray.errors import UserError
from r2d_ray.search.checks import check_deepspeed_of
from r2d_ray.search.space import SearchSpace
from r2d_ray.training.deepspeed_file import NOT_HERE, SECTIONS, check_deepspeed

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a section misspelt": ({"zero_optimisation": {"stage": 2}}, "did you mean 'zero_optimization'"),
    "a section that does not serve": ({"tensor_parallel": {}}, "does not serve here"),
    "no section at all": ({"nonsense": 1}, "unknown --deepspeed-config key 'nonsense'"),
    "a key misspelt": ({"zero_optimization": {"stge": 2}}, "did you mean 'stage'"),
    "a section of another kind": ({"zero_optimization": 2}, "JSON object"),
    "a value of another kind": ({"zero_optimization": {"overlap_comm": "maybe"}}, "overlap_comm"),
    "a stage that is none": ({"zero_optimization": {"stage": 7}}, "zero_optimization"),
    "another stage": (
        {"zero_optimization": {"stage": 3}},
        "stage = 3 contradicts --zero-stage = 2",
    ),
    "fp16": ({"fp16": {"enabled": True}}, "fp16.enabled = True contradicts"),
    "bf16 without the flag": ({"bf16": {"enabled": True}}, "contradicts bf16 = False"),
    "micro batch": ({"train_micro_batch_size_per_gpu": 5}, "per_device_train_batch_size = 4"),
    "accumulation": ({"gradient_accumulation_steps": 7}, "gradient_accumulation_steps = 3"),
    "global batch": ({"train_batch_size": 7}, "= 24"),
    "clipping": ({"gradient_clipping": 0.25}, "max_grad_norm = 1.0"),
    "a learning rate": ({"optimizer": {"type": "AdamW", "params": {"lr": 1e-3}}}, "learning_rate"),
    "steps": ({"scheduler": {"type": "W", "params": {"total_num_steps": 9}}}, "max_steps"),
}
FITS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "auto": {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
        "zero_optimization": {"stage": 2, "reduce_bucket_size": "auto"},
        "optimizer": {"type": "AdamW", "params": {"lr": "auto", "weight_decay": "auto"}},
    },
    "the same as the flags": {
        "train_batch_size": 24,
        "train_micro_batch_size_per_gpu": 4,
        "gradient_accumulation_steps": 3,
        "gradient_clipping": 1.0,
        "zero_optimization": {"stage": 2},
        "fp16": {"enabled": False},
    },
    "offload": {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}},
    "printing": {"steps_per_print": 7, "wall_clock_breakdown": True},
}


def check(users: dict[str, Any], **more: Any) -> None:
    flags = {
        "zero_stage": 2,
        "per_device_train_batch_size": 4,
        "num_workers": 2,
        "gradient_accumulation_steps": 3,
        "max_grad_norm": 1.0,
    }
    check_deepspeed(tiny_config(**{**flags, "deepspeed_config": users, **more}))


@pytest.mark.parametrize("case", REFUSED)
def test_what_deepspeed_would_not_heed_is_refused_in_one_line(case: str) -> None:
    users, said = REFUSED[case]
    with pytest.raises(UserError, match=said) as caught:
        check(users)
    assert "--deepspeed-config" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", FITS)
def test_what_says_the_same_as_the_flags_passes(case: str) -> None:
    check(FITS[case])


def test_without_the_flag_the_file_chooses_the_stage() -> None:
    check({"zero_optimization": {"stage": 3}}, zero_stage=0)
    users = {"zero_optimization": {"stage": 3}}
    assert tiny_config(deepspeed_config=users).effective_zero_stage == 3
    assert tiny_config(zero_stage=2, deepspeed_config={}).effective_zero_stage == 2


def test_the_cycle_loss_goes_by_the_stage_that_runs() -> None:
    values = {**tiny_config().model_dump(), "cycle_loss_weight": 0.1}
    with pytest.raises(UserError, match="whole embedding"):
        build_config({**values, "deepspeed_config": {"zero_optimization": {"stage": 3}}})


SEARCHED: dict[str, tuple[dict[str, Any], dict[str, Any], str | None]] = {
    "a choice that the file contradicts": (
        {"train_micro_batch_size_per_gpu": 4},
        {"per_device_train_batch_size": {"type": "categorical", "choices": [4, 8]}},
        "train_micro_batch_size_per_gpu = 4 contradicts per_device_train_batch_size = 8",
    ),
    "an end of a range": (
        {"gradient_accumulation_steps": 1},
        {"gradient_accumulation_steps": {"type": "int", "low": 1, "high": 4}},
        "gradient_accumulation_steps = 1 contradicts gradient_accumulation_steps = 4",
    ),
    "the product": (
        {"train_batch_size": 4},
        {"num_workers": {"type": "categorical", "choices": [1, 2]}},
        "train_batch_size = 4 contradicts batch x workers x accumulation = 8",
    ),
    "clipping": (
        {"gradient_clipping": 1.0},
        {"max_grad_norm": {"type": "float", "low": 0.5, "high": 1.0}},
        "gradient_clipping = 1.0 contradicts max_grad_norm = 0.5",
    ),
    "auto": (
        {"train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto"},
        {"per_device_train_batch_size": {"type": "categorical", "choices": [4, 8]}},
        None,
    ),
    "a field that no file names": (
        {"train_batch_size": 4},
        {"learning_rate": {"type": "float", "low": 1e-4, "high": 1e-3}},
        None,
    ),
}


@pytest.mark.parametrize("case", SEARCHED)
def test_every_value_that_a_search_may_draw_is_compared_with_the_file(case: str) -> None:
    users, search, said = SEARCHED[case]
    space = SearchSpace.model_validate(
        {"name": "s", "metric": "macro_f1", "mode": "max", "search": search}
    )
    config = tiny_config(per_device_train_batch_size=4, deepspeed_config=users)
    if said is None:
        check_deepspeed_of(config, space)
        return
    with pytest.raises(UserError, match=said):
        check_deepspeed_of(config, space)


class Listening(dict[str, Any]):
    """A configuration that notes which keys it is asked for."""

    def __init__(self, *values: Any) -> None:
        super().__init__(*values)
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.asked.add(str(key))
        return super().__contains__(key)

    def keys(self) -> Any:
        return self  # `key in config.keys()` is asking, too


def test_our_lists_hold_every_key_that_deepspeed_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    config = pytest.importorskip("deepspeed.runtime.config")
    users = Listening({"train_micro_batch_size_per_gpu": 1})
    config.DeepSpeedConfig(users)
    assert len(users.asked) > 40
    assert not set(SECTIONS) & set(NOT_HERE)
    assert users.asked - {*SECTIONS, *NOT_HERE} == set()
    assert {*SECTIONS, *NOT_HERE} - users.asked == set()


def matched(key: str, right: Any, wrong: Any) -> st.SearchStrategy[dict[str, Any]]:
    """A file with a key that says the same as the flags, another thing, `auto`, or nothing."""
    outer, _, inner = key.partition(".")

    def placed(value: Any) -> dict[str, Any]:
        return {outer: {inner: value}} if inner else {outer: value}

    said = st.sampled_from([right, wrong, "auto"]).map(placed)
    return st.just({}) | said


FILES = st.tuples(
    matched("train_micro_batch_size_per_gpu", 4, 5),
    matched("gradient_accumulation_steps", 3, 1),
    matched("train_batch_size", 24, 12),
    matched("gradient_clipping", 1.0, 0.5),
    matched("bf16.enabled", False, True),
    matched("fp16.enabled", False, True),
).map(lambda parts: {key: value for part in parts for key, value in part.items()})


@given(FILES)
def test_what_we_refuse_is_what_transformers_calls_a_mismatch(users: dict[str, Any]) -> None:
    theirs = HfTrainerDeepSpeedConfig(copy.deepcopy(users))
    theirs.trainer_config_process(
        SimpleNamespace(
            **{"world_size": 2, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 3},
            **{"max_grad_norm": 1.0, "learning_rate": 1e-3, "weight_decay": 0.0},
            **{"adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-8},
            **dict.fromkeys(("bf16", "fp16", "bf16_full_eval", "fp16_full_eval"), False),
            save_on_each_node=False,
        )
    )
    try:
        check(users)
        refused = False
    except UserError:
        refused = True
    assert refused == bool(theirs.mismatches)
