"""The toy rows as a CSV file, as a user brings one."""

import csv
from collections.abc import Sequence
from pathlib import Path

from conftest import toy_splits

COLUMNS = ("id", "split", "question", "context", "label", "rationale.human")


def write_csv(path: Path, columns: Sequence[str] = COLUMNS) -> None:
    """Write 40 + 16 + 16 rows under these names of `COLUMNS`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for split, rows in toy_splits(40, 16, 16).items():
            for row in rows:
                told = (row.id, split, row.question, row.context, row.label)
                writer.writerow([*told, row.rationales["human"]])
