"""Where a study may lie: its name and a storage that can serve."""

from __future__ import annotations

import os
import re
from pathlib import Path

from r2d_ray.errors import UserError


def check_name(name: str) -> None:
    """Raise UserError unless the name can be a folder's: no `/`, no `..`, 1 to 64 characters."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise UserError(
            f"--name {name!r} (allowed: 1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first)"
        )


def root_of(storage: str, name: str) -> Path:
    """Return the study's absolute folder; UserError where it cannot be or may not be there."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", storage):
        raise UserError(
            f"--storage-path {storage!r}: locks, renames and Optuna's journal need a file system "
            "(allowed: a POSIX path that every node sees)"
        )
    try:
        root = Path(storage).expanduser().resolve() / name
    except RuntimeError as error:  # a ring of links, an unknown ~user
        raise UserError(f"--storage-path {storage!r}: {error} (allowed: a folder)") from None
    if root.is_symlink():
        raise UserError(f"--name {name!r}: {root} is a link (allowed: a folder in the storage)")
    nearest = next(path for path in (root, *root.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        said = f"{nearest} is not a folder that you can write to (allowed: one)"
        raise UserError(f"--storage-path {storage!r}: {said}")
    return root
