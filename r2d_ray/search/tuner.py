"""Trials under Ray Tune: what a session gives it."""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from r2d_ray.distributed.cluster import DRIVER_RESOURCE
from r2d_ray.distributed.stage_job import run_training
from r2d_ray.search.trial import Train, run_trial
from r2d_ray.search.watch.callback import Stateless, TrialEvents, progress_files
from r2d_ray.study.books import Bookkeeper
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.progress.events import Show


class StatelessSearcher(Stateless, Searcher):
    """A searcher that keeps nothing for Tune."""

    def save(self, checkpoint_path: str) -> None:
        """Save nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""


@dataclass(frozen=True, slots=True)
class Session:
    """One command's turn at a study: all that its trials share.

    Args:
        books: The study's folder, info and ended trials.
        prepared: Prepared data by what trials call it; `""` is that of trials that name none.
        concurrency: Trials at once.
        show: Takes what happens.
        train: Trains a stage.
        trackers: Where series go.
    """

    books: Bookkeeper
    prepared: Mapping[str, Path]
    concurrency: int
    show: Show
    train: Train = run_training
    trackers: tuple[str, ...] = ()

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
            "trackers": list(self.trackers),
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
            callbacks=[TrialEvents(session.folder, searcher.metric, session.show)],
            verbose=0,
        ),
    )
    try:
        with progress_files(session.folder):
            tuner.fit()
    finally:
        if hasattr(signal, "SIGUSR1"):  # Tune leaves its own handler behind
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
