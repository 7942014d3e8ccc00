"""The study folder: its layout, and what its study.json and records say.

A folder is a study if it holds our study.json.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from r2d_ray.errors import UserError
from r2d_ray.records import (
    SCHEMA_VERSION,
    StudyInfo,
    TrialRecord,
    read_jsonl,
)
from r2d_ray.storage import write_json


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
        self.trials_dir = root / "trials"  # checkpoints and weights
        self.predictions_dir = root / "predictions"  # <method>-<seed>-<split>.jsonl
        self.best_dir = root / "best"  # the exported model; not there before it is
        self.progress_dir = root / "progress"  # where trials stand; there while a session runs
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
