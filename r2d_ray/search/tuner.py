"""The search under Ray Tune, resumable, and its events for whoever shows progress.

Optuna's journal and the trials' outcomes are the whole state: no pickle is ever read back.
"""

from __future__ import annotations

import functools
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import tune

from r2d_ray.distributed.cluster import DRIVER_RESOURCE
from r2d_ray.distributed.stage_job import STOP_FILE, run_training
from r2d_ray.records import Objective, TrialRecord, read_jsonl
from r2d_ray.search.plan import StudyPlan
from r2d_ray.search.trial import Train, evaluations_left, run_trial, rung_step
from r2d_ray.study.books import OUTCOME, Bookkeeper, outcome_of
from r2d_ray.study.folder import StudyFolder


def search(
    plan: StudyPlan,
    folder: StudyFolder,
    prepared_dir: Path,
    concurrency: int,
    show: Callable[[TrialEvent], None],
    train: Train = run_training,
) -> Bookkeeper:
    """Run the trials that are still missing and return the books.

    Trials that ended in a former session are not run again; those that a kill left unfinished go
    on from their checkpoints under their old numbers.
    """
    from r2d_ray.search import searcher
    from r2d_ray.search.space import distributions

    space, settings = plan.space, plan.settings
    books = Bookkeeper(folder, plan.info)
    study = searcher.open_journal(folder.journal_path, plan.name, space.objective)
    searched = distributions(space)
    if not study.trials:
        study.enqueue_trial({name: getattr(plan.config, name) for name in searched})
    if settings.warm_start:
        source = Path(settings.warm_start)
        older = read_jsonl(StudyFolder(source).records_path, TrialRecord)
        searcher.warm_start(study, source.name, older, searched, space.metric)
    reconcile(study, books, space.objective)
    missing = settings.num_samples - len(books.records)
    if missing <= 0:
        return books
    trials = searcher.StudySearcher(
        study,
        searched,
        objective=space.objective,
        sampler=settings.sampler,
        seed=settings.seed,
        ended=books.ended,
        ask_to_end=functools.partial(ask_to_end, folder),
        deadline=time.time() + (settings.time_budget_s or math.inf),
    )
    base = {
        "info": plan.info.model_dump(mode="json"),
        "folder": str(folder.root),
        "prepared_dirs": {"": str(prepared_dir)},
    }
    asha = scheduler(plan, folder, study)
    drive(folder, base, trials, asha, missing, concurrency, show, train)
    return books


def drive(
    folder: StudyFolder,
    base: dict[str, Any],
    trials: Any,
    asha: Any,
    samples: int,
    concurrency: int,
    show: Callable[[TrialEvent], None],
    train: Train = run_training,
) -> None:
    """Run trials with Ray Tune until `samples` of them have ended or a signal ends the session.

    Args:
        folder: The study folder.
        base: What every trial is told (trial.run_trial).
        trials: Tune's searcher.
        asha: Tune's scheduler, None for none.
        samples: Trials to run.
        concurrency: Trials at once.
        show: Takes what happens to trials.
        train: Trains a stage.
    """
    from ray import tune

    tuner = tune.Tuner(
        tune.with_resources(
            functools.partial(run_trial, base=base, train=train),
            {"CPU": 0, DRIVER_RESOURCE: 1},
        ),
        tune_config=tune.TuneConfig(
            search_alg=trials,
            scheduler=asha,
            num_samples=samples,
            max_concurrent_trials=concurrency,
            reuse_actors=True,  # a driver's imports serve the trials after it too
            trial_dirname_creator=lambda trial: f"trial_{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name=f"session-{int(time.time())}",
            storage_path=str(folder.tune_dir),
            callbacks=[TrialEvents(show)],
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        if hasattr(signal, "SIGUSR1"):  # Tune leaves its own handler behind
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def reconcile(study: Any, books: Bookkeeper, objective: Objective) -> None:
    """Settle every trial whose outcome was written but not yet told when a session ended.

    A failure that no session heard of is tried again: drivers fail, too, because a cluster ends
    or a search is stopped, and they cannot tell.
    """
    from r2d_ray.search.samplers import is_ours
    from r2d_ray.search.searcher import settle

    for trial in filter(is_ours, study.trials):
        heard = trial.number in books.records or trial.state.is_finished()
        left = outcome_of(books.folder, trial.number)
        if heard or (left is not None and left.status != "failed"):
            settle(study, books.ended(trial.number, trial.params), objective)
        elif left is not None:
            (books.folder.trial_dir(trial.number) / OUTCOME).unlink()


def ask_to_end(folder: StudyFolder, number: int) -> None:
    """Leave the request where the trial looks at its next evaluation."""
    (folder.trial_dir(number) / STOP_FILE).touch()


def scheduler(plan: StudyPlan, folder: StudyFolder, study: Any) -> Any:
    """Return Tune's scheduler, none or ASHA with what former sessions saw at its rung.

    A trial that was killed before the search heard of its last evaluations is decided here, as it
    would have been.
    """
    from r2d_ray.search.samplers import is_ours
    from r2d_ray.search.searcher import SelfEndingASHA

    if plan.settings.pruner == "none":
        return None

    asha = SelfEndingASHA(
        metric=plan.space.metric,
        mode=plan.space.mode,
        rung_step=rung_step(plan.config.max_steps),
        max_steps=plan.config.max_steps,
        ask_to_end=functools.partial(ask_to_end, folder),
    )
    ours = list(filter(is_ours, study.trials))
    for trial in ours:
        asha.remember(trial.number, trial.intermediate_values)
    for trial in ours:
        if not trial.state.is_finished():
            left = evaluations_left(folder, trial.number, plan.space.objective)
            asha.catch_up(study, trial.number, left)
    return asha


@dataclass(frozen=True, slots=True)
class TrialEvent:
    """Something that happened to a trial: started, evaluated, ended or failed, with its values."""

    trial: int
    what: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StudyNote:
    """Something that a person should know of the whole study."""

    text: str


Event = TrialEvent | StudyNote


class TrialEvents(tune.Callback):
    """A Tune callback that passes on starts, evaluations and ends."""

    def __init__(self, show: Callable[[TrialEvent], None]) -> None:
        self.show = show

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its parts into the study, and none is ever read back."""
        return {}

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Pass on a start with the trial's searched values."""
        self.show(TrialEvent(trial.config["trial"], "started", trial.config["values"]))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any
    ) -> None:
        """Pass on an evaluation."""
        self.show(TrialEvent(trial.config["trial"], "evaluated", dict(result)))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Pass on an end."""
        self.show(TrialEvent(trial.config["trial"], "ended"))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Pass on a failure."""
        self.show(TrialEvent(trial.config["trial"], "failed"))
