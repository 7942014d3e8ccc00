"""How far a prediction is: a bar on a terminal, else a line every so often; all on stderr."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from r2d_ray.prediction.run import Listener
from r2d_ray.storage import counted, printable

LINE_EVERY_S = 30
"""Seconds between two lines where there is no terminal."""

MINUTE_S = 60


class RowProgress(Listener):
    """Says what a prediction does, and how many rows it does in a second."""

    def __init__(self, quiet: bool = False) -> None:
        self.console, self.quiet = Console(stderr=True, soft_wrap=True), quiet
        self._began = self._said = time.monotonic()
        self._bar = Progress(
            TextColumn("rows"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
        )
        self._task = self._bar.add_task("rows", total=None, rate="")

    def __enter__(self) -> RowProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """Print a line."""
        if not self.quiet:
            self.console.print(printable(line), markup=False, highlight=False)

    def done(self, rows: int, total: int, earlier: int) -> None:
        """Show how many of the rows have an answer, the rate, and the time that is left."""
        now = time.monotonic()
        rate = (rows - earlier) / max(now - self._began, 1e-9)
        self._bar.update(self._task, completed=rows, total=total, rate=f"{rate:.3g} a second")
        if not self.console.is_terminal and now - self._said >= LINE_EVERY_S:
            self._said = now
            left = (total - rows) / rate
            said = f"{left / 60:.0f} min" if left >= MINUTE_S else f"{left:.0f} s"
            self.say(f"{rows} of {counted(total, 'row')}, {rate:.3g} a second, {said} left")
