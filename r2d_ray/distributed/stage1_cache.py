"""The stage-1 cache: trained once per distinct setting and data, shared by all trials.

Whoever comes first builds an entry under a lease; the others wait in their drivers and hold no
worker. An entry counts only with a manifest whose file hashes hold; anything else is rebuilt.

The lease has a heartbeat, on a shared POSIX folder: no lock daemon and no `flock`, which some
cluster file systems do not pass between nodes. Each lease in turn is a new file `NAME.1`, `NAME.2`,
...; the highest number counts, and nobody ever deletes one. Making `NAME.n+1` exclusively is
therefore the only step that takes the lease over from number n, and it succeeds for exactly one
taker, however late a rival acts on an old look.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from r2d_ray import __version__
from r2d_ray.config import STAGE1_FIELDS, TrainConfig
from r2d_ray.distributed.stage_job import TrainingJob, run_training
from r2d_ray.storage import file_digest, key_of, write_json

MANIFEST = "stage1.json"
POLL_S = 1.0  # seconds between looks of a waiting trial


class LeaseLostError(Exception):
    """Another builder has the entry's lease by now."""


@dataclass(frozen=True, slots=True)
class Stage1:
    """A finished entry: its folder of weights, key and training outcome."""

    folder: Path
    key: str
    outcome: dict[str, Any]
    built_here: bool


def stage1_key(config: TrainConfig, prepared_dir: Path) -> str:
    """Return the hash (16 hex digits) of everything on which the weights after stage 1 depend."""
    values = {name: getattr(config, name) for name in STAGE1_FIELDS}
    return key_of(__version__, prepared_dir.name, values)


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in the folder but the manifest, by name."""
    files = (path for path in sorted(folder.iterdir()) if path.is_file())
    return {path.name: file_digest(path) for path in files if path.name != MANIFEST}


def read_entry(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a whole entry, None where it is absent, half-written or damaged."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(manifest, dict) and manifest.get("files") == file_hashes(folder)
    return manifest if whole else None


def stage1_weights(
    config: TrainConfig,
    prepared_dir: Path,
    root: Path,
    train: Callable[[TrainingJob], dict[str, Any]] = run_training,
) -> Stage1:
    """Return the stage-1 entry of this setting, training it if nobody has.

    A builder that died leaves its checkpoints: the next one goes on from them.

    Raises:
        RuntimeError: if this process built the entry and training failed.
    """
    root.mkdir(parents=True, exist_ok=True)
    key = stage1_key(config, prepared_dir)
    folder = root / key
    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    lease = Lease(root / f"{key}.lease", owner)
    while True:
        manifest = read_entry(folder)
        if manifest is not None:
            return Stage1(folder, key, manifest["outcome"], built_here=False)
        if not lease.try_acquire():
            time.sleep(POLL_S)
            continue
        try:
            # Another may have finished between the look and the lease.
            manifest, built_here = read_entry(folder), False
            if manifest is None:
                built_here = True
                manifest = build_entry(config, prepared_dir, folder, train, lease)
            return Stage1(folder, key, manifest["outcome"], built_here)
        except LeaseLostError:
            time.sleep(POLL_S)  # wait for the builder that took over after a stall
        finally:
            lease.release()


def build_entry(
    config: TrainConfig,
    prepared_dir: Path,
    folder: Path,
    train: Callable[[TrainingJob], dict[str, Any]],
    lease: Lease,
) -> dict[str, Any]:
    """Train the entry beside its place and rename it there; return its manifest.

    Raises:
        RuntimeError: if training failed.
        LeaseLostError: if another builder took over after a stall; nothing is published.
    """
    shutil.rmtree(folder, ignore_errors=True)
    work = folder.with_name(f"{folder.name}.work")
    job = TrainingJob(config, "stage1", prepared_dir, work)
    outcome = train(job)
    if lease.lost:
        raise LeaseLostError(folder.name)
    manifest = {"outcome": outcome, "files": file_hashes(job.best_dir)}
    write_json(job.best_dir / MANIFEST, manifest)
    job.best_dir.rename(folder)
    shutil.rmtree(work, ignore_errors=True)
    return manifest


BEAT_S = 5.0
"""Seconds between heartbeats: one touched file each, nothing to a file server."""

TTL_S = 30.0
"""Seconds without a heartbeat after which the holder counts as dead: six beats missed, longer than
a file server's usual hiccup and short beside the minutes of a stage 1 that waits for it."""


class Lease:
    """The right to do one thing, held by whoever acquired it last and still beats.

    A lease that was lost (its holder stood still for `ttl_s`, and another took over) cannot stop
    its holder's work: read `lost` before publishing, and publish by an atomic rename.

    Args:
        path: Name of the lease in an existing folder; its files are `path.1`, `path.2`, ...
        owner: Who holds it (host, pid, trial): written into the file, for people.
        ttl_s: Seconds after which a lease without heartbeat may be taken over.
        beat_s: Seconds between heartbeats, well below `ttl_s`.
    """

    def __init__(
        self, path: Path, owner: str, ttl_s: float = TTL_S, beat_s: float = BEAT_S
    ) -> None:
        self.path, self.owner, self.ttl_s, self.beat_s = path, owner, ttl_s, beat_s
        self._number = 0  # of the lease that this object held last
        self._lost = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def lost(self) -> bool:
        """Whether somebody else has taken over, or the file is out of reach, since acquiring."""
        return self._lost.is_set()

    def try_acquire(self) -> bool:
        """Take the lease if it is free or its holder is dead, and start beating; never wait.

        Returns:
            Whether this object holds it now; False too where it already did.
        """
        last = self._last_number()
        if last and not self._is_stale(last):
            return False
        try:
            with self._file(last + 1).open("x", encoding="utf-8") as file:
                file.write(f"{self.owner}\n")
        except FileExistsError:
            return False
        self._number = last + 1
        self._lost.clear()
        self._stop.clear()
        self._thread = threading.Thread(target=self._beat, name=f"lease {self.path}", daemon=True)
        self._thread.start()
        return True

    def release(self) -> None:
        """Stop beating and let the next one in at once; without effect on a lease not held."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join()
        self._thread = None
        # As old as a file can be: stale for everybody. After a loss it no longer counts anyway.
        with suppress(FileNotFoundError):  # the folder was removed under us: nothing to release
            os.utime(self._file(self._number), (0, 0))

    def __enter__(self) -> Lease:
        """Return this lease, acquired before: `if lease.try_acquire(): with lease: ...`."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the lease."""
        self.release()

    def _file(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _last_number(self) -> int:
        """Return the number of the lease that counts, 0 where there was none."""
        prefix = f"{self.path.name}."
        names = (name for name in os.listdir(self.path.parent) if name.startswith(prefix))
        ends = (name.removeprefix(prefix) for name in names)
        return max((int(end) for end in ends if end.isdecimal()), default=0)

    def _is_stale(self, number: int) -> bool:
        # Opening makes a network file system ask its server: a bare stat may be a minute old.
        with self._file(number).open("rb") as file:
            beaten = os.fstat(file.fileno()).st_mtime
        return self._filesystem_now() - beaten > self.ttl_s

    def _filesystem_now(self) -> float:
        """Return the time by the clock that dates the heartbeats; nodes' clocks may differ."""
        with tempfile.TemporaryFile(dir=self.path.parent) as probe:
            os.utime(probe.fileno())
            return os.fstat(probe.fileno()).st_mtime

    def _beat(self) -> None:
        """Touch the file every `beat_s` until told to stop or until the lease is lost."""
        while not self._stop.wait(self.beat_s):
            try:
                os.utime(self._file(self._number))
                taken = self._last_number() != self._number
            except OSError:  # the folder is gone or unusable: nothing proves that we hold it
                taken = True
            if taken:
                self._lost.set()
                return
