"""Tables: JSONL, CSV, Parquet, folders and hub sets, their columns, and what is refused how."""

import json
from decimal import Decimal

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2d_ray.data.columns import parse_columns, table_rows
from r2d_ray.data.reading.cells import text_of
from r2d_ray.data.reading.formats import ENDINGS, read_records
from r2d_ray.data.tables import hub_parts, read_parts
from r2d_ray.errors import UserError

ROW = {"id": "a", "question": "Q?", "context": "C.", "label": "yes", "rationale": "R."}
CSV_HEAD = "id,question,context,label,rationale\n"


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def jsonl(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(path, columns=""):
    return table_rows(read_parts(path), parse_columns(columns))


def write_parquet(path, rows):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def test_one_set_written_in_three_formats_reads_the_same(tmp_path):
    other = {**ROW, "id": "b", "question": 'A "quoted", comma?', "context": "two\nlines"}
    rows = [ROW, other]
    quoted = [",".join('"' + v.replace('"', '""') + '"' for v in r.values()) for r in rows]
    files = [
        write(tmp_path, "a.jsonl", jsonl(*rows)),
        write(tmp_path, "a.csv", CSV_HEAD + "\n".join(quoted)),
        write_parquet(tmp_path / "a.parquet", rows),
    ]
    first, second, third = (read(file).rows for file in files)
    assert first == second == third
    assert first[1].context == "two\nlines"
    assert (first[0].group, first[0].rationales, first[0].choices) == ("a", {"human": "R."}, None)


ACCEPTED = {
    "byte-order mark, JSONL": ("a.jsonl", b"\xef\xbb\xbf" + jsonl(ROW).encode()),
    "byte-order mark, CSV": ("a.csv", b"\xef\xbb\xbf" + CSV_HEAD.encode() + b"a,Q?,C.,yes,R.\n"),
    "CRLF, JSONL": ("a.jsonl", jsonl(ROW).replace("\n", "\r\n")),
    "CRLF, CSV": ("a.csv", (CSV_HEAD + "a,Q?,C.,yes,R.\n").replace("\n", "\r\n")),
    "no newline at the end": ("a.jsonl", jsonl(ROW).rstrip()),
    "blank lines": ("a.jsonl", "\n" + jsonl(ROW) + "\n\n"),
    "outer spaces": ("a.jsonl", jsonl({**ROW, "question": " Q? ", "label": " yes\t"})),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(tmp_path, case):
    (row,) = read(write(tmp_path, *ACCEPTED[case])).rows
    assert (row.id, row.question, row.context, row.label) == ("a", "Q?", "C.", "yes")
    assert row.rationales == {"human": "R."}


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_a_line_of_10_mb_is_read_whole(tmp_path, name):
    context = "word " * 2_000_000
    row = {**ROW, "context": context}
    text = jsonl(row) if name == "a.jsonl" else CSV_HEAD + ",".join(row.values())
    assert read(write(tmp_path, name, text)).rows[0].context == context.strip()


def test_a_line_separator_inside_a_text_is_no_line_end(tmp_path):
    row = {**ROW, "context": "one\u2028two\u0085three"}
    text = json.dumps(row, ensure_ascii=False)
    assert read(write(tmp_path, "a.jsonl", text)).rows[0].context == row["context"]


REFUSED = {
    "empty": ("a.jsonl", "", ": the file is empty"),
    "only spaces": ("a.csv", " \n", ": the file is empty"),
    "only a header": ("a.csv", CSV_HEAD, ": a header but no row"),
    "unknown suffix": ("a.txt", "x", ": not a table file (allowed: a file that ends in .jsonl"),
    "not UTF-8": (
        "a.jsonl",
        jsonl(ROW).encode() + b'{"question": "caf\xe9"}\n',
        ":2: byte 0xe9 is not UTF-8",
    ),
    "not UTF-8, CSV": ("a.csv", CSV_HEAD.encode() + b"a,b\xff,c,d,e\n", ":2: byte 0xff is not"),
    "not JSON": ("a.jsonl", jsonl(ROW) + '{"id": 1,\n', ":2: not JSON at column 10: Expecting"),
    "a list": ("a.jsonl", jsonl(ROW) + "[1]\n", ":2: type list, expected one JSON object per line"),
    "nested too deeply": ("a.jsonl", "[" * 100_000, ":1: not usable JSON: "),
    "a number of 5,000 digits": ("a.jsonl", '{"id": ' + "1" * 5000 + "}", ":1: not usable JSON: "),
    "half a surrogate pair": (
        "a.jsonl",
        '{"question": "\\ud800", "label": "yes"}',
        ":1: half of a surrogate pair is not text",
    ),
    "missing column": (
        "a.jsonl",
        jsonl(ROW, {"id": "b", "label": "no"}),
        ":2: no column 'question' (columns: id, label)",
    ),
    "missing column, CSV": (
        "a.csv",
        "text,label\nx,y\n",
        ":1: no column 'question' (columns: text, label; name it with --columns question=COLUMN)",
    ),
    "missing label": (
        "a.jsonl",
        jsonl({"question": "Q?"}),
        ": no column 'label' (columns: question; name it with --columns label=COLUMN)",
    ),
    "wrong type": (
        "a.jsonl",
        jsonl(ROW, {**ROW, "id": "b", "question": {"text": "Q?"}}),
        ":2: column 'question' is of type dict, expected text (a member is named with a dot: text)",
    ),
    "null question": (
        "a.jsonl",
        jsonl({**ROW, "question": None}),
        ":1: column 'question' is empty",
    ),
    "label of a wrong type": (
        "a.jsonl",
        jsonl({**ROW, "label": 1e17}),
        ":1: column 'label' is of type float, expected text (1e+17 has more digits than are exact",
    ),
    "rationale of a wrong type": (
        "a.jsonl",
        jsonl({**ROW, "rationale": ["R."]}),
        ":1: column 'rationale' is of type list, expected text (join its parts to one text)",
    ),
    "empty question": (
        "a.jsonl",
        jsonl({**ROW, "question": " "}),
        ":1: column 'question' is empty",
    ),
    "empty label": ("a.csv", CSV_HEAD + "a,Q?,C.,,R.\n", ":2: column 'label' is empty"),
    "repeated id": ("a.jsonl", jsonl(ROW, ROW), ":2: id 'a' was already used at "),
    "too few values": ("a.csv", CSV_HEAD + "a,b\n", ":2: 2 values, but the header has 5 columns"),
    "repeated column": (
        "a.csv",
        "label,label\nx,y\n",
        ":1: column name 'label' appears twice",
    ),
    "open quote": (
        "a.csv",
        CSV_HEAD + 'a,"b,c,d,e\n',
        ":2: not CSV: a quote is opened and never closed",
    ),
    "no Parquet": ("a.parquet", "PAR1 it is not", ": not a Parquet file: "),
    "label outside the choices": (
        "a.jsonl",
        jsonl({**ROW, "choices": ["no", "maybe"]}),
        ":1: column 'label': label 'yes' is not one of no, maybe",
    ),
    "choices in some rows only": (
        "a.jsonl",
        jsonl({**ROW, "choices": "yes|no"}, {**ROW, "id": "b"}),
        ":2: column 'choices' needs at least two options, as a list, as a|b|c or as an object",
    ),
    "an empty option": (
        "a.jsonl",
        jsonl({**ROW, "choices": ["yes", ""]}),
        ":1: column 'choices' has an empty option",
    ),
    "unknown split": (
        "a.jsonl",
        jsonl({**ROW, "split": "holdout"}),
        ":1: column 'split' is 'holdout' (allowed: dev, test, train",
    ),
    "hostile source name": (
        "a.jsonl",
        jsonl({**ROW, "rationale": {"../../x": "R."}}),
        ":1: rationale source '../../x' (allowed: up to 64 letters",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_file_line_and_column(tmp_path, case):
    name, content, message = REFUSED[case]
    path = write(tmp_path, name, content)
    with pytest.raises(UserError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}{message}")
    assert "\n" not in str(error.value)


FAR = {
    "a day in the far past": pyarrow.array([-(2**30)], pyarrow.date32()),
    "a year of five digits": pyarrow.array([2**39], pyarrow.timestamp("s")),
    "a duration of an age": pyarrow.array([2**62], pyarrow.duration("s")),
}


@pytest.mark.parametrize("case", FAR)
def test_parquet_values_that_python_has_not_matter_where_they_are_used(tmp_path, case):
    path = tmp_path / "x.parquet"
    columns = {"question": ["Is it?"], "label": ["yes"], "when": FAR[case]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    (row,) = read(path).rows
    assert (row.question, row.label) == ("Is it?", "yes")
    assert read(path).use.unused == ("when",)


def test_a_parquet_value_that_python_has_not_is_refused_as_a_text(tmp_path):
    path = tmp_path / "x.parquet"
    inside = pyarrow.StructArray.from_arrays([FAR["a year of five digits"]], names=["when"])
    columns = {"question": ["Is it?"], "label": ["yes"], "context": inside}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    with pytest.raises(UserError, match="row 1: column 'context' is of type Unreadable"):
        read(path)


def test_a_column_or_key_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    columns = [pyarrow.array([text]) for text in ("Is it?", "yes", "no")]
    names = ["question", "label", "label"]
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(columns, names=names), path)
    with pytest.raises(UserError, match="column name 'label' appears twice"):
        read(path)
    path = tmp_path / "x.jsonl"
    path.write_text('{"question": "Is it?", "label": "yes", "label": "no"}')
    with pytest.raises(UserError, match=r"x\.jsonl:1: .*key 'label' appears twice"):
        read(path)


def test_the_line_of_a_csv_row_counts_the_lines_inside_its_values(tmp_path):
    path = write(tmp_path, "a.csv", CSV_HEAD + 'a,"Q\n?",C.,yes,R.\n\nb,,C.,no,R.\n')
    with pytest.raises(UserError, match=r"a\.csv:5: column 'question' is empty"):
        read(path)


def test_an_empty_rationale_is_an_absent_source(tmp_path):
    empty = {**ROW, "id": "b", "rationale": " "}
    null = {**ROW, "id": "c", "rationale": None}
    rows = read(write(tmp_path, "a.jsonl", jsonl(ROW, empty, null))).rows
    assert [row.rationales for row in rows] == [{"human": "R."}, {}, {}]


def test_ids_are_counted_where_there_is_no_column_and_numbers_become_text(tmp_path):
    rows = read(write(tmp_path, "a.csv", "question,label\nQ1,1\nQ2,2\n")).rows
    assert [row.id for row in rows] == ["row-1", "row-2"]
    typed = [{"id": 7, "group": 3, "question": "Q?", "label": True}]
    (row,) = read(write_parquet(tmp_path / "a.parquet", typed)).rows
    assert (row.id, row.group, row.label) == ("7", "3", "true")


CHOICES = {
    "a list": ["no pain", "pain"],
    "bars": "no pain| pain",
    "JSON": '["no pain", "pain"]',
    "inner spaces": "no  pain|pain",
}


@pytest.mark.parametrize("case", CHOICES)
def test_choices(tmp_path, case):
    row = {**ROW, "label": "no pain", "options": CHOICES[case]}
    path = write(tmp_path, "a.jsonl", jsonl(row))
    assert read(path, "choices=options").rows[0].choices == ("no pain", "pain")


RATIONALES = {
    "an object, found by its name": ({"rationales": {"human": "H", "llm": "L"}}, ""),
    "flat columns, found by their name": ({"rationale.human": "H", "rationale.llm": "L"}, ""),
    "members named": (
        {"why": {"a": "H", "b": "L", "c": "other"}},
        "rationale.human=why.a,rationale.llm=why.b",
    ),
    "every member": ({"why": {"human": "H", "llm": "L"}}, "rationale.*=why.*"),
    "every flat column": ({"why.human": "H", "why.llm": "L"}, "rationale.*=why.*"),
    "renamed": ({"explanation": "H", "gpt": "L"}, "rationale=explanation, rationale.llm=gpt"),
}


@pytest.mark.parametrize("case", RATIONALES)
def test_rationale_sources(tmp_path, case):
    cells, columns = RATIONALES[case]
    path = write(tmp_path, "a.jsonl", jsonl({"question": "Q?", "label": "yes", **cells}))
    assert read(path, columns).rows[0].rationales == {"human": "H", "llm": "L"}


def test_columns_are_renamed(tmp_path):
    path = write(tmp_path, "a.csv", "q,text,decision,doc,fold\nQ?,C.,yes,d1,dev\n")
    source = read(path, "question=q,context=text,label=decision,group=doc,split=fold")
    (row,) = source.rows
    assert (row.question, row.context, row.label, row.group) == ("Q?", "C.", "yes", "d1")
    assert source.assigned == {"row-1": "validation"}


COLUMNS = {
    "question": "--columns 'question': expected target=column",
    "question=": "--columns 'question=': expected target=column",
    "questoin=q": "unknown --columns target 'questoin'; did you mean 'question'?",
    "label=a,label=b": "--columns 'label=b': label is given twice",
    "rationale=a,rationale.human=b": "--columns 'rationale.human=b': rationale.human is given",
    "rationale.*=why": "--columns 'rationale.*=why': rationale.* needs COLUMN.*, and the reverse",
    "rationale.llm=why.*": "--columns 'rationale.llm=why.*': rationale.* needs COLUMN.*",
    "rationale.a/b=why": "--columns: rationale source 'a/b' (allowed: ",
}


@pytest.mark.parametrize("text", COLUMNS)
def test_columns_refused(text):
    with pytest.raises(UserError) as error:
        parse_columns(text)
    assert str(error.value).startswith(COLUMNS[text])


def test_columns_parsed():
    assert parse_columns(" question = q , rationale=why,rationale.*=more.* ") == {
        "question": "q",
        "rationale.human": "why",
        "rationale.*": "more.*",
    }
    assert parse_columns("") == {}


@pytest.mark.parametrize("columns", ["context=abstract", "rationale.*=why.*", "rationale=why"])
def test_a_named_column_that_no_row_has_is_refused(tmp_path, columns):
    path = write(tmp_path, "a.jsonl", jsonl(ROW))
    with pytest.raises(UserError, match=r"^--columns \S+: .*a\.jsonl: no column"):
        read(path, columns)


def test_rows_without_a_label_are_read_when_asked_for(tmp_path):
    parts = read_parts(write(tmp_path, "a.jsonl", jsonl({"question": "Q?"}, ROW)))
    assert [row.label for row in table_rows(parts, {}, labelled=False).rows] == ["", "yes"]


def test_a_folder_of_split_files_names_the_splits(tmp_path):
    for name in ("train", "dev", "test"):
        write(tmp_path, f"{name}.jsonl", jsonl({"question": f"{name}?", "label": "yes"}))
    write(tmp_path, "README.md", "not a table")
    source = read(tmp_path)
    assert source.assigned == {"train-1": "train", "validation-1": "validation", "test-1": "test"}
    assert {row.id: row.question for row in source.rows}["validation-1"] == "dev?"


def test_a_folder_with_one_table_is_that_table(tmp_path):
    write(tmp_path, "notes.csv", CSV_HEAD + "a,Q?,C.,yes,R.\n")
    write(tmp_path, ".hidden.csv", "x")
    assert [row.id for row in read(tmp_path).rows] == ["a"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "exactly one table (found: none)"),
        (("a.csv", "b.csv"), "exactly one table (found: a.csv, b.csv)"),
        (("dev.csv", "val.csv"), "both dev.csv and val.csv are validation sets"),
    ],
)
def test_a_folder_that_tells_nothing_is_refused(tmp_path, names, message):
    for name in names:
        write(tmp_path, name, CSV_HEAD)
    with pytest.raises(UserError) as error:
        read(tmp_path)
    assert message in str(error.value)


def test_a_folder_name_with_an_equals_sign_adds_no_column(tmp_path):
    folder = tmp_path / "label=no"
    folder.mkdir()
    assert read(write_parquet(folder / "a.parquet", [ROW])).rows[0].label == "yes"


def test_records_keep_where_they_stand(tmp_path):
    path = write(tmp_path, "a.jsonl", "\n" + jsonl(ROW))
    assert [record.where for record in read_records(path)] == [f"{path}:2"]
    parquet = write_parquet(tmp_path / "a.parquet", [ROW])
    assert [record.where for record in read_records(parquet)] == [f"{parquet}: row 1"]


NUMBERS = [
    (3, "3"),
    (3.0, "3"),
    (-2.0, "-2"),
    (36.6, "36.6"),
    (True, "true"),
    (2**70, str(2**70)),
    (Decimal("1.50"), "1.50"),
    (Decimal("2.00"), "2"),
]


@pytest.mark.parametrize("is_key", [False, True])
@pytest.mark.parametrize(("number", "text"), NUMBERS)
def test_numbers_are_the_text_that_a_csv_file_has(number, text, is_key):
    assert text_of(number, "f:1", "x", is_key) == text


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["question", "label", "choices", "rationale", "split", "id", "x.y"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(suffix=st.sampled_from(sorted(ENDINGS)), content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, suffix, content):
    path = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
    path.write_bytes(content)
    read_or_refuse(path)


@given(values=st.lists(JSON_VALUES, max_size=3))
def test_any_json_is_read_or_refused(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "fuzz.jsonl"
    path.write_text("\n".join(json.dumps(value) for value in values))
    read_or_refuse(path)


def read_or_refuse(path):
    try:
        rows = read(path).rows
    except UserError:
        return
    assert all(row.question and row.label for row in rows)
    assert len({row.id for row in rows}) == len(rows)


@pytest.fixture
def hub(monkeypatch):
    """Stand in for the hub: what load_dataset was asked for, and what it gives back."""
    import datasets

    asked = []

    def load_dataset(name, config, *, revision):
        asked.append((name, config, revision))
        features = datasets.Features(
            {
                "question": datasets.Value("string"),
                "label": datasets.ClassLabel(names=["no", "yes"]),
            }
        )
        table = datasets.Dataset.from_dict(
            {"question": ["A?", "B?"], "label": [1, 0]}, features=features
        )
        return datasets.DatasetDict({"train": table, "dev": table})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_a_hub_set_names_its_splits_and_classes(hub):
    parts = hub_parts("some/set", "config", "v1")
    assert hub == [("some/set", "config", "v1")]
    assert list(parts) == ["train", "validation"]
    assert [record.values["label"] for record in parts["train"]] == ["yes", "no"]
    assert parts["validation"][1].where == "hub:some/set@v1: dev row 2"
    assert table_rows(parts, {}).assigned["validation-2"] == "validation"


def test_an_unreachable_hub_is_one_line(monkeypatch):
    import datasets

    def fail(*args, **kwargs):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    message = r"^hub:some/set@v1: cannot be loaded: ConnectionError: no route$"
    with pytest.raises(UserError, match=message):
        hub_parts("some/set", None, "v1")


def test_members_of_objects_are_listed_as_columns_names_them(tmp_path):
    row = {"meta": {"id": 1, "by": {}}, "visit": {"Question": "a?", "text": "b"}, "label": "x"}
    (tmp_path / "t.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError) as refused:
        table_rows(read_parts(tmp_path / "t.jsonl"), {})
    assert str(refused.value).endswith(
        "t.jsonl: no column 'question' (columns: meta.id, meta.by, visit.Question, visit.text, "
        "label; name it with --columns question=visit.Question)"
    )
