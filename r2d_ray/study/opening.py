"""Opening a study: created, gone on with, or refused before anything is written.

A folder appears complete or not at all, and is refused if it was made from other data or settings,
if another run uses it, or if what it holds cannot be read.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Literal, NamedTuple

from r2d_ray.errors import UserError
from r2d_ray.records import StudyInfo
from r2d_ray.storage import whole_folder, write_json
from r2d_ray.study.books import check_outcomes
from r2d_ray.study.folder import StudyFolder, read_info, read_trials
from r2d_ray.study.identity import MAY_CHANGE, changes, differences
from r2d_ray.study.lock import check_unlocked
from r2d_ray.study.place import check_name, check_room, no_storage, root_of

DIFFERENCES_SHOWN = 4
Resume = Literal["auto", "never", "must"]


class OpenedStudy(NamedTuple):
    """A study ready for use: `info` is what its study.json holds, `notes` changed versions."""

    folder: StudyFolder
    resumed: bool
    info: StudyInfo
    notes: tuple[str, ...]


def find_study(
    storage: str, name: str, wanted: StudyInfo, resume: Resume, *, extend: bool = False
) -> OpenedStudy | None:
    """Return the stored study that this run would go on with, None where it would make one.

    Nothing is written. Arguments and errors are those of `open_study`.
    """
    check_name(name)
    try:
        root = root_of(storage, name)
        if root.exists() and any(root.iterdir()):
            return _stored(root, wanted, resume, extend)
        if resume == "must" or extend:
            asked = "--extend" if extend else "--resume must"
            raise UserError(f"{asked}: no study at {root} (allowed: the name of a stored study)")
        check_room(root)
    except OSError as error:
        raise no_storage(storage, error) from None
    return None


def open_study(
    storage: str, name: str, wanted: StudyInfo, resume: Resume, *, extend: bool = False
) -> OpenedStudy:
    """Create the study's folder, or open the one that is there if it was made the same way.

    Args:
        storage: A POSIX folder that every node sees; it is made if missing.
        name: The study's name, `check_name`d here.
        wanted: What this run would write into study.json.
        resume: `auto` opens or creates, `never` only creates, `must` only opens.
        extend: Whether trials are to be added: then the study must exist, and its number of
            samples (`study.num_samples`) is not compared.

    Raises:
        UserError: for a storage that is a URL or cannot be written, a folder that is not a study of
            ours, a study of other data or settings (with the differences), one in use, and records
            that cannot be read; nothing is written.
    """
    stored = find_study(storage, name, wanted, resume, extend=extend)
    if stored is not None:
        return stored
    root = root_of(storage, name)
    try:
        if _create(root, wanted):
            return OpenedStudy(StudyFolder(root), False, wanted, ())
    except OSError as error:
        raise no_storage(storage, error) from None
    return _stored(root, wanted, resume, extend)  # another run was faster


def _create(root: Path, info: StudyInfo) -> bool:
    """Make the folder with everything in it; False if a study appeared there meanwhile."""
    root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # Over nothing or over an empty folder, never over a study.
        with whole_folder(root, replace=False) as part:
            made = StudyFolder(part)
            for folder in made.made_at_once():
                folder.mkdir(mode=0o700)
            write_json(made.info_path, info.model_dump(mode="json"))
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _stored(root: Path, wanted: StudyInfo, resume: Resume, extend: bool) -> OpenedStudy:
    """Return the study of a folder that is not empty, or refuse it."""
    stored = read_info(root)
    if (owner := root.stat().st_uid) != os.getuid():  # its checkpoints hold pickles
        raise UserError(f"study {root} is owned by uid {owner} (allowed: yours, {os.getuid()})")
    if resume == "never":
        raise UserError(f"--resume never: study {root} exists (allowed: another --name)")
    may_change = (*MAY_CHANGE, "num_samples") if extend else MAY_CHANGE
    if changed := differences(stored, wanted, may_change):
        shown = "; ".join(changed[:DIFFERENCES_SHOWN])
        more = len(changed) - DIFFERENCES_SHOWN
        shown += f"; and {more} more" if more > 0 else ""
        raise UserError(f"study {root} was made differently: {shown} (allowed: another --name)")
    check_unlocked(root)
    folder = StudyFolder(root)
    read_trials(root, stored)
    check_outcomes(folder)
    before = {**stored.versions, "git_commit": stored.git_commit}
    now = {**wanted.versions, "git_commit": wanted.git_commit}
    return OpenedStudy(folder, True, stored, tuple(changes(before, now)))
