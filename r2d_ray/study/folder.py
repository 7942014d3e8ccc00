"""The study folder: layout, creation, refusal and resume.

A folder is a study if it holds our study.json. It appears complete or not at all, and is refused,
before anything is written, if it was made from other data or other settings.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Literal, NamedTuple

from r2d_ray.errors import UserError
from r2d_ray.records import (
    SCHEMA_VERSION,
    StudyInfo,
    TrialRecord,
    read_jsonl,
)
from r2d_ray.storage import whole_folder, write_json
from r2d_ray.study.identity import MAY_CHANGE, changes, differences
from r2d_ray.study.place import check_name as check_name  # beside `open_study` for its callers
from r2d_ray.study.place import root_of

DIFFERENCES_SHOWN = 4
Resume = Literal["auto", "never", "must"]


class StudyFolder:
    """Where each part of a study lies, below its `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.info_path = root / "study.json"  # StudyInfo; with it a folder is a study
        self.records_path = root / "records.jsonl"  # one TrialRecord a line
        self.pooled_path = root / "oof.jsonl"  # one TrialRecord for all folds of an arm
        self.journal_path = root / "optuna.journal"
        self.tune_dir = root / "tune"  # Ray Tune's own state
        self.prepared_dir = root / "prepared"  # tokenised data, a folder for each hash
        self.stage1_dir = root / "stage1"  # the stage-1 cache, a folder and a lock for each hash
        self.trials_dir = root / "trials"  # checkpoints and TensorBoard
        self.predictions_dir = root / "predictions"  # <method>-<seed>-<split>.jsonl
        self.best_dir = root / "best"  # the exported model; not there before it is
        self.report_dir = root / "report"  # what `python -m analysis` makes of the study

    def trial_dir(self, number: int) -> Path:
        """Return the folder of one trial: 3 -> trials/0003."""
        return self.trials_dir / f"{number:04d}"

    def run_dir(self, number: int, run: int) -> Path:
        """Return the folder of a trial's run: the trial's own of its first, run-1 of its second."""
        return self.trial_dir(number) / f"run-{run}" if run else self.trial_dir(number)

    def run_dirs(self, number: int) -> tuple[Path, ...]:
        """Return the folders of a trial's runs that are there, and that of its first."""
        place = self.trial_dir(number)
        return (place, *sorted(place.glob("run-*")))

    def made_at_once(self) -> tuple[Path, ...]:
        """Return the folders that every study has from its beginning."""
        return (
            self.tune_dir,
            self.prepared_dir,
            self.stage1_dir,
            self.trials_dir,
            self.predictions_dir,
        )


class OpenedStudy(NamedTuple):
    """A study ready for use: `info` is what its study.json holds, `notes` changed versions."""

    folder: StudyFolder
    resumed: bool
    info: StudyInfo
    notes: tuple[str, ...]


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
            ours, and a study of other data or settings (with the differences); nothing is written.
    """
    check_name(name)
    try:
        root = root_of(storage, name)
        if root.exists() and any(root.iterdir()):
            return _reopen(root, wanted, resume, extend)
        if resume == "must" or extend:
            asked = "--extend" if extend else "--resume must"
            raise UserError(f"{asked}: no study at {root} (allowed: the name of a stored study)")
        if _create(root, wanted):
            return OpenedStudy(StudyFolder(root), False, wanted, ())
        return _reopen(root, wanted, resume, extend)  # another run was faster
    except OSError as error:
        said = f"{error.strerror} (allowed: a folder that you can write)"
        raise UserError(f"--storage-path {storage!r}: {said}") from None


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


def _reopen(root: Path, wanted: StudyInfo, resume: Resume, extend: bool) -> OpenedStudy:
    """Open a folder that is not empty, or refuse it."""
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
    before = {**stored.versions, "git_commit": stored.git_commit}
    now = {**wanted.versions, "git_commit": wanted.git_commit}
    return OpenedStudy(StudyFolder(root), True, stored, tuple(changes(before, now)))


def read_info(root: Path) -> StudyInfo:
    """Return what study.json says; raises UserError if the folder is not a readable study."""
    path = StudyFolder(root).info_path
    if not os.path.isfile(path):  # unlike Path.is_file, False for a name that is too long
        raise UserError(
            f"{root} is not a study: it has no study.json "
            "(allowed: the folder of a study; for a new study a new or empty one)"
        )
    try:
        stored = json.loads(path.read_bytes())
        version = stored["schema_version"]
        if version != SCHEMA_VERSION:
            wrote = stored["versions"]["r2d-ray"]
            raise UserError(
                f"{path}: schema version {version!r} (allowed: {SCHEMA_VERSION}); "
                f"open it with r2d-ray {wrote}, which wrote it"
            )
        info = StudyInfo.model_validate(stored)
        if not _is_usable(info):
            raise ValueError
        return info
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise UserError(
            f"{path}: not a valid study.json (allowed: as written by r2d_ray)"
        ) from None


def _is_usable(info: StudyInfo) -> bool:
    """Return whether a stored study has what its readers take for granted."""
    space, study = info.space, info.study
    samples = 0 if info.method == "compare" else None  # of a comparison none are stored
    numbers = (study.get("num_samples", samples), study.get("extended", 0))
    return (
        isinstance(space.get("metric"), str)
        and space.get("mode") in ("min", "max")
        and isinstance(space.get("search", {}), dict)
        and ("search" in space or info.method == "compare")
        and all(isinstance(number, int) and number >= 0 for number in numbers)
        and {"model", "model_revision", "seed"} <= info.config.keys()
        and isinstance(info.data_card.get("labels"), list)
        and "kind" in info.provenance
    )


def read_trials(root: Path, info: StudyInfo) -> list[TrialRecord]:
    """Return the study's records as they stand in records.jsonl.

    Raises:
        UserError: for a line that is not a record, a repeated number, and a finished trial
            without the study's metric or a searched field.
    """
    path = StudyFolder(root).records_path
    metric, searched = info.space["metric"], info.space.get("search", {})
    seen = set()
    records = list(read_jsonl(path, TrialRecord))
    for record in records:
        where = f"{path}: trial {record.trial}"
        if record.trial in seen or record.trial < 0:
            raise UserError(f"{where} appears twice (allowed: numbers from 0, each once)")
        seen.add(record.trial)
        missing = [name for name in searched if name not in record.config]
        if record.status == "done" and (metric not in record.metrics or missing):
            lost = ", ".join(missing) or metric
            raise UserError(f"{where} is done but has no {lost} (allowed: as written by r2d_ray)")
    return records


def total_samples(info: StudyInfo) -> int:
    """Return the number of trials that the study is to have, extensions included."""
    return int(info.study["num_samples"]) + int(info.study.get("extended", 0))


def extend_study(folder: StudyFolder, info: StudyInfo, by: int) -> StudyInfo:
    """Write `by` more trials into study.json and return what it holds now.

    `num_samples` stays as asked at first, so that the first command still fits the study.
    """
    study = {**info.study, "extended": int(info.study.get("extended", 0)) + by}
    extended = info.model_copy(update={"study": study})
    write_json(folder.info_path, extended.model_dump(mode="json"))
    return extended
