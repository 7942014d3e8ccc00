"""Who hands out the arms of a comparison: those that are missing, in order, failed ones again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r2d_ray.records import write_jsonl
from r2d_ray.search.tuner import StatelessSearcher
from r2d_ray.study.books import OUTCOME, Bookkeeper
from r2d_ray.study.folder import StudyFolder


class ArmSearcher(StatelessSearcher):
    """Hands out the arms that are still missing, in order, and enters those that have ended."""

    def __init__(self, asked: Sequence[dict[str, Any]], books: Bookkeeper) -> None:
        objective = books.info.objective
        super().__init__(metric=objective.metric, mode=objective.mode)
        self.asked = list(asked)
        self.books = books
        self.running: dict[str, dict[str, Any]] = {}

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Return the next arm."""
        self.running[trial_id] = self.asked.pop(0)
        return self.running[trial_id]

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Enter the arm's record."""
        asked = self.running.pop(trial_id)
        self.books.ended(asked["trial"], asked["values"])


def run_again(folder: StudyFolder, books: Bookkeeper) -> list[int]:
    """Strike failed arms from the records, so that they are run again; return their numbers.

    A search keeps a failed trial as tried, and may draw others; an arm has no other.
    """
    failed = sorted(n for n, record in books.records.items() if record.status == "failed")
    for number in failed:
        del books.records[number]
    if failed:
        write_jsonl(folder.records_path, books.records.values())
    for number in failed:  # a driver that dies now must not leave the old reason
        (folder.trial_dir(number) / OUTCOME).unlink(missing_ok=True)
    return failed
