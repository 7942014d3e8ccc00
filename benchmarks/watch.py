"""What a running study shows from outside: its processes, and the times in TensorBoard's files."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tensorboard.compat.proto.event_pb2 import Event

HEADER, FOOTER = 12, 4  # bytes around a record of an event file: length and checksums


@dataclass(frozen=True)
class Marks:
    """Unix times of a stage: training begins, its first step and its last entry."""

    began: float
    first_step: float
    last: float


@dataclass
class Watch:
    """Collects, look by look, the processes below a command and its event files.

    Event files of stage 1 are deleted with its working folder, so their bytes are kept.
    """

    root: Path
    created: dict[int, float] = field(default_factory=dict)
    titles: dict[int, str] = field(default_factory=dict)
    events: dict[Path, bytes] = field(default_factory=dict)

    def __call__(self, pid: int) -> None:
        """Look once."""
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    self.created.setdefault(process.pid, process.create_time())
                    title = (process.cmdline() or [""])[0]
                    if title.startswith("ray::") and title != "ray::IDLE":
                        name = title.removeprefix("ray::").partition(".")[0]
                        self.titles.setdefault(process.pid, name)
        for path in self.root.rglob("tensorboard/**/events.out.tfevents.*"):  # not Tune's own
            with suppress(FileNotFoundError):
                self.events[path] = path.read_bytes()

    def stages(self) -> dict[Path, Marks]:
        """Return the marks of every stage that logged, by the folder of its events."""
        found = {}
        for path, data in self.events.items():
            times = list(wall_times(data))
            if len(times) > 1:
                found[path.parent] = Marks(times[0], times[1], times[-1])
        return found

    def helpers(self, after: float, before: float) -> list[tuple[str, float]]:
        """Return title and birth (seconds from `after`) of Ray's processes born in between."""
        born = [
            (self.titles.get(pid, "idle"), at - after)
            for pid, at in self.created.items()
            if after <= at < before
        ]
        return sorted(born, key=lambda pair: pair[1])


def wall_times(data: bytes) -> Iterator[float]:
    """Yield the Unix times of an event file's opening and of its first scalars step by step."""
    at, steps = 0, set()
    while at + HEADER <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        event = Event.FromString(data[at + HEADER : at + HEADER + length])
        at += HEADER + length + FOOTER
        if event.HasField("file_version") or (event.step and event.step not in steps):
            steps.add(event.step)
            yield event.wall_time
