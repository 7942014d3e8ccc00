"""Four forms of a table: what people read, and that no cell comes alive in any of them."""

import csv
import io
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.tables.cells import rounded, shown
from analysis.tables.formats import (
    inert,
    tidy,
    to_csv,
    to_html,
    to_markdown,
    to_parquet,
    write_table,
)
from analysis.tables.table import Column, Number, Table

NUMBERS = Table(
    "main",
    "Two methods",
    (
        Column("method", "Method"),
        Column("seeds", "Seeds"),
        Column("f1", "F1, %"),
        Column("published_f1", "F1, %", published=True),
    ),
    (
        {
            "method": "r2d_c",
            "seeds": 3,
            "f1": Number(0.605, 0.0125, 0.59, 0.62, 100.0, 1),
            "published_f1": Number(0.6058, factor=100.0, digits=2),
        },
        {"method": "sft", "seeds": 1, "f1": Number(0.5, factor=100.0, digits=1)},
    ),
    ("one seed has no spread",),
)
ANY = st.text(max_size=30)
ATTACKS = st.sampled_from(
    [
        "=cmd|' /C calc'!A0",
        "<script>alert(1)</script>",
        "</td></table><img src=x onerror=y>",
        "\\input{/etc/passwd}",
        "a | b \\",
        "\\| x",
        "line\r\nbreak\u2028more\x0b",
        "[click](javascript:x)",
        "-1+1",
        "@SUM(A1)",
        "100% & $5 #1 ^~_{}",
        "\\\\[2em]*",
        "`code` **bold** <b>",
    ]
)
TEXT = ANY | ATTACKS


def texts(cells: list[list[str]], note: str = "", title: str = "T") -> Table:
    columns = tuple(Column(f"c{i}", head) for i, head in enumerate(cells[0]))
    rows = tuple({f"c{i}": cell for i, cell in enumerate(row)} for row in cells[1:])
    return Table("t", title, columns, rows, (note,) if note else ())


GRIDS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(TEXT, min_size=width, max_size=width), min_size=2, max_size=4)
)


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_a_number_is_read_with_its_spread_and_a_missing_one_as_not_there() -> None:
    assert shown(Number(0.60584, 0.0046, factor=100, digits=2)) == "60.58 ± 0.46"
    assert shown(Number(-0.02, None, -0.041, 0.001, 100, 1)) == "-2.0 [-4.1, 0.1]"
    assert shown(Number(None)) == shown(None) == "n/a"
    assert shown(3) == "3"
    assert shown(0.5) == "0.500"


def test_nothing_is_minus_zero() -> None:
    assert shown(Number(-0.0001, digits=2)) == "0.00"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_never_printed(value: float) -> None:
    with pytest.raises(ValueError, match="in a table"):
        rounded(value, Number(None))


def test_markdown_of_numbers() -> None:
    assert to_markdown(NUMBERS) == (
        "### Two methods\n\n"
        "| Method | Seeds | F1, % | F1, % (published) |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| r2d\\_c | 3 | 60.5 ± 1.2 [59.0, 62.0] | 60.58 |\n"
        "| sft | 1 | 50.0 | n/a |\n\n"
        "- one seed has no spread\n"
    )


def test_csv_gives_every_number_a_cell_of_its_own() -> None:
    assert list(csv.reader(io.StringIO(to_csv(NUMBERS)))) == [
        ["Method", "Seeds", "F1, %", "F1, %, sd", "F1, %, low", "F1, %, high", "F1, % (published)"],
        ["r2d_c", "3", "60.5", "1.2", "59.0", "62.0", "60.58"],
        ["sft", "1", "50.0", "n/a", "n/a", "n/a", "n/a"],
    ]


def test_html_marks_published_columns() -> None:
    text = to_html(NUMBERS)
    assert '<th scope="col" class="number published">F1, % (published)</th>' in text
    assert '<td class="number">60.5 ± 1.2 [59.0, 62.0]</td>' in text
    assert '<figure class="table" id="table-main">' in text


def test_tidy_holds_raw_values_beside_the_texts_of_their_row() -> None:
    frame = tidy(NUMBERS)
    assert list(frame.columns) == [
        "row",
        "method",
        "column",
        "published",
        "mean",
        "sd",
        "low",
        "high",
    ]
    line = frame[(frame["method"] == "r2d_c") & (frame["column"] == "f1")].iloc[0]
    assert (line["mean"], line["sd"], line["low"], line["high"]) == (0.605, 0.0125, 0.59, 0.62)
    theirs = frame[frame["published"]]
    assert list(theirs["column"].unique()) == ["published_f1"]
    assert theirs["mean"].isna().tolist() == [False, True]
    assert len(frame) == 2 * 3


def test_parquet_comes_back_as_it_was_with_title_and_notes(tmp_path) -> None:
    path = tmp_path / "main.parquet"
    to_parquet(NUMBERS, path)
    back = pd.read_parquet(path)
    pd.testing.assert_frame_equal(back, tidy(NUMBERS))
    assert back.attrs == {"title": "Two methods", "notes": ["one seed has no spread"]}


def test_a_table_without_rows_keeps_title_and_reason_in_every_form(tmp_path) -> None:
    empty = Table("ablation", "Parts", (), (), ("no ablation among these studies",))
    for form in (to_markdown, to_html):
        assert "no ablation among these studies" in form(empty)
        assert "Parts" in form(empty)
    assert "<table" not in to_html(empty)
    paths = write_table(empty, tmp_path)
    assert pd.read_parquet(paths[-1]).empty


def test_write_table_writes_every_form(tmp_path) -> None:
    paths = write_table(NUMBERS, tmp_path / "tables")
    assert [path.name for path in paths] == [
        f"main.{ending}" for ending in ("md", "html", "csv", "parquet")
    ]
    assert paths[2].read_bytes().decode() == to_csv(NUMBERS)


@settings(max_examples=50)
@given(GRIDS)
def test_csv_comes_back_whole_and_no_cell_is_a_formula(cells: list[list[str]]) -> None:
    back = list(csv.reader(io.StringIO(to_csv(texts(cells)), newline="")))
    assert back == [[inert(cell) for cell in row] for row in cells]
    for cell in (cell for row in back for cell in row):
        number = re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", cell)
        assert number or not cell.startswith(tuple("=+-@\t\r"))


@pytest.mark.parametrize("text", ["a\rb", "a\nb", 'a"b', "a,b", "a\x00b", ""])
def test_a_cell_of_a_csv_stays_one_cell(text: str) -> None:
    form = to_csv(texts([["h", "i"], [text, "z"]]))
    assert list(csv.reader(io.StringIO(form, newline=""))) == [["h", "i"], [text, "z"]]


@pytest.mark.parametrize("text", ["-1.5", "+3", "-2e-05", "7"])
def test_a_number_in_a_csv_stays_one(text: str) -> None:
    assert inert(text) == text


@pytest.mark.parametrize(
    "text", ["-1+1", "+1-1", "=1", "@a", "\t=1", "\r=1", "-inf", "-", "\uff0d1"]
)
def test_a_formula_in_a_csv_is_a_text(text: str) -> None:
    assert inert(text) == f"'{text}"


class Reader(HTMLParser):
    """What a browser would see: the tags, and the text of every cell."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("th", "td", "figcaption", "li"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


@settings(max_examples=50)
@given(GRIDS, TEXT, TEXT)
def test_html_shows_any_text_and_runs_none(cells: list[list[str]], note: str, title: str) -> None:
    reader = Reader()
    reader.feed(to_html(texts(cells, note, title)))
    reader.close()
    flat = [cell for row in cells for cell in row]
    expected = [title, *flat, *([note] if note else [])]
    assert [one_line(cell) for cell in reader.cells] == [one_line(text) for text in expected]
    assert set(reader.tags) <= {
        *("figure", "figcaption", "div", "table", "thead", "tbody"),
        *("tr", "th", "td", "ul", "li"),
    }
    assert reader.tags.count("td") == len(flat) - len(cells[0])


def markdown_cells(line: str) -> list[str]:
    """Return the cells of a Markdown row: split at every `|` that no backslash escapes."""
    found, cell, escaped = [], "", False
    for c in line:
        if c == "|" and not escaped:
            found.append(cell)
            cell = ""
        else:
            cell += c
        escaped = c == "\\" and not escaped
    assert cell == ""
    return found[1:]


@settings(max_examples=50)
@given(GRIDS, TEXT, TEXT)
def test_markdown_rows_keep_their_width_and_show_any_text(
    cells: list[list[str]], note: str, title: str
) -> None:
    lines = to_markdown(texts(cells, note, title)).split("\n")
    table = [line for line in lines if line.startswith("|")]
    head, rule, *rows = table
    assert len(rows) == len(cells) - 1
    assert {len(markdown_cells(line)) for line in (head, rule, *rows)} == {len(cells[0])}
    for line, row in zip((head, *rows), cells, strict=True):
        read = [re.sub(r"\\(.)", r"\1", cell.strip()) for cell in markdown_cells(line)]
        plain = [c.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for c in read]
        assert plain == [one_line(cell) for cell in row]
    assert not re.search("[<>]", "".join(lines))


def test_tidy_of_texts_alone_has_no_line() -> None:
    assert tidy(texts([["h"], ["a"], ["b"]])).empty
