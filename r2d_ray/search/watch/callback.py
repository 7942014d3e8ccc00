"""What Ray Tune tells of trials, as events; and the first signal, which waits for checkpoints."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray import tune

from r2d_ray.records import TrialRecord
from r2d_ray.search.watch.standings import Standings
from r2d_ray.study.books import outcome_of
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.progress.events import Show, StudyStopping, TrialEvent
from r2d_ray.study.progress.files import SAVE, STAGE2

SAVE_WITHIN_S = 20.0
"""Seconds that the first signal gives running trials for a checkpoint: batch systems leave 30 s and
more between a signal and the kill."""


class Stateless:
    """A part of Tune that is pickled empty: Tune keeps its parts in the study's folder.

    The state of a study is its journal and its outcomes; no pickle is ever read back.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


class TrialEvents(Stateless, tune.Callback):
    """A Tune callback that tells of starts, phases, steps, evaluations and ends.

    Args:
        folder: The study's.
        metric: What decides between trials.
        show: Takes the events.
    """

    def __init__(self, folder: StudyFolder, metric: str, show: Show) -> None:
        self.folder, self.metric, self.show = folder, metric, show
        self.standings = Standings(folder.progress_dir, show)
        self.stop = OrderlyStop(self.standings, show)

    def on_step_begin(self, iteration: int, trials: Any, **_: Any) -> None:
        """Take over the first signal, once Tune has set its own handler."""
        self.stop.take_over()

    def on_step_end(self, iteration: int, trials: Any, **_: Any) -> None:
        """Look where trials stand; Tune comes here several times a second."""
        self.standings.look()
        self.stop.look()

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Tell of a start with the trial's searched values."""
        number = trial.config["trial"]
        self.standings.started(number)
        self.show(TrialEvent(number, "started", dict(trial.config["values"])))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any
    ) -> None:
        """Tell of an evaluation in stage 2; a trial's last report is none."""
        if "ended" not in result and "best_step" in result:
            self.show(TrialEvent(trial.config["trial"], "evaluated", self._scores(result)))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Tell of an end."""
        self._over(trial.config["trial"])

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Tell of a failure."""
        self._over(trial.config["trial"])

    def _scores(self, result: dict[str, Any]) -> dict[str, Any]:
        """Return the scores of a report, under the metric's name those of this step."""
        current = f"current_{self.metric}"
        best = {"best": result[self.metric], "best_step": result["best_step"]}
        scores = {name: result[name] for name in SHOWN_SCORES if name in result}
        if current in result:
            scores[self.metric] = result[current]
        return (
            {"phase": STAGE2, "run": result.get("run", 0), "step": result["step"]} | scores | best
        )

    def _over(self, number: int) -> None:
        self.standings.ended(number)
        self.show(
            TrialEvent(number, "ended", ended_values(outcome_of(self.folder, number), self.metric))
        )


SHOWN_SCORES = ("macro_f1", "accuracy", "rationale_loss", "composite")
"""What is told of an evaluation; the records have everything."""


def ended_values(record: TrialRecord | None, metric: str) -> dict[str, Any]:
    """Return what is told of a trial that is over, None for a driver that died."""
    if record is None:
        return {"status": "failed", "reason": "the trial's driver died"}
    known = {
        "status": record.status,
        "score": record.metrics.get(metric),
        "selected_step": record.selected_step,
        "steps_done": record.steps_done,
        "seconds": record.wall_s,
        "reason": record.reason,
    }
    return {name: value for name, value in known.items() if value is not None}


class OrderlyStop:
    """Between the first signal and Tune's end every running trial makes a checkpoint.

    Tune ends its trials the moment that SIGUSR1 tells it to: what they did since their last one
    would be lost.
    """

    def __init__(self, standings: Standings, show: Show) -> None:
        self.standings, self.show = standings, show
        self.former: Any = None
        self.asked = False
        self.since: float | None = None
        self.before: dict[int, int] = {}

    def take_over(self) -> None:
        """Put this before Tune's own handler; elsewhere than in the main thread Tune has none."""
        if self.former is None and threading.current_thread() is threading.main_thread():
            self.former = signal.signal(signal.SIGUSR1, self._hear)

    def look(self) -> None:
        """Ask for checkpoints once a signal came; let Tune end when they are there."""
        if not self.asked:
            return
        if self.since is None:
            self.show(StudyStopping())
            self.since = time.monotonic()
            self.before = self.standings.kept()
            (self.standings.folder / SAVE).touch()
        late = time.monotonic() - self.since > SAVE_WITHIN_S
        if late or self.standings.all_kept(self.before):
            self.former(signal.SIGUSR1, None)

    def _hear(self, *_: Any) -> None:
        self.asked = True


@contextmanager
def progress_files(folder: StudyFolder) -> Iterator[None]:
    """Keep the folder of progress files while trials run; nothing of a former session is in it."""
    shutil.rmtree(folder.progress_dir, ignore_errors=True)
    folder.progress_dir.mkdir(mode=0o700)
    try:
        yield
    finally:
        shutil.rmtree(folder.progress_dir, ignore_errors=True)
