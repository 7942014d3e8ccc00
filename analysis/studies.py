"""A study as analysis sees it: study.json, records.jsonl and predictions, opened and checked.

Nothing here imports torch or ray, and nothing is unpickled: a study from elsewhere is only read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from r2d_ray.errors import UserError, from_validation
from r2d_ray.records import (
    SCHEMA_VERSION,
    Prediction,
    RowText,
    StudyInfo,
    TrialRecord,
    prediction_file,
    read_jsonl,
    rows_file,
)

COMPARISON = "compare"  # StudyInfo.method of a comparison


@dataclass(frozen=True)
class Study:
    """One study folder: its info, its records in the order of trials, and what was left out.

    `notes` are sentences on what a reader must know before believing a table: torn lines, failed
    and missing arms, unequal budgets.
    """

    folder: Path
    info: StudyInfo
    records: tuple[TrialRecord, ...]
    notes: tuple[str, ...] = ()
    _read: dict[Path, tuple[Prediction, ...]] = field(default_factory=dict, repr=False)

    @property
    def is_comparison(self) -> bool:
        """Whether the study compares methods over seeds, rather than searches one."""
        return self.info.method == COMPARISON

    @property
    def has_result(self) -> bool:
        """Whether the run wrote a result.json, as it does at its end."""
        return (self.folder / "result.json").exists()

    @cached_property
    def result(self) -> dict[str, Any]:
        """What the run itself printed at its end (result.json); empty if it did not end."""
        path = self.folder / "result.json"
        if not path.exists():
            return {}
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}

    def done(self) -> tuple[TrialRecord, ...]:
        """Return the records that may be scored: those that finished."""
        return tuple(record for record in self.records if record.status == "done")

    def predictions(self, name: str, split: str = "test") -> tuple[Prediction, ...]:
        """Return an arm's (or an evaluation's) predictions; empty if there is no file.

        Raises:
            UserError: for a line that is no prediction, with file and line.
        """
        return self.stored(name, split) or ()

    def stored(self, name: str, split: str = "test") -> tuple[Prediction, ...] | None:
        """Return a run's predictions; None if there is no file, which is not the same as no rows.

        Of a comparison over folds those on test are the out-of-fold ones of all rows.

        Raises:
            UserError: for a line that is no prediction, with file and line.
        """
        folded = split == "test" and self.info.study.get("folds")
        path = prediction_file(self.folder / "predictions", name, "oof" if folded else split)
        if path not in self._read:
            if not path.exists():
                return None
            self._read[path] = tuple(read_jsonl(path, Prediction))
        return self._read[path]

    def texts(self) -> dict[str, str]:
        """Return what the test rows ask, by id; empty for a study that keeps no texts.

        Raises:
            UserError: for a line that is no row's text, with file and line.
        """
        rows = read_jsonl(rows_file(self.folder / "predictions", "test"), RowText)
        return {row.id: f"{row.question}\n\n{row.context}".strip() for row in rows}


def open_study(folder: Path) -> Study:
    """Return a checked study.

    Raises:
        UserError: one line: not a study, another schema version, a damaged record, no trial.
    """
    info = _read_info(folder)
    path = folder / ("oof.jsonl" if info.study.get("folds") else "records.jsonl")
    if not path.exists() and not info.study.get("folds"):
        raise UserError(f"{path} is missing (allowed: a study with its records)")
    records = tuple(sorted(read_jsonl(path, TrialRecord), key=lambda record: record.trial))
    if not records and info.study.get("folds"):
        raise UserError(
            f"{folder}: its folds are not pooled yet (allowed: a comparison that has ended; the "
            "same command goes on)"
        )
    if not records:
        raise UserError(f"{folder}: no trial has ended (allowed: a study with records)")
    for number, count in Counter(record.trial for record in records).items():
        if count > 1:
            raise UserError(f"{path}: trial {number} appears {count} times")
    for record in records:
        if record.schema_version != SCHEMA_VERSION:
            raise UserError(
                f"{path}: trial {record.trial}: schema version {record.schema_version} "
                f"(allowed: {SCHEMA_VERSION})"
            )
    return Study(folder, info, records, _notes(folder, info, records))


def open_studies(folders: Sequence[Path]) -> tuple[Study, ...]:
    """Return the studies of these folders, that may stand in one report.

    Studies of one name are told apart by their folders: `NAME (FOLDER)`.

    Raises:
        UserError: as `open_study`; for a folder given twice, or two studies that give one data
            set's name to different rows.
    """
    studies = tuple(open_study(folder) for folder in folders)
    seen: dict[str, Study] = {}
    for place, study in enumerate(studies):
        if any(study.folder.resolve() == other.folder.resolve() for other in studies[:place]):
            raise UserError(f"{study.folder}: given twice")
        first = seen.setdefault(study.info.dataset, study)
        if first.info.data_hash != study.info.data_hash:
            raise UserError(
                f"{study.folder}: data {study.info.dataset} has content {study.info.data_hash}, "
                f"but {first.info.data_hash} in {first.folder} (allowed: the same rows)"
            )
    names = Counter(study.info.name for study in studies)
    return tuple(
        _renamed(study, studies) if names[study.info.name] > 1 else study for study in studies
    )


def _renamed(study: Study, studies: Sequence[Study]) -> Study:
    """Return a study whose name says as much of its folder as no other study of that name has."""
    others = [o.folder.resolve().parts for o in studies if o is not study and _same_name(o, study)]
    parts = study.folder.resolve().parts
    length = next(n for n in range(1, len(parts) + 1) if all(o[-n:] != parts[-n:] for o in others))
    name = f"{study.info.name} ({'/'.join(parts[-length:])})"
    return replace(study, info=study.info.model_copy(update={"name": name}))


def _same_name(one: Study, other: Study) -> bool:
    return one.info.name == other.info.name


def _read_info(folder: Path) -> StudyInfo:
    path = folder / "study.json"
    if not path.is_file():
        raise UserError(f"{folder}: not a study (allowed: a folder with study.json)")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        found = values.get("schema_version") if isinstance(values, dict) else None
        if found != SCHEMA_VERSION:
            raise UserError(f"{path}: schema version {found} (allowed: {SCHEMA_VERSION})")
        info = StudyInfo.model_validate(values)
        for place, name in (("space", "metric"), ("space", "mode"), ("config", "model")):
            if not isinstance(getattr(info, place).get(name), str):
                raise UserError(
                    f"{path}: {place}: {name} is missing (allowed: as written by r2d_ray)"
                )
        return info
    except ValidationError as error:
        raise from_validation(error, str(path)) from None
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(f"{path}: {str(error).splitlines()[0]}") from None


def _notes(folder: Path, info: StudyInfo, records: Sequence[TrialRecord]) -> tuple[str, ...]:
    notes = []
    if _torn(folder / "records.jsonl"):
        notes.append("records.jsonl: the last line was cut off while being written and is left out")
    failed = [record for record in records if record.status == "failed"]
    notes += [
        f"{record.arm or f'trial {record.trial}'} failed ({record.reason}) and is not scored"
        for record in failed
    ]
    wanted = info.space.get("arms", []) if info.method == COMPARISON else []
    missing = sorted(set(wanted) - {record.arm for record in records})
    if missing:
        notes.append(f"arms that have not run: {', '.join(missing)}")
    if info.study.get("folds"):
        notes.append(
            f"scores are out of fold, over all rows ({info.study['folds']} folds): training sets "
            "of the folds overlap, so intervals tell of rows and seeds, not of other training rows"
        )
    if info.method == COMPARISON:
        notes += _unequal(records)
    return tuple(notes)


def _torn(path: Path) -> bool:
    with path.open("rb") as file:
        return bool(file.seek(0, 2)) and (file.seek(-1, 2) >= 0 and file.read(1) != b"\n")


def _unequal(records: Sequence[TrialRecord]) -> list[str]:
    """Return a note if finished arms made unequally many optimiser steps."""
    steps: dict[int, list[str]] = {}
    for record in records:
        if record.status == "done":
            total = record.steps_done + int(record.stage1.get("steps_done", 0))
            steps.setdefault(total, []).append(record.arm or str(record.trial))
    if len(steps) < 2:
        return []
    parts = (f"{total}: {', '.join(arms)}" for total, arms in sorted(steps.items()))
    return [f"unequal optimiser steps ({'; '.join(parts)})"]
