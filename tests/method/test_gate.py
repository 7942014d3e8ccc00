"""Reason2Decide-C's gate: which predicted labels it lets through, and what confidence it sees."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_config
from torch import Tensor
from torch.optim import AdamW
from toy_steps import HALF_SAMPLED, config_of, rows_of, stage_of
from transformers import PreTrainedModel

from r2d_ray.data.prepare import Prepared, open_prepared
from r2d_ray.method import sampling
from r2d_ray.method.batch import Batch
from r2d_ray.method.losses import predict_pass_choice
from r2d_ray.method.sampling import Choice, gate, rationale_prompts
from r2d_ray.method.schedules import coin
from r2d_ray.model.decoding import generate_with_confidence
from r2d_ray.model.t5 import load_model
from r2d_ray.model.teacher_forcing import IGNORED, teacher_forced

NOTHING: Any = None  # a model or prompt that is never used


@pytest.fixture(scope="module")
def prepared(prepared_dir: Path) -> Prepared:
    return open_prepared(prepared_dir)


def test_the_gate_opens_where_its_coin_falls_below_the_sigmoid(prepared: Prepared) -> None:
    config = config_of(confidence_gate=True)
    confidence = torch.linspace(0.0, 1.0, 60)
    batch = rows_of(prepared, 60, 2)
    found = gate(confidence, batch, 5, stage_of(config, prepared, threshold=0.5)).tolist()
    coins = [coin(config.seed, row, 5, "gate") for row in batch["ids"]]
    want = [
        c < 1 / (1 + math.exp(-10 * (value - 0.5)))
        for c, value in zip(coins, confidence.tolist(), strict=True)
    ]
    assert found == want
    # Few rows below the threshold, half of those around it, nearly all above.
    share = [sum(found[at : at + 20]) for at in (0, 20, 40)]
    assert share[0] < 5 < share[1] < 15 < share[2]


def test_a_predicted_label_is_shown_where_coin_and_gate_agree(prepared: Prepared) -> None:
    batch = rows_of(prepared, 200, 2)
    choice = Choice(1 - batch["label_index"], torch.linspace(0.2, 1.0, 200))
    shown = {}
    for steepness, threshold in ((10.0, 0.5), (10.0, 0.9), (1e-9, 0.5)):
        config = config_of(**HALF_SAMPLED, confidence_gate=True, gate_steepness=steepness)
        stage = stage_of(config, prepared, threshold=threshold)
        prompts = rationale_prompts(NOTHING, batch, choice, 5, stage, NOTHING)
        want = [
            coin(config.seed, row, 5) >= 0.5
            and coin(config.seed, row, 5, "gate")
            < 1 / (1 + math.exp(-steepness * (value - threshold)))
            for row, value in zip(batch["ids"], choice.confidence.tolist(), strict=True)
        ]
        assert prompts.wrong.tolist() == want
        assert float(prompts.sums["sampled"]) == sum(want)
        shown[steepness, threshold] = sum(want)
    assert shown[10.0, 0.9] < shown[10.0, 0.5]  # the threshold of the running means is used
    without = config_of(**HALF_SAMPLED)
    prompts = rationale_prompts(NOTHING, batch, choice, 5, stage_of(without, prepared), NOTHING)
    assert float(prompts.sums["sampled"]) > max(shown.values())


# Confidence and padding

SHORT, LONG = "no", "no weather was fine trial helped"


@pytest.fixture(scope="module")
def writer(prepared: Prepared) -> PreTrainedModel:
    """A model that answers one body with a short and the other with a long label."""
    model = load_model(tiny_config(dropout_rate=0.0), prepared.tokenizer)
    table, batch = stage_of(config_of(), prepared, (SHORT, LONG)).table, rows_of(prepared, 2, 2)
    optimiser = AdamW(model.parameters(), lr=3e-3)
    for _ in range(8):
        found = teacher_forced(model, model, *table.predict(batch), table.label_targets)
        optimiser.zero_grad()
        found.loss_sum.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return model.eval()


def alone(batch: Batch, row: int) -> Batch:
    length = int(batch["body_lengths"][row])
    return {
        "body_ids": batch["body_ids"][row : row + 1, :length],
        "body_lengths": batch["body_lengths"][row : row + 1],
    }


@torch.no_grad()
def test_the_confidence_of_a_scored_label_ignores_padding(
    prepared: Prepared, writer: PreTrainedModel
) -> None:
    table, batch = stage_of(config_of(), prepared, (SHORT, LONG)).table, rows_of(prepared, 2, 2)
    assert not table.tokens.first_tokens_differ  # whole strings are scored

    def confidence(batch: Batch, targets: Tensor) -> Tensor:
        ids, mask = table.predict(batch)
        found = teacher_forced(writer, writer, ids, mask, targets)
        return predict_pass_choice(writer, found, mask, targets, table.options(batch)).confidence

    together = confidence(batch, table.label_targets)
    for row in (0, 1):
        target = table.label_targets[row]
        lone = confidence(alone(batch, row), target[target != IGNORED][None])
        torch.testing.assert_close(lone[0], together[row], rtol=1e-4, atol=1e-5)
    assert ((together > 0.5) & (together < 0.99)).all()


@torch.no_grad()
def test_the_authors_confidence_of_a_short_label_depends_on_its_batch(
    prepared: Prepared, writer: PreTrainedModel
) -> None:
    tokenizer, batch = prepared.tokenizer, rows_of(prepared, 2, 2)
    table = stage_of(config_of(), prepared, (SHORT, LONG)).table

    def confidence(batch: Batch) -> tuple[list[str], Tensor]:
        prompt = table.predict(batch)
        return generate_with_confidence(writer, tokenizer, *prompt, 16, over_padding=True)

    written, together = confidence(batch)
    assert written == [SHORT, LONG]
    lone = [confidence(alone(batch, row))[1][0] for row in (0, 1)]
    assert together[0] < 0.1 < 0.5 < lone[0]
    torch.testing.assert_close(lone[1], together[1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_confidence_of_a_generated_label_ignores_padding(
    prepared: Prepared, writer: PreTrainedModel
) -> None:
    tokenizer, batch = prepared.tokenizer, rows_of(prepared, 2, 2)
    table = stage_of(config_of(), prepared, (SHORT, LONG)).table
    written, together = generate_with_confidence(writer, tokenizer, *table.predict(batch), 16)
    assert written == [SHORT, LONG]
    for row in (0, 1):
        prompt = table.predict(alone(batch, row))
        _, lone = generate_with_confidence(writer, tokenizer, *prompt, 16)
        torch.testing.assert_close(lone[0], together[row], rtol=1e-4, atol=1e-5)
    # The same by hand: the label's tokens and the end id, which teacher forcing scores.
    found = teacher_forced(writer, writer, *table.predict(batch), table.label_targets)
    counts = (table.label_targets != IGNORED).sum(dim=1).tolist()
    means = [part.mean() for part in found.token_losses.split(counts)]
    torch.testing.assert_close(together, (-torch.stack(means)).exp(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", ["mended", "authors"])
def test_only_the_authors_confidence_counts_padding(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    asked: list[bool] = []

    def spy(*_: object, over_padding: bool, **__: object) -> tuple[list[str], Tensor]:
        asked.append(over_padding)
        return ["yes"] * 4, torch.ones(4)

    monkeypatch.setattr(sampling, "generate_with_confidence", spy)
    config = config_of(**HALF_SAMPLED, label_choice="generate", r2d_c_variant=variant)
    stage, batch = stage_of(config, prepared), rows_of(prepared, 4, 2)
    core = load_model(config, prepared.tokenizer)
    choice = Choice(batch["label_index"], torch.ones(4))
    rationale_prompts(core, batch, choice, 1, stage, stage.table.predict(batch))
    assert asked == [variant == "authors"]
