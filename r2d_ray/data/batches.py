"""From prepared rows to the micro-batches of an optimiser step: order, length groups, padding.

The rows of a step depend on (seed, step) only; ranks and micro-batches take slices of them. So
one step is the same for any number of workers, and a resumed run sees what the broken one would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler

from r2d_ray.config import TrainConfig
from r2d_ray.method.batch import Batch, OptionTensors, pack, pad, pad_nested
from r2d_ray.method.label_kinds import LabelKind
from r2d_ray.model.teacher_forcing import IGNORED


class Ragged:
    """A column of id lists, read from the memory-mapped table without copying the values."""

    def __init__(self, table: Dataset, column: str) -> None:
        chunks = table.with_format("arrow")[:][column].combine_chunks()
        self.values = chunks.values.to_numpy()
        self.offsets = chunks.offsets.to_numpy()

    def __getitem__(self, row: int) -> np.ndarray:
        return cast(np.ndarray, self.values[self.offsets[row] : self.offsets[row + 1]])

    @property
    def lengths(self) -> np.ndarray:
        """Number of ids of every row."""
        return np.diff(self.offsets)


class StepRows:
    """The rows of every optimiser step: shuffled by epoch, grouped by length, whole batches only.

    An epoch is a permutation keyed by (seed, epoch). Stretches of `group_size` batches are sorted
    by length and cut into batches, shortest row first, whose order is shuffled again. Rows left
    over at the end of an epoch wait for the next; a table smaller than a batch is repeated.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        rationales: np.ndarray,
        batch_size: int,
        group_size: int,
        seed: int,
    ) -> None:
        self.lengths, self.rationales = lengths, rationales
        self.batch_size, self.group_size, self.seed = batch_size, group_size, seed
        self.steps_per_epoch = max(1, len(lengths) // batch_size)
        self._epoch: tuple[int, np.ndarray] | None = None

    def __getitem__(self, step: int) -> np.ndarray:
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._batches(epoch))
        return cast(np.ndarray, self._epoch[1][position])

    def _batches(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.lengths))
        order = np.resize(order, self.steps_per_epoch * self.batch_size)
        stretch = self.group_size * self.batch_size
        for start in range(0, len(order), stretch):
            part = order[start : start + stretch]
            places = by_length(self.lengths[part], self.rationales[part])
            order[start : start + stretch] = part[places]
        return rng.permutation(order.reshape(self.steps_per_epoch, self.batch_size))


def by_length(lengths: np.ndarray, rationales: np.ndarray) -> np.ndarray:
    """Return the places of shuffled rows, shortest input first.

    Rows of equal inputs stay shuffled by whether they have a rationale, so that batches hold as
    many as chance gives them: in a step's token mean a rationale weighs more the fewer others came
    along. Among themselves rows with a rationale are sorted by it and share the decoder's padding.
    """
    order = np.argsort(lengths, kind="stable")
    explained = rationales[order] > 0
    rows = order[explained]
    order[explained] = rows[np.lexsort((rationales[rows], lengths[rows]))]
    return order


def slice_of_step(rows: np.ndarray, micro: int, rank: int, config: TrainConfig) -> np.ndarray:
    """Return the rows of one micro-batch on one rank.

    A step's rows are sorted by length; micro-batches are consecutive stretches of them, and ranks
    take every n-th row of a stretch, so that all ranks have equal work.
    """
    stretch = config.per_device_train_batch_size * config.num_workers
    return rows[micro * stretch : (micro + 1) * stretch][rank :: config.num_workers]


class StepBatches(TorchDataset[Batch]):
    """Micro-batches of one rank; item k is micro-batch k % accumulation of step k // accumulation.

    `options` are the labels that rows bring of their own, None under a fixed set; then
    `label_lengths` are the target lengths of the set's labels.
    """

    def __init__(
        self,
        table: Dataset,
        config: TrainConfig,
        *,
        label_lengths: Sequence[int] = (),
        options: OptionColumns | None = None,
        rationale_column: str,
        only_with_rationale: bool,
        max_steps: int,
        rank: int,
        seed: int,
    ) -> None:
        self.config = config
        self.rank = rank
        self.max_steps = max_steps
        self.bodies = Ragged(table, "body_ids")
        self.rationales = Ragged(table, rationale_column)
        self.ids: list[str] = list(table["id"])
        self.label_index = np.array(table["label_index"])
        self.options = options
        self.gold_texts = options.gold_texts() if options else []
        self.label_lengths = (
            options.gold_lengths() if options else np.array(label_lengths)[self.label_index]
        )
        rows = np.arange(len(self.ids))
        if only_with_rationale:
            rows = rows[self.rationales.lengths > 0]
        self.rows = rows
        lengths, rationales = self.bodies.lengths[rows], self.rationales.lengths[rows]
        size, group = config.global_batch_size, config.length_group_size
        self.order = StepRows(lengths, rationales, size, group, seed)

    def __len__(self) -> int:
        return self.max_steps * self.config.gradient_accumulation_steps

    def __getitem__(self, index: int) -> Batch:
        step, micro = divmod(index, self.config.gradient_accumulation_steps)
        of_step = self.rows[self.order[step]]
        mine = slice_of_step(of_step, micro, self.rank, self.config)
        bodies = [self.bodies[row] for row in mine]
        with_target = np.flatnonzero(self.rationales.lengths[mine])
        batch: Batch = {
            "ids": [self.ids[row] for row in mine],
            "body_ids": pad(bodies, 0),
            "body_lengths": torch.tensor([len(body) for body in bodies]),
            "rationale_ids": pad([self.rationales[row] for row in mine], IGNORED),
            "label_index": torch.from_numpy(self.label_index[mine]),
            "explained": torch.from_numpy(with_target if len(with_target) else np.zeros(1, int)),
            "label_tokens": self._label_tokens(of_step),
            "rationale_tokens": int(self.rationales.lengths[of_step].sum()),
            "explained_label_tokens": self._label_tokens(
                of_step[self.rationales.lengths[of_step] > 0]
            ),
        }
        if self.options:
            batch["labels"] = [self.gold_texts[row] for row in mine]
            batch["options"] = self.options.tensors(mine)
        return batch

    def _label_tokens(self, rows: np.ndarray) -> int:
        return int(self.label_lengths[rows].sum())


class FromStep(Sampler[int]):
    """Indices from where training stands, so that a resumed run does not read what it skips."""

    def __init__(self, length: int, start: Callable[[], int]) -> None:
        self.length = length
        self.start = start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start(), self.length))

    def __len__(self) -> int:
        return self.length


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


class OptionColumns:
    """The options of a table's rows, ready to become tensors."""

    def __init__(self, table: Dataset, kind: LabelKind) -> None:
        self.kind = kind
        self.table = table
        self.ids = Nested(table, "option_ids")
        self.prefixes = Nested(table, "option_prefixes")

    def tensors(self, rows: Iterable[int]) -> OptionTensors:
        """Return the options of these rows."""
        pairs = [(self.ids[row], self.prefixes[row]) for row in rows]
        ids, prefixes = [own for own, _ in pairs], [own for _, own in pairs]
        found: OptionTensors = {
            "targets": pad_nested(ids, IGNORED),
            "prefixes": pad_nested(prefixes, 0),
            "prefix_lengths": pad([[len(ids) for ids in row] for row in prefixes], 0),
        }
        if self.kind.closed:
            packed = pack(ids)
            found["packed_ids"], found["packed_owner"] = packed.ids, packed.owner
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
    return OptionColumns(table, kind) if kind.by_row else None
