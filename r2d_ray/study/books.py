"""The books of a study: outcomes, records, and scores kept beside predictions.

An outcome lies in the trial's folder before Tune or Optuna hear of it, so a kill loses nothing. A
file of scores is written after the files that it tells of; without it they are made again.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from r2d_ray import __version__, storage
from r2d_ray.errors import UserError
from r2d_ray.records import SCHEMA_VERSION, StudyInfo, TrialRecord, append_jsonl
from r2d_ray.storage import write_atomically, write_json
from r2d_ray.study.folder import StudyFolder, read_trials

OUTCOME = "outcome.json"  # a trial's record, in its folder, the moment it ends


def outcome_of(folder: StudyFolder, number: int) -> TrialRecord | None:
    """Return the record that a trial left in its folder, None if it did not end.

    Raises:
        UserError: for a file that is no record.
    """
    path = folder.trial_dir(number) / OUTCOME
    if not path.exists():
        return None
    try:
        return TrialRecord.model_validate_json(path.read_bytes())
    except ValidationError:
        raise UserError(
            f"{path}: not a valid trial outcome (allowed: as written by r2d_ray)"
        ) from None


def check_outcomes(folder: StudyFolder) -> None:
    """Raise UserError for an outcome in the folder of a trial that is no record."""
    for place in folder.trials_dir.glob("[0-9]*"):
        if place.name.isdecimal():
            outcome_of(folder, int(place.name))


def trial_record(
    info: StudyInfo, number: int, values: dict[str, Any], status: str, **rest: Any
) -> TrialRecord:
    """Return a trial's record with what the study knows of it."""
    config = {**info.config, **values}
    known = {
        "study": info.name,
        "trial": number,
        "method": info.method,
        "dataset": info.dataset,
        "config": config,
        "seed": config["seed"],
        "versions": info.versions,
        "status": status,
    }
    return TrialRecord.model_validate({**known, **rest})


def save_outcome(folder: StudyFolder, record: TrialRecord, started: float) -> None:
    """Write a trial's outcome atomically into its folder."""
    place = folder.trial_dir(record.trial)
    timed = record.model_copy(update={"wall_s": time.time() - started})
    write_record(place / OUTCOME, timed)


def write_record(path: Path, record: TrialRecord) -> None:
    """Write a record as a file of its own, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, record.model_dump_json() + "\n")


class Bookkeeper:
    """Keeps records.jsonl, the trials' weights and the disk in step with what has ended."""

    def __init__(self, folder: StudyFolder, info: StudyInfo, keep_all: bool = False) -> None:
        self.folder = folder
        self.keep_all = keep_all  # weights of every trial: a comparison evaluates them all
        self.info = info
        self.records = {record.trial: record for record in read_trials(folder.root, info)}

    def ended(self, number: int, values: Mapping[str, Any]) -> TrialRecord:
        """Return the record of a trial that is over, entering it once.

        A driver that died without an outcome is a failed trial of these searched values.
        """
        if number not in self.records:
            record = outcome_of(self.folder, number) or trial_record(
                self.info, number, dict(values), "failed", reason="the trial's driver died"
            )
            append_jsonl(self.folder.records_path, record)
            self.records[number] = record
            self.tidy()
        return self.records[number]

    def best(self) -> TrialRecord | None:
        """Return the best finished trial by its validation score, the earliest on ties."""
        return self.info.objective.best_of(self.records.values())

    def tidy(self) -> None:
        """Delete what no later step needs: checkpoints of ended trials, weights of the beaten."""
        best = self.best()
        kept = {0} | ({best.trial} if best else set())
        for number in self.records:
            for place in self.folder.run_dirs(number):
                shutil.rmtree(place / "ray", ignore_errors=True)
                if not self.keep_all and number not in kept:
                    shutil.rmtree(place / "best", ignore_errors=True)


def key_of(*parts: Any) -> str:
    """Return the hash (16 hex digits) of JSON values on which scores depend, code included."""
    return storage.key_of(__version__, SCHEMA_VERSION, *parts)


class ScoreCache:
    """The parts of one file of scores, each under the key of all that it depends on.

    A part has a stamp of its own each time that it is made: what is made of it names the stamp in
    its key, and so is made again with it. It may name files beside its own that were made with it:
    where one is lost or changed, the part counts as never made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def beside(cls, predictions: Path) -> ScoreCache:
        """Return the scores of a predictions file: x-test.jsonl -> x-test.scores.json."""
        return cls(predictions.with_suffix(".scores.json"))

    def scores(self, part: str, key: str) -> dict[str, Any] | None:
        """Return the scores of a part, None where they were not made of this or a file is lost."""
        found = self._parts().get(part)
        if not found or found["key"] != key:
            return None
        files = found.get("files", {})
        whole = all(self._digest(name) == digest for name, digest in files.items())
        return found["scores"] if whole else None

    def stamp(self, part: str) -> str | None:
        """Return the stamp of a part, None where it was never made."""
        found = self._parts().get(part)
        return found["stamp"] if found else None

    def write(
        self, part: str, key: str, scores: dict[str, Any], files: Iterable[Path] = ()
    ) -> None:
        """Keep the scores of a part and the digests of the files beside them, made with it."""
        made = {"key": key, "stamp": uuid.uuid4().hex, "scores": scores}
        digests = {file.name: self._digest(file.name) for file in files}
        made |= {"files": digests} if digests else {}
        write_json(self.path, {**self._parts(), part: made})

    def clear(self) -> None:
        """Drop every part, before what they tell of is written anew."""
        self.path.unlink(missing_ok=True)

    def _digest(self, name: str) -> str | None:
        file = self.path.with_name(name)
        return storage.file_digest(file) if file.is_file() else None

    def _parts(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        parts: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return parts
