"""The bootstrap: resampled test groups and seeds, their scores, and intervals from the draws.

Every run of a comparison meets the same drawn groups, so that differences are paired. Seeded; the
order of the rows does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from analysis.stats.row_sums import Floats, Statistics

DRAWS = 10_000
CONFIDENCE = 0.95
CELLS = 2**22
"""Draws x groups, or draws x columns, that are held at once: 32 MiB."""

MULTINOMIAL_COST = 4
"""A binomial draw takes about as long as drawing this many groups one by one."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval; `confidence` is 0 to 1, `method` says how it was found.

    Methods: `bca`, `percentile`, `hierarchical`, `t`, and `point` where no draw differs from the
    estimate (every row right, say): the sample then tells nothing about its spread.
    """

    estimate: float
    low: float
    high: float
    confidence: float
    method: str


@dataclass(frozen=True, slots=True, eq=False)
class Bootstrap:
    """An estimate and its bootstrap draws, with BCa's `bias` (z0) and `acceleration`.

    With both 0 the interval is the percentile interval. Source: Efron 1987, JASA 82.
    """

    estimate: float
    draws: Floats = field(repr=False)
    bias: float
    acceleration: float
    method: str

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Return the central interval at this confidence, 0 to 1."""
        z = self.bias + ndtri(np.array([0.5 - confidence / 2, 0.5 + confidence / 2]))
        # Beyond the pole of the correction the end is the last draw.
        levels = ndtr(self.bias + z / np.maximum(1 - self.acceleration * z, 1e-9))
        low, high = np.quantile(self.draws, levels)
        return Interval(self.estimate, float(low), float(high), confidence, self.method)

    def level_of(self, value: float) -> float:
        """Return the one-sided level, 0 to 1, at which an end of the interval meets `value`.

        It is small where the draws lie above the value. So 2 min(level, 1 - level) at 0 is the
        p-value that agrees with the interval, never below 2 / (draws + 1).
        """
        floor = 1 / (len(self.draws) + 1)
        z = ndtri(np.clip(_share_below(self.draws, value), floor, 1 - floor)) - self.bias
        level = ndtr(z / np.maximum(1 + self.acceleration * z, 1e-9) - self.bias)
        return float(np.clip(level, floor, 1 - floor))

    @property
    def error(self) -> float:
        """The standard error: the standard deviation of the draws."""
        return float(self.draws.std(ddof=1))


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """Scores of M runs on the same draws of groups.

    `estimates` (M,); `draws` (B, M); `left_out` (K, M), the scores without a group of each of K
    kinds, and `times` (K,), how many groups are of that kind.
    """

    estimates: Floats
    draws: Floats
    left_out: Floats
    times: Floats


def align(runs: Sequence[Statistics]) -> Floats:
    """Return the runs' values in the row order of the first, shape (M, rows, k).

    Raises:
        ValueError: if there is no run, or runs differ in metric, rows or groups, with the first
            that differs.
    """
    if not runs:
        raise ValueError("no run to resample")
    first = runs[0]
    values = []
    for run in runs:
        if run.metric != first.metric or run.values.shape[1] != first.values.shape[1]:
            raise ValueError(f"cannot compare {first.metric} with {run.metric} of another kind")
        if odd := set(run.ids) ^ set(first.ids):
            raise ValueError(
                f"{first.metric}: row {min(odd)!r} is in one run only "
                f"({len(first.ids)} and {len(run.ids)} rows)"
            )
        place = {id_: i for i, id_ in enumerate(run.ids)}
        order = [place[id_] for id_ in first.ids]
        pairs = zip(first.ids, first.groups, order, strict=True)
        if moved := [id_ for id_, group, i in pairs if run.groups[i] != group]:
            raise ValueError(f"{first.metric}: row {moved[0]!r} is in different groups")
        values.append(run.values[order])
    return np.stack(values)


def resample(runs: Sequence[Statistics], draws: int = DRAWS, seed: int = 0) -> Resampled:
    """Return the runs' scores on `draws` bootstrap samples of their common groups.

    Raises:
        ValueError: if the runs have different rows (see `align`) or only one group.
    """
    values = align(runs)
    runs_count, rows, width = values.shape
    names, codes = np.unique(np.array(runs[0].groups, dtype=object), return_inverse=True)
    if len(names) == 1:
        raise ValueError(f"{runs[0].metric}: one group ({names[0]!r}), nothing to resample")
    sums = np.zeros((len(names), runs_count * width))
    np.add.at(sums, codes, values.transpose(1, 0, 2).reshape(rows, -1))
    # A column's sums may be rounded by its place in a matrix product: equal ones are summed once.
    sums, place = np.unique(sums, axis=1, return_inverse=True)
    kinds, times = np.unique(sums, axis=0, return_counts=True)
    score = runs[0].score
    total = sums.sum(axis=0)

    def scores(table: Floats) -> Floats:
        return score(table[:, place.ravel()].reshape(len(table), runs_count, width))

    return Resampled(
        estimates=scores(total[None])[0],
        draws=np.concatenate([scores(part) for part in _drawn(kinds, times, sums, draws, seed)]),
        left_out=scores(total - kinds),
        times=times.astype(np.float64),
    )


def bootstrap_groups(estimate: float, draws: Floats, left_out: Floats, times: Floats) -> Bootstrap:
    """Return the BCa bootstrap of one score over groups.

    Args:
        estimate: The score of all rows.
        draws: Its draws, shape (B,).
        left_out: The scores without a group of each kind, shape (K,), for the jackknife.
        times: How many groups are of each kind, shape (K,).
    """
    if np.all(draws == estimate):
        return Bootstrap(estimate, draws, 0.0, 0.0, "point")
    share = _share_below(draws, estimate)
    if not 0 < share < 1:  # an estimate beyond every draw has no finite correction
        return Bootstrap(estimate, draws, 0.0, 0.0, "percentile")
    gaps = np.average(left_out, weights=times) - left_out
    spread = (times * gaps**2).sum()
    skew = (times * gaps**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    return Bootstrap(estimate, draws, float(ndtri(share)), float(skew), "bca")


def bootstrap_seeds(estimates: Floats, draws: Floats, seed: int) -> Bootstrap:
    """Return the hierarchical bootstrap of a mean over seeds: drawn groups and drawn seeds.

    All seeds meet the same test rows, so a draw's groups are common to its seeds (crossed, not
    nested: groups drawn anew for each seed would lose part of their spread). The spread of n
    drawn seeds is too small by (n - 1) / n and is stretched by its inverse.

    Args:
        estimates: The score of each of S seeds, at least 2.
        draws: Their scores on the same draws of groups, shape (B, S).
        seed: Seed of the drawn seeds.
    """
    count = len(estimates)
    if np.all(draws == estimates[0]):
        return Bootstrap(float(estimates[0]), draws[:, 0], 0.0, 0.0, "point")
    generator = np.random.default_rng([seed, count])
    times = generator.multinomial(count, np.full(count, 1 / count), size=len(draws))
    middle = draws.mean(axis=1)
    drawn = (draws * times).sum(axis=1) / count
    stretched = middle + np.sqrt(count / (count - 1)) * (drawn - middle)
    return Bootstrap(float(estimates.mean()), stretched, 0.0, 0.0, "hierarchical")


def _drawn(
    kinds: Floats, times: NDArray[np.int64], sums: Floats, draws: int, seed: int
) -> Iterator[Floats]:
    """Yield sums over drawn groups in parts of shape (some draws, columns).

    Groups with equal sums are interchangeable: where there are few kinds, how often each is drawn
    is multinomial, the same law at a fraction of the work.
    """
    generator = np.random.default_rng(seed)
    groups = len(sums)
    few = MULTINOMIAL_COST * len(kinds) < groups
    at_once = max(1, CELLS // max(sums.shape))
    for start in range(0, draws, at_once):
        some = min(at_once, draws - start)
        if few:
            yield generator.multinomial(groups, times / groups, size=some) @ kinds
        else:
            cells = generator.integers(groups, size=(some, groups))
            cells += np.arange(some)[:, None] * groups
            weights = np.bincount(cells.ravel(), minlength=some * groups).reshape(some, groups)
            yield weights.astype(np.float64) @ sums


def _share_below(draws: Floats, value: float) -> float:
    """Return the share of draws below a value; ties, common for counts, count half."""
    return float(((draws < value).mean() + (draws <= value).mean()) / 2)
