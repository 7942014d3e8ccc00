"""One rung: the best third goes on, the others are asked to end, each once."""

from __future__ import annotations

import math
from collections.abc import Mapping

import optuna
import pytest
from optuna.pruners import SuccessiveHalvingPruner
from optuna.trial import FrozenTrial, TrialState

from r2d_ray.records import Objective
from r2d_ray.search.pruner import REDUCTION_FACTOR, RungPruner

MOST, LEAST = Objective("macro_f1", "max"), Objective("rationale_loss", "min")
RUNG, STEPS = 65, 100


def trials(*reached: Mapping[int, float]) -> list[FrozenTrial]:
    """Return trials with these evaluations, numbered from 0."""
    made = [
        optuna.create_trial(state=TrialState.RUNNING, intermediate_values=dict(values))
        for values in reached
    ]
    for number, trial in enumerate(made):
        trial.number = number
    return made


def asked(values: list[float], objective: Objective = MOST) -> list[int]:
    """Return who is asked to end where trials reach the rung in turn with these values."""
    pruner = RungPruner(objective, RUNG, STEPS)
    known = trials(*({} for _ in values))
    found = []
    for number, value in enumerate(values):
        if pruner.asks_to_end(known, number, RUNG, value):
            found.append(number)
        known[number].intermediate_values = {RUNG: value}
    return found


def test_a_trial_goes_on_if_it_is_in_the_best_third_of_those_at_the_rung() -> None:
    assert REDUCTION_FACTOR == 3
    # Of up to five only the best goes on, of six to eight the best two. 0.8 is the best of 2,
    # 0.7 and 0.6 are not of 3 and 4, 0.9 is of 5, 0.85 is the second of 6, 0.8 the third of 7.
    assert asked([0.5, 0.8, 0.7, 0.6, 0.9, 0.85, 0.8]) == [2, 3, 6]
    assert asked([0.5, 0.2, 0.3, 0.4, 0.1, 0.15, 0.2], LEAST) == [2, 3, 6]


def test_equal_values_go_on_together() -> None:
    assert asked([0.5, 0.5, 0.5, 0.4]) == [3]


def test_trial_0_is_never_asked_but_counts() -> None:
    known = trials({}, {RUNG: 0.9})
    assert not RungPruner(MOST, RUNG, STEPS).asks_to_end(known, 0, RUNG, 0.1)
    assert asked([0.9, 0.8]) == [1]


@pytest.mark.parametrize(
    ("before", "step", "asks"),
    [
        ({}, 64, False),
        ({40: 0.2}, 65, True),
        ({40: 0.2}, 70, True),  # the first at the rung
        ({40: 0.2, 70: 0.2}, 80, False),  # decided at 70
        ({40: 0.2}, 100, False),  # it has ended by itself
    ],
)
def test_only_the_first_evaluation_at_the_rung_decides(
    before: Mapping[int, float], step: int, asks: bool
) -> None:
    known = trials({40: 0.5, 80: 0.9, 100: 0.95}, before)
    assert RungPruner(MOST, RUNG, STEPS).asks_to_end(known, 1, step, 0.3) == asks


def test_a_trial_counts_with_what_it_had_at_the_rung_whatever_it_reached_later() -> None:
    pruner = RungPruner(MOST, RUNG, STEPS)
    assert pruner.at_rung({40: 0.2, 80: 0.6, 100: 0.95}) == 0.6
    assert pruner.at_rung({40: 0.99}) is None
    known = trials({40: 0.2, 80: 0.6, 100: 0.95}, {40: 0.99}, {})
    assert not pruner.asks_to_end(known, 2, 70, 0.7)


def test_the_answers_are_those_of_optunas_pruner_within_a_study() -> None:
    values = [0.5 + 0.4 * math.sin(7 * n) for n in range(30)]
    study = optuna.create_study(
        direction="maximize", pruner=SuccessiveHalvingPruner(RUNG, REDUCTION_FACTOR)
    )
    pruned = []
    for value in values:
        trial = study.ask()
        trial.report(value / 2, 40)
        assert not trial.should_prune()
        trial.report(value, 70)
        if trial.should_prune():
            pruned.append(trial.number)
        trial.report(value, 90)
        assert not trial.should_prune()  # once: who acts on it must not miss it
    assert asked(values) == pruned
    assert 10 < len(pruned) < 29
