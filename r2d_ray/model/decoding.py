"""Greedy decoding: rationales, and labels where they are generated.

Rows that have ended leave the batch, which the library's loop carries on to the end of the
longest row, and a small model, whose step costs much the same for any number of rows, decodes more
of them together than it encodes. Equal to the library's output, which is used where logits are
asked for and where ranks must keep step (ZeRO-3).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

CACHE_BYTES = 2**27  # keys and values of the rows that a small model decodes together


def rows_at_once(config: PretrainedConfig, input_length: int, max_new_tokens: int) -> int:
    """Return how many rows of this length have their fp32 keys and values in `CACHE_BYTES`."""
    per_token = 2 * config.num_decoder_layers * config.num_heads * config.d_kv * 4
    return int(CACHE_BYTES // (per_token * (input_length + max_new_tokens)))


def greedy(
    model: PreTrainedModel,
    input_ids: Tensor,
    mask: Tensor,
    max_new_tokens: int,
    encoded_at_once: int | None = None,
) -> Tensor:
    """Return what greedy decoding writes: ids (rows, max_new_tokens), padded after the end id.

    `encoded_at_once` bounds the rows of an encoder pass, which takes more memory a row.
    """
    config = model.config
    states = encoded(model, input_ids, mask, encoded_at_once or len(input_ids))
    written = torch.full((len(input_ids), max_new_tokens), config.pad_token_id).to(mask.device)
    rows = torch.arange(len(input_ids), device=mask.device)
    latest = torch.full_like(rows, config.decoder_start_token_id)
    cache = EncoderDecoderCache(DynamicCache(config=config), DynamicCache(config=config))
    for place in range(max_new_tokens):
        out = model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=mask,
            decoder_input_ids=latest[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        latest = out.logits[:, -1].argmax(dim=-1)
        written[rows, place] = latest
        going = torch.nonzero(latest != config.eos_token_id)[:, 0]
        if len(going) == 0:
            break
        if len(going) < len(rows):
            rows, latest, states, mask = rows[going], latest[going], states[going], mask[going]
            cache.batch_select_indices(going)
    return written


def encoded(model: PreTrainedModel, input_ids: Tensor, mask: Tensor, at_once: int) -> Tensor:
    """Return the encoder's states (rows, length, width), so many rows a pass, 0 where padded."""
    encoder = model.get_encoder()
    found = []
    for ids, seen in zip(torch.split(input_ids, at_once), torch.split(mask, at_once), strict=True):
        length = int(seen.sum(dim=1).max())
        states = encoder(input_ids=ids[:, :length], attention_mask=seen[:, :length])
        found.append(F.pad(states.last_hidden_state, (0, 0, 0, ids.shape[1] - length)))
    return torch.cat(found)


def generate_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    input_ids: Tensor,
    mask: Tensor,
    max_new_tokens: int,
    synced: bool = False,
    encoded_at_once: int | None = None,
) -> list[str]:
    """Return what greedy decoding writes for each row, stripped; `synced` under ZeRO-3."""
    if synced:
        out = _library(model, input_ids, mask, max_new_tokens, synced).sequences
    else:
        out = greedy(model, input_ids, mask, max_new_tokens, encoded_at_once)
    return [text.strip() for text in tokenizer.batch_decode(out, skip_special_tokens=True)]


def generate_with_confidence(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    input_ids: Tensor,
    mask: Tensor,
    max_new_tokens: int,
    synced: bool = False,
    over_padding: bool = False,
) -> tuple[list[str], Tensor]:
    """Return what greedy decoding writes and exp(mean token log-probability) (rows,).

    The mean is over the tokens up to and including the end id. `over_padding` takes all positions,
    as Reason2Decide-C's code has it (`generate_labels_with_confidence`): a short label's
    confidence then depends on its batch.
    """
    out = _library(model, input_ids, mask, max_new_tokens, synced, logits=True)
    scores = torch.stack(out.logits, dim=1).float().log_softmax(dim=-1)
    tokens = out.sequences[:, 1 : 1 + scores.shape[1]]
    chosen = scores.gather(-1, tokens[..., None])[..., 0]
    if over_padding:
        confidence = chosen.mean(dim=1).exp()
    else:
        ends = tokens == tokenizer.eos_token_id
        written = ends.cumsum(dim=1) - ends.long() == 0
        # A position after the end may have any value: zero it rather than multiply.
        confidence = (chosen.masked_fill(~written, 0.0).sum(dim=1) / written.sum(dim=1)).exp()
    texts = tokenizer.batch_decode(out.sequences, skip_special_tokens=True)
    return [text.strip() for text in texts], confidence


def _library(
    model: PreTrainedModel,
    input_ids: Tensor,
    mask: Tensor,
    max_new_tokens: int,
    synced: bool,
    logits: bool = False,
) -> Any:
    return model.generate(  # type: ignore[operator]
        input_ids=input_ids,
        attention_mask=mask,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        synced_gpus=synced,
        output_logits=logits,
        return_dict_in_generate=True,
    )
