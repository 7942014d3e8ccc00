"""ASHA as a study of self-ending trials needs it: it asks a trial to end and survives a kill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import optuna
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

REDUCTION_FACTOR = 3  # ASHA keeps the best third at its rung (Li et al. 2018 use 2 to 4)


class SelfEndingASHA(AsyncHyperBandScheduler):
    """ASHA with one rung that asks a trial to end instead of killing it.

    A killed driver leaves its workers' placement group behind (ray#54305). The decision is left
    with `ask_to_end(trial number)`, where training looks at its next evaluation.
    """

    def __init__(
        self,
        *,
        metric: str,
        mode: str,
        rung_step: int,
        max_steps: int,
        ask_to_end: Callable[[int], None],
    ) -> None:
        super().__init__(
            time_attr="step",
            metric=metric,
            mode=mode,
            grace_period=rung_step,
            max_t=max_steps,
            reduction_factor=REDUCTION_FACTOR,
        )
        self.ask_to_end = ask_to_end

    def on_trial_add(self, tune_controller: TuneController, trial: TuneTrial) -> None:
        """Take a trial in; one that goes on after a kill is known under its number."""
        super().on_trial_add(tune_controller, trial)
        for _, recorded in self._brackets[0]._rungs:
            if former_id(trial.config["trial"]) in recorded:
                recorded[trial.trial_id] = recorded.pop(former_id(trial.config["trial"]))

    def on_trial_result(
        self, tune_controller: TuneController, trial: TuneTrial, result: dict[str, Any]
    ) -> str:
        """Never stop a trial from outside."""
        if result.get("step", self._max_t) < self._max_t:
            decision = super().on_trial_result(tune_controller, trial, result)
            if decision == TrialScheduler.STOP:
                self.ask_to_end(trial.config["trial"])
        return str(TrialScheduler.CONTINUE)

    def remember(self, number: int, values: Mapping[int, float]) -> None:
        """Enter what former sessions heard of a trial: the best so far at its evaluations, by step.

        Tune asks here before it tells the searcher: what stands in the journal is decided.
        """
        for rung, recorded in self._brackets[0]._rungs:
            at_rung = min((step for step in values if step >= rung), default=None)
            if at_rung is not None:
                recorded[former_id(number)] = self._metric_op * values[at_rung]

    def catch_up(self, study: optuna.Study, number: int, values: Mapping[int, float]) -> None:
        """Decide on evaluations of a killed trial that nobody had heard of, as Tune would have.

        Args:
            study: The journal's study, which hears of them too.
            number: The trial's.
            values: The best so far at all evaluations that the trial left, by step.
        """
        trial = SimpleNamespace(trial_id=former_id(number), config={"trial": number})
        super().on_trial_add(None, trial)
        frozen = study.trials[number]
        for step in sorted(values.keys() - frozen.intermediate_values.keys()):
            self.on_trial_result(None, trial, {"step": step, self.metric: values[step]})
            optuna.trial.Trial(study, frozen._trial_id).report(values[step], step)


def former_id(number: int) -> str:
    """Return how ASHA calls a trial of a former session."""
    return f"former-{number}"
