"""Where running trials stand, read from their files, and what has changed since the last look."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path

from r2d_ray.study.progress.events import Show, TrialEvent
from r2d_ray.study.progress.files import STAGE1, Standing, read_standing, trial_file

LOOK_EVERY_S = 1.0
"""Seconds between two looks."""

TOLD = ("phase", "run", "step", "steps", "learning_rate", "loss")


class Standings:
    """Looks at the files of running trials and shows what is new in them."""

    def __init__(self, folder: Path, show: Show) -> None:
        self.folder, self.show = folder, show
        self.running: dict[int, Standing | None] = {}
        self._looked = 0.0

    def started(self, number: int) -> None:
        """Look at this trial from now on."""
        trial_file(self.folder, number).unlink(missing_ok=True)
        self.running[number] = None

    def ended(self, number: int) -> None:
        """Look at this trial a last time."""
        if number in self.running:
            self._look_at(number)
            del self.running[number]

    def look(self) -> None:
        """Look at all of them, unless the last look was a moment ago."""
        if time.monotonic() - self._looked >= LOOK_EVERY_S:
            self._looked = time.monotonic()
            for number in self.running:
                self._look_at(number)

    def kept(self) -> dict[int, int]:
        """Return the step of the last checkpoint of each stage that trains, by trial."""
        read = {number: self._read(number) for number in self.running}
        return {n: s.kept for n, s in read.items() if s is not None and s.kept is not None}

    def all_kept(self, before: dict[int, int]) -> bool:
        """Return whether every stage lost nothing if it ended now, or saved since `before`."""
        for number in self.running:
            standing = self._read(number)
            if standing is None or standing.kept is None:
                continue
            if standing.kept == before.get(number, standing.kept) < standing.step:
                return False
        return True

    def _read(self, number: int) -> Standing | None:
        """Return where a trial stands; of a stage 1 that others share its own file tells more."""
        own = read_standing(trial_file(self.folder, number))
        if own is None or own.follows is None:
            return own
        shared = read_standing(self.folder / f"{own.follows}.json")
        if shared is None:
            return own
        mine = shared if own.phase == STAGE1 else replace(shared, kept=None, evaluations=())
        return replace(mine, phase=own.phase, run=own.run)

    def _look_at(self, number: int) -> None:
        now, before = self._read(number), self.running[number]
        if now is None or now == before:
            return
        self.running[number] = now
        told = {name: value for name, value in asdict(now).items() if name in TOLD}
        values = {name: value for name, value in told.items() if value is not None}
        if before is None or (before.phase, before.run) != (now.phase, now.run):
            self.show(TrialEvent(number, "phase", values))
        elif before.step != now.step:
            self.show(TrialEvent(number, "step", values))
        seen = before.evaluations if before is not None else ()
        for step, loss in now.evaluations:
            if (step, loss) not in seen:
                more = {**values, "step": step, "rationale_loss": loss}
                self.show(TrialEvent(number, "evaluated", more))
