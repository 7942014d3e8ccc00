"""The labels that rows bring of their own: as columns of a table, as tensors of a batch.

An option is what the model can tell apart, so options of a row with the same ids are one. A row
with an open label has one option, its gold label: a target and a prompt, but nothing to choose.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from datasets import Dataset, List, Value
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from r2d_ray.config import TrainConfig
from r2d_ray.data.batches import IGNORED, Batch, pad
from r2d_ray.data.examples import Example
from r2d_ray.data.splits import LabelKind, label_kind
from r2d_ray.data.tokens import (
    LabelTokens,
    encode,
    open_label_tokens,
    option_tokens,
    tokens_of_kind,
)

OPTION_FEATURES = {
    "choices": List(Value("string")),  # as the row has them, repeated ones too
    "options": List(Value("string")),  # those that the model can tell apart
    "option_ids": List(List(Value("int64"))),
    "option_prefixes": List(List(Value("int64"))),
}


def set_tokens(
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    rows: Sequence[Example],
    config: TrainConfig,
) -> LabelTokens:
    """Return the label tokens of a data set of these rows, `labels` being its fixed set if any."""
    most = max((len(row.choices or ()) for row in rows), default=0)
    kind = label_kind(labels, rows)
    return tokens_of_kind(tokenizer, labels, kind, config.max_label_length, most)


def row_tokens(
    row: Example, tokenizer: PreTrainedTokenizerBase, tokens: LabelTokens, max_label_length: int
) -> LabelTokens:
    """Return the labels that a row brings under its data set's kind of label; none if fixed."""
    if tokens.kind == "choices":
        return option_tokens(tokenizer, row.choices or ())
    if tokens.kind == "open" and row.label:
        return open_label_tokens(tokenizer, row.label, max_label_length, tokens.room)
    return LabelTokens((), (), (), tokens.kind)


def gold_place(
    row: Example, tokenizer: PreTrainedTokenizerBase, tokens: LabelTokens, own: LabelTokens
) -> int:
    """Return the place of a row's label in the fixed set or among its own options, -1 if none."""
    if tokens.kind == "open":
        return len(own.labels) - 1
    labels = own.labels if tokens.kind == "choices" else tokens.labels
    if row.label in labels or not row.label or tokens.kind == "fixed":
        return labels.index(row.label) if row.label in labels else -1
    # Another text with the same ids: the first of them stands for it.
    return [target[:-1] for target in own.targets].index(tuple(encode(tokenizer, row.label)))


def option_columns(
    rows: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    tokens: LabelTokens,
    own: Sequence[LabelTokens],
) -> dict[str, list[Any]]:
    """Return the table columns of the rows' labels: text, place and the options of their own.

    The label of a row with options is the text of the option that stands for it.
    """
    places = [gold_place(row, tokenizer, tokens, mine) for row, mine in zip(rows, own, strict=True)]
    texts = [
        mine.labels[place] if tokens.kind == "choices" and place >= 0 else row.label or None
        for row, mine, place in zip(rows, own, places, strict=True)
    ]
    return {
        "label": texts,
        "label_index": places,
        "choices": [list(row.choices or ()) for row in rows],
        "options": [list(mine.labels) for mine in own],
        "option_ids": [list(map(list, mine.targets)) for mine in own],
        "option_prefixes": [list(map(list, mine.explain_prefixes)) for mine in own],
    }


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


class Nested:
    """A column of lists of id lists, read from the memory-mapped table without a copy."""

    def __init__(self, table: Dataset, column: str) -> None:
        chunks = table.with_format("arrow")[:][column].combine_chunks()
        self.rows = chunks.offsets.to_numpy()
        self.offsets = chunks.values.offsets.to_numpy()
        self.values = chunks.values.values.to_numpy()

    def __getitem__(self, row: int) -> list[np.ndarray]:
        ends = self.offsets[self.rows[row] : self.rows[row + 1] + 1]
        return [self.values[a:b] for a, b in pairwise(ends)]


def pad_nested(rows: Sequence[Sequence[np.ndarray]], fill: int) -> Tensor:
    """Return lists of id lists as one (rows, most, longest) tensor of int64."""
    most = max((len(row) for row in rows), default=0)
    longest = max((len(ids) for row in rows for ids in row), default=0)
    out = np.full((len(rows), max(most, 1), max(longest, 1)), fill, dtype=np.int64)
    for i, row in enumerate(rows):
        for j, ids in enumerate(row):
            out[i, j, : len(ids)] = ids
    return torch.from_numpy(out)


class OptionColumns:
    """The options of a table's rows, ready to become tensors."""

    def __init__(self, table: Dataset, kind: LabelKind) -> None:
        self.kind = kind
        self.table = table
        self.ids = Nested(table, "option_ids")
        self.prefixes = Nested(table, "option_prefixes")

    def tensors(self, rows: Iterable[int]) -> Batch:
        """Return what `row_options` reads, for these rows."""
        pairs = [(self.ids[row], self.prefixes[row]) for row in rows]
        ids, prefixes = [own for own, _ in pairs], [own for _, own in pairs]
        found: Batch = {
            "option_ids": pad_nested(ids, IGNORED),
            "option_prefixes": pad_nested(prefixes, 0),
            "option_prefix_lengths": pad([[len(ids) for ids in row] for row in prefixes], 0),
        }
        if self.kind == "choices":
            packed = pack(ids)
            found |= {"packed_ids": packed.ids, "packed_owner": packed.owner}
        return found

    def gold_lengths(self) -> np.ndarray:
        """Return the target ids of every row's gold label."""
        places = self.table["label_index"]
        return np.array([len(self.ids[row][place]) for row, place in enumerate(places)])

    def gold_texts(self) -> list[str]:
        """Return every row's gold label as its prompt shows it."""
        pairs = zip(self.table["options"], self.table["label_index"], strict=True)
        return [options[place] for options, place in pairs]


def own_options(table: Dataset, kind: LabelKind) -> OptionColumns | None:
    """Return the options that a table's rows bring, None under a fixed label set."""
    return None if kind == "fixed" else OptionColumns(table, kind)
