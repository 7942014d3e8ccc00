"""What a micro-batch holds, and prompts joined from ids (train_stage2.py `preprocess_function`).

The authors tokenise whole prompts; here a prompt is prefix ids + body ids + end id. The ids are the
same, and a label that was chosen on the device need not leave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict, cast

import numpy as np
import torch
from torch import Tensor

from r2d_ray.model.teacher_forcing import IGNORED

NO_PLACE = -2  # pads the places of labels; a text that is no label has another


class OptionTensors(TypedDict):
    """The labels that rows bring of their own; an option that a row lacks is padding."""

    targets: Tensor
    """(rows, options, width) int64: each option's target, padded with -100."""

    prefixes: Tensor
    """(rows, options, width) int64: prefix of the rationale prompt that shows it, padded with 0."""

    prefix_lengths: Tensor
    """(rows, options) int64: valid ids of `prefixes`, 0 where there is no option."""

    packed_ids: NotRequired[Tensor]
    """(rows, length) int64: the options' targets side by side; absent where labels are open."""

    packed_owner: NotRequired[Tensor]
    """(rows, length) int64: the option that each id of `packed_ids` belongs to (`Packed.owner`)."""


class RelabelledTensors(TypedDict):
    """Rationales for other labels than gold; a place that a row lacks is padding."""

    places: Tensor
    """(rows, most) int64: the labels' places, padded with `NO_PLACE`."""

    targets: Tensor
    """(rows, most, width) int64: their rationales' targets, padded with -100."""


class Bodies(TypedDict):
    """What prompts are made of."""

    body_ids: Tensor
    """(rows, length) int64: question, options and context, padded at the end."""

    body_lengths: Tensor
    """(rows,) int64: valid ids of `body_ids`."""

    options: NotRequired[OptionTensors]
    """Only where rows bring labels of their own."""


class EvalBatch(Bodies):
    """Rows of a table that a model is run over."""

    rows: list[int]
    """Where they stand in the table."""


class Batch(Bodies):
    """One micro-batch of a training step on one rank.

    The token counts are those of the whole step, over all ranks and micro-batches: losses are
    divided by them. Every rank makes the same passes, so a micro-batch without a rationale names
    one row in `explained` all the same; that row's rationale loss is 0.
    """

    ids: list[str]
    """Row ids, which key the coins."""

    label_index: Tensor
    """(rows,) int64: place of the gold label in the fixed set or among the row's own labels."""

    labels: NotRequired[list[str]]
    """Gold labels as prompts show them; only where rows bring labels of their own."""

    rationale_ids: Tensor
    """(rows, length) int64: rationale targets, padded with -100; all padding if there is none."""

    explained: Tensor
    """(rows with a rationale, at least 1) int64: their places in the micro-batch."""

    relabelled: NotRequired[RelabelledTensors]
    """Only where rows may learn the rationale of another label (`TrainConfig.relabels`)."""

    label_weights: NotRequired[Tensor]
    """(rows,) float32: weight of each row's label loss; only where classes are weighted."""

    label_tokens: float
    """Target ids of the step's gold labels, end ids included, each as often as its row weighs."""

    rationale_tokens: int
    """Target ids of the step's rationales, end ids included."""

    explained_label_tokens: int
    """Target ids of the gold labels of the step's rows with a rationale."""


def pad(rows: Sequence[np.ndarray | Sequence[int]], fill: int) -> Tensor:
    """Return id lists as one (rows, longest) tensor of int64, filled at the end."""
    width = max((len(row) for row in rows), default=0)
    out = np.full((len(rows), max(width, 1)), fill, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return torch.from_numpy(out)


def select_rows(batch: Batch, rows: Tensor) -> Batch:
    """Return the rows of a batch at these places; the step's token counts stay."""
    places = rows.tolist()

    def chosen(value: object) -> object:
        if isinstance(value, Tensor):
            return value[rows]
        if isinstance(value, dict):
            return {name: chosen(part) for name, part in value.items()}
        return [value[i] for i in places] if isinstance(value, list) else value

    found = {name: value if name == "explained" else chosen(value) for name, value in batch.items()}
    return cast(Batch, found)


def on_device(options: OptionTensors, device: torch.device) -> OptionTensors:
    """Return the options' tensors on a device."""
    moved = {name: value.to(device) for name, value in options.items() if isinstance(value, Tensor)}
    return cast(OptionTensors, moved)


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
    """Options side by side in one decoder sequence; one leading row stands for all rows alike."""

    ids: Tensor  # (1 or rows, length) target ids
    owner: Tensor  # (1 or rows, length): the option an id belongs to, `count` on padding
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


def row_options(batch: Bodies) -> Options:
    """Return the options that a batch's rows bring."""
    own = batch["options"]
    packed: tuple[Packed, ...] = ()
    if "packed_ids" in own:
        packed = (Packed(own["packed_ids"], own["packed_owner"], own["targets"].shape[1]),)
    return Options(own["targets"], own["prefixes"], own["prefix_lengths"], packed)


def pad_nested(rows: Sequence[Sequence[np.ndarray]], fill: int) -> Tensor:
    """Return lists of id lists as one (rows, most, longest) tensor of int64."""
    most = max((len(row) for row in rows), default=0)
    longest = max((len(ids) for row in rows for ids in row), default=0)
    out = np.full((len(rows), max(most, 1), max(longest, 1)), fill, dtype=np.int64)
    for i, row in enumerate(rows):
        for j, ids in enumerate(row):
            out[i, j, : len(ids)] = ids
    return torch.from_numpy(out)
