from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from scipy.stats import binom

TRIALS, DRAWS = 150, 400


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    from benchmarks import coverage

    return coverage


@pytest.mark.parametrize("measure", ["of_accuracy", "of_macro_f1"])
def test_bca_over_groups_holds_the_truth(simulation: ModuleType, measure: str) -> None:
    world = simulation.World(100, per_group=3, alike=0.5)
    found = simulation.simulate(world, getattr(simulation, measure), TRIALS, DRAWS)
    held = round(simulation.coverage(found) * TRIALS)
    assert binom.ppf(0.001, TRIALS, 0.93) <= held <= binom.ppf(0.999, TRIALS, 0.96)


def test_hierarchical_bootstrap_holds_the_truth_and_seeds_alone_do_not(
    simulation: ModuleType,
) -> None:
    world = simulation.World(150, seeds=10)
    whole = simulation.simulate(world, simulation.of_accuracy, TRIALS, DRAWS)
    assert simulation.coverage(whole) * TRIALS >= binom.ppf(0.001, TRIALS, 0.93)
    seeds = simulation.simulate(world, simulation.over_seeds, TRIALS, DRAWS)
    assert simulation.coverage(seeds) < 0.8


def test_rows_of_a_group_are_not_independent(simulation: ModuleType) -> None:
    world = simulation.World(100, per_group=5, alike=0.5)
    found = simulation.simulate(world, simulation.ignoring_groups, TRIALS, DRAWS)
    assert simulation.coverage(found) < 0.85


def test_methods_that_do_not_differ_are_seldom_told_apart(simulation: ModuleType) -> None:
    world = simulation.World(200, arms=2)
    found = simulation.simulate(world, simulation.of_difference, TRIALS, DRAWS)
    false = sum(one.p < 0.05 for one in found)
    assert false <= binom.ppf(0.999, TRIALS, 0.06)
    outside = sum(not one.interval.low <= 0 <= one.interval.high for one in found)
    assert outside == pytest.approx(false, abs=2)  # the p-value agrees with the interval


def test_the_truth_of_macro_f1_is_that_of_many_rows(simulation: ModuleType) -> None:
    import numpy as np

    world = simulation.World(200_000)
    study = simulation.draw_study(world, np.random.default_rng(0))
    assert study.macro_f1[0][0].value == pytest.approx(simulation.true_macro_f1(world), abs=0.005)
    assert study.accuracy[0][0].value == pytest.approx(simulation.ACCURACY, abs=0.005)
