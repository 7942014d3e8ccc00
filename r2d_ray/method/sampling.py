"""Task-level scheduled sampling: the label in each rationale prompt (paper section 3).

Sources: train_stage2.py `compute_loss`; the confidence gate is Reason2Decide-C's
(src/r2dc_stage2.py). Coins are tossed first, so nothing is decoded while every row shows gold.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from r2d_ray.config import TrainConfig
from r2d_ray.method.batch import Batch, Options, pad
from r2d_ray.method.labels import PromptTable, label_log_probabilities, text_prefixes
from r2d_ray.method.running import RunningMeans
from r2d_ray.method.schedules import coin, gold_probability
from r2d_ray.method.tokens import encode
from r2d_ray.model.decoding import generate_with_confidence
from r2d_ray.model.flops import Sums
from r2d_ray.model.teacher_forcing import IGNORED

OTHER_TEXT = -1  # the place of a label that is none of the row's


@dataclass(frozen=True, slots=True)
class Stage2:
    """What stage 2 needs beside model and batch."""

    config: TrainConfig
    table: PromptTable
    tokenizer: PreTrainedTokenizerBase
    running: RunningMeans = field(default_factory=RunningMeans)


@dataclass(frozen=True, slots=True)
class Choice:
    """The model's own labels."""

    index: Tensor  # (rows,) places among the row's labels, `OTHER_TEXT` for none of them
    confidence: Tensor  # (rows,) probabilities in [0, 1]


@dataclass(frozen=True, slots=True)
class Prompts:
    """Rationale prompts and the labels that they show."""

    ids: Tensor  # (rows, length)
    mask: Tensor  # (rows, length)
    shown: Tensor  # (rows,) places of the labels shown, `OTHER_TEXT` for none of the row's
    wrong: Tensor  # (rows,) whether the label shown is not gold
    label_targets: Tensor  # (rows, width) targets of the labels shown, padded with -100
    sums: Sums  # what is logged of them


def chosen_labels(log_probabilities: Tensor) -> Choice:
    """Return the likeliest label of each row, given log-probabilities (rows, labels)."""
    best = log_probabilities.max(dim=-1)
    return Choice(best.indices, best.values.exp())


def rationale_prompts(
    core: PreTrainedModel,
    batch: Batch,
    choice: Choice,
    step: int,
    stage: Stage2,
    predict_prompt: tuple[Tensor, Tensor],
) -> Prompts:
    """Return the rationale prompts of a batch at a step.

    A row shows its gold label where its coin falls below the gold probability, else what
    `sampling_label` says. `predict_prompt` (ids, mask) serves a choice that needs its own pass.
    """
    config = stage.config
    probability = gold_probability(step, config)
    coins = [coin(config.seed, row, step) >= probability for row in batch["ids"]]
    sampled = torch.tensor(coins, device=batch["label_index"].device)
    generates = config.sampling_label == "predicted" and config.label_choice == "generate"
    if config.rationale_prompt == "plain":
        prompts = plain_prompts(batch, stage)
    elif generates and (any(coins) or config.confidence_gate):
        prompts = generated_prompts(core, batch, sampled, step, stage, predict_prompt)
    else:
        if config.sampling_label == "predicted" and any(coins) and not config.sampling_dropout:
            choice = labels_without_dropout(core, stage.table.options(batch), *predict_prompt)
        prompts = chosen_prompts(batch, choice, sampled, step, stage)
    prompts.sums["gold_probability"] = probability
    return prompts


def plain_prompts(batch: Batch, stage: Stage2) -> Prompts:
    """Return prompts that show no label (Distilling Step-by-Step); nothing is sampled."""
    gold = batch["label_index"]
    none = torch.zeros_like(gold, dtype=torch.bool)
    targets = stage.table.options(batch).targets_of(gold)
    sums = sampling_sums(batch, none, none)
    return Prompts(*stage.table.explain(batch), gold, none, targets, sums)


def chosen_prompts(
    batch: Batch, choice: Choice, sampled: Tensor, step: int, stage: Stage2
) -> Prompts:
    """Return prompts that show one of the row's labels: gold or, where sampled, another choice."""
    gold = batch["label_index"]
    if stage.config.confidence_gate:
        sampled = sampled & gate(choice.confidence, batch, step, stage)
    shown = torch.where(sampled, replacement(choice, batch, step, stage), gold)
    wrong = shown != gold
    targets = stage.table.options(batch).targets_of(shown)
    sums = sampling_sums(batch, sampled, wrong)
    return Prompts(*stage.table.explain_given(batch, shown), shown, wrong, targets, sums)


def replacement(choice: Choice, batch: Batch, step: int, stage: Stage2) -> Tensor:
    """Return the label (rows,) that takes the place of gold where a row is sampled.

    `random_wrong` shows a wrong label with the probability of the running train error, whether or
    not the model errs on the row: the same dose as the model's own errors, without the model.
    """
    config, gold = stage.config, batch["label_index"]
    if config.sampling_label == "predicted":
        return choice.index
    error, counts = stage.running.train_error(config), stage.table.options(batch).counts(len(gold))
    shift = [
        1 + int(coin(config.seed, row, step, "which") * (count - 1))
        if coin(config.seed, row, step, "error") < error
        else 0
        for row, count in zip(batch["ids"], counts.tolist(), strict=True)
    ]
    return torch.remainder(gold + torch.tensor(shift, device=gold.device), counts)


def gate(confidence: Tensor, batch: Batch, step: int, stage: Stage2) -> Tensor:
    """Return where (rows,) the confidence gate lets a predicted label through."""
    config = stage.config
    coins = [coin(config.seed, row, step, "gate") for row in batch["ids"]]
    above = confidence - stage.running.threshold
    probability = torch.sigmoid(config.gate_steepness * above)
    return torch.tensor(coins, device=confidence.device) < probability


def sampling_sums(batch: Batch, sampled: Tensor, wrong: Tensor) -> Sums:
    """Return counts to be logged, of the prompts that have a rationale to learn."""
    has_target = (batch["rationale_ids"] != IGNORED).any(dim=1)
    return {
        "prompts": has_target.sum(),
        "sampled": (sampled & has_target).sum(),
        "changed": (wrong & has_target).sum(),
    }


@torch.no_grad()
def labels_without_dropout(
    core: PreTrainedModel, options: Options, ids: Tensor, mask: Tensor
) -> Choice:
    """Return the labels chosen with dropout off, by a pass of its own."""
    training = core.training
    core.eval()
    start = torch.full((len(ids), 1), core.config.decoder_start_token_id, device=ids.device)
    out = core(input_ids=ids, attention_mask=mask, decoder_input_ids=start, use_cache=False)
    scores = label_log_probabilities(
        core, out.logits[:, 0], out.encoder_last_hidden_state, mask, options
    )
    core.train(training)
    return chosen_labels(scores)


@torch.no_grad()
def generated_prompts(
    core: PreTrainedModel,
    batch: Batch,
    sampled: Tensor,
    step: int,
    stage: Stage2,
    predict_prompt: tuple[Tensor, Tensor],
) -> Prompts:
    """Return prompts that show freely generated labels where sampled (the authors' way)."""
    config, table, tokenizer = stage.config, stage.table, stage.tokenizer
    core.train(config.sampling_dropout)
    texts, confidence = generate_with_confidence(
        core,
        tokenizer,
        *predict_prompt,
        config.max_label_length,
        synced=config.effective_zero_stage == 3,
        over_padding=config.r2d_c_variant == "authors",
    )
    core.train()
    sums: Sums = {}
    if config.confidence_gate:
        sampled = sampled & gate(confidence, batch, step, stage)
        sums = {"confidence": confidence.sum(), "confidence_rows": float(len(texts))}
    gold = table.gold_texts(batch)
    use = sampled.tolist()
    shown = [text if own else right for text, right, own in zip(texts, gold, use, strict=True)]
    prefixes, lengths, shown = text_prefixes(tokenizer, shown, table, batch)
    ids, mask = table.join(prefixes, lengths, batch)
    wrong = torch.tensor([a != b for a, b in zip(shown, gold, strict=True)], device=ids.device)
    targets = [[*encode(tokenizer, text), table.eos] for text in shown]
    sums |= sampling_sums(batch, sampled, wrong)
    places = torch.where(wrong, OTHER_TEXT, batch["label_index"])
    return Prompts(ids, mask, places, wrong, pad(targets, IGNORED).to(ids.device), sums)
