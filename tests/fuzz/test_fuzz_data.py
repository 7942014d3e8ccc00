"""Data files and `--columns`: every file is read right or refused in one line, and left alone."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest
from fuzz_cases import cases, files, harmless, sandbox
from hypothesis import given
from hypothesis import strategies as st

import r2d_ray.search.run  # noqa: F401  heavy: imported here rather than by the first case
from r2d_ray.data.columns import parse_columns, table_rows
from r2d_ray.data.location import DataRequest
from r2d_ray.data.reading.formats import ARROW_READERS, ENDINGS
from r2d_ray.data.reading.spellings import near_key
from r2d_ray.data.reading.targets import TARGETS
from r2d_ray.data.sources import load_splits
from r2d_ray.data.tables import read_parts
from r2d_ray.errors import EXIT_BAD_INPUT, EXIT_DONE, UserError
from r2d_ray.tune import main as tune_main

Row = dict[str, Any]

HOSTILE_TEXT = st.sampled_from(
    [
        "../../etc/passwd",
        "/",
        "C:\\x",
        "=cmd()",
        "\x1b[2J",
        "a\u2028b",
        "a\x85b",
        "\x0b\x0c",
        "\u202eabc",
        "a,b;c|d\te",
        'say "yes"',
        "'",
        "\ufeffx",
        "é",
        "😀",
        "\x00",
        "x" * 3000,
        "{}",
        "[bold red]x[/]",
        "%s %n {0}",
        "NaN",
        "null",
        "-1",
        "# no comment",
    ]
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | HOSTILE_TEXT
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | TEXT
    | st.sampled_from(["\ud800", "\udfff x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
LINE_ENDS = st.sampled_from(["\n", "\r\n"])
BOM = st.sampled_from(["", "\ufeff"])
SUFFIX = st.sampled_from(sorted(ENDINGS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with sandbox(tmp_path_factory.mktemp("data")) as place:
        yield place


@st.composite
def good_rows(draw: st.DrawFn) -> list[Row]:
    """Rows that can be trained on, however odd their texts are."""
    own = TEXT.filter(label_like)  # that no two are one to a reader is a rule of its own
    labels = draw(st.lists(own, min_size=2, max_size=3, unique_by=near_key))
    odd = draw(st.lists(TEXT, min_size=4, max_size=4))
    sizes = {"train": 8, "validation": 3, "test": 3}
    rows = []
    for split, size in sizes.items():
        for i in range(size):
            rows.append(
                {
                    "id": f"{split} {i} {odd[0]}",
                    "question": f"Is it {split} {i}? {odd[1]}",
                    "context": f"It was {i}. {odd[2]}",
                    "label": labels[i % len(labels)],
                    "rationale": f"So said {i}. {odd[3]}",
                    "split": split,
                }
            )
    return rows


def label_like(text: str) -> bool:
    return text == " ".join(text.split()) != "" and near_key(text) != ""


def as_text(rows: Sequence[Mapping[str, Any]], suffix: str, end: str, bom: str, last: str) -> bytes:
    kind = suffix.removesuffix(".gz")
    if kind in (".csv", ".tsv"):
        names = list(dict.fromkeys(name for row in rows for name in row))
        out = io.StringIO(newline="")
        separator = "\t" if kind == ".tsv" else ","
        writer = csv.DictWriter(
            out, names, restval="", extrasaction="ignore", delimiter=separator, lineterminator=end
        )
        writer.writeheader()
        writer.writerows(rows)
        text = out.getvalue()
    else:
        text = end.join(json.dumps(row) for row in rows) + end
    data = (bom + text.removesuffix(end) + last).encode(errors="surrogatepass")
    return gzip.compress(data) if suffix.endswith(".gz") else data


def write(folder: Path, suffix: str, content: bytes) -> Path:
    path = folder / f"fuzz{suffix}"
    path.write_bytes(content)
    return path


def in_arrow(rows: Sequence[Mapping[str, Any]], suffix: str) -> bytes:
    out = io.BytesIO()
    table = pyarrow.Table.from_pylist([dict(row) for row in rows])
    if suffix == ".parquet":
        pyarrow.parquet.write_table(table, out)
    else:
        with pyarrow.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
    return out.getvalue()


def command(path: Path, *more: str) -> list[str]:
    given = ["--dataset", str(path), "--profile", "embedded", "--verbosity", "quiet", "--dry-run"]
    return [*given, *more]


@cases(share=30)
@given(rows=good_rows(), suffix=SUFFIX, end=LINE_ENDS, bom=BOM, last=st.sampled_from(["", "\n"]))
def test_odd_texts_are_read_as_they_are(
    folder: Path, rows: list[Row], suffix: str, end: str, bom: str, last: str
) -> None:
    binary = suffix in ARROW_READERS
    content = in_arrow(rows, suffix) if binary else as_text(rows, suffix, end, bom, last)
    path = write(folder, suffix, content)
    done = harmless(tune_main, command(path), folder)
    assert done.code == EXIT_DONE
    splits = load_splits(DataRequest(str(path)))
    read = {row.id: row for _, part in splits.items() for row in part}
    assert len(read) == len(rows)
    for row in rows:
        found = read[" ".join(row["id"].split())]
        assert found.question == row["question"].strip()
        assert found.context == row["context"].strip()
        assert found.label == row["label"]
        assert found.rationales == {"human": row["rationale"].strip()}


@cases(share=25)
@given(rows=good_rows(), suffix=SUFFIX, data=st.data())
def test_damaged_rows_are_read_or_refused(
    folder: Path, rows: list[Row], suffix: str, data: st.DataObject
) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        row = data.draw(st.sampled_from(rows))
        name = data.draw(st.sampled_from([*rows[0], "choices", "rationales", "group", "", "a.b"]))
        if data.draw(st.booleans()):
            row.pop(name, None)
        else:
            row[name] = data.draw(ANYTHING)
    if data.draw(st.booleans()):
        rows.append(dict(rows[0]))
    if suffix in ARROW_READERS:
        try:
            content = in_arrow(rows, suffix)
        except (pyarrow.ArrowException, TypeError, ValueError, OverflowError):
            return  # Parquet has no such column
    else:
        content = as_text(rows, suffix, "\n", "", "\n")
    assert_read_or_refused(folder, write(folder, suffix, content))


@cases(share=25)
@given(rows=good_rows(), suffix=SUFFIX, data=st.data())
def test_damaged_bytes_are_read_or_refused(
    folder: Path, rows: list[Row], suffix: str, data: st.DataObject
) -> None:
    binary = suffix in ARROW_READERS
    content = bytearray(in_arrow(rows, suffix) if binary else as_text(rows, suffix, "\n", "", "\n"))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(content)))
        cut = data.draw(st.integers(0, 3))
        content[place : place + cut] = data.draw(st.binary(max_size=3) | JUNK)
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    assert_read_or_refused(folder, write(folder, suffix, bytes(content)))


JUNK = st.sampled_from(
    [
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r",
        b"\n\n",
        b'"',
        b"[" * 3000,
        b'{"a":' * 3000,
        b"9" * 5000,
        b"1e999",
        b'"label": "x", "label": "y", ',
        b"\\ud800",
        b"\xed\xa0\x80",
        b"NaN",
    ]
)


def assert_read_or_refused(folder: Path, path: Path) -> None:
    done = harmless(tune_main, command(path), folder)
    if done.code == EXIT_BAD_INPUT:
        assert path.name in done.err or path.stem in done.err or "row" in done.err
        return
    splits = load_splits(DataRequest(str(path)))
    rows = [row for _, part in splits.items() for row in part]
    assert len({row.id for row in rows}) == len(rows)
    assert all(row.question and row.label in (row.choices or splits.labels) for row in rows)
    assert all(type(text) is str for row in rows for text in row.rationales.values())


@cases(share=10)
@given(rows=good_rows(), suffix=SUFFIX, data=st.data())
def test_rows_to_predict_are_read_or_refused_in_one_line(
    folder: Path, rows: list[Row], suffix: str, data: st.DataObject
) -> None:
    for row in rows:
        del row["label"]
        row[data.draw(st.sampled_from(["question", "id", "choices", "x"]))] = data.draw(ANYTHING)
    try:
        binary = suffix in ARROW_READERS
        content = in_arrow(rows, suffix) if binary else as_text(rows, suffix, "\n", "", "")
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError):
        return
    path = write(folder, suffix, content)
    before = files(folder)
    try:
        read = table_rows(read_parts(path), {}, labelled=False).rows
    except UserError as error:
        said = str(error)
    else:
        said = f"{path.name}: {len(read)} of {len(rows)}"
        assert len(read) == len(rows)
    assert "\n" not in said
    assert path.name in said
    assert files(folder) == before


COLUMN = st.sampled_from([*TARGETS, "rationale.human", "rationale.*", "rationale.", "x", "", " "])
PAIRS = st.lists(st.tuples(COLUMN, COLUMN | TEXT), max_size=4).map(
    lambda pairs: ",".join(f"{target}={column}" for target, column in pairs)
)


@cases(share=20)
@given(text=PAIRS | st.text(st.characters(exclude_characters="\x00"), min_size=1, max_size=30))
def test_any_columns_are_used_or_refused(folder: Path, text: str) -> None:
    splits = ["train"] * 8 + ["validation"] * 3 + ["test"] * 3
    rows = [
        {
            "id": str(i),
            "question": f"Is {i}?",
            "context": f"It is {i}.",
            "label": ("yes", "no")[i % 2],
            "rationale": "So.",
            "split": split,
        }
        for i, split in enumerate(splits)
    ]
    path = write(folder, ".jsonl", as_text(rows, ".jsonl", "\n", "", "\n"))
    done = harmless(tune_main, command(path, f"--columns={text}"), folder)
    if done.code == EXIT_DONE:
        named = parse_columns(text)
        read = load_splits(DataRequest(str(path), columns=named)).train[0]
        question, label = (named.get(name, name) for name in ("question", "label"))
        assert (read.question, read.label) in {(row.get(question), row.get(label)) for row in rows}
