"""Tables as strangers have them: each is read right, or refused in one line with the remedy."""

import datetime
import gzip
import json
from decimal import Decimal

import datasets
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from r2d_ray.data.card import card_lines, data_card
from r2d_ray.data.columns import parse_columns
from r2d_ray.data.location import DataRequest
from r2d_ray.data.sources import load_splits
from r2d_ray.errors import UserError

ROWS = [
    {
        "id": f"n{i}",
        "question": f"Is it {i}?",
        "context": f"It was {i} and more.",
        "label": ("no", "yes")[i % 2],
    }
    for i in range(40)
]
SIZES = {"train": 28, "validation": 6, "test": 6}


def changed(**cells):
    return [
        {**row, **{name: cell(i) if callable(cell) else cell for name, cell in cells.items()}}
        for i, row in enumerate(ROWS)
    ]


def csv_of(rows=ROWS, **more):
    return pd.DataFrame(rows).to_csv(index=False, **more)


def lines(rows=ROWS):
    return "".join(json.dumps(row) + "\n" for row in rows)


def parquet(rows):
    out = pyarrow.BufferOutputStream()
    table = rows if isinstance(rows, pyarrow.Table) else pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, out)
    return out.getvalue().to_pybytes()


def typed(make):
    return parquet(pyarrow.table({name: make([row[name] for row in ROWS]) for name in ROWS[0]}))


def labelled(values):
    table = pyarrow.Table.from_pylist(ROWS)
    return parquet(table.set_column(3, "label", pyarrow.array(values)))


def class_numbers(numbers):
    table = datasets.Dataset.from_list(changed(label=numbers))
    table = table.cast_column("label", datasets.ClassLabel(names=["no", "yes"]))
    return parquet(table.data.table.replace_schema_metadata(table.features.arrow_schema.metadata))


def write(folder, files):
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / next(iter(files)) if len(files) == 1 else folder


def load(path, columns=""):
    return load_splits(DataRequest(str(path), columns=parse_columns(columns)))


PACKED = gzip.compress(csv_of().encode())
HEAD, *BODY = csv_of().splitlines()
HALF = {"train": ROWS[:20], "test": ROWS[20:]}
OPTIONS = [
    {
        "question": f"Which sign is it, {i}?",
        "options": {"A": f"w{i}", "B": f"x{i}", "C": f"y{i}", "D": f"z{i}"},
        "answer": f"{'wxyz'[i % 4]}{i}",
        "answer_idx": "ABCD"[i % 4],
        "meta_info": "step1",
        "number": i % 4,
    }
    for i in range(40)
]


def options(make):
    return [{**row, "options": make(row["options"], i)} for i, row in enumerate(OPTIONS)]


READ = {
    "shards of several containers": {
        "train-00000-of-00002.parquet": parquet(ROWS[:20]),
        "train-00001-of-00002.csv": csv_of(ROWS[20:]),
    },
    "semicolons, compressed": {"a.csv.gz": gzip.compress(csv_of(sep=";").encode())},
    "a byte-order mark, compressed": {"a.csv.gz": gzip.compress(csv_of().encode("utf-8-sig"))},
    "two compressed members": {
        "a.csv.gz": b"".join(
            gzip.compress(part.encode()) for part in (csv_of()[:99], csv_of()[99:])
        )
    },
    "an array with a byte-order mark": {"a.json": json.dumps(ROWS).encode("utf-8-sig")},
    "carriage returns alone": {"a.csv": csv_of().replace("\n", "\r")},
    "a column without a name in the middle": {
        "a.csv": csv_of([{"": "z", **row} for row in ROWS], columns=["id", "", *list(ROWS[0])[1:]])
    },
    "rows of spaces": {"a.csv": csv_of() + " ,\t, ,  \n" * 3},
    "lines of spaces": {"a.jsonl": lines() + lines([{"id": " ", "label": ""}])},
    "Unnamed: 0": {"a.csv": csv_of([{"Unnamed: 0": i, **row} for i, row in enumerate(ROWS)])},
    "files that hold no rows": {
        "train.csv": csv_of(ROWS),
        **dict.fromkeys(("README.md", ".gitattributes", "LICENSE", "LICENSE.txt"), "words"),
        "dataset_infos.json": "{}",
        "._train.csv": b"\0\5\x16\7",
        ".cache/x.csv": "x",
    },
    "a folder of macOS beside the data": {
        "data/train.csv": csv_of(),
        "__MACOSX/data/._train.csv": b"\0\5\x16\7",
        "__MACOSX/x.csv": "x",
    },
    "dictionaries": {"a.parquet": typed(lambda cells: pyarrow.array(cells).dictionary_encode())},
    "large strings": {"a.parquet": typed(lambda cells: pyarrow.array(cells, "large_string"))},
    "string views": {"a.parquet": typed(lambda cells: pyarrow.array(cells, "string_view"))},
}


@pytest.mark.parametrize("case", READ)
def test_read_as_the_plain_table(tmp_path, case):
    plain = load(write(tmp_path / "plain", {"a.csv": csv_of()}))
    found = load(write(tmp_path / "case", READ[case]))
    assert {split: len(rows) for split, rows in found.items()} == SIZES
    assert found.hash == plain.hash


LABELS = {
    "truth values": (lines(changed(label=lambda i: i % 2 == 0)), ("false", "true")),
    "whole numbers": (lines(changed(label=lambda i: i % 2)), ("0", "1")),
    "numbers and their texts": (
        lines(changed(label=lambda i: (1, "1", 0, "0")[i % 4])),
        ("0", "1"),
    ),
    "whole floats": (lines(changed(label=lambda i: (1.0, 1, 0.0, 0)[i % 4])), ("0", "1")),
    "whole decimals": (labelled([Decimal(f"{i % 2}.00") for i in range(40)]), ("0", "1")),
    "class numbers": (class_numbers(lambda i: i % 2), ("yes", "no")),
    "other signs": (
        csv_of(changed(label=lambda i: ("heart, attack", "a | b", "🚑 now", "طارئ")[i % 4])),
        ("a | b", "heart, attack", "طارئ", "🚑 now"),
    ),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels(tmp_path, case):
    content, labels = LABELS[case]
    kind = "parquet" if isinstance(content, bytes) else "jsonl" if content[0] == "{" else "csv"
    assert load(write(tmp_path, {f"a.{kind}": content})).labels == labels


ANSWERS = {
    "MedQA, texts": (OPTIONS, "label=answer"),
    "MedQA, letters": (OPTIONS, "label=answer_idx"),
    "pairs": (
        options(lambda own, i: [{"key": k, "value": v} for k, v in own.items()]),
        "label=answer_idx",
    ),
    "MMLU": (options(lambda own, i: list(own.values())), "label=number"),
    "ARC": (
        options(lambda own, i: {"text": list(own.values()), "label": list(own)}),
        "label=answer_idx",
    ),
    "ARC, letters and digits": (
        [
            {**row, "key": row["answer_idx"] if i % 3 else str("ABCD".index(row["answer_idx"]) + 1)}
            for i, row in enumerate(
                options(
                    lambda own, i: {
                        "text": list(own.values()),
                        "label": list(own) if i % 3 else list("1234"),
                    }
                )
            )
        ],
        "label=key",
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_answers_are_the_texts_of_their_options(tmp_path, case, kind):
    rows, columns = ANSWERS[case]
    content = parquet(rows) if kind == "parquet" else lines(rows)
    splits = load(write(tmp_path, {f"a.{kind}": content}), f"choices=options,{columns}")
    right = {row["question"]: row["answer"] for row in OPTIONS}
    read = [row for _, part in splits.items() for row in part]
    assert {row.question: row.label for row in read} == right
    assert all(len(row.choices) == 4 for row in read)


ONE_OBJECT = "a.json: one JSON object, expected an array of objects or one object per line (pandas"
TABLE = pd.DataFrame(ROWS)
SCIQ = [
    {"question": row["question"], "label": f"d{i}", **{f"distractor{n}": f"{n}" for n in (1, 2, 3)}}
    for i, row in enumerate(ROWS)
]

REFUSED = {
    "several configurations": (
        {f"{name}/{split}.csv": csv_of(rows) for name in "ab" for split, rows in HALF.items()},
        "tables in the folders a, b; name one of them)",
    ),
    "a missing part": (
        {f"train-0000{i}-of-00003.parquet": parquet(ROWS[i::2]) for i in range(2)},
        ": train-00002-of-00003.parquet is missing (2 of 3 parts are here)",
    ),
    "a part twice": (
        {f"train-00000-of-00002.{kind}": csv_of() for kind in ("csv", "tsv")},
        "both train-00000-of-00002.csv and train-00000-of-00002.tsv are the same part of a table",
    ),
    "two validation sets": (
        {f"{split}-00000-of-00001.csv": csv_of() for split in ("dev", "test", "validation")},
        "both dev-00000-of-00001.csv and validation-00000-of-00001.csv are validation sets",
    ),
    "half a compressed file": ({"a.csv.gz": PACKED[:-20]}, "a.csv.gz: not a whole gzip file ("),
    "a damaged compressed file": (
        {"a.csv.gz": PACKED[:40] + b"x" * 20 + PACKED[60:]},
        "a.csv.gz: not a whole gzip file (",
    ),
    "text under .gz": ({"a.csv.gz": csv_of()}, "a.csv.gz: not a whole gzip file ("),
    "nothing, compressed": ({"a.csv.gz": gzip.compress(b"")}, "a.csv.gz: the file is empty"),
    "compressed under .csv": ({"a.csv": PACKED}, "a.csv: the file is compressed (allowed if its"),
    "UTF-16": (
        {"a.csv": csv_of().encode("utf-16")},
        "a.csv: the file is UTF-16 (save it as UTF-8)",
    ),
    "UTF-16 without a mark": (
        {"a.csv": csv_of().encode("utf-16-le")},
        "a.csv:1: NUL signs in the header: is the file UTF-16? (save it as UTF-8)",
    ),
    "a split of another name": (
        {"a.csv": csv_of(changed(split="holdout"))},
        "a.csv:2: column 'split' is 'holdout' (allowed: dev, test, train, training, val, valid",
    ),
    "a name twice": ({"a.csv": "id,x,x\n1,2,3\n"}, "a.csv:1: column name 'x' appears twice"),
    "names in another letter case": (
        {"a.csv": csv_of().replace(HEAD, HEAD.upper())},
        "name it with --columns question=QUESTION)",
    ),
    "names with spaces": (
        {"a.csv": csv_of().replace(HEAD, HEAD.replace(",", ", "))},
        'name it with --columns question=" question")',
    ),
    "JSON of pandas, by column": ({"a.json": TABLE.to_json()}, ONE_OBJECT),
    "JSON of pandas, by row": ({"a.json": TABLE.to_json(orient="index")}, ONE_OBJECT),
    "JSON of pandas, split": ({"a.json": TABLE.to_json(orient="split")}, ONE_OBJECT),
    "JSON of pandas, a table": ({"a.json": TABLE.to_json(orient="table")}, ONE_OBJECT),
    "JSON of pandas, indented": ({"a.json": TABLE.to_json(indent=1)}, ONE_OBJECT),
    "an object with data": ({"a.json": json.dumps({"data": ROWS})}, ONE_OBJECT),
    "JSON of pandas, values": (
        {"a.json": TABLE.to_json(orient="values")},
        "a.json: row 1: type list, expected an array of objects",
    ),
    "a list as a question": (
        {"a.jsonl": lines(changed(question=["Is it?"]))},
        "a.jsonl:1: column 'question' is of type list, expected text",
    ),
    "objects as a context": (
        {"a.parquet": parquet(changed(context=[{"text": "It was."}]))},
        "a.parquet: row 1: column 'context' is of type list, expected text",
    ),
    "one truth value, two spellings": (
        {"a.jsonl": lines(changed(label=lambda i: (True, "True", False)[i % 3]))},
        "labels 'True' (13 rows) and 'true' (14 rows) differ in spelling only",
    ),
    "days as labels": (
        {"a.parquet": labelled([datetime.date(2020, 1, 1)] * 40)},
        "a.parquet: row 1: column 'label' is of type date, expected text",
    ),
    "a hidden class": (
        {"a.parquet": class_numbers(lambda i: -1 if i == 5 else i % 2)},
        "a.parquet: row 6: column 'label' is empty",
    ),
    "objects in a CSV of pandas": (
        {"a.csv": csv_of(changed(choices=lambda i: {"A": "no", "B": "yes"}))},
        "a.csv:2: column 'choices': not JSON at column 2",
    ),
    "wrong options in columns of their own": (
        {"a.parquet": parquet(SCIQ)},
        "a.parquet: distractor1, distractor2, distractor3 are wrong options (write all options",
    ),
    "several tables": (
        {"notes.csv": csv_of(), "package.json": "{}"},
        "expected train, validation and test files or exactly one table (found: notes.csv, package",
    ),
    "one row": ({"a.csv": csv_of(ROWS[:1])}, "the validation split has no rows"),
    "a header alone": ({"a.csv": HEAD + "\n"}, "a.csv: a header but no rows"),
    "a Parquet file without rows": (
        {"a.parquet": parquet(pyarrow.Table.from_pylist(ROWS)[:0])},
        "a.parquet: no rows",
    ),
    "no bytes": ({"a.csv": ""}, "a.csv: the file is empty"),
    "no bytes of Parquet": ({"a.parquet": ""}, "a.parquet: not a Parquet file: "),
    "a workbook": (
        {"a.xlsx": "PK"},
        "a.xlsx: not a table file (allowed: a file that ends in .jsonl",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(tmp_path, case):
    files, said = REFUSED[case]
    path = write(tmp_path, files)
    with pytest.raises(UserError) as error:
        load(path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_splits_in_other_spellings(tmp_path):
    words = ["Train", "TEST", " dev ", "training"]
    rows = changed(split=lambda i: words[i % 4], label=lambda i: ("no", "yes")[i // 4 % 2])
    splits = load(write(tmp_path, {"a.csv": csv_of(rows)}))
    assert {name: len(part) for name, part in splits.items()} == {
        "train": 20,
        "validation": 10,
        "test": 10,
    }


def test_ids_that_restart_and_ids_that_are_missing(tmp_path):
    files = {
        "train.csv": csv_of(changed(id=lambda i: str(i) if i % 2 else "")),
        "test.csv": csv_of([{"question": f"And {i}?", "label": "yes"} for i in range(4)]),
        "dev.csv": csv_of([{"id": i, "question": f"Or {i}?", "label": "no"} for i in range(4)]),
    }
    splits = load(write(tmp_path, files))
    assert [row.id for row in splits.train[:3]] == ["train-train-1", "train-1", "train-train-3"]
    assert [row.id for row in splits.validation] == [f"validation-{i}" for i in range(4)]
    assert len({row.id for _, part in splits.items() for row in part}) == 48
    said = "\n".join(card_lines(data_card(splits)))
    assert "note: ids in several splits: 2 (every id has its split's name before it)" in said


def test_links_are_followed_and_a_broken_one_is_named(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "train.csv").symlink_to(write(tmp_path, {"blobs/a1b2": csv_of()}))
    assert len(load(tmp_path / "s").train) == SIZES["train"]
    (tmp_path / "s" / "test.csv").symlink_to(tmp_path / "gone")
    for path in (tmp_path / "s", tmp_path / "s" / "test.csv"):
        with pytest.raises(UserError, match=r"test\.csv: a link to .*gone, which is not there"):
            load(path)


@pytest.mark.parametrize("name", ["note.csv", "notes.cvs", "notes.json"])
def test_a_near_name_is_suggested(tmp_path, name):
    write(tmp_path, {"notes.csv" if "c" in name[-4:] else "notes.jsonl": csv_of()})
    with pytest.raises(UserError, match=r"no such file or folder; did you mean '.*notes\.\w+'\?"):
        load(tmp_path / name)


def official(named):
    if named == "bioasq":
        return {
            "questions": [
                {
                    "id": f"q{i}",
                    "type": "yesno",
                    "body": f"Is it {i}?",
                    "exact_answer": ("yes", "no")[i % 2],
                    "ideal_answer": ["So it is."],
                    "snippets": [{"text": f"It {i}.", "document": f"http://x/{i}"}],
                }
                for i in range(40)
            ]
        }
    return {
        str(i): {
            "QUESTION": f"Is it {i}?",
            "CONTEXTS": [f"It was {i}."],
            "final_decision": ("yes", "no", "maybe")[i % 3],
        }
        for i in range(40)
    }


@pytest.mark.parametrize(("named", "name"), [("bioasq", "all.json"), ("pubmedqa", "ori_pqal.json")])
@pytest.mark.parametrize("folder", [False, True])
def test_official_files_may_be_compressed(tmp_path, named, name, folder):
    text = json.dumps(official(named))
    plain = write(tmp_path / "plain", {name: text})
    packed = write(tmp_path / "packed", {f"{name}.gz": gzip.compress(text.encode())})
    found = [
        load_splits(DataRequest(named, data=file.parent if folder else file)).hash
        for file in (plain, packed)
    ]
    assert found[0] == found[1]
