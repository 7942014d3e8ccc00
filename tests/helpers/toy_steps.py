"""Single stage-2 steps on the toy set: model, batch, loss and the prompts as text."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_config, toy_splits
from torch import Tensor
from transformers import PreTrainedModel

from r2d_ray.config import TrainConfig
from r2d_ray.data.batches import StepBatches, own_options
from r2d_ray.data.prepare import Prepared, open_prepared, prepare
from r2d_ray.method import losses, sampling
from r2d_ray.method.batch import Batch, pad
from r2d_ray.method.label_kinds import FIXED
from r2d_ray.method.labels import prompt_table
from r2d_ray.method.losses import stage2_loss
from r2d_ray.method.running import RunningMeans
from r2d_ray.method.sampling import Prompts, Stage2
from r2d_ray.method.tokens import encode
from r2d_ray.model.flops import Sums
from r2d_ray.model.t5 import load_model

BODIES = ("Does alpren treat gout?", "Does betol treat asthma? The weather was fine.")
ALL_SAMPLED = {"sampling_decay": "constant", "gold_probability_floor": 0.0}
HALF_SAMPLED = {"sampling_decay": "constant", "gold_probability_floor": 0.5}


def config_of(**values: object) -> TrainConfig:
    return tiny_config(**{"per_device_train_batch_size": 8, "dropout_rate": 0.0, **values})


def prepared_with_gaps(folder: Path) -> Prepared:
    """Return the toy set, of which every fourth training row has no rationale."""
    splits = toy_splits()
    train = tuple(
        replace(row, rationales={}) if i % 4 == 2 else row for i, row in enumerate(splits.train)
    )
    return open_prepared(prepare(replace(splits, train=train), tiny_config(), folder))


def model_of(config: TrainConfig, prepared: Prepared) -> PreTrainedModel:
    return load_model(config, prepared.tokenizer).train()


def stage_of(
    config: TrainConfig, prepared: Prepared, labels: Sequence[str] = (), **means: Any
) -> Stage2:
    """Return stage 2 with these labels (default: the toy set's) and running means."""
    own = prepared.label_tokens
    tokens = FIXED.set_tokens(prepared.tokenizer, labels) if labels else own
    table = prompt_table(prepared.tokenizer, tokens, torch.device("cpu"))
    return Stage2(config, table, prepared.tokenizer, RunningMeans(**means))


def batch_of(config: TrainConfig, prepared: Prepared, step: int) -> Batch:
    batches = StepBatches(
        prepared.tables["train"],
        config,
        label_lengths=[len(target) for target in prepared.label_tokens.targets],
        options=own_options(prepared.tables["train"], prepared.label_tokens.kind),
        rationale_column="rationale_ids",
        only_with_rationale=False,
        max_steps=config.max_steps,
        rank=0,
        seed=config.seed,
    )
    return batches[step]


def rows_of(prepared: Prepared, count: int, labels: int) -> Batch:
    """Return a batch of any size: two bodies in turn, every label equally often."""
    bodies = [encode(prepared.tokenizer, BODIES[i % 2]) for i in range(count)]
    return {
        "ids": [f"row-{i}" for i in range(count)],
        "body_ids": pad(bodies, 0),
        "body_lengths": torch.tensor([len(body) for body in bodies]),
        "rationale_ids": torch.ones(count, 1, dtype=torch.long),
        "label_index": torch.arange(count) // 2 % labels,
    }


def loss_of(
    config: TrainConfig, prepared: Prepared, step: int, model: PreTrainedModel, **means: Any
) -> tuple[Tensor, Sums]:
    stage = stage_of(config, prepared, **means)
    return stage2_loss(model, model, batch_of(config, prepared, step), step, stage)


def gradients(loss: Tensor, model: PreTrainedModel) -> list[Tensor]:
    """Return the loss and its gradient by every parameter."""
    model.zero_grad()
    loss.backward()
    return [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


@contextmanager
def passes(model: PreTrainedModel) -> Iterator[list[bool]]:
    """Collect every run of the encoder, by whether dropout was on."""
    calls: list[bool] = []
    encoder = model.get_encoder()
    hook = encoder.register_forward_pre_hook(lambda module, _: calls.append(module.training))
    yield calls
    hook.remove()


@contextmanager
def prompts_seen() -> Iterator[list[Prompts]]:
    """Collect the rationale prompts that losses are computed on."""
    real = sampling.rationale_prompts
    seen: list[Prompts] = []

    def spy(*arguments: Any) -> Prompts:
        seen.append(real(*arguments))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "rationale_prompts", spy)
        yield seen


def texts(prepared: Prepared, prompts: Prompts) -> list[str]:
    """Return prompts as text, without the end id."""
    rows = zip(prompts.ids, prompts.mask, strict=True)
    return prepared.tokenizer.batch_decode([ids[mask.bool()][:-1] for ids, mask in rows])
