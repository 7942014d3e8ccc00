"""Shows a study while it runs: a live table on a terminal, else lines; and a file of events."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live

from r2d_ray.cli.screen.event_file import JsonEvent, Stopped, finished, json_event
from r2d_ray.cli.screen.event_out import EventOut
from r2d_ray.cli.screen.lines import event_line
from r2d_ray.cli.screen.state import StudyState
from r2d_ray.cli.screen.terminal import StudyTable
from r2d_ray.cli.screen.words import SAVED, STOPPING, plan_words
from r2d_ray.storage import printable
from r2d_ray.study.progress.events import (
    Event,
    StudyNote,
    StudyPlanned,
    StudyStopping,
    TrialEvent,
)

LEFT_FREE = 3  # columns: the ^C of a terminal would else begin a line that nobody counts
REFRESHES_PER_S = 1  # of the terminal


class Progress:
    """Takes a study's events and shows them until the block ends.

    Args:
        console: Where a person looks.
        metric: What decides between trials.
        quiet: Show a person only that the study was stopped.
        events: File to which a line is added for every event; `-`: stdout.
        no_more: What a study is told in which nothing is left to do.

    Raises:
        UserError: for a file that cannot be written.
    """

    def __init__(
        self,
        console: Console,
        metric: str,
        quiet: bool = False,
        events: str | None = None,
        no_more: str = "",
    ) -> None:
        self.console, self.quiet, self.no_more = console, quiet, no_more
        self.state = StudyState(metric)
        self.began = time.monotonic()
        self.study = ""
        self.stopping = False
        self._lock = threading.Lock()  # the terminal is drawn by a thread of its own
        self._events = None if events is None else EventOut(events, self._warn)
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        if self.console.is_terminal and not self.quiet:
            self._live = Live(self, console=self.console, refresh_per_second=REFRESHES_PER_S)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
        if kind is not None and not issubclass(kind, Exception):
            self._tell(Stopped(**self._known()))  # by a signal
        if self._events is not None:
            self._events.close()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield what the terminal shows now."""
        narrower = options.update_width(options.max_width - LEFT_FREE)
        with self._lock:
            moment = StudyTable(self.state, self.elapsed)
            parts = list(moment.parts(narrower.max_width, console.size.height))
        for part in parts:
            yield from console.render(part, narrower)

    @property
    def elapsed(self) -> float:
        """Seconds of this session."""
        return time.monotonic() - self.began

    def show(self, event: Event) -> None:
        """Take in an event."""
        with self._lock:
            self.state.take(event, time.monotonic())
        if isinstance(event, StudyPlanned):
            self.study = event.study
        if self._events is not None:
            self._tell(json_event(event, self._known(), self._of_trial(event)))
        if isinstance(event, StudyPlanned):
            self._say(plan_words(event, self.no_more))
        elif isinstance(event, StudyNote):
            self._say(event.text)
        elif isinstance(event, StudyStopping):
            self.stopping = True
            self._say(STOPPING, always=True)
        elif self._live is None:
            line = event_line(event, self.state, self.elapsed)
            if line is not None:
                self._say(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {line}")

    def over(self, result: dict[str, Any] | None) -> None:
        """Say that the study ended with this result, or that it was stopped (None)."""
        if self._live is not None:
            self._live.stop()
        if result is None:
            self._tell(Stopped(**self._known()))
            self._say(SAVED, always=True)
        else:
            self._tell(finished(result, self._known(), self.elapsed))

    def _say(self, line: str, always: bool = False) -> None:
        if always or not self.quiet:
            self.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def _warn(self, line: str) -> None:
        self._say(line, always=True)

    def _tell(self, event: JsonEvent | None) -> None:
        if self._events is not None and event is not None:
            self._events.add(event.model_dump_json())

    def _known(self) -> dict[str, Any]:
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        return {"time": now, "study": self.study}

    def _of_trial(self, event: Event) -> dict[str, Any]:
        return vars(self.state.trial(event.trial)) if isinstance(event, TrialEvent) else {}
