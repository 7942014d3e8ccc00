"""Small tables under the names of a document: made for the flags, or grown from what it shows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import budget
from conftest import toy_splits

KINDS = (".csv", ".jsonl", ".parquet")
Row = dict[str, Any]


def toy_rows(columns: str) -> list[Row]:
    """Return 72 rows whose columns are called as `--columns` says (`question=q,...`)."""
    named = dict(part.partition("=")[::2] for part in columns.split(",") if part)
    rows: list[Row] = []
    for split, part in toy_splits(40, 16, 16).items():
        for row in part:
            told: Row = {"id": row.id, "split": split, "question": row.question}
            told |= {"context": row.context, "label": row.label}
            told |= {f"rationale.{name}": text for name, text in row.rationales.items()}
            told |= {"choices": ["yes", "no"]} if "choices" in named else {}
            rows.append({named.get(name, name): value for name, value in told.items()})
    return rows


def nested(row: Mapping[str, Any]) -> Row:
    """Return a row whose dotted names are mappings: `{"a.b": 1}` is `{"a": {"b": 1}}`."""
    made: Row = {}
    for name, value in row.items():
        *outer, last = name.split(".")
        place = made
        for key in outer:
            place = place.setdefault(key, {})
        place[last] = value
    return made


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as the kind of table that the file's name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(nested(row)) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        import pandas as pd

        pd.DataFrame(rows).to_parquet(path)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def grown(name: str, text: str) -> list[Row]:
    """Return the rows of a shown table, repeated up to `SHOWN_ROWS` with numbers in their texts.

    Texts are the columns in which every shown row has another value of several words, and `id`.
    """
    lines = (
        [json.loads(line) for line in text.splitlines() if line.strip()]
        if (name.endswith(".jsonl"))
        else list(csv.DictReader(io.StringIO(text)))
    )
    texts = [
        column
        for column in lines[0]
        if column == "id"
        or len({str(x[column]) for x in lines if " " in str(x[column])}) == len(lines)
    ]
    rows: list[Row] = []
    while len(rows) < max(budget.SHOWN_ROWS, len(lines)):
        row = lines[len(rows) % len(lines)]
        again = len(rows) // len(lines)
        more = {x: f"{row[x]} {again}" for x in texts if isinstance(row[x], str) and again}
        rows.append({**row, **more})
    return rows
