"""What may be concluded: comparisons with the reference, exact tests, equivalence, power.

Decided before any result is seen: the primary metric, the family of comparisons that is corrected
and the margin of equivalence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.special import ndtri
from scipy.stats import binomtest

from analysis.stats.bootstrap import align
from analysis.stats.intervals import Difference
from analysis.stats.row_sums import Statistics

PRIMARY_METRIC = "macro_f1"
REFERENCE = "r2d"
"""The family of tests that Holm corrects: every method against this one, on the primary metric."""

MARGIN = 0.02
"""Equivalence: 2 points of the primary metric."""


@dataclass(frozen=True, slots=True)
class McNemar:
    """Rows that only the first or only the second run has right, and the exact p-value."""

    only_first: int
    only_second: int
    p: float


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Two one-sided tests: `equivalent` if the 1 - 2 alpha interval lies inside the margin.

    `p` is the larger of the two; `smallest_margin` is the margin that would just have been met.
    """

    margin: float
    low: float
    high: float
    p: float
    equivalent: bool
    smallest_margin: float


def mcnemar_exact(first: Statistics, second: Statistics) -> McNemar:
    """Return McNemar's exact test of two runs of one seed; takes rows as independent.

    Never for the pooled rows of several seeds: they are the same test rows again.

    Args:
        first: Its metric must be accuracy: rows right (1) or wrong (0).
        second: The same rows.

    Raises:
        ValueError: for another metric or other rows.
    """
    if first.metric != "accuracy":
        raise ValueError(f"McNemar's test of {first.metric} (allowed: accuracy)")
    right = align([first, second])[:, :, 0] > 0
    only_first = int((right[0] & ~right[1]).sum())
    only_second = int((right[1] & ~right[0]).sum())
    discordant = only_first + only_second
    p = binomtest(only_first, discordant).pvalue if discordant else 1.0
    return McNemar(only_first, only_second, float(p))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's adjusted p-values, in the given order. Source: Holm 1979."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def minimum_detectable_difference(error: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the smallest true difference that a two-sided test finds with this power.

    Args:
        error: Standard error of a difference, such as `Difference.error` of a pilot pair; the
            result is in its scale.
        power: Chance to find it, 0 to 1.
        alpha: Level of the test, 0 to 1.
    """
    return float(ndtri(1 - alpha / 2) + ndtri(power)) * error


def minimum_detectable_accuracy(
    rows: int, discordant: float, power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """Return the smallest difference in accuracy (0 to 1) that McNemar's test finds.

    Known before anything is trained: from the test size alone. Source: Connor 1987, Biometrics 43
    (the solution for the difference instead of the size).

    Args:
        rows: Test rows.
        discordant: Share of rows (0 to 1] that only one of the two has right.
        power: Chance to find it, 0 to 1.
        alpha: Level of the test, 0 to 1.

    Returns:
        None if not even the largest possible difference, `discordant`, is found.
    """
    a, b = float(ndtri(1 - alpha / 2)), float(ndtri(power))
    # a sqrt(discordant) + b sqrt(discordant - d^2) = d sqrt(rows), solved for d.
    root = rows - a**2 + b**2
    if root < 0:
        return None
    found = math.sqrt(discordant) * (a * math.sqrt(rows) + b * math.sqrt(root)) / (rows + b**2)
    return found if found <= discordant else None


def tost(difference: Difference, margin: float = MARGIN, alpha: float = 0.05) -> Equivalence:
    """Return whether a difference lies within the margin: two one-sided bootstrap tests.

    Args:
        difference: From `paired_bootstrap`.
        margin: Fixed before the result is seen, above 0, in the metric's scale.
        alpha: Level of each one-sided test, 0 to 0.5.
    """
    bootstrap = difference.bootstrap
    interval = bootstrap.interval(1 - 2 * alpha)
    p = max(bootstrap.level_of(-margin), 1 - bootstrap.level_of(margin))
    smallest = max(abs(interval.low), abs(interval.high))
    return Equivalence(margin, interval.low, interval.high, p, p <= alpha, smallest)
