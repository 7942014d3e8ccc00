"""Losses over no target, one target and all targets are the library's under every attention."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor
from toy_steps import ALL_SAMPLED, batch_of, config_of, model_of, stage_of
from transformers import PreTrainedModel

from r2d_ray.config import TrainConfig
from r2d_ray.data.batches import StepBatches
from r2d_ray.data.prepare import Prepared, open_prepared
from r2d_ray.method.batch import Batch
from r2d_ray.method.losses import stage1_loss, stage2_loss
from r2d_ray.method.sampling import Stage2, labels_without_dropout
from r2d_ray.method.schedules import gumbel_temperature, label_weight
from r2d_ray.model.flops import Sums
from r2d_ray.model.teacher_forcing import IGNORED

STEP = 5  # of 8: the cycle has begun
ROWS = 4
GOLD_SHOWN = {"sampling_decay": "none", "per_device_train_batch_size": ROWS}
CYCLE = {"cycle_loss_weight": 0.5}
LOSSES: dict[str, dict[str, object]] = {
    "stage 1": {},
    "stage 2": {},
    "cycle": CYCLE,
    "cycle as published": {**CYCLE, "r2d_c_variant": "authors"},
}
every_layer = pytest.mark.parametrize("layers", ["blockwise", "eager", "sdpa"])
every_precision = pytest.mark.parametrize("precision", ["fp32", "bf16"])


@pytest.fixture(scope="module")
def prepared(prepared_dir: Path) -> Prepared:
    return open_prepared(prepared_dir)


def with_targets(batch: Batch, targets: Tensor, stage: Stage2) -> Batch:
    """Return the batch with these rationale targets, counted as `StepBatches` counts them."""
    rows = (targets != IGNORED).any(dim=1)
    labels = stage.table.label_targets[batch["label_index"]] != IGNORED
    return {
        **batch,
        "rationale_ids": targets,
        "rationale_tokens": int((targets != IGNORED).sum()),
        "explained": rows.nonzero()[:, 0] if rows.any() else torch.tensor([0]),
        "explained_label_tokens": int(labels[rows].sum()),
    }


def no_target(targets: Tensor) -> Tensor:
    return torch.full_like(targets, IGNORED)


def one_target(targets: Tensor) -> Tensor:
    one = no_target(targets[:, :1])
    one[2] = targets[2, 0]
    return one


def all_targets(targets: Tensor) -> Tensor:
    return targets.masked_fill(targets == IGNORED, 7)


def loss_of(
    config: TrainConfig, batch: Batch, stage: Stage2, model: PreTrainedModel, name: str
) -> tuple[Tensor, Sums]:
    torch.manual_seed(9)  # the cycle's noise
    if name == "stage 1":
        return stage1_loss(model, model, batch, stage.table)
    return stage2_loss(model, model, batch, STEP, stage)


def plain_sum(
    model: PreTrainedModel, prompt: tuple[Tensor, Tensor], targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Return torch's own summed loss over all positions, and the whole logits."""
    shifted = model._shift_right(targets)  # type: ignore[operator]
    logits = model(input_ids=prompt[0], attention_mask=prompt[1], decoder_input_ids=shifted).logits
    flat = logits.float().flatten(0, 1)
    kinds = {"ignore_index": IGNORED, "reduction": "sum"}
    return functional.cross_entropy(flat, targets.flatten(), **kinds), logits


def plain_cycle(
    config: TrainConfig, stage: Stage2, model: PreTrainedModel, batch: Batch, logits: Tensor
) -> Tensor:
    """Return the summed loss of the labels, row after row, from soft rationales made by hand.

    A row has targets everywhere or nowhere: there is no padding, whose part the variants dispute.
    """
    keep = batch["rationale_ids"] != IGNORED
    torch.manual_seed(9)
    shown = logits[keep].float()
    noisy = shown - torch.empty_like(shown).exponential_().log()
    mixtures = (noisy / gumbel_temperature(STEP, config)).softmax(dim=1)
    table = model.get_input_embeddings().weight
    prefix = table[stage.table.predict_prefix[0]].detach()
    total = torch.zeros(())
    labels = stage.table.label_targets[batch["label_index"]]
    for mixture, label in zip(mixtures.split(keep.sum(dim=1).tolist()), labels, strict=True):
        target = label[label != IGNORED]
        if len(mixture):
            soft = mixture @ table
            embeds = torch.cat([prefix.to(soft.dtype), soft])[None]
            total = total + model(inputs_embeds=embeds, labels=target[None]).loss * len(target)
    return total


def plain_loss(
    config: TrainConfig, batch: Batch, stage: Stage2, model: PreTrainedModel, name: str
) -> Tensor:
    """Return the loss from the library's layers, whole logits and torch's own cross entropy."""
    table, tokens = stage.table, max(1, batch["rationale_tokens"])
    if name == "stage 1":
        return plain_sum(model, table.explain(batch), batch["rationale_ids"])[0] / tokens
    labels = table.label_targets[batch["label_index"]]
    label_sum, _ = plain_sum(model, table.predict(batch), labels)
    given = table.explain_given(batch, batch["label_index"])
    rationale_sum, logits = plain_sum(model, given, batch["rationale_ids"])
    alpha = label_weight(STEP, config)
    loss = alpha * label_sum / batch["label_tokens"] + (1 - alpha) * rationale_sum / tokens
    if config.cycle_loss_weight:
        cycle = plain_cycle(config, stage, model, batch, logits)
        loss = loss + config.cycle_loss_weight * cycle / max(1, batch["explained_label_tokens"])
    return loss


def gradients_of(loss: Tensor, model: PreTrainedModel) -> dict[str, Tensor]:
    """Return the gradient of every parameter: each has one."""
    model.zero_grad()
    loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert found.keys() == dict(model.named_parameters()).keys()
    return found


def autocast(precision: str) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


def assert_same(
    found: dict[str, Tensor], wanted: dict[str, Tensor], precision: str = "fp32"
) -> None:
    """In the tensor's norm; in bf16 rounding alone moves a gradient by some percent."""
    off = {"fp32": 1e-4, "bf16": 0.1}[precision]
    largest = max(float(value.norm()) for value in wanted.values())
    for name, want in wanted.items():
        assert (found[name] - want).norm() <= off * want.norm() + off / 100 * largest, name


@every_precision
@every_layer
@pytest.mark.parametrize("kept", [no_target, one_target, all_targets])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradients_are_those_of_the_plain_library(
    prepared: Prepared, name: str, kept: Callable[[Tensor], Tensor], layers: str, precision: str
) -> None:
    config = config_of(**GOLD_SHOWN, **LOSSES[name], attn_implementation=layers)
    plain = config.model_copy(update={"attn_implementation": "eager"})
    stage = stage_of(config, prepared)
    batch = batch_of(config, prepared, STEP)
    batch = with_targets(batch, kept(batch["rationale_ids"]), stage)
    ours, theirs = model_of(config, prepared), model_of(plain, prepared)
    with autocast(precision):
        wanted = plain_loss(plain, batch, stage, theirs, name)
        loss, sums = loss_of(config, batch, stage, ours, name)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5 if precision == "fp32" else 1e-2)
    found = gradients_of(loss, ours)
    assert_same(found, gradients_of(wanted, theirs), precision)
    if kept is no_target:
        assert float(sums["rationale_loss"]) == float(sums.get("cycle_loss", 0.0)) == 0.0
        assert name != "stage 1" or not any(value.any() for value in found.values())


@every_precision
@every_layer
@pytest.mark.parametrize("more", [{}, CYCLE, LOSSES["cycle as published"]])
def test_where_every_shown_label_is_wrong_and_dropped_the_label_loss_is_left(
    prepared: Prepared, more: dict[str, object], layers: str, precision: str
) -> None:
    values: dict[str, Any] = {**GOLD_SHOWN, **ALL_SAMPLED, "attn_implementation": layers}
    config = config_of(**values, **more, wrong_label_target="drop")
    stage, model = stage_of(config, prepared), model_of(config, prepared)
    batch = batch_of(config, prepared, STEP)
    with autocast(precision):
        prompt = stage.table.predict(batch)
        chosen = labels_without_dropout(model, stage.table.options(batch), *prompt).index
        batch["label_index"] = 1 - chosen  # of two labels
        loss, sums = stage2_loss(model, model, batch, STEP, stage)
        labels = stage.table.label_targets[batch["label_index"]]
        wanted = plain_sum(model, prompt, labels)[0] * (0.7 / batch["label_tokens"])
    assert float(sums["changed"]) == ROWS
    assert float(sums["rationale_loss"]) == float(sums.get("cycle_loss", 0.0)) == 0.0
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5 if precision == "fp32" else 1e-2)
    assert_same(gradients_of(loss, model), gradients_of(wanted, model), precision)


def parts_of(config: TrainConfig, prepared: Prepared, step: int) -> list[Batch]:
    """Return a step's micro-batches on all ranks; one training row in five has a rationale."""
    table = prepared.tables["train"]
    ids = [own if i % 5 == 0 else [] for i, own in enumerate(table["rationale_ids"])]
    feature = table.features["rationale_ids"]
    table = table.remove_columns("rationale_ids").add_column("rationale_ids", ids, feature=feature)
    micro_batches = config.gradient_accumulation_steps
    return [
        StepBatches(
            table,
            config,
            label_lengths=[len(target) for target in prepared.label_tokens.targets],
            rationale_column="rationale_ids",
            only_with_rationale=False,
            max_steps=config.max_steps,
            rank=rank,
            seed=config.seed,
        )[step * micro_batches + micro]
        for rank in range(config.num_workers)
        for micro in range(micro_batches)
    ]


@every_layer
@pytest.mark.parametrize(("workers", "micro_batches"), [(2, 1), (1, 2), (2, 4)])
def test_ranks_and_micro_batches_without_a_target_add_up_to_the_whole_step(
    prepared: Prepared, workers: int, micro_batches: int, layers: str
) -> None:
    whole = config_of(attn_implementation=layers, sampling_decay="none")
    shares = {
        "num_workers": workers,
        "gradient_accumulation_steps": micro_batches,
        "per_device_train_batch_size": 8 // workers // micro_batches,
    }
    config = whole.model_copy(update=shares)
    model, stage = model_of(whole, prepared), stage_of(whole, prepared)
    # The first step of which some part has no rationale, but not every part.
    found = ((step, parts_of(config, prepared, step)) for step in range(config.max_steps))
    step, parts = next(
        (step, parts)
        for step, parts in found
        if 0 < sum((part["rationale_ids"] == IGNORED).all() for part in parts) < len(parts)
    )
    [batch] = parts_of(whole, prepared, step)
    wanted = stage2_loss(model, model, batch, STEP, stage)[0]
    losses = [stage2_loss(model, model, part, STEP, stage)[0] for part in parts]
    assert sum(loss.item() for loss in losses) == pytest.approx(wanted.item(), rel=1e-5)
    want = gradients_of(wanted, model)
    each = [gradients_of(loss, model) for loss in losses]
    assert_same({name: sum(part[name] for part in each) for name in want}, want)
