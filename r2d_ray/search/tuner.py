"""Trials under Ray Tune: what it is given, and its events for whoever shows progress."""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from r2d_ray.distributed.cluster import DRIVER_RESOURCE
from r2d_ray.distributed.stage_job import run_training
from r2d_ray.search.trial import Train, run_trial
from r2d_ray.study.books import Bookkeeper
from r2d_ray.study.folder import StudyFolder


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


class Stateless:
    """A part of Tune that is pickled empty: Tune keeps its parts in the study's folder.

    The state of a study is its journal and its outcomes; no pickle is ever read back.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


class StatelessSearcher(Stateless, Searcher):
    """A searcher that keeps nothing for Tune."""

    def save(self, checkpoint_path: str) -> None:
        """Save nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""


class TrialEvents(Stateless, tune.Callback):
    """A Tune callback that passes on starts, evaluations and ends."""

    def __init__(self, show: Callable[[TrialEvent], None]) -> None:
        self.show = show

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


@dataclass(frozen=True, slots=True)
class Session:
    """One command's turn at a study: all that its trials share.

    Args:
        books: The study's folder, info and ended trials.
        prepared: Prepared data by what trials call it; `""` is that of trials that name none.
        concurrency: Trials at once.
        show: Takes what happens to trials.
        train: Trains a stage.
    """

    books: Bookkeeper
    prepared: Mapping[str, Path]
    concurrency: int
    show: Callable[[Event], None]
    train: Train = run_training

    @property
    def folder(self) -> StudyFolder:
        """The study's folder."""
        return self.books.folder

    def told(self) -> dict[str, Any]:
        """Return what every trial is told (`base` of trial.run_trial)."""
        return {
            "info": self.books.info.model_dump(mode="json"),
            "folder": str(self.folder.root),
            "prepared_dirs": {source: str(path) for source, path in self.prepared.items()},
        }


def drive(session: Session, searcher: StatelessSearcher, trials: int) -> None:
    """Run trials with Ray Tune until this many have ended or a signal ends the session."""
    tuner = tune.Tuner(
        tune.with_resources(
            functools.partial(run_trial, base=session.told(), train=session.train),
            {"CPU": 0, DRIVER_RESOURCE: 1},
        ),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=trials,
            max_concurrent_trials=session.concurrency,
            reuse_actors=True,  # a driver's imports serve the trials after it too
            trial_dirname_creator=lambda trial: f"trial_{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name=f"session-{int(time.time())}",
            storage_path=str(session.folder.tune_dir),
            callbacks=[TrialEvents(session.show)],
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        if hasattr(signal, "SIGUSR1"):  # Tune leaves its own handler behind
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
