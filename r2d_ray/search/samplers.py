"""Samplers of a resumable study: seeded by trial number, and a grid that knows trial 0."""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from r2d_ray.errors import UserError, unknown

WARM = "warm_start"  # user attribute of a trial taken over: the study it came from
SAMPLERS = ("tpe", "random", "gp", "qmc", "grid")


def is_ours(trial: FrozenTrial) -> bool:
    """Return whether this study ran the trial, rather than took it over from another."""
    return WARM not in trial.user_attrs


def make_sampler(
    name: str, seed: int, number: int, distributions: Mapping[str, BaseDistribution]
) -> optuna.samplers.BaseSampler:
    """Return the sampler that draws trial `number`.

    Its seed depends on the trial's number, so that a resumed study draws what an uninterrupted
    one would. The sequences of `qmc` and `grid` are one for the whole study.

    Raises:
        UserError: for an unknown sampler, or a grid over a range.
    """
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed + number, constant_liar=True)
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed + number)
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed + number)
    if name == "qmc":
        with warnings.catch_warnings():  # "experimental": optuna's bounds in pyproject.toml
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return SequencePoint(
                number,
                seed=seed,
                scramble=True,
                # Draws while no trial has finished; with one seed it would repeat one point.
                independent_sampler=optuna.samplers.RandomSampler(seed=seed + number),
            )
    if name == "grid":
        return GridPoints(distributions, seed)
    raise unknown("sampler", name, SAMPLERS)


class SequencePoint(optuna.samplers.QMCSampler):
    """Draws the point of a low-discrepancy sequence that has the trial's number.

    Optuna counts points in the journal as they are drawn: a kill within a draw would skip one.
    """

    def __init__(self, number: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.number = number

    def _find_sample_id(
        self, study: optuna.Study, search_space: dict[str, BaseDistribution]
    ) -> int:
        return self.number


def grid_points(
    distributions: Mapping[str, BaseDistribution], flag: str = "--sampler grid"
) -> list[dict[str, Any]]:
    """Return every point of a grid; every domain must be categorical.

    Args:
        distributions: The domains, by field.
        flag: What asked for the grid.

    Raises:
        UserError: for a domain that has no list of values.
    """
    choices = []
    for name, domain in distributions.items():
        if not isinstance(domain, CategoricalDistribution):
            raise UserError(f"{flag}: {name} is a range (allowed: type categorical)")
        choices.append(domain.choices)
    points = itertools.product(*choices)
    return [dict(zip(distributions, point, strict=True)) for point in points]


class GridPoints(optuna.samplers.RandomSampler):
    """Draws every point of a grid once, in an order by seed, and then begins again.

    Optuna's GridSampler does not know trial 0, whose values are given, and ends its own loop where
    there is none.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], seed: int) -> None:
        super().__init__(seed)
        self.distributions = dict(distributions)
        self.points = grid_points(distributions)
        random.Random(seed).shuffle(self.points)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the whole space: values are drawn together."""
        return self.distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the first point that none of our trials has."""
        ours = [t.params for t in study.trials if is_ours(t) and t.number != trial.number]
        left = (point for point in self.points if point not in ours)
        return next(left, self.points[trial.number % len(self.points)])
