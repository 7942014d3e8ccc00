"""Where a study may lie: its name and a storage that can serve."""

from __future__ import annotations

import os
import re
import tempfile
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
        linked, nearest = root.is_symlink(), nearest_of(root)
        serves = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    except RuntimeError as error:  # a ring of links, an unknown ~user
        raise UserError(f"--storage-path {storage!r}: {error} (allowed: a folder)") from None
    except OSError as error:
        raise no_storage(storage, error) from None
    if linked:
        raise UserError(f"--name {name!r}: {root} is a link (allowed: a folder in the storage)")
    if not serves:
        said = f"{nearest} is not a folder that you can write to (allowed: one)"
        raise UserError(f"--storage-path {storage!r}: {said}")
    return root


def no_storage(storage: str, error: OSError) -> UserError:
    """Return the error for a storage that the system refuses."""
    said = f"{error.strerror} (allowed: a folder that you can write)"
    return UserError(f"--storage-path {storage!r}: {said}")


def nearest_of(root: Path) -> Path:
    """Return the folder itself or, where it is not there, the nearest one above it that is."""
    return next(path for path in (root, *root.parents) if path.exists())


def check_room(root: Path) -> None:
    """Raise OSError unless the folder can be made; what was made to find out is removed again.

    Rights alone do not tell: root may write to `/proc` and still can make nothing there.
    """
    with tempfile.TemporaryDirectory(prefix=f".{root.name}.", dir=nearest_of(root)) as place:
        (Path(place) / root.name).mkdir()
