"""Columns and class names that stand in some files or splits of a set only: refused or said."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from r2d_ray.data.location import DataRequest
from r2d_ray.data.sources import load_splits
from r2d_ray.errors import UserError

Row = dict[str, Any]
SPLITS = ("train", "validation", "test")
KEEP = {"tag.site": "site"}
COLUMNS = {"group": "patient", "context": "note"}


def rows(split: str, count: int = 12) -> list[Row]:
    return [
        {
            "patient": f"{split}-p{i}",
            "question": f"Is case {split} {i} urgent?",
            "note": f"A note on the case {i} of {split}.",
            "site": ("north", "south")[i % 2],
            "label": ("home", "ward")[i % 2],
            "rationale": f"Because of finding {i}.",
        }
        for i in range(count)
    ]


def as_csv(folder: Path, parts: dict[str, list[Row]]) -> Path:
    for split, members in parts.items():
        text = io.StringIO()
        writer = csv.DictWriter(text, dict.fromkeys(name for row in members for name in row))
        writer.writeheader()
        writer.writerows(members)
        (folder / f"{split}.csv").write_text(text.getvalue())
    return folder


def as_json_lines(folder: Path, parts: dict[str, list[Row]]) -> Path:
    for split, members in parts.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(m) + "\n" for m in members))
    return folder


def as_parquet(folder: Path, parts: dict[str, list[Row]]) -> Path:
    for split, members in parts.items():
        datasets.Dataset.from_list(members).to_parquet(folder / f"{split}.parquet")
    return folder


def as_saved(folder: Path, parts: dict[str, list[Row]]) -> Path:
    tables = {split: datasets.Dataset.from_list(members) for split, members in parts.items()}
    datasets.DatasetDict(tables).save_to_disk(folder / "saved")
    return folder / "saved"


def as_one_file(folder: Path, parts: dict[str, list[Row]]) -> Path:
    every = [{**row, "split": split} for split, members in parts.items() for row in members]
    return as_csv(folder, {"notes": every}) / "notes.csv"


CONTAINERS: dict[str, tuple[Callable[[Path, dict[str, list[Row]]], Path], str, str]] = {
    "csv": (as_csv, "test.csv", "train.csv, validation.csv"),
    "json lines": (as_json_lines, "test.jsonl", "train.jsonl, validation.jsonl"),
    "parquet": (as_parquet, "test.parquet", "train.parquet, validation.parquet"),
    "saved": (as_saved, "the test rows", "the train rows, the validation rows"),
    "one file": (as_one_file, "the test rows", "the train rows, the validation rows"),
}

ABSENT = {
    "patient": ("patient (group)", "a group that stands in both is not noticed"),
    "note": ("note (context)", "a model sees the question alone there"),
    "site": ("site", "rows there belong to no value of it"),
}


def warnings_of(path: Path, columns: dict[str, str] = COLUMNS) -> list[str]:
    splits = load_splits(DataRequest(str(path), columns=columns, keep=KEEP))
    return [said for said in splits.warnings if " empty in " in said or "class names" in said]


@pytest.mark.parametrize("how", ["absent", "empty"])
@pytest.mark.parametrize("column", ABSENT)
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_column_that_one_split_lacks_is_said_in_one_line(
    tmp_path: Path, container: str, column: str, how: str
) -> None:
    write, lacking, having = CONTAINERS[container]
    parts = {split: rows(split) for split in SPLITS}
    assert warnings_of(write(tmp_path, parts)) == []
    for row in parts["test"]:
        row[column] = ""
        if how == "absent":
            del row[column]
    (tmp_path / "lacking").mkdir()
    name, follows = ABSENT[column]
    said = warnings_of(write(tmp_path / "lacking", parts))
    assert said == [f"{name} is empty in {lacking} and not in {having}: {follows}"]


def test_of_many_files_three_are_named(tmp_path: Path) -> None:
    parts = {f"train-{i}": rows(f"t{i}") for i in range(5)}
    for members in list(parts.values())[1:]:
        for row in members:
            row["site"] = ""
    assert warnings_of(as_csv(tmp_path, parts)) == [
        "site is empty in train-1.csv, train-2.csv, train-3.csv, 1 more and not in train-0.csv: "
        "rows there belong to no value of it"
    ]


def test_a_column_that_no_file_has_is_not_uneven(tmp_path: Path) -> None:
    parts = {
        split: [
            {k: v for k, v in row.items() if k not in ("patient", "note")} for row in rows(split)
        ]
        for split in SPLITS
    }
    assert warnings_of(as_csv(tmp_path, parts), {}) == []


def classes(folder: Path, column: str, names: list[str], numbered: str, count: int = 12) -> Path:
    """Write files of which all but one have class names for the numbers of a column."""
    for split in SPLITS:
        made = [{**row, column: i % len(names)} for i, row in enumerate(rows(split, count))]
        table = datasets.Dataset.from_list(made)
        if split != numbered:
            table = table.cast_column(column, datasets.ClassLabel(names=names))
        table.to_parquet(folder / f"{split}.parquet")
    return folder


@pytest.mark.parametrize("column", ["label", "site", "patient"])
def test_class_names_in_all_files_but_one_are_refused(tmp_path: Path, column: str) -> None:
    names = [f"name {i}" for i in range(12 if column == "patient" else 2)]
    with pytest.raises(UserError) as refused:
        warnings_of(classes(tmp_path, column, names, "test"))
    shown = "name 0, name 1, name 10, …" if column == "patient" else "name 0, name 1"
    numbers = "0, 1, 10, …" if column == "patient" else "0, 1"
    assert str(refused.value) == (
        f"column {column!r} has names in {tmp_path / 'train.parquet'} ({shown}) and class numbers "
        f"in {tmp_path / 'test.parquet'} ({numbers}): write the names in both"
    )


def test_class_names_that_are_numbers_beside_numbers_are_said(tmp_path: Path) -> None:
    made = classes(tmp_path, "label", ["1", "0"], "test")
    assert warnings_of(made) == [
        f"column 'label' has class names that are numbers in {tmp_path / 'train.parquet'} (0, 1); "
        f"the numbers of {tmp_path / 'test.parquet'} (0, 1) are taken as these names"
    ]
    assert warnings_of(classes(tmp_path, "label", ["1", "0"], "none")) == []


def test_patients_numbered_in_one_file_and_named_in_another_are_no_class_numbers(
    tmp_path: Path,
) -> None:
    parts = {split: rows(split) for split in SPLITS}
    for number, row in enumerate(parts["test"]):
        row["patient"] = str(number)
    assert warnings_of(as_csv(tmp_path, parts)) == []
