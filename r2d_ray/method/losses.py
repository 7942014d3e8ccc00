"""The losses of both stages (paper section 3; train_stage1.py; train_stage2.py `compute_loss`).

Each task's loss is a token mean over the whole optimiser step. A micro-batch returns its share, the
sum over its tokens divided by the step's token count, so that shares add up over micro-batches and
ranks. Nothing else computes a gradient.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from transformers import PreTrainedModel

from r2d_ray.config import TrainConfig
from r2d_ray.method.batch import Batch, Options, select_rows
from r2d_ray.method.cycle import cycle_loss
from r2d_ray.method.labels import PromptTable, label_log_probabilities
from r2d_ray.method.sampling import OTHER_TEXT, Choice, Stage2, chosen_labels, rationale_prompts
from r2d_ray.method.schedules import label_weight
from r2d_ray.model.flops import Sums, pass_sums
from r2d_ray.model.teacher_forcing import IGNORED, Pass, teacher_forced


def stage1_loss(
    model: nn.Module, core: PreTrainedModel, batch: Batch, table: PromptTable
) -> tuple[Tensor, Sums]:
    """Return this micro-batch's share of the rationale loss and the sums to be logged."""
    ids, mask = table.explain(batch)
    out = teacher_forced(model, core, ids, mask, batch["rationale_ids"])
    loss = out.loss_sum / max(1, batch["rationale_tokens"])
    sums = pass_sums(core, mask, batch["rationale_ids"] != IGNORED)
    return loss, {"rationale_loss": loss.detach(), **sums}


def stage2_loss(
    model: nn.Module, core: PreTrainedModel, batch: Batch, step: int, stage: Stage2
) -> tuple[Tensor, Sums]:
    """Return this micro-batch's share of alpha x label loss + (1 - alpha) x rationale loss.

    Args:
        model: The wrapped model; `core` is the T5 inside it.
        core: Used for the passes that need no gradient.
        batch: A micro-batch of `StepBatches` on the device.
        step: Optimiser step, 0-based; sets alpha, the gold probability and the coins.
        stage: Config, prompts and tokenizer.
    """
    config = stage.config
    alpha = label_weight(step, config)
    ids, mask = stage.table.predict(batch)
    label_loss, choice, sums = label_share(model, core, batch, ids, mask, stage)
    sums["alpha"] = alpha
    if not config.trains_rationales:
        return label_loss, sums

    rows = batch["explained"]
    batch = select_rows(batch, rows)
    choice = Choice(choice.index[rows], choice.confidence[rows])
    prompts = rationale_prompts(core, batch, choice, step, stage, (ids[rows], mask[rows]))
    targets = rationale_targets(batch, prompts.shown, prompts.wrong, config)
    written = teacher_forced(model, core, prompts.ids, prompts.mask, targets)
    # The divisor counts dropped rows too: `drop` must not raise the weight of the others.
    rationale_loss = written.loss_sum / max(1, batch["rationale_tokens"])
    if config.keeps_rationale_weight:
        rationale_loss = rationale_loss / stage.running.kept_share()
        sums["kept_ids"] = (targets != IGNORED).sum()
        sums["all_ids"] = (batch["rationale_ids"] != IGNORED).sum()
    sums.update(prompts.sums, rationale_loss=rationale_loss.detach())
    add(sums, pass_sums(core, prompts.mask, targets != IGNORED))
    loss = alpha * label_loss + (1.0 - alpha) * rationale_loss
    if config.cycle_loss_weight > 0 and step > config.sampling_start_ratio * config.max_steps:
        read, cost = cycle_loss(model, core, written, targets != IGNORED, prompts, step, stage)
        cycle = read / max(1, batch["explained_label_tokens"])
        add(sums, cost)
        sums["cycle_loss"] = cycle.detach()
        loss = loss + config.cycle_loss_weight * cycle
    return loss, sums


def rationale_targets(batch: Batch, shown: Tensor, wrong: Tensor, config: TrainConfig) -> Tensor:
    """Return the rationale targets (rows, width) under the labels that the prompts show.

    Args:
        batch: Rows with their rationales and, for `relabel`, those of other labels.
        shown: (rows,) place of the label shown, negative for none of the row's.
        wrong: (rows,) whether it is not gold.
        config: Uses `wrong_label_target`.

    The authors keep gold's rationale, which teaches that what is written need not fit the label
    that is given. A row without a rationale of its own learns none of another label either.
    """
    gold = batch["rationale_ids"]
    if config.wrong_label_target == "keep":
        return gold
    if not config.relabels:
        return gold.masked_fill(wrong[:, None], IGNORED)
    other = of_label(batch, shown)
    width = max(gold.shape[1], other.shape[1])
    gold, other = (
        functional.pad(ids, (0, width - ids.shape[1]), value=IGNORED) for ids in (gold, other)
    )
    if config.wrong_label_target == "relabel_or_keep":
        wrong = wrong & (other != IGNORED).any(dim=1)
    return torch.where(wrong[:, None], other, gold)


def of_label(batch: Batch, shown: Tensor) -> Tensor:
    """Return the targets (rows, width) of the rationales for these labels, -100 where none is."""
    relabelled = batch["relabelled"]
    fits = relabelled["places"] == shown[:, None]
    picked = relabelled["targets"][
        torch.arange(len(shown), device=shown.device), fits.int().argmax(1)
    ]
    explained = (batch["rationale_ids"] != IGNORED).any(dim=1)
    return picked.masked_fill(~(fits.any(dim=1) & explained)[:, None], IGNORED)


def label_share(
    model: nn.Module, core: PreTrainedModel, batch: Batch, ids: Tensor, mask: Tensor, stage: Stage2
) -> tuple[Tensor, Choice, Sums]:
    """Return the share of the label loss, the model's own labels and the sums to be logged.

    `ids` and `mask` are the `predict:` prompts. Gold labels are learnt and own ones chosen in one
    pass.
    """
    options = stage.table.options(batch)
    targets = options.targets_of(batch["label_index"])
    label_pass = teacher_forced(model, core, ids, mask, targets)
    loss = label_loss_sum(label_pass, targets, batch) / (batch["label_tokens"] or 1)
    sums: Sums = {"label_loss": loss.detach(), "rows": float(len(targets))}
    sums |= pass_sums(core, mask, targets != IGNORED)
    with torch.no_grad():
        choice = predict_pass_choice(core, label_pass, mask, targets, options)
        sums["label_errors"] = (choice.index != batch["label_index"]).sum()
        if stage.config.needs_running_means:
            sums["confidence"] = choice.confidence.sum()
            sums["confidence_rows"] = float(len(targets))
    return loss, choice, sums


def label_loss_sum(label_pass: Pass, targets: Tensor, batch: Batch) -> Tensor:
    """Return the sum of the label losses over tokens, each times the weight of its row, if any."""
    if "label_weights" not in batch:
        return label_pass.loss_sum
    by_token = batch["label_weights"][:, None].expand(targets.shape)[targets != IGNORED]
    return (label_pass.token_losses * by_token).sum()


def predict_pass_choice(
    core: PreTrainedModel, label_pass: Pass, mask: Tensor, targets: Tensor, options: Options
) -> Choice:
    """Return the labels that the predict pass already made would choose.

    `targets` (rows, width) are the gold labels'. There is nothing to score open labels against:
    what is known of them is whether the model would write gold.
    """
    if not options.packed:
        return forced_choice(label_pass, targets)
    lengths = (targets != IGNORED).sum(dim=1)
    first = label_pass.logits[lengths.cumsum(0) - lengths]
    return chosen_labels(
        label_log_probabilities(core, first, label_pass.encoder_states, mask, options)
    )


def forced_choice(label_pass: Pass, targets: Tensor) -> Choice:
    """Return whether greedy decoding would write each row's open label, as a choice.

    It would where the likeliest token is gold's at every place: decoding follows gold up to the
    first place where it is not. The confidence is the exponential of the mean log-probability of
    the likeliest tokens. `targets` are the gold labels', each its row's only option.
    """
    keep = targets != IGNORED
    best = label_pass.logits.float().log_softmax(dim=-1).max(dim=-1)
    as_gold = torch.ones_like(keep).masked_scatter(keep, best.indices == targets[keep])
    index = torch.where(as_gold.all(dim=1), 0, OTHER_TEXT)
    scores = torch.zeros(keep.shape, device=keep.device).masked_scatter(keep, best.values)
    return Choice(index, (scores.sum(dim=1) / keep.sum(dim=1)).exp())


def add(sums: Sums, more: Sums) -> None:
    """Add sums of the same names in place."""
    for name, value in more.items():
        sums[name] = sums[name] + value
