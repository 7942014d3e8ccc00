"""Spread over seeds, intervals over test groups and seeds, and paired differences.

Pure and seeded: same rows, same seed, same answer. Runs are `Statistics` (see row_sums.py), one per
training seed; scores keep their own scale (BLEU 0 to 100, the others 0 to 1). What follows from a
difference, its p-value in a family or equivalence, is in significance.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

from scipy import stats as scipy_stats

from analysis.stats.bootstrap import (
    CONFIDENCE,
    DRAWS,
    Bootstrap,
    Interval,
    bootstrap_groups,
    bootstrap_seeds,
    resample,
)
from analysis.stats.row_sums import Floats, Statistics


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second: the difference with its interval, then its two-sided p-value.

    `error` is the bootstrap's standard error, `per_seed` the difference of each pair of seeds;
    `method` as in `Interval`.
    """

    estimate: float
    low: float
    high: float
    p: float
    error: float
    per_seed: tuple[float, ...]
    method: str
    bootstrap: Bootstrap = field(repr=False, compare=False)


def mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and standard deviation (n - 1) over seeds; None for the one of one seed."""
    return fmean(values), stdev(values) if len(values) > 1 else None


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Return Student's interval for the mean over seeds; None for one seed.

    It knows the spread of training only: new seeds on the same test rows.
    """
    mean, sd = mean_sd(values)
    if sd is None:
        return None
    half = sd / math.sqrt(len(values)) * scipy_stats.t.ppf(0.5 + confidence / 2, len(values) - 1)
    return Interval(mean, mean - float(half), mean + float(half), confidence, "t")


def bca_interval(
    run: Statistics, *, confidence: float = CONFIDENCE, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """Return one run's score with its BCa interval over test groups.

    Raises:
        ValueError: if there is only one group.
    """
    return _bootstrap([run], None, draws, seed)[0].interval(confidence)


def hierarchical_interval(
    runs: Sequence[Statistics],
    *,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Return the mean score over seeds with its interval over seeds and test groups.

    It covers new seeds on new test rows; with one seed it is `bca_interval`. It is too wide where
    seeds hardly differ, and too narrow for two or three seeds that spread more than the test rows
    do (see benchmarks/coverage.py): show `t_interval` too.

    Raises:
        ValueError: if the runs have different rows, or only one group.
    """
    return _bootstrap(runs, None, draws, seed)[0].interval(confidence)


def paired_bootstrap(
    first: Sequence[Statistics],
    second: Sequence[Statistics],
    *,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = 0,
) -> Difference:
    """Return the difference first - second of two arms, paired by seed and by row.

    Args:
        first: One arm, a run per seed.
        second: The other arm, the same seeds in the same order.
        confidence: Of the interval, 0 to 1.
        draws: Bootstrap draws.
        seed: Seed of the draws.

    Raises:
        ValueError: if the arms differ in seeds or rows, or have only one group.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} seeds (allowed: the same seeds)")
    bootstrap, per_seed = _bootstrap(first, second, draws, seed)
    interval = bootstrap.interval(confidence)
    level = bootstrap.level_of(0.0)
    return Difference(
        estimate=interval.estimate,
        low=interval.low,
        high=interval.high,
        p=min(1.0, 2 * min(level, 1 - level)),
        error=bootstrap.error,
        per_seed=per_seed,
        method=interval.method,
        bootstrap=bootstrap,
    )


def _bootstrap(
    first: Sequence[Statistics], second: Sequence[Statistics] | None, draws: int, seed: int
) -> tuple[Bootstrap, tuple[float, ...]]:
    """Return the bootstrap of a mean over seeds, or of a mean difference, and each seed's value."""
    found = resample([*first, *(second or ())], draws, seed)
    seeds = len(first)

    def contrast(scores: Floats) -> Floats:
        return scores if second is None else scores[..., :seeds] - scores[..., seeds:]

    estimates, drawn = contrast(found.estimates), contrast(found.draws)
    per_seed = tuple(float(value) for value in estimates)
    if seeds > 1:
        return bootstrap_seeds(estimates, drawn, seed), per_seed
    left_out = contrast(found.left_out)[:, 0]
    return bootstrap_groups(per_seed[0], drawn[:, 0], left_out, found.times), per_seed
