"""Which trials a search asks to end: Optuna's successive halving with one rung.

A pruner only asks, and the trial ends itself at its next evaluation: a driver that is killed leaves
its workers' placement group behind (ray#54305).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import optuna
from optuna.pruners import SuccessiveHalvingPruner
from optuna.trial import FrozenTrial

from r2d_ray.records import Objective

REDUCTION_FACTOR = 3  # the best third goes on from the rung (Li et al. 2018 use 2 to 4)


@dataclass(frozen=True, slots=True)
class RungPruner:
    """Asks a trial to end that is not in the best third at the rung.

    It decides at a trial's first evaluation at or after `rung_step`, against what the trials before
    it reached there. That is read from their evaluations, so there is nothing to remember after a
    kill. Optuna's pruner would note a trial as decided in the journal before anybody could act on
    its answer, which a kill between the two would lose; so it works on a copy in memory.
    """

    objective: Objective
    rung_step: int
    max_steps: int

    def asks_to_end(
        self, trials: Iterable[FrozenTrial], number: int, step: int, best: float
    ) -> bool:
        """Return whether a trial is to end, at an evaluation that is not among `trials` yet.

        Args:
            trials: The study's, with the best so far at each evaluation that was heard of.
            number: The trial's; trial 0, the default, is never asked.
            step: The evaluation's step; at the last one a trial ends anyway.
            best: The trial's best score up to it.
        """
        if number == 0 or not self.rung_step <= step < self.max_steps:
            return False
        reached = {trial.number: self.at_rung(trial.intermediate_values) for trial in trials}
        if reached.pop(number, None) is not None:
            return False  # decided at an earlier evaluation
        return self.beaten([value for value in reached.values() if value is not None], best)

    def at_rung(self, values: Mapping[int, float]) -> float | None:
        """Return what a trial had reached at the rung, None if it did not get there."""
        step = min((step for step in values if step >= self.rung_step), default=None)
        return None if step is None else values[step]

    def beaten(self, others: Iterable[float], value: float) -> bool:
        """Return whether Optuna would prune a trial of this value after these others."""
        race = optuna.create_study(
            direction=self.objective.direction,
            pruner=SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION_FACTOR),
        )
        answer = False
        for each in (*others, value):
            trial = race.ask()
            trial.report(each, step=1)
            answer = trial.should_prune()
        return answer
