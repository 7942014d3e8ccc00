"""Where the lines of `--json-events` go: a file, a pipe that a process reads, or stdout."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from r2d_ray.cli.screen.words import STDOUT
from r2d_ray.errors import UserError

ALLOWED = "(allowed: a file, or - for stdout)"


def check_events(name: str, inputs: Iterable[str]) -> None:
    """Raise UserError where lines cannot be added: a folder, no folder, a file that is read.

    Args:
        name: What `--json-events` says.
        inputs: Files and folders that the command reads; what is none of either is no harm.
    """
    if name == STDOUT:
        return
    place = Path(name)
    if place.is_dir():
        raise UserError(f"--json-events {name}: Is a directory {ALLOWED}")
    if not Path(os.path.realpath(place)).parent.is_dir():
        raise UserError(f"--json-events {name}: its folder does not exist {ALLOWED}")
    for read in inputs:
        if place.exists() and os.path.exists(read) and os.path.samefile(place, read):
            raise UserError(f"--json-events {name}: the command reads this file {ALLOWED}")


class EventOut:
    """An open place for lines, to which a study adds one for each event.

    Where a line cannot be added (a full disk), `say` is told so once, and the study goes on.

    Raises:
        UserError: for a file that cannot be opened, and a pipe that no process reads.
    """

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self._name, self._say = name, say
        self._file: TextIO | None = sys.stdout if name == STDOUT else _opened(name)

    def add(self, line: str) -> None:
        """Add a line."""
        if self._file is None:
            return
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            if self._file is sys.stdout:
                raise
            self._say(f"--json-events {self._name}: {error.strerror}: it gets no more events")
            self.close()

    def close(self) -> None:
        """Close the file; stdout stays open."""
        file, self._file = self._file, None
        if file is None or file is sys.stdout:
            return
        with suppress(OSError):  # what a full disk did not take was said
            file.close()


def _opened(name: str) -> TextIO:
    try:
        if not Path(name).is_fifo():
            return Path(name).open("a", encoding="utf-8")
        # Opened as a file is, a pipe would wait in silence for a process that reads it.
        pipe = os.open(name, os.O_WRONLY | os.O_NONBLOCK)
        os.set_blocking(pipe, True)
        return os.fdopen(pipe, "w", encoding="utf-8")
    except OSError as error:
        said = "a pipe that no process reads" if error.errno == errno.ENXIO else error.strerror
        raise UserError(f"--json-events {name}: {said} {ALLOWED}") from None
