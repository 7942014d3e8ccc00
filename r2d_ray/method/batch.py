"""A batch: its tensors, the options that rows bring, and prompts joined from prefix and body.

What an item holds: `data.batches.StepBatches`. One leading row of `Options` stands for all alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from r2d_ray.model.teacher_forcing import IGNORED

Batch = dict[str, Any]


def pad(rows: Sequence[np.ndarray | Sequence[int]], fill: int) -> Tensor:
    """Return id lists as one (rows, longest) tensor of int64, filled at the end."""
    width = max((len(row) for row in rows), default=0)
    out = np.full((len(rows), max(width, 1)), fill, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return torch.from_numpy(out)


def select_rows(batch: Batch, rows: Tensor) -> Batch:
    """Return the rows of a batch at these positions; the step's token counts stay."""
    chosen: Batch = {
        name: value[rows] if isinstance(value, Tensor) and name != "explained" else value
        for name, value in batch.items()
    }
    places = rows.tolist()
    chosen |= {
        name: [batch[name][i] for i in places] for name in ("ids", "labels") if name in batch
    }
    return chosen


def join_prompts(
    prefixes: Tensor,
    prefix_lengths: Tensor,
    body: Tensor,
    body_lengths: Tensor,
    eos: int,
    pad_id: int,
) -> tuple[Tensor, Tensor]:
    """Return input ids and attention mask of prefix + body + end id, on the tensors' device.

    Args:
        prefixes: (rows, prefix width) ids, valid up to `prefix_lengths` (rows,).
        prefix_lengths: Ids of each row's prefix.
        body: (rows, body width) ids, valid up to `body_lengths` (rows,).
        body_lengths: Ids of each row's body.
        eos: Id of the end of a sequence.
        pad_id: Id of padding.

    Nothing is copied to the host, so a label chosen on the device reaches its prompt there.
    """
    width = prefixes.shape[1] + body.shape[1] + 1
    at = torch.arange(width, device=body.device)[None, :]
    start = prefix_lengths[:, None]
    end = start + body_lengths[:, None]
    from_prefix = prefixes.gather(1, at.clamp(max=prefixes.shape[1] - 1).expand(len(body), -1))
    from_body = body.gather(1, (at - start).clamp(0, body.shape[1] - 1))
    ids = torch.where(at < start, from_prefix, from_body)
    ids = torch.where(at == end, eos, ids)
    mask = at <= end
    return torch.where(mask, ids, pad_id), mask.long()


@dataclass(frozen=True, slots=True)
class Packed:
    """Options side by side in one decoder sequence: `ids` and `owner`, (1 or rows, length).

    `owner` is the option that a target id belongs to, `count` where there is only padding.
    """

    ids: Tensor
    owner: Tensor
    count: int


@dataclass(frozen=True, slots=True)
class Options:
    """The labels that each row of a batch may have; one leading row stands for all rows alike.

    `packed` are the passes that score them, none where labels are open. `first_tokens` (options,)
    are given where they tell a fixed set apart, so that no such pass is needed.
    """

    targets: Tensor  # (1 or rows, options, width), padded with -100; an absent option is padding
    prefixes: Tensor  # (1 or rows, options, width)
    prefix_lengths: Tensor  # (1 or rows, options)
    packed: tuple[Packed, ...]
    first_tokens: Tensor | None = None

    @property
    def absent(self) -> Tensor:
        """Where (1 or rows, options) a row has no such option."""
        return self.targets[..., 0] == IGNORED

    def targets_of(self, index: Tensor) -> Tensor:
        """Return the targets (rows, width) of one option a row, given its place (rows,)."""
        return _picked(self.targets, index)

    def prefixes_of(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return prefixes (rows, width) and their lengths (rows,) of one option a row."""
        return _picked(self.prefixes, index), _picked(self.prefix_lengths, index)

    def counts(self, rows: int) -> Tensor:
        """Return how many options each of the rows has (rows,)."""
        return (~self.absent).sum(dim=1).expand(rows)


def _picked(values: Tensor, index: Tensor) -> Tensor:
    if len(values) == 1:
        return values[0][index]
    return values[torch.arange(len(index), device=index.device), index]


def pack(rows: Sequence[Sequence[Sequence[int] | np.ndarray]]) -> Packed:
    """Return the rows' option targets one after another, padded to the longest row."""
    count = max(len(options) for options in rows)
    length = max(sum(map(len, options)) for options in rows)
    ids = np.zeros((len(rows), length), dtype=np.int64)
    owner = np.full((len(rows), length), count, dtype=np.int64)
    for i, options in enumerate(rows):
        sizes = [len(option) for option in options]
        ids[i, : sum(sizes)] = np.concatenate([np.asarray(option) for option in options])
        owner[i, : sum(sizes)] = np.repeat(np.arange(len(sizes)), sizes)
    return Packed(torch.from_numpy(ids), torch.from_numpy(owner), count)


def row_options(batch: Batch) -> Options:
    """Return the options that a batch's rows bring (`OptionColumns.tensors`)."""
    targets = batch["option_ids"]
    packed: tuple[Packed, ...] = ()
    if "packed_ids" in batch:
        packed = (Packed(batch["packed_ids"], batch["packed_owner"], targets.shape[1]),)
    return Options(targets, batch["option_prefixes"], batch["option_prefix_lengths"], packed)


def pad_nested(rows: Sequence[Sequence[np.ndarray]], fill: int) -> Tensor:
    """Return lists of id lists as one (rows, most, longest) tensor of int64."""
    most = max((len(row) for row in rows), default=0)
    longest = max((len(ids) for row in rows for ids in row), default=0)
    out = np.full((len(rows), max(most, 1), max(longest, 1)), fill, dtype=np.int64)
    for i, row in enumerate(rows):
        for j, ids in enumerate(row):
            out[i, j, : len(ids)] = ids
    return torch.from_numpy(out)
