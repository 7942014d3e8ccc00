"""From prepared rows to the micro-batches of an optimiser step: slices, padding, weights.

Which rows a step has stands in method/step_rows.py; ranks and micro-batches take slices of them.
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
from r2d_ray.method.batch import (
    NO_PLACE,
    Batch,
    OptionTensors,
    RelabelledTensors,
    pack,
    pad,
    pad_nested,
)
from r2d_ray.method.imbalance import class_shares, class_weights
from r2d_ray.method.label_kinds import LabelKind
from r2d_ray.method.step_rows import ClassDraw, StepRows, slice_of_step
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
        self.relabelled = Relabelled(table) if config.relabels else None
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
        self.weights, shares = None, None
        if not (only_with_rationale or options):  # stage 2 over a fixed label set
            counts = np.bincount(self.label_index, minlength=len(label_lengths))
            weights = class_weights(counts, config)
            self.weights = None if weights is None else weights[self.label_index]
            shares = class_shares(counts, config)
        drawn = None if shares is None else ClassDraw(self.label_index[rows], shares)
        self.order = StepRows(lengths, rationales, size, group, seed, drawn)

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
            "label_tokens": self._label_mass(of_step),
            "rationale_tokens": int(self.rationales.lengths[of_step].sum()),
            "explained_label_tokens": self._label_tokens(
                of_step[self.rationales.lengths[of_step] > 0]
            ),
        }
        if self.weights is not None:
            batch["label_weights"] = torch.from_numpy(self.weights[mine]).float()
        if self.relabelled:
            batch["relabelled"] = self.relabelled.tensors(mine)
        if self.options:
            batch["labels"] = [self.gold_texts[row] for row in mine]
            batch["options"] = self.options.tensors(mine)
        return batch

    def _label_tokens(self, rows: np.ndarray) -> int:
        return int(self.label_lengths[rows].sum())

    def _label_mass(self, rows: np.ndarray) -> float:
        """Return what the step's label loss is divided by: its target ids, weighted."""
        if self.weights is None:
            return self._label_tokens(rows)
        return float((self.weights[rows] * self.label_lengths[rows]).sum())


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


class Relabelled:
    """The rationales of a table's rows for other labels than gold, ready to become tensors."""

    def __init__(self, table: Dataset) -> None:
        self.places = Ragged(table, "relabelled_places")
        self.ids = Nested(table, "relabelled_ids")

    def tensors(self, rows: Iterable[int]) -> RelabelledTensors:
        """Return what these rows have of them."""
        every = list(rows)
        return {
            "places": pad([self.places[row] for row in every], NO_PLACE),
            "targets": pad_nested([self.ids[row] for row in every], IGNORED),
        }


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
