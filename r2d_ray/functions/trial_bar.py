"""How far a study is, as one line that a notebook and a terminal show alike."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from r2d_ray.study.progress.events import (
    Event,
    ScoringEvent,
    StudyNote,
    StudyPlanned,
    TrialEvent,
)


class TrialBar:
    """A bar of trials on stderr: how many have ended, the best of them, how many run.

    It is drawn as text: the widget of notebooks needs a package of its own.
    """

    def __init__(self) -> None:
        self.metric, self.mode = "", "max"
        self.best: tuple[str, float] | None = None
        self.names: list[str] = []
        self.running: set[int] = set()
        self.bar: Any = None

    def __enter__(self) -> TrialBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def show(self, event: Event) -> None:
        """Take in an event."""
        if isinstance(event, StudyNote):
            tqdm.write(event.text, file=sys.stderr)
        elif isinstance(event, StudyPlanned):
            self._plan(event)
        elif isinstance(event, TrialEvent) and event.what == "started":
            self.running.add(event.trial)
        elif isinstance(event, TrialEvent) and event.what == "ended":
            self.running.discard(event.trial)
            self._score(event.trial, event.values.get("score"))
            self.bar.update()
        elif isinstance(event, ScoringEvent):
            self.bar.set_postfix_str(f"{self.words()}, scoring: {event.what}")
            return
        if self.bar is not None:
            self.bar.set_postfix_str(self.words())

    def words(self) -> str:
        """Return what stands behind the bar: `best macro_f1 0.712 (trial 3), 2 running`."""
        said = []
        if self.best is not None:
            said.append(f"best {self.metric} {self.best[1]:.3f} ({self.best[0]})")
        if self.running:
            said.append(f"{len(self.running)} running")
        return ", ".join(said)

    def _plan(self, study: StudyPlanned) -> None:
        self.metric, self.mode = study.metric, study.mode
        self.names = [trial.name for trial in study.trials]
        self.bar = tqdm(total=len(self.names), initial=len(study.ended), unit="trial", ncols=100)
        for number, ended in study.ended.items():
            self._score(number, ended.score)

    def _score(self, trial: int, score: float | None) -> None:
        sign = 1 if self.mode == "max" else -1
        if score is not None and (self.best is None or sign * score > sign * self.best[1]):
            self.best = (self.names[trial], score)
