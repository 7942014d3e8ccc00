from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from analysis.stats.agreement import Level, Weights, alpha_statistics, kappa_statistics
from analysis.stats.intervals import bca_interval

MARKS = ("1", "2", "3", "4")
mark = st.sampled_from(MARKS)


def units(count: int) -> list[str]:
    return [f"u{i}" for i in range(count)]


def kappa(first: list[str], second: list[str], weights: Weights = "none") -> float:
    return kappa_statistics(first, second, MARKS, units(len(first)), weights).value


def alpha(ratings: list[list[str | None]], level: Level = "nominal") -> float:
    return alpha_statistics(ratings, MARKS, units(len(ratings)), level).value


def test_kappa_by_hand() -> None:
    # Agree on 3 of 4; chance 1/2 * 3/4 + 1/2 * 1/4 = 1/2.
    assert kappa(["1", "1", "2", "2"], ["1", "1", "1", "2"]) == pytest.approx(0.5)


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
def test_kappa_equals_scikit_learn(weights: Weights) -> None:
    @given(st.lists(st.tuples(mark, mark), min_size=2, max_size=15))
    def check(pairs: list[tuple[str, str]]) -> None:
        first, second = [a for a, _ in pairs], [b for _, b in pairs]
        if len({*first, *second}) > 1:
            name = None if weights == "none" else weights
            expected = cohen_kappa_score(first, second, labels=list(MARKS), weights=name)
            assert kappa(first, second, weights) == pytest.approx(expected)

    check()


def test_alpha_by_hand() -> None:
    # Coincidences 11: 2, 22: 4, 12: 1, 21: 1 of 8 ratings; margins 3 and 5.
    found = alpha([["1", "1"], ["2", "2"], ["2", "2"], ["1", "2"]])
    assert found == pytest.approx(1 - (2 / 8) / (2 * 3 * 5 / (8 * 7)))


def distance(level: Level, low: int, high: int, margin: list[int]) -> float:
    low, high = min(low, high), max(low, high)
    if level == "nominal":
        return float(low != high)
    if level == "interval":
        return float((high - low) ** 2)
    return (sum(margin[low : high + 1]) - (margin[low] + margin[high]) / 2) ** 2


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_equals_its_definition_over_pairs_of_ratings(level: Level) -> None:
    @given(st.lists(st.lists(st.none() | mark, min_size=3, max_size=3), min_size=2, max_size=8))
    def check(ratings: list[list[str | None]]) -> None:
        used = [[MARKS.index(r) for r in unit if r is not None] for unit in ratings]
        used = [unit for unit in used if len(unit) > 1]
        every = [rating for unit in used for rating in unit]
        if len(set(every)) > 1:
            margin = [every.count(c) for c in range(len(MARKS))]
            within = sum(
                distance(level, a, b, margin) / (len(unit) - 1)
                for unit in used
                for a, b in itertools.permutations(unit, 2)
            ) / len(every)
            among = sum(
                distance(level, a, b, margin) for a, b in itertools.permutations(every, 2)
            ) / (len(every) * (len(every) - 1))
            assert alpha(ratings, level) == pytest.approx(1 - within / among)

    check()


def test_ratings_by_chance_agree_no_more_than_chance() -> None:
    generator = np.random.default_rng(0)
    table = generator.choice(MARKS, size=(4000, 2)).tolist()
    assert alpha(table) == pytest.approx(0, abs=0.03)
    assert alpha(table, "ordinal") == pytest.approx(0, abs=0.05)
    assert kappa([a for a, _ in table], [b for _, b in table]) == pytest.approx(0, abs=0.03)


def test_full_agreement_is_one_even_where_one_category_is_all_there_is() -> None:
    assert alpha([["1", "1"], ["2", "2"]]) == 1.0
    assert alpha([["2", "2"], ["2", "2"]]) == 1.0
    assert kappa(["2", "2"], ["2", "2"]) == 1.0


def test_agreement_has_a_bootstrap_interval_like_any_score() -> None:
    generator = np.random.default_rng(1)
    first = generator.choice(MARKS, size=200)
    second = np.where(generator.random(200) < 0.6, first, generator.choice(MARKS, size=200))
    found = bca_interval(kappa_statistics(first.tolist(), second.tolist(), MARKS, units(200)))
    share = np.mean(first == second)
    error = np.sqrt(share * (1 - share) / 200) / (1 - 0.25)  # large samples, even margins
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    assert found.low < 0.6 < found.high


def test_a_rating_outside_the_categories_is_named() -> None:
    with pytest.raises(ValueError, match=r"^rating 1: '9' \(allowed: 1, 2, 3, 4\)$"):
        kappa(["1", "9"], ["1", "1"])
    with pytest.raises(ValueError, match=r"^rating 0: 'x' \(allowed: 1, 2, 3, 4\)$"):
        alpha([["x", "1"]])
