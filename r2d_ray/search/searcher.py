"""Optuna as a study of self-ending trials needs it.

Ray Tune asks and tells; the states PRUNED and FAIL, values and reasons stand in Optuna's journal.
A trial that a kill left RUNNING keeps its number and its parameters and is handed out again first.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.search import Searcher

from r2d_ray.errors import UserError
from r2d_ray.records import Objective, TrialRecord
from r2d_ray.search.journal.attributes import name_metric, trial_attributes
from r2d_ray.search.pruner import RungPruner
from r2d_ray.search.samplers import WARM, is_ours, make_sampler
from r2d_ray.search.tuner import StatelessSearcher
from r2d_ray.storage import cut_torn_line


def open_journal(path: Path, name: str, objective: Objective) -> optuna.Study:
    """Return the Optuna study of this journal file, made if it is not there.

    A torn last line is cut off first: Optuna skips it, but would append to it.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # our own lines tell of trials
    cut_torn_line(path)
    check_journal(path)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(
        study_name=name, storage=storage, direction=objective.direction, load_if_exists=True
    )
    name_metric(study, objective.metric)
    return study


def check_journal(path: Path) -> None:
    """Raise UserError for a whole line that is no JSON object, with file and line.

    Optuna reads a torn last line over, and fails with a traceback at any other.
    """
    if not path.exists():
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if not isinstance(entry, dict) or not {"op_code", "worker_id"} <= entry.keys():
                raise UserError(
                    f"{path}:{number}: a damaged line (allowed: an entry of Optuna's journal; "
                    "a copy of the file, or another --name)"
                )


def warm_start(
    study: optuna.Study,
    source: str,
    records: Iterable[TrialRecord],
    distributions: Mapping[str, BaseDistribution],
    metric: str,
) -> int:
    """Add another study's finished trials for the sampler to learn from; return how many fit.

    A trial fits if it has every searched field and its values lie in this study's ranges. Added
    once: a resumed study has them already. They count for nothing else.
    """
    if not all(map(is_ours, study.trials)):
        return 0
    added = 0
    for record in records:
        values = {name: record.config.get(name) for name in distributions}
        if record.status != "done" or metric not in record.metrics:
            continue
        try:
            trial = optuna.trial.create_trial(
                params=values,
                distributions=dict(distributions),
                value=record.metrics[metric],
                user_attrs={WARM: source},
            )
        except (ValueError, TypeError):  # outside a range, or not searched there
            continue
        study.add_trial(trial)
        added += 1
    return added


def settle(study: optuna.Study, record: TrialRecord, objective: Objective) -> None:
    """Tell Optuna how a trial ended, once: COMPLETE, PRUNED or FAIL with values and reason."""
    frozen = study.trials[record.trial]
    if frozen.state.is_finished():
        return
    trial = optuna.trial.Trial(study, frozen._trial_id)
    known = frozen.intermediate_values
    best = objective.so_far(e.scores[objective.metric] for e in record.curve)
    for evaluation, value in zip(record.curve, best, strict=True):
        if evaluation.step not in known:
            trial.report(value, evaluation.step)
    for name, told in trial_attributes(record).items():
        trial.set_user_attr(name, told)
    if record.status == "done":
        study.tell(frozen.number, record.metrics[objective.metric])
    else:
        state = TrialState.PRUNED if record.status == "pruned" else TrialState.FAIL
        study.tell(frozen.number, state=state)


def complete_draw(
    study: optuna.Study,
    number: int,
    sampler: optuna.samplers.BaseSampler,
    distributions: Mapping[str, BaseDistribution],
) -> None:
    """Give a trial that was killed within its draw the values that it was about to get.

    The draw is repeated in a copy of the study as it was before the trial: drawing the rest alone
    would take the first random numbers again. What stands in the journal stays. The values are
    written as `Trial.suggest_*` writes them, but by Optuna's storage: the public way draws, too.
    """
    trial = study.trials[number]
    missing = [name for name in distributions if name not in trial.params]
    if not missing:
        return
    copy = optuna.create_study(direction=study.direction, sampler=sampler)
    copy.add_trials(study.trials[:number])
    if "fixed_params" in trial.system_attrs:  # trial 0
        copy.enqueue_trial(trial.system_attrs["fixed_params"])
    drawn = copy.ask(dict(distributions)).params
    for name in missing:
        value = distributions[name].to_internal_repr(drawn[name])
        study._storage.set_trial_param(trial._trial_id, name, value, distributions[name])


class StudySearcher(StatelessSearcher):
    """Hands Optuna's trials to Tune and tells Optuna what became of them.

    Args:
        study: The journal's study.
        distributions: What is searched.
        objective: The searched score.
        sampler: One of `SAMPLERS`.
        seed: Of the sampler.
        ended: Called with a trial's number and values when it is over; returns its record.
        ask_to_end: Asks a trial to end at its next evaluation.
        pruner: Decides at a rung which trials are asked to end; None: no trial is.
        flat: Returns whether the search is to end for want of a better value: no new trial starts.
        deadline: Unix time after which no trial starts and running ones are asked to end.
    """

    def __init__(
        self,
        study: optuna.Study,
        distributions: Mapping[str, BaseDistribution],
        *,
        objective: Objective,
        sampler: str,
        seed: int,
        ended: Callable[[int, Mapping[str, Any]], TrialRecord],
        ask_to_end: Callable[[int], None],
        pruner: RungPruner | None = None,
        flat: Callable[[], bool] = lambda: False,
        deadline: float = math.inf,
    ) -> None:
        super().__init__(metric=objective.metric, mode=objective.mode)
        self.objective = objective
        self.study = study
        self.distributions = dict(distributions)
        self.sampler_name = sampler
        self.seed = seed
        self.ended = ended
        self.ask_to_end = ask_to_end
        self.pruner = pruner
        self.flat = flat
        self.deadline = deadline
        self.numbers: dict[str, int] = {}
        running = (t.number for t in study.trials if t.state == TrialState.RUNNING)
        self.unfinished: list[int] = list(running)

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """Return the next trial: an unfinished one first, else a new one from the sampler."""
        if time.time() > self.deadline:
            return str(Searcher.FINISHED)
        if self.unfinished:
            number = self.unfinished.pop(0)
            complete_draw(self.study, number, self._sampler(number), self.distributions)
        elif self.flat():
            return str(Searcher.FINISHED)
        else:
            known = sum(t.state != TrialState.WAITING for t in self.study.trials)
            self.study.sampler = self._sampler(known)
            number = self.study.ask(self.distributions).number
        self.numbers[trial_id] = number
        return {"trial": number, "values": dict(self.study.trials[number].params)}

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        return make_sampler(self.sampler_name, self.seed, number, self.distributions)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take in an evaluation, which carries the best so far."""
        number = self.numbers[trial_id]
        if time.time() > self.deadline:
            self.ask_to_end(number)
        if "step" in result and "run" not in result:  # the first seed's alone
            self.hear(number, result["step"], result[self.objective.metric])

    def hear(self, number: int, step: int, best: float) -> None:
        """Decide on an evaluation of a trial and enter it in the journal, once.

        A request to end comes before the entry: what the journal holds is decided, whatever is
        killed when.
        """
        trials = self.study.trials
        frozen = trials[number]
        if step in frozen.intermediate_values or frozen.state.is_finished():
            return
        if self.pruner and self.pruner.asks_to_end(trials, number, step, best):
            self.ask_to_end(number)
        optuna.trial.Trial(self.study, frozen._trial_id).report(best, step)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Settle the trial from its record."""
        number = self.numbers.pop(trial_id)
        record = self.ended(number, self.study.trials[number].params)
        settle(self.study, record, self.objective)
