from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.weightstats import ttost_paired

from analysis.stats import row_sums as scores
from analysis.stats.intervals import paired_bootstrap
from analysis.stats.row_sums import Statistics
from analysis.stats.significance import (
    MARGIN,
    holm,
    mcnemar_exact,
    minimum_detectable_accuracy,
    minimum_detectable_difference,
    tost,
)


def run(values: NDArray[np.float64] | list[float], metric: str = "accuracy") -> Statistics:
    column = np.asarray(values, dtype=float)
    ids = tuple(f"{i:04}" for i in range(len(column)))
    table = np.stack([column, np.ones(len(column))], axis=1)
    return Statistics(metric, table, ids, ids, scores.mean)


def right(both: int, first: int, second: int, neither: int) -> tuple[Statistics, Statistics]:
    one = [1.0] * (both + first) + [0.0] * (second + neither)
    other = [1.0] * both + [0.0] * first + [1.0] * second + [0.0] * neither
    return run(one), run(other)


# --- McNemar --------------------------------------------------------------------------------


def test_mcnemar_by_hand() -> None:
    found = mcnemar_exact(*right(both=10, first=5, second=1, neither=4))
    assert (found.only_first, found.only_second) == (5, 1)
    assert found.p == pytest.approx(2 * (1 + 6) / 2**6)  # 6 coins: at most one tail, two-sided


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(1, 9))
def test_mcnemar_equals_statsmodels(both: int, first: int, second: int, neither: int) -> None:
    expected = mcnemar([[both, first], [second, neither]], exact=True).pvalue
    assert mcnemar_exact(*right(both, first, second, neither)).p == pytest.approx(expected)


def test_runs_that_never_differ_are_not_told_apart() -> None:
    assert mcnemar_exact(*right(both=3, first=0, second=0, neither=2)).p == 1.0


def test_mcnemar_is_for_rows_that_are_right_or_wrong() -> None:
    pair = run([0.3, 0.4], "rouge_l"), run([0.4, 0.4], "rouge_l")
    with pytest.raises(ValueError, match=r"^McNemar's test of rouge_l \(allowed: accuracy\)$"):
        mcnemar_exact(*pair)
    with pytest.raises(ValueError, match=r"^accuracy: row '0002' is in one run only"):
        mcnemar_exact(run([1, 0, 1]), run([1, 0]))


# --- Holm -----------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    found = holm({"a": 0.04, "b": 0.01, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.06, "b": 0.03, "c": 0.06, "d": 0.02})
    assert list(found) == ["a", "b", "c", "d"]
    assert holm({}) == {}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_holm_is_the_closed_bonferroni_test(p: list[float]) -> None:
    found = list(holm({str(i): value for i, value in enumerate(p)}).values())
    places = range(len(p))
    families = [s for n in places for s in itertools.combinations(places, n + 1)]
    # Rejected where every family that holds it is rejected by Bonferroni.
    closed = [
        max(min(1.0, len(s) * min(p[j] for j in s)) for s in families if i in s) for i in places
    ]
    assert found == pytest.approx(closed)


@pytest.mark.parametrize("p", [(0.3,), (0.01, 0.01, 0.02, 0.9), (0.5, 0.02, 0.02, 0.04, 0.001)])
def test_holm_equals_statsmodels(p: tuple[float, ...]) -> None:
    found = holm({str(i): value for i, value in enumerate(p)})
    assert list(found.values()) == pytest.approx(list(multipletests(p, method="holm")[1]))


# --- power ----------------------------------------------------------------------------------


def test_detectable_difference_equals_statsmodels() -> None:
    # Unit variance, two samples of 200: the standard error of a difference is sqrt(2 / 200).
    effect = NormalIndPower().solve_power(nobs1=200, alpha=0.05, power=0.8)
    assert minimum_detectable_difference(math.sqrt(2 / 200)) == pytest.approx(effect, rel=1e-4)
    assert minimum_detectable_difference(0.01) == pytest.approx(0.02802, abs=1e-5)


@pytest.mark.parametrize(("rows", "discordant"), [(500, 0.2), (1500, 0.1)])
def test_mcnemar_finds_the_detectable_accuracy_with_that_power(
    rows: int, discordant: float
) -> None:
    found = minimum_detectable_accuracy(rows, discordant)
    assert found is not None
    a, b = 1.959964, 0.841621
    size = (a * math.sqrt(discordant) + b * math.sqrt(discordant - found**2)) ** 2 / found**2
    assert size == pytest.approx(rows, rel=1e-4)
    # Exact power: over the number of discordant rows, then over how they fall.
    power = 0.0
    share = (discordant + found) / 2 / discordant
    for n in range(rows + 1):
        weight = scipy_stats.binom.pmf(n, rows, discordant)
        if weight > 1e-6:
            edge = scipy_stats.binom.ppf(0.025, n, 0.5) - 1  # p <= 0.05 at this many or fewer
            tail = scipy_stats.binom.cdf(edge, n, share) + scipy_stats.binom.sf(
                n - edge - 1, n, share
            )
            power += weight * tail
    assert power == pytest.approx(0.8, abs=0.04)  # the exact test is a little careful


def test_a_small_test_set_may_show_nothing() -> None:
    assert minimum_detectable_accuracy(20, 0.05) is None
    assert minimum_detectable_accuracy(1, 0.5) is None
    small, large = minimum_detectable_accuracy(140, 0.2), minimum_detectable_accuracy(1000, 0.2)
    assert small is not None
    assert large is not None
    assert small > 0.1 > large


# --- equivalence ----------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0.0, 0.014, 0.02, 0.03])
def test_tost_agrees_with_the_paired_t_version_of_statsmodels(shift: float) -> None:
    generator = np.random.default_rng(4)
    base = generator.random(500)
    other = base - shift + generator.normal(0, 0.08, size=500)
    found = tost(paired_bootstrap([run(base)], [run(other)], draws=20_000))
    expected = ttost_paired(base, other, -MARGIN, MARGIN)[0]
    assert found.p == pytest.approx(expected, abs=0.02)
    assert found.equivalent == (expected <= 0.05) == (found.p <= 0.05)
    assert found.margin == MARGIN == 0.02


def test_equivalence_is_that_the_ninety_percent_interval_lies_within_the_margin() -> None:
    generator = np.random.default_rng(4)
    base = generator.random(300)
    difference = paired_bootstrap([run(base)], [run(base + generator.normal(0.01, 0.1, 300))])
    found = tost(difference)
    interval = difference.bootstrap.interval(0.9)
    assert (found.low, found.high) == (interval.low, interval.high)
    just = found.smallest_margin
    assert just == max(-found.low, found.high)
    assert tost(difference, margin=just * 1.05).equivalent
    assert not tost(difference, margin=just * 0.95).equivalent
    assert tost(difference, margin=just).p == pytest.approx(0.05, abs=1e-3)


def test_equal_runs_are_equivalent() -> None:
    same = run(np.random.default_rng(0).random(50))
    found = tost(paired_bootstrap([same], [same]))
    assert found.equivalent
    assert found.smallest_margin == 0.0
    assert found.p == pytest.approx(1 / 10_001)
