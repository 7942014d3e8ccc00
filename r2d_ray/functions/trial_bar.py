"""How far a study is, as one line that a notebook and a terminal show alike."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from tqdm import TqdmWarning, tqdm

with warnings.catch_warnings():
    warnings.simplefilter("ignore", TqdmWarning)  # of a widget that nothing here draws
    from tqdm.auto import tqdm as _  # noqa: F401

from r2d_ray.study.progress.events import (
    Event,
    ScoringEvent,
    StudyNote,
    StudyPlanned,
    TrialEvent,
)

COLUMNS = 100
CLOCK_S = 5.0
"""Seconds between two drawings where nothing but the clock changes."""


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
        self.said = ""

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
        if self.bar is not None:
            self._say(event)

    def _say(self, event: Event) -> None:
        """Draw the bar anew where its words change, and every few seconds for its clock."""
        words = self.words()
        if isinstance(event, ScoringEvent):
            words = ", ".join(filter(None, [words, f"scoring: {event.what}"]))
        if words != self.said:
            self.said = words
            self.bar.set_postfix_str(words)
        else:
            self.bar.update(0)

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
        self.bar = tqdm(
            total=len(self.names),
            initial=len(study.ended),
            unit="trial",
            ncols=COLUMNS,
            mininterval=CLOCK_S,
            miniters=0,
        )
        for number, ended in study.ended.items():
            self._score(number, ended.score)

    def _score(self, trial: int, score: float | None) -> None:
        sign = 1 if self.mode == "max" else -1
        if score is not None and (self.best is None or sign * score > sign * self.best[1]):
            self.best = (self.names[trial], score)
