"""One set, one result: numbers in cells, ids that restart in files, class numbers beside names."""

import csv
import json
import re

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from r2d_ray.data.card import card_lines, data_card
from r2d_ray.data.columns import parse_columns
from r2d_ray.data.location import DataRequest
from r2d_ray.data.rows.tags import parse_kept
from r2d_ray.data.sources import load_splits
from r2d_ray.errors import UserError

ROWS = [
    {
        "id": i,
        "group": i // 2,
        "question": f"Is it {i}?",
        "context": f"It was {i}.",
        "label": ("no", "yes")[i % 2],
        "rationale": f"So {i}.",
        "site": i % 3,
    }
    for i in range(40)
]
NUMBERED = ("id", "group", "question", "context", "label", "rationale", "site")


def written(cell):
    """A cell as somebody writes it who knows that 3.0 and 3 are one number."""
    if cell is None or isinstance(cell, bool):
        return "" if cell is None else str(cell).lower()
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def as_csv(place, rows):
    with place.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: written(cell) for name, cell in row.items()} for row in rows)
    return place


def as_lines(place, rows):
    place.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return place


def as_parquet(place, rows):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), place)
    return place


def as_array(place, rows):
    place.write_text(json.dumps(rows), encoding="utf-8")
    return place


def as_saved(place, rows):
    datasets.Dataset.from_list(rows).save_to_disk(place)
    return place


CONTAINERS = {
    "a.csv": as_csv,
    "a.jsonl": as_lines,
    "a.json": as_array,
    "a.parquet": as_parquet,
    "saved": as_saved,
}
CELLS = {
    "whole numbers": lambda i: i,
    "whole floats": lambda i: float(i),
    "fractions": lambda i: i + 0.25,
    "small fractions": lambda i: (i + 1) / 1e7,
    "below zero": lambda i: -1.5 - i,
    "large numbers": lambda i: 2**52 + i,
}


def load(place, columns=""):
    keep = parse_kept("site")
    return load_splits(DataRequest(str(place), columns=parse_columns(columns), keep=keep))


@pytest.mark.parametrize("target", [name for name in NUMBERED if name not in ("label", "site")])
@pytest.mark.parametrize("kind", CELLS)
def test_numbers_in_any_column_give_one_hash(tmp_path, target, kind):
    rows = [{**row, target: CELLS[kind](i)} for i, row in enumerate(ROWS)]
    found = {name: load(make(tmp_path / name, rows)) for name, make in CONTAINERS.items()}
    assert {splits.hash for splits in found.values()} == {found["a.csv"].hash}


TWO = {
    "labels of numbers": {"label": lambda i: i % 3},
    "labels of fractions": {"label": lambda i: (i % 3) / 2 + 0.25},
    "labels of truth values": {"label": lambda i: i % 2 == 0},
    "contexts of truth values": {"context": lambda i: i % 2 == 0},
    "tags of truth values": {"site": lambda i: i % 2 == 0},
    "tags of fractions": {"site": lambda i: 0.5 + i % 2},
    "a column with nothing in some rows": {"context": lambda i: None if i % 2 else float(i)},
}


@pytest.mark.parametrize("kind", TWO)
def test_few_values_in_many_rows_give_one_hash(tmp_path, kind):
    change = TWO[kind]
    rows = [{**row, **{n: cell(i) for n, cell in change.items()}} for i, row in enumerate(ROWS)]
    found = {name: load(make(tmp_path / name, rows)) for name, make in CONTAINERS.items()}
    assert {splits.hash for splits in found.values()} == {found["a.csv"].hash}


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(number=st.floats(-1e15, 1e15) | st.integers(-(2**53), 2**53) | st.booleans())
def test_any_number_is_one_text_in_every_container(tmp_path, number):
    rows = [{**row, "context": number} for row in ROWS]
    found = {n: load(CONTAINERS[n](tmp_path / n, rows)) for n in ("a.csv", "a.jsonl", "a.parquet")}
    assert {splits.hash for splits in found.values()} == {found["a.csv"].hash}


def test_numbers_of_32_bits_have_no_more_digits_than_were_written(tmp_path):
    table = pyarrow.Table.from_pylist([{**row, "context": 36.6} for row in ROWS])
    place = table.schema.get_field_index("context")
    single = table.set_column(place, "context", table["context"].cast(pyarrow.float32()))
    pyarrow.parquet.write_table(single, tmp_path / "a.parquet")
    assert {row.context for row in load(tmp_path / "a.parquet").train} == {"36.6"}


def shards(folder, rows, split="train", parts=2):
    size = len(rows) // parts
    folder.mkdir(exist_ok=True)
    for n in range(parts):
        as_lines(folder / f"{split}-{n:05}-of-{parts:05}.jsonl", rows[n * size : (n + 1) * size])
    return folder


def test_ids_that_restart_in_the_files_of_a_split_get_the_files_number(tmp_path):
    rows = [{**row, "id": i % 10, "group": None} for i, row in enumerate(ROWS)]
    splits = load(shards(tmp_path / "s", rows, parts=4))
    ids = {row.id for _, part in splits.items() for row in part}
    assert ids == {f"train-{shard}-{i}" for shard in (1, 2, 3, 4) for i in range(10)}
    assert all(row.group == row.id for row in splits.train)  # none was given
    said = (
        "note: ids in several files of one split: 10 (every id has its split's name and its "
        "file's number before it)"
    )
    assert any(said in line for line in card_lines(data_card(splits)))


def test_ids_that_restart_in_files_and_in_splits(tmp_path):
    rows = [{**row, "id": i % 5} for i, row in enumerate(ROWS)]
    shards(tmp_path / "s", rows[:30], "train", 6)
    splits = load(shards(tmp_path / "s", rows[30:], "test"))
    assert {row.id for row in splits.test} == {f"test-{n}-{i}" for n in (1, 2) for i in range(5)}


TWICE = {
    "in one file": (
        {"train-0.jsonl": [ROWS[0], {**ROWS[1], "id": 0}], "train-1.jsonl": ROWS[2:]},
        r"train-0\.jsonl:2: id '0' was already used at .*train-0\.jsonl:1 \(an id names one row; "
        r"of a patient or document: --columns group=id\)$",
    ),
    "in two files, with one text": (
        {"train-0.jsonl": ROWS[:20], "train-1.jsonl": ROWS[19:]},
        r"train-1\.jsonl:1: id '19' was already used at .*train-0\.jsonl:20 with the same text "
        r"\(leave one of the two out\)$",
    ),
}


@pytest.mark.parametrize("case", TWICE)
def test_a_row_that_is_there_twice_is_refused_with_the_remedy(tmp_path, case):
    files, message = TWICE[case]
    for name, rows in files.items():
        as_lines(tmp_path / name, rows)
    with pytest.raises(UserError) as error:
        load(tmp_path)
    assert re.search(message, str(error.value)), error.value


def test_an_id_that_names_a_patient_is_a_group(tmp_path):
    rows = [{**row, "id": i // 4, "group": None} for i, row in enumerate(ROWS)]
    splits = load(as_lines(tmp_path / "a.jsonl", rows), "group=id")
    every = [row for _, part in splits.items() for row in part]
    assert {row.group for row in every} == {str(n) for n in range(10)}
    assert {row.id for row in every} == {f"row-{n}" for n in range(1, 41)}


def numbered(rows):
    return [{**row, "label": int(row["label"] == "yes")} for row in rows]


def with_names(place, rows):
    made = datasets.Dataset.from_list(numbered(rows))
    made.cast_column("label", datasets.ClassLabel(names=["no", "yes"])).to_parquet(place)


MIXED = {
    "names of one file's metadata": ({"train.parquet": with_names}, {"test.parquet": as_parquet}),
    "the same, the other way": ({"test.parquet": with_names}, {"train.parquet": as_parquet}),
    "names in a text table": ({"train.csv": as_csv}, {"test.csv": as_csv}),
    "names in one shard": ({"train-0.parquet": with_names}, {"train-1.parquet": as_parquet}),
}


@pytest.mark.parametrize("case", MIXED)
def test_class_numbers_beside_their_names_are_refused_with_both_files(tmp_path, case):
    (name, write_names), (number, write_numbers) = (next(iter(d.items())) for d in MIXED[case])
    write_names(tmp_path / name, ROWS[:20])
    write_numbers(tmp_path / number, numbered(ROWS[20:]))
    with pytest.raises(UserError) as error:
        load(tmp_path)
    said = (
        rf"^column 'label' has names in \S*{re.escape(name)}\S* \(no, yes\) and class numbers in "
        rf"\S*{re.escape(number)}\S* \(0, 1\): write the names in both$"
    )
    assert re.search(said, str(error.value)), error.value


APART = {
    "names in both files": (["no", "yes"], ["no", "yes"]),
    "numbers in both files": (["0", "1"], ["0", "1"]),
    "numbers and a word": (["1", "2", "none"], ["1", "2"]),
    "numbers that count from elsewhere": (["mild", "severe", "4", "5"], ["4", "5"]),
}


@pytest.mark.parametrize("case", APART)
def test_labels_that_are_no_class_numbers_are_read_as_they_are(tmp_path, case):
    for split, labels in zip(("train", "test"), APART[case], strict=True):
        part = ROWS[:24] if split == "train" else ROWS[24:]
        rows = [{**row, "label": labels[i % len(labels)]} for i, row in enumerate(part)]
        as_csv(tmp_path / f"{split}.csv", rows)
    splits = load(tmp_path)
    assert set(splits.labels) == {label for labels in APART[case] for label in labels}


@pytest.mark.parametrize("empty", [(3, 7, 9), (3,)])
def test_empty_labels_are_refused_with_the_first_and_their_number(tmp_path, empty):
    rows = [{**row, "label": None if i in empty else row["label"]} for i, row in enumerate(ROWS)]
    place = as_lines(tmp_path / "a.jsonl", rows)
    with pytest.raises(UserError) as error:
        load(place)
    assert str(error.value) == (
        f"{place}:4: column 'label' is empty, in {len(empty)} of 40 rows (fill it or leave them "
        "out)"
    )
