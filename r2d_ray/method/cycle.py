"""The cycle loss of Reason2Decide-C (src/r2dc_stage2.py `R2DC_Trainer.compute_loss`).

From the rationale back to the label in its prompt: the rationale pass's teacher-forced logits
become soft token embeddings (Gumbel-softmax), `predict:` is put before them, and the same model
must give the label.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from transformers import PreTrainedModel

from r2d_ray.method.sampling import Prompts, Stage2
from r2d_ray.method.schedules import gumbel_temperature
from r2d_ray.model.flops import Sums, pass_sums
from r2d_ray.model.teacher_forcing import IGNORED, Pass


def cycle_loss(
    model: nn.Module,
    core: PreTrainedModel,
    written: Pass,
    keep: Tensor,
    prompts: Prompts,
    step: int,
    stage: Stage2,
) -> tuple[Tensor, Sums]:
    """Return the summed loss of the labels read back from the rationales, and what it costs.

    Args:
        model: The wrapped model; `core` is the T5 inside it.
        core: Gives the input embeddings.
        written: The rationale pass.
        keep: (rows, length), true where a row has a rationale target.
        prompts: What the rationales were written for.
        step: Optimiser step, 0-based; sets the temperature.
        stage: Config and prompts.

    The authors' code reads back every row with a rationale. The mended variant leaves out rows
    that show a wrong label: the rationale loss draws them to the gold rationale, from which their
    label cannot be read.
    """
    config, prefix = stage.config, stage.table.predict_prefix
    authors = config.r2d_c_variant == "authors"
    left_out = ~keep.any(dim=1)
    if not authors:
        left_out = left_out | prompts.wrong
    targets = prompts.label_targets.masked_fill(left_out[:, None], IGNORED)
    temperature = gumbel_temperature(step, config)
    embeddings, mask = soft_prompts(core, written.logits, keep, prefix, temperature, authors)
    total = read_back(model, core, embeddings, mask, targets)
    real = torch.cat([torch.ones_like(prefix.expand(len(keep), -1)), keep.long()], dim=1)
    cost = pass_sums(core, real * ~left_out[:, None], targets != IGNORED)
    mixtures = 2 * keep.sum() * token_embeddings(core).numel()  # each from all of the vocabulary
    cost["model_flops"] = cost["model_flops"] + 3 * mixtures
    return total, cost


def token_embeddings(core: PreTrainedModel) -> Tensor:
    """Return the (vocabulary, d_model) input embeddings."""
    weight = core.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return weight


def soft_prompts(
    core: PreTrainedModel,
    logits: Tensor,
    keep: Tensor,
    prefix_ids: Tensor,
    temperature: float,
    attend_padding: bool,
) -> tuple[Tensor, Tensor]:
    """Return input embeddings and mask of `predict:` and each row's soft rationale.

    Args:
        core: Gives the input embeddings.
        logits: (targets, vocabulary) of the rationale pass, row after row.
        keep: (rows, length) of the rationale targets.
        prefix_ids: (1, prefix) ids of `predict:`; no gradient flows into their embeddings here.
        temperature: Of the Gumbel-softmax.
        attend_padding: Whether padding counts, as in the authors' code.
    """
    weight = token_embeddings(core)
    soft = soft_embeddings(logits, weight, temperature)
    return cycle_inputs(soft, keep, weight[prefix_ids[0]].detach(), attend_padding)


def read_back(
    model: nn.Module, core: PreTrainedModel, embeddings: Tensor, mask: Tensor, targets: Tensor
) -> Tensor:
    """Return the summed loss of label targets (rows, width) given these inputs; -100 has none."""
    out = model(
        inputs_embeds=embeddings,
        attention_mask=mask,
        decoder_input_ids=core._shift_right(targets),  # type: ignore[operator]
        use_cache=False,
    )
    flat = out.logits.float().flatten(0, 1)
    return functional.cross_entropy(flat, targets.flatten(), ignore_index=IGNORED, reduction="sum")


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
