"""A search of the toy rows by the command line, as a process: a few seconds of steps a trial."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import optuna
from conftest import TINY
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from toy_table import write_csv

from r2d_ray.records import TrialRecord, read_jsonl


class RealStudy:
    """A study `s` in a folder, its process and what it wrote."""

    def __init__(self, folder: Path, trials: int, *more: str) -> None:
        self.folder, self.root, self.log = folder, folder / "s", folder / "log.txt"
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(folder / "notes.csv")
        values = {**TINY, "max_steps": 40, "eval_steps": 10, "stage1_max_steps": 0}
        sets = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
        self.command = [
            *(sys.executable, "-m", "r2d_ray.tune", "--dataset", str(folder / "notes.csv")),
            *("--storage-path", str(folder), "--name", "s"),
            *("--num-samples", str(trials), *sets, *more),
        ]

    def start(self) -> subprocess.Popen[str]:
        """Start or resume it."""
        with self.log.open("a") as log:
            return subprocess.Popen(
                self.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=self.folder,
                env={**os.environ, "RAY_ADDRESS": ""},
            )

    def end(self, process: subprocess.Popen[str], limit: float = 300) -> int:
        """Wait for the process and return its exit code."""
        try:
            return process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(self.log.read_text()[-3000:]) from None

    def records(self) -> list[TrialRecord]:
        """Return the records in the order of their trials."""
        found = read_jsonl(self.root / "records.jsonl", TrialRecord)
        return sorted(found, key=lambda record: record.trial)

    def journal(self) -> list[optuna.trial.FrozenTrial]:
        """Return Optuna's trials."""
        return journal(self.root)


def journal(root: Path) -> list[optuna.trial.FrozenTrial]:
    """Return the trials in a study's journal."""
    storage = JournalStorage(JournalFileBackend(str(root / "optuna.journal")))
    return optuna.load_study(study_name=root.name, storage=storage).trials
