"""Reason2Decide-C's cycle: from the written rationale back to the label in its prompt.

The rationale pass's teacher-forced logits become soft token embeddings (Gumbel-softmax), `predict:`
is put before them, and the same model must give the label. Source: src/r2dc_stage2.py,
`R2DC_Trainer.compute_loss`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from transformers import PreTrainedModel

from r2d_ray.method.batch import Batch
from r2d_ray.method.sampling import Prompts, Stage2
from r2d_ray.method.schedules import gumbel_temperature
from r2d_ray.model.flops import Sums, pass_sums
from r2d_ray.model.teacher_forcing import IGNORED, Pass


def cycle_share(
    model: nn.Module,
    core: PreTrainedModel,
    batch: Batch,
    rationale_pass: Pass,
    rationale_targets: Tensor,
    prompts: Prompts,
    step: int,
    stage: Stage2,
) -> tuple[Tensor, Sums]:
    """Return this micro-batch's share of the cycle loss, by the step's label tokens, and its cost.

    Mended, rows that show a wrong label are left out: the rationale loss draws them to the gold
    rationale, from which their label cannot be read.
    """
    config = stage.config
    authors = config.r2d_c_variant == "authors"
    keep = rationale_targets != IGNORED
    left_out = ~keep.any(dim=1)
    if not authors:
        left_out = left_out | prompts.wrong
    targets = prompts.label_targets.masked_fill(left_out[:, None], IGNORED)
    total = cycle_loss_sum(
        model,
        core,
        rationale_pass.logits,
        keep,
        targets,
        stage.table.predict_prefix,
        gumbel_temperature(step, config),
        attend_padding=authors,
    )
    head = stage.table.predict_prefix.expand(len(keep), -1)
    read = torch.cat([torch.ones_like(head), keep.long()], dim=1) * ~left_out[:, None]
    cost = pass_sums(core, read, targets != IGNORED)
    weight = core.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    mixtures = 2 * keep.sum() * weight.numel()  # soft tokens, from all of the vocabulary
    cost["model_flops"] = cost["model_flops"] + 3 * mixtures
    return torch.div(total, max(1, batch["explained_label_tokens"])), cost


def soft_embeddings(logits: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """Return (targets, d_model) mixtures of token embeddings drawn by Gumbel-softmax.

    Args:
        logits: (targets, vocabulary) of the rationale pass.
        weight: (vocabulary, d_model) input embeddings.
        temperature: Of the softmax, above 0.
    """
    mixture = functional.gumbel_softmax(logits.float(), tau=temperature, hard=False)
    return mixture.to(weight.dtype) @ weight[: logits.shape[-1]]


def cycle_inputs(
    soft: Tensor, keep: Tensor, prefix: Tensor, attend_padding: bool
) -> tuple[Tensor, Tensor]:
    """Return input embeddings (rows, prefix + length, d_model) and their mask.

    Args:
        soft: (targets, d_model), row after row.
        keep: (rows, length), true where a row has a target.
        prefix: (prefix, d_model) embeddings of `predict:`.
        attend_padding: The authors' code attends to padded positions too.
    """
    rows, length = keep.shape
    body = torch.zeros(rows, length, soft.shape[-1], dtype=soft.dtype, device=soft.device)
    body = body.masked_scatter(keep[..., None], soft)
    embeddings = torch.cat([prefix.to(soft.dtype).expand(rows, -1, -1), body], dim=1)
    head = torch.ones(rows, len(prefix), dtype=torch.bool, device=keep.device)
    tail = torch.ones_like(keep) if attend_padding else keep
    return embeddings, torch.cat([head, tail], dim=1).long()


def cycle_loss_sum(
    model: nn.Module,
    core: PreTrainedModel,
    logits: Tensor,
    keep: Tensor,
    label_targets: Tensor,
    prefix_ids: Tensor,
    temperature: float,
    attend_padding: bool,
) -> Tensor:
    """Return the summed loss of the labels read back from the soft rationales.

    Args:
        model: The wrapped model; `core` is the T5 inside it.
        core: Gives the input embeddings.
        logits: (targets, vocabulary) of the rationale pass, row after row.
        keep: (rows, length) of the rationale targets.
        label_targets: (rows, width) of the labels in the prompts, -100 where a row is left out.
        prefix_ids: (1, prefix) ids of `predict:`; no gradient flows into their embeddings here.
        temperature: Of the Gumbel-softmax.
        attend_padding: See `cycle_inputs`.
    """
    weight = core.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    soft = soft_embeddings(logits, weight, temperature)
    prefix = weight[prefix_ids[0]].detach()
    embeddings, mask = cycle_inputs(soft, keep, prefix, attend_padding)
    decoder_ids = core._shift_right(label_targets)  # type: ignore[operator]
    out = model(
        inputs_embeds=embeddings,
        attention_mask=mask,
        decoder_input_ids=decoder_ids,
        use_cache=False,
    )
    flat = out.logits.float().flatten(0, 1)
    return functional.cross_entropy(
        flat, label_targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
