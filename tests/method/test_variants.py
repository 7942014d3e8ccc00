"""Every method: its values, what it changes in a step or a plan, and that it trains."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY, tiny_config
from torch import Tensor
from toy_steps import (
    batch_of,
    config_of,
    gradients,
    loss_of,
    model_of,
    passes,
    prompts_seen,
    texts,
)
from transformers import PreTrainedModel

from r2d_ray.config import PROFILES, TrainConfig, build_config
from r2d_ray.data.prepare import Prepared, open_prepared
from r2d_ray.errors import UserError
from r2d_ray.method.variants import METHODS, get_method
from r2d_ray.model.teacher_forcing import IGNORED
from r2d_ray.search.space import load_search_space, prepare_space
from r2d_ray.training.arguments import stage_plan
from r2d_ray.training.stage import run_stage

STEPS = (2, 4, 6)  # of 8: r2d's gold probability is 0.67, 0.25 and 0.1


@pytest.fixture(scope="module")
def prepared(prepared_dir: Path) -> Prepared:
    return open_prepared(prepared_dir)


def config_for(method: str, **values: object) -> TrainConfig:
    return config_of(**{**values, **METHODS[method].values})


# Values


def test_a_method_is_known_by_its_name_and_r2d_is_the_default() -> None:
    assert all(get_method(name).name == name for name in METHODS)
    assert METHODS["r2d"].values == {}
    with pytest.raises(UserError, match=r"unknown method 'r2dc'.* did you mean 'r2d"):
        get_method("r2dc")


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("method", METHODS)
def test_values_are_fields_that_fit_every_profile(method: str, profile: str) -> None:
    values = METHODS[method].values
    assert set(values) <= set(TrainConfig.model_fields)
    config = build_config({**PROFILES[profile], **values})
    assert {name: getattr(config, name) for name in values} == values


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["embedded", "bioasq", "triage"])
def test_what_a_method_fixes_is_not_searched(method: str, name: str) -> None:
    whole, fixed = load_search_space(name), METHODS[method].values
    space, dropped = prepare_space(whole, {**PROFILES["embedded"], **fixed}, fixed)
    assert set(dropped) == set(whole.search) & set(fixed)
    assert set(space.search) == set(whole.search) - set(fixed)


WEIGHTS = {"learning_rate", "label_loss_weight", "label_warmup_ratio"}
SAMPLING = {"sampling_decay", "sampling_decay_ratio", "gold_probability_floor"}


@pytest.mark.parametrize(
    ("methods", "searched"),
    [
        ("sft stage1_sft dss", {"learning_rate"}),
        ("teacher_forcing gold_90 gold_50 gold_0", WEIGHTS),
        (
            "r2d r2d_c r2d_c_authors random_wrong drop_wrong drop_wrong_reweighted relabel "
            "relabel_or_keep no_stage1",
            WEIGHTS | SAMPLING,
        ),
    ],
)
def test_what_is_left_to_search(methods: str, searched: set[str]) -> None:
    for method in methods.split():
        fixed = METHODS[method].values
        defaults = {**PROFILES["embedded"], **fixed}
        space, _ = prepare_space(load_search_space("embedded"), defaults, fixed)
        assert set(space.search) == searched, method


# Differences from r2d


@dataclass(frozen=True)
class Seen:
    """What can be seen of a method in a few steps from the same weights."""

    loss: list[float]
    prompts: list[str]
    passes: list[bool]
    plan: tuple[int, str]


@pytest.fixture(scope="module")
def model(prepared: Prepared) -> PreTrainedModel:
    return model_of(config_of(), prepared)


def watch(method: str, prepared: Prepared, model: PreTrainedModel) -> Seen:
    config = config_for(method)
    means = {"steps": 1, "error_sum": 0.5 * (1 - config.train_error_memory), "threshold": 0.5}
    with passes(model) as calls, prompts_seen() as seen:
        torch.manual_seed(0)
        found = [loss_of(config, prepared, step, model, **means)[0].item() for step in STEPS]
    shown = [text for prompts in seen for text in texts(prepared, prompts)]
    return Seen(found, shown, calls, (config.stage1_max_steps, stage_plan(config, "stage2").metric))


@pytest.fixture(scope="module")
def r2d(prepared: Prepared, model: PreTrainedModel) -> Seen:
    return watch("r2d", prepared, model)


DIFFERS = {
    "r2d": "",
    "sft": "loss prompts passes plan",  # no rationale pass, no stage 1
    "dss": "loss prompts plan",  # weights, a prompt without a label, no stage 1
    "r2d_c": "loss prompts passes",  # a gate and a third pass
    "r2d_c_authors": "loss prompts passes",  # and decoding
    "teacher_forcing": "loss prompts",
    "gold_90": "loss prompts",
    "gold_50": "loss prompts",
    "gold_0": "loss prompts",
    "no_stage1": "plan",
    "stage1_sft": "loss prompts passes",
    "random_wrong": "loss prompts",
    "drop_wrong": "loss",
    "drop_wrong_reweighted": "loss",
    "relabel": "loss",
    "relabel_or_keep": "",  # no row of the toy set has a rationale of another label
    "no_dropout_labels": "passes",  # the labels of a model without dropout are the same
    "composite_selection": "plan",
}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_differs_from_r2d_in_this_and_nothing_else(
    method: str, prepared: Prepared, model: PreTrainedModel, r2d: Seen
) -> None:
    found = watch(method, prepared, model)
    differing = [
        name
        for name in ("loss", "prompts", "passes", "plan")
        if getattr(found, name) != getattr(r2d, name)
    ]
    assert differing == DIFFERS[method].split()


def test_the_gold_probability_of_each_kind(prepared: Prepared, model: PreTrainedModel) -> None:
    at_3 = 1 - (3 / 8 - 0.05) / 0.6
    expected: dict[str, list[Any]] = {
        "r2d": [1.0, pytest.approx(at_3), 0.1],
        "gold_90": [0.9] * 3,
        "gold_50": [0.5] * 3,
        "gold_0": [0.0] * 3,
        "teacher_forcing": [1.0] * 3,
        "dss": [1.0] * 3,
        "sft": [None] * 3,
    }
    for method, want in expected.items():
        found = [loss_of(config_for(method), prepared, step, model)[1] for step in (0, 3, 7)]
        assert [sums.get("gold_probability") for sums in found] == want, method


def test_passes_with_and_without_dropout(prepared: Prepared, model: PreTrainedModel) -> None:
    by_step = {
        "sft": [True],
        "r2d": [True] * 2,
        "no_dropout_labels": [True, False, True],
        "r2d_c": [True] * 3,
        "r2d_c_authors": [True] * 4,  # predict, decode, explain, cycle
    }
    for method, want in by_step.items():
        assert watch(method, prepared, model).passes == want * len(STEPS), method


def test_teacher_forcing_is_r2d_at_gold_probability_1_bit_for_bit(prepared: Prepared) -> None:
    results = []
    for method, values in (
        ("teacher_forcing", {}),
        ("r2d", {"gold_probability_floor": 1.0}),
        ("r2d", {}),
    ):
        config = config_for(method, dropout_rate=0.1, **values)
        model = model_of(config, prepared)
        torch.manual_seed(1)
        results.append(gradients(loss_of(config, prepared, 6, model)[0], model))
    forced, gold, sampled = results
    assert all(torch.equal(a, b) for a, b in zip(forced, gold, strict=True))
    assert not torch.equal(forced[0], sampled[0])


def summed_loss(
    model: PreTrainedModel, prepared: Prepared, prompts: Sequence[str], targets: Sequence[str]
) -> tuple[Tensor, int]:
    """Return transformers' loss of target strings given prompt strings, summed, and tokens."""
    inputs, wanted = (
        prepared.tokenizer(list(part), padding=True, return_tensors="pt")
        for part in (prompts, targets)
    )
    labels = wanted.input_ids.masked_fill(wanted.attention_mask == 0, IGNORED)
    tokens = int((labels != IGNORED).sum())
    return model(**inputs, labels=labels).loss * tokens, tokens


@pytest.mark.parametrize("step", [0, 6])
def test_dss_is_half_a_label_loss_and_half_a_rationale_loss(prepared: Prepared, step: int) -> None:
    config = config_for("dss")
    model = model_of(config, prepared)
    loss, sums = loss_of(config, prepared, step, model)
    table = prepared.tables["train"]
    rows = [table["id"].index(row) for row in batch_of(config, prepared, step)["ids"]]
    bodies = [prepared.tokenizer.decode(table["body_ids"][row]) for row in rows]
    labels, rationales = ([table[name][row] for row in rows] for name in ("label", "reference"))
    label_sum, label_tokens = summed_loss(
        model, prepared, [f"predict: {b}" for b in bodies], labels
    )
    rationale_sum, rationale_tokens = summed_loss(
        model, prepared, [f"explain: {b}" for b in bodies], rationales
    )
    want = 0.5 * label_sum / label_tokens + 0.5 * rationale_sum / rationale_tokens
    assert loss.item() == pytest.approx(want.item(), rel=1e-5)
    assert float(sums["sampled"]) == 0


# Training


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains(method: str, prepared: Prepared, tmp_path: Path) -> None:
    steps: dict[str, Any] = {"max_steps": 4, "eval_steps": 4, "logging_steps": 1}
    config = tiny_config(**{**TINY, **steps, **METHODS[method].values})
    found = run_stage(config, prepared, "stage2", output_dir=tmp_path, best_dir=tmp_path / "best")
    assert found.steps_done == 4
    losses = [value for value in found.series["loss"] if value is not None]
    assert len(losses) == 4
    assert all(math.isfinite(value) for value in losses)
    assert found.best_metric == found.curve[0]["scores"][config.selection_metric]
