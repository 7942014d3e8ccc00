"""Which rows every optimiser step has: shuffled by epoch, grouped by length, cut into batches.

The rows of a step depend on (seed, step) only; ranks and micro-batches take slices of them. So
one step is the same for any number of workers, and a resumed run sees what the broken one would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from r2d_ray.config import TrainConfig


class StepRows:
    """The rows of every optimiser step: shuffled by epoch, grouped by length, whole batches only.

    An epoch is a permutation keyed by (seed, epoch). Stretches of `group_size` batches are sorted
    by length and cut into batches, shortest row first, whose order is shuffled again. Rows left
    over at the end of an epoch wait for the next; a table smaller than a batch is repeated.
    With `classes` an epoch has as many steps, but its rows are drawn by class.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        rationales: np.ndarray,
        batch_size: int,
        group_size: int,
        seed: int,
        classes: ClassDraw | None = None,
    ) -> None:
        self.lengths, self.rationales = lengths, rationales
        self.batch_size, self.group_size, self.seed = batch_size, group_size, seed
        self.classes = classes
        self.steps_per_epoch = max(1, len(lengths) // batch_size)
        self._epoch: tuple[int, np.ndarray] | None = None

    def __getitem__(self, step: int) -> np.ndarray:
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._batches(epoch))
        return cast(np.ndarray, self._epoch[1][position])

    def _batches(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, epoch])
        size = self.steps_per_epoch * self.batch_size
        if self.classes is None:
            order = np.resize(rng.permutation(len(self.lengths)), size)
        else:
            order = self.classes.rows(size, rng)
        stretch = self.group_size * self.batch_size
        for start in range(0, len(order), stretch):
            part = order[start : start + stretch]
            places = by_length(self.lengths[part], self.rationales[part])
            order[start : start + stretch] = part[places]
        return rng.permutation(order.reshape(self.steps_per_epoch, self.batch_size))


@dataclass(frozen=True, slots=True, eq=False)
class ClassDraw:
    """Draws an epoch's rows so that its classes have given shares, each row as often as another.

    `index` (rows,) is each row's class, `shares` (classes,) sum to 1. A class whose share asks for
    fewer rows than it has gives a random part of them, one that has too few gives each of its rows
    before any comes again.
    """

    index: np.ndarray
    shares: np.ndarray

    def rows(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Return the places (size,) of an epoch's rows, shuffled."""
        counts = whole_counts(self.shares, size, rng)
        parts = []
        for place, count in enumerate(counts):
            own = np.flatnonzero(self.index == place)
            rounds = -(-count // max(1, len(own)))
            again = [rng.permutation(own) for _ in range(rounds)]
            parts.append(np.concatenate([own[:0], *again])[:count])
        return rng.permutation(np.concatenate(parts))


def whole_counts(shares: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return whole numbers (classes,) that sum to `size`, each within 1 of its share of it.

    Which classes get what is left over is drawn, so that no class has it in every epoch.
    """
    exact = shares * size
    counts: np.ndarray = np.floor(exact).astype(np.int64)
    rest = exact - counts
    left = size - int(counts.sum())
    if left:
        counts[rng.choice(len(shares), left, replace=False, p=rest / rest.sum())] += 1
    return counts


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
