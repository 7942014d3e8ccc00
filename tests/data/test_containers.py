"""One set, one result: the same rows in every container give the same content hash."""

import csv
import gzip
import io
import json
import string

import datasets
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from r2d_ray.data.card import card_lines, data_card
from r2d_ray.data.location import DataRequest
from r2d_ray.data.reading import arrow_columns
from r2d_ray.data.sources import load_splits

SIZES = {"train": 8, "validation": 4, "test": 4}
LABELS = ("no", "yes")


def rows_of(words="", label_names=LABELS):
    return [
        {
            "id": f"{split}-{i}",
            "question": f"Is it {split} {i}? {words}",
            "context": f"It was {i}, or so; {words}",
            "label": label_names[i % 2],
            "rationale": "" if i % 3 else f"So it is said, {i}.",
            "split": split,
        }
        for split, size in SIZES.items()
        for i in range(size)
    ]


def delimited(rows, separator=",", end="\n"):
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), delimiter=separator, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def json_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def without(rows, *names):
    return [{k: v for k, v in row.items() if k not in names} for row in rows]


def by_split(rows):
    return {s: without([r for r in rows if r["split"] == s], "split") for s in SIZES}


def write(place, content):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return place


def parquet(place, rows):
    place.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), place)
    return place


def class_labels(rows, names=LABELS):
    made = datasets.Dataset.from_list(rows)
    return made.cast_column("label", datasets.ClassLabel(names=list(names)))


def saved(folder, rows):
    made = {split: class_labels(part) for split, part in by_split(rows).items()}
    datasets.DatasetDict(made).save_to_disk(folder)
    return folder


def saved_whole(folder, rows):
    class_labels(rows).save_to_disk(folder)
    return folder


def with_class_names(place, rows):
    class_labels(rows).to_parquet(place)
    return place


def snapshot(folder, rows):
    write(folder / "README.md", "---\nlicense: mit\n---\n")
    write(folder / "dataset_infos.json", "{}")
    for split, part in by_split(rows).items():
        half = len(part) // 2
        parquet(folder / "data" / f"{split}-00000-of-00002.parquet", part[:half])
        parquet(folder / "data" / f"{split}-00001-of-00002.parquet", part[half:])
    return folder


def split_files(folder, rows, name="{}.csv"):
    for split, part in by_split(rows).items():
        write(folder / name.format(split), delimited(part))
    return folder


def split_folders(folder, rows):
    for split, part in by_split(rows).items():
        for number, row in enumerate(part):
            write(folder / split / f"part-{number}.jsonl", json_lines([row]))
    return folder


def shards(folder, rows):
    parquet(folder / "data-00000-of-00002.parquet", rows[:5])
    parquet(folder / "data-00001-of-00002.parquet", rows[5:])
    return folder


def nulled(rows):
    return [{k: v or None for k, v in row.items()} for row in rows]


CONTAINERS = {
    "CSV": lambda d, r: write(d / "a.csv", delimited(r)),
    "CSV of Excel": lambda d, r: write(d / "a.csv", "\ufeff" + delimited(r, ";", "\r\n")),
    "CSV with a line sep=": lambda d, r: write(d / "a.csv", "sep=;\r\n" + delimited(r, ";")),
    "CSV with empty rows": lambda d, r: write(d / "a.csv", delimited(r) + ",,,,,\n , ,,,,\n"),
    "CSV with empty columns": lambda d, r: write(
        d / "a.csv", delimited([{**row, "": "", " ": ""} for row in r])
    ),
    "CSV of pandas": lambda d, r: write(d / "a.csv", pd.DataFrame(r).to_csv()),
    "TSV": lambda d, r: write(d / "a.tsv", delimited(r, "\t")),
    "tabs under .csv": lambda d, r: write(d / "a.csv", delimited(r, "\t")),
    "commas under .tsv": lambda d, r: write(d / "a.tsv", delimited(r)),
    "CSV, compressed": lambda d, r: write(d / "a.csv.gz", gzip.compress(delimited(r).encode())),
    "JSON lines": lambda d, r: write(d / "a.jsonl", json_lines(r)),
    "JSON lines under .json": lambda d, r: write(d / "a.json", json_lines(r)),
    "JSON lines with null": lambda d, r: write(d / "a.jsonl", json_lines(nulled(r))),
    "JSON lines with NaN": lambda d, r: write(
        d / "a.jsonl", json_lines(r).replace('"rationale": ""', '"rationale": NaN')
    ),
    "JSON lines, compressed": lambda d, r: write(
        d / "a.jsonl.gz", gzip.compress(json_lines(r).encode())
    ),
    "a JSON array": lambda d, r: write(d / "a.json", json.dumps(r)),
    "a JSON array, indented": lambda d, r: write(d / "a.json", json.dumps(r, indent=1)),
    "JSON of pandas": lambda d, r: write(d / "a.json", pd.DataFrame(r).to_json(orient="records")),
    "Parquet": lambda d, r: parquet(d / "a.parquet", r),
    "Parquet with null": lambda d, r: parquet(d / "a.parquet", nulled(r)),
    "Parquet with class names": lambda d, r: with_class_names(d / "a.parquet", r),
    "a folder of split files": lambda d, r: split_files(d / "s", r),
    "a folder of named split files": lambda d, r: split_files(d / "s", r, "notes_{}_v2.csv"),
    "folders of splits": lambda d, r: split_folders(d / "s", r),
    "a hub snapshot in shards": lambda d, r: snapshot(d / "s", r),
    "the data folder of one": lambda d, r: snapshot(d / "s", r) / "data",
    "shards of one table": lambda d, r: shards(d / "s", r),
    "a saved DatasetDict": lambda d, r: saved(d / "s", r),
    "a saved Dataset": lambda d, r: saved_whole(d / "s", r),
}


def load(path):
    return load_splits(DataRequest(str(path)))


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    return load(CONTAINERS["CSV"](tmp_path_factory.mktemp("right"), rows_of())).hash


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_same_rows_give_the_same_hash(tmp_path, right, name):
    splits = load(CONTAINERS[name](tmp_path, rows_of()))
    assert {split: len(rows) for split, rows in splits.items()} == SIZES
    assert splits.labels == ("yes", "no")
    assert splits.hash == right


TEXTS = st.text(
    alphabet=st.sampled_from([*string.printable.replace("\r", ""), *"éß…\u2028\u00a0中🙂"]),
    max_size=12,
).map(str.strip)
QUICK = [name for name in CONTAINERS if "saved" not in name and "class names" not in name]


@settings(
    deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(words=TEXTS)
def test_any_text_survives_every_container(tmp_path_factory, words):
    rows = rows_of(words)
    hashes = {
        name: load(CONTAINERS[name](tmp_path_factory.mktemp("any"), rows)).hash for name in QUICK
    }
    assert set(hashes.values()) == {hashes["CSV"]}, hashes


@pytest.mark.parametrize("words", [("NA", "None"), ("null", "nan"), ("007", "7a"), ("1.0", "2.0")])
def test_words_that_others_take_for_a_missing_value_or_a_number_are_labels(tmp_path, words):
    rows = rows_of(label_names=words)
    for name in ("CSV", "TSV", "CSV of Excel", "JSON lines", "a JSON array", "Parquet"):
        found = load(CONTAINERS[name](tmp_path / name.replace(" ", "-"), rows))
        assert found.labels == tuple(sorted(words))


def test_whole_floats_are_the_numbers_they_mean(tmp_path):
    rows = [{**row, "id": float(i), "label": float(i % 2)} for i, row in enumerate(rows_of())]
    splits = load(parquet(tmp_path / "a.parquet", rows))
    assert splits.labels == ("0", "1")
    assert splits.train[3].id == "3"


SAID = {
    "CSV of Excel": "a.csv: values are separated by ';', not ','",
    "tabs under .csv": "a.csv: values are separated by tab, not ','",
    "commas under .tsv": "a.tsv: values are separated by ',', not tab",
    "CSV with empty rows": "a.csv: 2 rows without a value are left out",
    "CSV with empty columns": "a.csv: 2 columns without a name are left out",
    "CSV of pandas": "a.csv: 1 column without a name is left out",
    "a hub snapshot in shards": "2 files: train-00000-of-00002.parquet to train-00001-of-00002",
}


@pytest.mark.parametrize("name", SAID)
def test_what_reading_changed_or_left_out_is_said(tmp_path, name):
    card = data_card(load(CONTAINERS[name](tmp_path, rows_of())))
    assert any(f"note: {SAID[name]}" in line for line in card_lines(card)), card_lines(card)


FAR = pyarrow.array([2**39], pyarrow.timestamp("s"))  # Python has no such year: it cannot be read
UNUSED = {
    "Parquet": (lambda d, t: pyarrow.parquet.write_table(t, d / "a.parquet"), "a.parquet"),
    "a saved Dataset": (lambda d, t: datasets.Dataset(t).save_to_disk(d / "s"), "s"),
    "Arrow": (
        lambda d, t: datasets.Dataset(t).save_to_disk(d / "s"),
        "s/data-00000-of-00001.arrow",
    ),
}


@pytest.mark.parametrize("name", UNUSED)
def test_only_the_columns_in_use_are_converted(tmp_path, name, monkeypatch):
    converted = []
    values = arrow_columns._values
    monkeypatch.setattr(arrow_columns, "_values", lambda c: converted.append(c) or values(c))
    table = pyarrow.Table.from_pylist(rows_of())
    for number in range(50):
        table = table.append_column(f"x{number}", pyarrow.repeat(FAR[0], len(table)))
    make, place = UNUSED[name]
    make(tmp_path, table)
    splits = load(tmp_path / place)
    assert splits.use.unused == tuple(f"x{number}" for number in range(50))
    assert splits.use.filled["context"] == len(table)
    assert len(converted) == len(rows_of()[0])
