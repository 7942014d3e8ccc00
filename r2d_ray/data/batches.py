"""From prepared rows to the micro-batches of an optimiser step: order, length groups, padding.

The rows of a step depend on (seed, step) only; ranks and micro-batches take slices of them. So
one step is the same for any number of workers, and a resumed run sees what the broken one would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler

from r2d_ray.config import TrainConfig

if TYPE_CHECKING:
    from r2d_ray.data.options import OptionColumns

IGNORED = -100  # target id at which no loss is computed (transformers' convention)
Batch = dict[str, Any]


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


def pad(rows: Sequence[np.ndarray | Sequence[int]], fill: int) -> Tensor:
    """Return id lists as one (rows, longest) tensor of int64, filled at the end."""
    width = max((len(row) for row in rows), default=0)
    out = np.full((len(rows), max(width, 1)), fill, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return torch.from_numpy(out)


class StepBatches(TorchDataset[Batch]):
    """Micro-batches of one rank; item k is micro-batch k % accumulation of step k // accumulation.

    Every item holds `body_ids` (rows, length) and `body_lengths`, `rationale_ids` (padded with
    -100), `label_index`, `ids`, and the token counts of the whole step (`label_tokens`,
    `rationale_tokens`, over all ranks and micro-batches), by which both losses are divided;
    `explained_label_tokens` counts the rows with a rationale.
    `explained` are the positions of rows with a rationale; where there is none it names one row
    all the same (its loss is 0), because every rank must make the same passes. Where rows bring
    `options` of their own, their tensors and the gold labels' texts (`labels`) are there too.
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
            batch |= self.options.tensors(mine)
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
