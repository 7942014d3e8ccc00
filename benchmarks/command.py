"""Our command as a user starts it: a fresh process, timed from outside, and what it left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from r2d_ray.records import TrialRecord, read_jsonl
from r2d_ray.study.books import OUTCOME
from r2d_ray.study.folder import StudyFolder

LOOK_S = 0.2  # seconds between two looks at a running command
TAIL = 2000  # characters of a failed command's output that are shown


@dataclass(frozen=True)
class Ran:
    """A finished study: Unix times of its command, its records, and when each trial ended."""

    began: float
    ended: float
    folder: StudyFolder
    records: tuple[TrialRecord, ...]
    ends: tuple[float, ...]  # in the order of `records`

    @property
    def search_s(self) -> float:
        """Seconds from the command to the end of the last trial: without the last look."""
        return max(self.ends) - self.began

    def started(self, place: int) -> float:
        """Unix time at which a trial's own function began."""
        return self.ends[place] - self.records[place].wall_s


def cores() -> int:
    """Return the CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def run(command: list[str], look: Callable[[int], None] = lambda pid: None) -> tuple[float, float]:
    """Run a command to its end and return when it began and ended, as Unix times.

    Args:
        command: Its words.
        look: Called with the process's id every `LOOK_S` while it runs.

    Raises:
        RuntimeError: if it fails, with the end of what it said.
    """
    with tempfile.TemporaryFile() as output:
        began = time.time()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                look(process.pid)
                time.sleep(LOOK_S)
        finally:
            process.terminate()  # nothing happens where it has ended
        ended = time.time()
        if process.returncode:
            output.seek(0)
            said = output.read().decode(errors="replace")[-TAIL:]
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    return began, ended


def tune(
    storage: Path,
    name: str,
    *flags: str,
    values: dict[str, object],
    look: Callable[[int], None] = lambda pid: None,
) -> Ran:
    """Run `python -m r2d_ray.tune` on a cluster of its own and return what it left.

    Args:
        storage: Where the study's folder goes.
        name: Of the study.
        flags: Words of the command.
        values: TrainConfig fields, given by `--set`.
        look: See `run`.
    """
    fixed = ("--address", "local", "--profile", "embedded", "--verbosity", "quiet")
    place = ("--storage-path", str(storage), "--name", name)
    sets = [word for field, value in values.items() for word in ("--set", f"{field}={value}")]
    began, ended = run([sys.executable, "-m", "r2d_ray.tune", *fixed, *place, *flags, *sets], look)
    folder = StudyFolder(storage / name)
    records = sorted(read_jsonl(folder.records_path, TrialRecord), key=lambda r: r.trial)
    ends = [(folder.trial_dir(r.trial) / OUTCOME).stat().st_mtime for r in records]
    return Ran(began, ended, folder, tuple(records), tuple(ends))


def slot_s(ends: tuple[float, ...], at_once: int) -> float:
    """Return the seconds for which a trial holds one of the places, from when trials ended.

    Between the end of the first round and the last end every place is taken by whole trials:
    (last end - first round's end) x places / trials after the first round.
    """
    ordered = sorted(ends)
    later = len(ordered) - at_once
    if later < 1:
        raise ValueError(f"{len(ordered)} trials, {at_once} at once: no trial after the first ones")
    return (ordered[-1] - ordered[at_once - 1]) * at_once / later
