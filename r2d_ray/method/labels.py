"""The model's own label (paper section 3; the `generate` call in train_stage2.py `compute_loss`).

The authors decode it freely (`label_choice = generate`). With `scored` it is the likeliest of the
row's labels: at no cost where first tokens tell a fixed set apart, because the `predict:` pass has
already made their logits, and else by one decoder pass on that pass's encoder states. Generation
itself is model/decoding.py's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutput

from r2d_ray.method.batch import (
    Batch,
    Bodies,
    Options,
    Packed,
    join_prompts,
    pack,
    pad,
    row_options,
)
from r2d_ray.method.prompts import EXPLAIN_PREFIX, PREDICT_PREFIX, explain_given_label_prefix
from r2d_ray.method.tokens import LabelTokens, encode, fitting_label
from r2d_ray.model.teacher_forcing import IGNORED

PACK_POSITIONS = 512  # decoder positions of one packed scoring pass; more labels take more passes


@dataclass(frozen=True, slots=True)
class PromptTable:
    """Prefixes and label targets as tensors on the device; builds the three prompts of a batch.

    The label fields are a fixed set's; without one they are empty and the batch brings options.
    """

    tokens: LabelTokens
    predict_prefix: Tensor  # (1, width)
    explain_prefix: Tensor  # (1, width)
    label_prefixes: Tensor  # (labels, width)
    label_prefix_lengths: Tensor  # (labels,)
    label_targets: Tensor  # (labels, width), padded with -100
    label_packs: tuple[Packed, ...]
    first_tokens: Tensor | None  # (labels,) where they tell the labels apart
    eos: int
    pad_id: int

    def predict(self, batch: Bodies) -> tuple[Tensor, Tensor]:
        """Return ids and mask of `predict: body`."""
        return self._constant(self.predict_prefix, batch)

    def explain(self, batch: Bodies) -> tuple[Tensor, Tensor]:
        """Return ids and mask of `explain: body` (stage 1; step-by-step distillation)."""
        return self._constant(self.explain_prefix, batch)

    def explain_given(self, batch: Bodies, label_index: Tensor) -> tuple[Tensor, Tensor]:
        """Return ids and mask of `given label: ..., explain: body` for (rows,) label indices."""
        return self.join(*self.options(batch).prefixes_of(label_index), batch)

    def options(self, batch: Bodies) -> Options:
        """Return the labels that each row of the batch may have."""
        if self.tokens.kind.by_row:
            return row_options(batch)
        return Options(
            self.label_targets[None],
            self.label_prefixes[None],
            self.label_prefix_lengths[None],
            self.label_packs,
            self.first_tokens,
        )

    def gold_texts(self, batch: Batch) -> list[str]:
        """Return the gold label of each row as its prompt shows it."""
        if self.tokens.kind.by_row:
            return list(batch["labels"])
        return [self.tokens.labels[i] for i in batch["label_index"].tolist()]

    def rooms(self, batch: Bodies) -> list[int]:
        """Return how many ids the prefix of a freely written label may have, by row."""
        if self.tokens.room:
            return [self.tokens.room] * len(batch["body_lengths"])
        longest: list[int] = batch["options"]["prefix_lengths"].amax(dim=1).tolist()
        return longest

    def join(self, prefixes: Tensor, lengths: Tensor, batch: Bodies) -> tuple[Tensor, Tensor]:
        """Return ids and mask of a prefix per row joined to the batch's bodies."""
        body, body_lengths = batch["body_ids"], batch["body_lengths"]
        return join_prompts(prefixes, lengths, body, body_lengths, self.eos, self.pad_id)

    def _constant(self, prefix: Tensor, batch: Bodies) -> tuple[Tensor, Tensor]:
        rows = len(batch["body_lengths"])
        lengths = torch.full((rows,), prefix.shape[1], device=prefix.device)
        return self.join(prefix.expand(rows, -1), lengths, batch)


def prompt_table(
    tokenizer: PreTrainedTokenizerBase, tokens: LabelTokens, device: torch.device
) -> PromptTable:
    """Return the prompt table of a label set on a device."""

    def ids(text: str) -> Tensor:
        return torch.tensor([encode(tokenizer, text)], device=device)

    assert isinstance(tokenizer.pad_token_id, int)
    assert isinstance(tokenizer.eos_token_id, int)
    return PromptTable(
        tokens=tokens,
        predict_prefix=ids(PREDICT_PREFIX),
        explain_prefix=ids(EXPLAIN_PREFIX),
        label_prefixes=pad(tokens.explain_prefixes, tokenizer.pad_token_id).to(device),
        label_prefix_lengths=torch.tensor([len(p) for p in tokens.explain_prefixes], device=device),
        label_targets=pad(tokens.targets, IGNORED).to(device),
        label_packs=tuple(label_packs(tokens, device)),
        first_tokens=torch.tensor([target[0] for target in tokens.targets], device=device)
        if tokens.first_tokens_differ
        else None,
        eos=tokenizer.eos_token_id,
        pad_id=tokenizer.pad_token_id,
    )


def label_packs(tokens: LabelTokens, device: torch.device) -> Iterator[Packed]:
    """Yield a fixed set's labels side by side, at most `PACK_POSITIONS` positions a pass."""
    width = max((len(target) for target in tokens.targets), default=1)
    per_pass = max(1, PACK_POSITIONS // width)
    for at in range(0, len(tokens.targets), per_pass):
        part = pack([tokens.targets[at : at + per_pass]])
        yield Packed(part.ids.to(device), part.owner.to(device), part.count)


def first_token_log_probabilities(logits: Tensor, first_tokens: Tensor) -> Tensor:
    """Return log-probabilities (rows, labels) over the label set from first-token logits.

    Args:
        logits: (rows, vocabulary) at the first target position.
        first_tokens: (labels,) ids, all different.
    """
    return logits[:, first_tokens].float().log_softmax(dim=-1)


def packed_log_probabilities(
    model: PreTrainedModel, encoder_states: Tensor, encoder_mask: Tensor, options: Options
) -> Tensor:
    """Return log-probabilities (rows, options) from every option's whole string.

    The options stand side by side in one decoder sequence under a block-diagonal causal mask: T5's
    position bias depends on distances only, so each block sees what it would see alone, and the
    encoder's keys are computed once for all options. An option that a row lacks has -inf.
    """
    parts = [_score_block(model, encoder_states, encoder_mask, part) for part in options.packed]
    scores = torch.cat(parts, dim=-1).masked_fill(options.absent, float("-inf"))
    return scores.log_softmax(dim=-1)


def _score_block(
    model: PreTrainedModel, encoder_states: Tensor, encoder_mask: Tensor, part: Packed
) -> Tensor:
    """Return the summed log-probability (rows, options) of each option's tokens."""
    rows, device = len(encoder_states), encoder_states.device
    begins = part.owner != part.owner.roll(1, dims=1)
    begins[:, 0] = True
    start = model.config.decoder_start_token_id
    decoder_ids = part.ids.roll(1, dims=1).masked_fill(begins, start).expand(rows, -1)
    visible = (part.owner[:, :, None] == part.owner[:, None, :]).tril()
    blocked = torch.finfo(encoder_states.dtype).min
    mask = torch.zeros(visible.shape, dtype=encoder_states.dtype, device=device)
    logits = model(
        encoder_outputs=BaseModelOutput(last_hidden_state=encoder_states),
        attention_mask=encoder_mask,
        decoder_input_ids=decoder_ids,
        decoder_attention_mask=mask.masked_fill(~visible, blocked)[:, None],
        use_cache=False,
    ).logits
    scores = logits.float().log_softmax(dim=-1)
    picked = scores.gather(-1, part.ids.expand(rows, -1)[..., None])[..., 0]
    sums = torch.zeros(rows, part.count + 1, device=device)  # the last place takes the padding
    return sums.scatter_add(1, part.owner.expand(rows, -1), picked)[:, :-1]


def label_log_probabilities(
    model: PreTrainedModel,
    first_logits: Tensor,
    encoder_states: Tensor,
    encoder_mask: Tensor,
    options: Options,
) -> Tensor:
    """Return log-probabilities (rows, options) by the cheapest exact way for these options."""
    if options.first_tokens is not None:
        return first_token_log_probabilities(first_logits, options.first_tokens)
    return packed_log_probabilities(model, encoder_states, encoder_mask, options)


def text_prefixes(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], table: PromptTable, batch: Bodies
) -> tuple[Tensor, Tensor, list[str]]:
    """Return prefixes (rows, width) of prompts that show these texts, their lengths, and the texts.

    A text may be longer than the labels that bodies leave room for: it loses its end, and is
    returned as shown.
    """
    shown, rows = [], []
    task = table.explain_prefix[0].tolist()
    for text, room in zip(texts, table.rooms(batch), strict=True):
        fitted, row = text, encode(tokenizer, explain_given_label_prefix(text))
        if len(row) > room:
            fitted = fitting_label(tokenizer, text, room)
            row = encode(tokenizer, explain_given_label_prefix(fitted))
        # Even without a label the prefix may be too long; it closes with the task's word.
        rows.append(row if len(row) <= room else [*row[: room - len(task)], *task])
        shown.append(fitted)
    device = table.predict_prefix.device
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return pad(rows, table.pad_id).to(device), lengths, shown
