"""One run at a time for a study folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from r2d_ray.errors import UserError
from r2d_ray.storage import write_atomically

LOCK, HOLDER = "study.lock", "study.lock.holder"


class StudyLock:
    """One process at a time for a study; the kernel releases it when its holder dies.

    Beside `study.lock` lies a text with the holder's pid and host, for whoever is refused.
    """

    def __init__(self, root: Path) -> None:
        self.name = root.name
        self._lock = FileLock(root / LOCK, timeout=0, mode=0o600)
        self._holder = root / HOLDER

    def __enter__(self) -> StudyLock:
        """Take the lock; raises UserError with the holder's pid and host if it is taken."""
        try:
            self._lock.acquire()
        except Timeout:
            raise _in_use(self.name, self._holder) from None
        write_atomically(self._holder, f"pid {os.getpid()} on {socket.gethostname()}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the lock."""
        self._holder.unlink(missing_ok=True)
        self._lock.release()


def _in_use(name: str, place: Path) -> UserError:
    """Return the error that names who holds the lock."""
    try:
        holder = place.read_text()
    except FileNotFoundError:  # just taken, or just given back
        holder = "another process"
    return UserError(f"study {name} is in use by {holder} (allowed: one run at a time)")


def check_unlocked(root: Path) -> None:
    """Raise UserError if a run holds the study's lock; nothing is written."""
    path = root / LOCK
    if not path.exists():
        return
    lock = FileLock(path, timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise _in_use(root.name, root / HOLDER) from None
    lock.release()
