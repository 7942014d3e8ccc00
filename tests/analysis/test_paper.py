"""Tables of a paper fit its page, say what all rows share once, and show any text as text."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import names
from analysis.paper.captions import CAPTIONS, caption
from analysis.paper.decimals import decimals
from analysis.paper.fit import COLUMN, PAGE, sheets
from analysis.paper.latex import latex
from analysis.paper.letters import plain, said, tex, written_out
from analysis.paper.widths import lines, pieces, width
from analysis.tables.every_table import report_tables
from analysis.tables.table import Column, Number, Table
from r2d_ray.config import TrainConfig
from r2d_ray.method.variants import METHODS

ATTACKS = st.sampled_from(
    [
        "\\input{/etc/passwd}",
        "a | b \\",
        "100% & $5 #1 ^~_{}",
        "\\\\[2em]*",
        "]{x}",
        "<b>`` ?` -- ---",
        "😀 急 ж é ½ ﬁ",
    ]
)
TEXT = st.text(max_size=30) | ATTACKS
ESCAPES = re.compile(
    r"\\[{}$&#_%]|\\text(?:backslash|asciicircum|asciitilde|less|greater|bar|quotedbl)\{\}"
    r"|\{[\[\]*]\}|(?<=[-,'`?!])\{\}|\$(?:\\[A-Za-z]+|[-/])\$"
)


def texts(cells: list[list[str]], note: str = "") -> Table:
    columns = tuple(Column(f"c{i}", head) for i, head in enumerate(cells[0]))
    rows = tuple({f"c{i}": cell for i, cell in enumerate(row)} for row in cells[1:])
    return Table("t", "T", columns, rows, (note,) if note else ())


def scores(count: int, methods: int = 3, spread: float = 0.171) -> Table:
    """Return a table of so many scores of methods on one data set."""
    columns = (
        Column("dataset", "Data"),
        Column("method", "Method"),
        Column("seeds", "Seeds"),
        *(Column(f"s{i}", f"Score {i}, %") for i in range(count)),
    )
    rows = tuple(
        {"dataset": "triage", "method": name, "seeds": 3}
        | {f"s{i}": Number(0.4 + place / 100, spread, factor=100, digits=2) for i in range(count)}
        for place, name in enumerate(list(METHODS)[:methods])
    )
    return Table("scores", "Scores", columns, rows, ("three seeds",))


def test_every_method_and_setting_has_a_name_without_an_underscore() -> None:
    assert set(names.METHODS) == set(METHODS)
    for name in TrainConfig.model_fields:
        assert "_" not in names.field(name)
    assert set(names.FIELDS) <= set(TrainConfig.model_fields)
    found = [*names.METHODS.values(), *map(names.field, TrainConfig.model_fields)]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("Macro-F1 against r2d in points", "Macro-F1 against R2D in points"),
        ("r2d's macro_f1", "R2D's macro-F1"),
        ("teacher_forcing (2), sft (1)", "teacher forcing (2), SFT (1)"),
        ("r2d_c-2 failed", "R2D-C (seed 2) failed"),
        ("weight_decay, stage1_max_steps", "weight decay, training steps, stage 1"),
        ("/data/r2d.csv and r2d@home", "/data/r2d.csv and r2d@home"),
        ("my_sft, sft_old, no-r2d", "my_sft, sft_old, no-r2d"),
    ],
)
def test_words_of_code_in_a_sentence(code: str, words: str) -> None:
    assert names.in_words(code) == words


def test_an_arm_is_named_by_method_setting_and_seed() -> None:
    assert (
        names.run("r2d-learning_rate=0.1,seed=2-3") == "R2D (learning rate = 0.1, seed = 2, seed 3)"
    )
    assert names.run("best (trial 3)") == "best (trial 3)"
    assert names.run("r2d, best without context") == "R2D, best without context"


def test_every_table_of_a_report_has_a_caption_and_no_caption_is_left_over() -> None:
    assert [t.name for t in report_tables([], ())] == list(CAPTIONS)
    assert caption(Table("other", "Of r2d", (), ())) == "Of R2D"


@pytest.mark.parametrize(
    ("values", "digits"),
    [
        ([Number(0.4918, 0.1711, factor=100, digits=2)], 1),  # 49.2 ± 17.1: two digits would be 17
        ([Number(0.4918, 0.0046, factor=100, digits=2)], 2),  # 49.18 ± 0.46
        ([Number(0.4918, 0.0123, factor=100, digits=2)], 1),  # 49.2 ± 1.2
        ([Number(0.4918, None, 0.40, 0.60, factor=100, digits=2)], 1),  # half of 20 points
        ([Number(0.4918, 0.00001, factor=100, digits=2)], 2),  # never more than the report
        ([Number(0.4918, factor=100, digits=2)], 1),
        ([Number(0.6931, digits=3)], 3),
        ([Number(12.345, digits=2)], 1),
        ([Number(160.0, digits=0)], 0),
        ([Number(1e-9, digits=4)], 4),
        ([None, 3], 0),
    ],
)
def test_decimals_follow_the_spread(values: list[Number | int | None], digits: int) -> None:
    assert decimals(values) == digits


def test_what_all_rows_share_stands_in_the_caption_alone() -> None:
    (sheet,) = sheets(scores(1))
    assert sheet.caption == "Scores. Data: triage; seeds: 3."
    assert [column.head for column in sheet.columns] == ["Method", "Score 0 (%)"]
    assert sheet.columns[1].cells[0] == "40.0 ± 17.1"
    assert sheet.columns[0].cells == ("R2D", "SFT", "DSS")


def test_of_a_table_of_one_row_only_where_it_belongs_is_lifted() -> None:
    (sheet,) = sheets(scores(1, methods=1))
    assert [column.key for column in sheet.columns] == ["method", "seeds", "s0"]


def test_a_column_without_any_value_is_named_below() -> None:
    table = texts([["A", "B"], ["x", "n/a"], ["y", "n/a"]])
    (sheet,) = sheets(table)
    assert [column.head for column in sheet.columns] == ["A"]
    assert sheet.notes == ("left out, n/a in every row: B",)


def test_a_table_without_rows_is_not_written() -> None:
    assert sheets(Table("t", "T", (), (), ("why",))) == ()


@pytest.mark.parametrize("count", [1, 3, 6, 8, 20])
def test_scores_that_are_too_wide_stand_in_several_tables(count: int) -> None:
    found = sheets(scores(count))
    shown = [column.key for sheet in found for column in sheet.columns if column.key != "method"]
    assert shown == [f"s{i}" for i in range(count)]
    for sheet in found:
        assert sheet.columns[0].key == "method"
        assert sheet.wide <= (COLUMN if sheet.place == "column" else PAGE)
    assert [bool(sheet.notes) for sheet in found] == [False] * (len(found) - 1) + [True]
    assert len(found) == {1: 1, 3: 1, 6: 1, 8: 1, 20: 3}[count]


def test_more_rows_than_a_page_has_make_a_longtable() -> None:
    table = texts([["A", "B"], *([f"a{i}", f"b{i}"] for i in range(60))])
    (sheet,) = sheets(table)
    assert sheet.place == "long"
    assert r"\begin{longtable}" in latex(sheet)


@settings(max_examples=60)
@given(
    st.integers(1, 5).flatmap(
        lambda wide: st.lists(
            st.lists(st.text("abc de_/", max_size=120), min_size=wide, max_size=wide),
            min_size=2,
            max_size=4,
        )
    )
)
def test_words_of_any_length_fit(cells: list[list[str]]) -> None:
    heads = [head[:12] for head in cells[0]]
    for sheet in sheets(texts([heads, *cells[1:]])):
        assert sheet.wide <= PAGE


@settings(max_examples=60)
@given(st.text("abcdefgh-_.", min_size=1, max_size=80), st.floats(20, 200))
def test_a_long_word_is_cut_into_pieces_that_fit(word: str, room: float) -> None:
    found = list(pieces(word, room))
    assert "".join(found) == word
    assert all(width(piece) <= room for piece in found)


def test_words_are_broken_at_spaces_only() -> None:
    assert lines("Supports the wrong prediction", 45.0) == ["Supports", "the wrong", "prediction"]


@settings(max_examples=60)
@given(
    st.integers(1, 4).flatmap(
        lambda wide: st.lists(st.lists(TEXT, min_size=wide, max_size=wide), min_size=3, max_size=4)
    ),
    TEXT,
)
def test_latex_has_no_command_but_its_own(cells: list[list[str]], note: str) -> None:
    for sheet in sheets(texts(cells, note)):
        text = latex(sheet)
        body = text[text.index("\\midrule") : text.index("\\bottomrule")]
        rows = [r for r in body.splitlines()[1:] if r != "\\addlinespace"]
        assert len(rows) == len(cells) - 1
        for row in rows:
            left = ESCAPES.sub("", row.removesuffix(" \\\\").replace(r"\allowbreak{}", ""))
            assert left.count("&") == len(sheet.columns) - 1
            assert not re.search(r"[\\{}$#_%^~<>|\"\[\]*\x00-\x1f]", left)


@pytest.mark.parametrize(
    ("text", "set_as"),
    [
        ("Ärztin naïve café Šárka", "Ärztin naïve café Šárka"),
        ("e\u0301", "é"),
        ("😀", "(grinning face)"),
        ("срочно Ж", "srochno Zh"),
        ("急", "(U+6025)"),
        ("½ ﬁ ①", "1⁄2 fi 1"),
        ("a\u200bb\x00c\u202e", "abc"),
        ("line\nbreak", "line break"),
    ],
)
def test_what_latex_cannot_set_is_written_out(text: str, set_as: str) -> None:
    assert plain(text) == set_as


def test_what_is_written_out_is_said() -> None:
    assert said(written_out(["é 😀"])) == "written out: U+1F600 as (grinning face)"
    (sheet,) = sheets(texts([["A"], ["😀"], ["é"]]))
    assert sheet.notes == ("written out: U+1F600 as (grinning face)",)
    assert said({}) == ""


def test_signs_that_would_join_or_end_a_row_do_not() -> None:
    assert tex("a--b") == "a-{}-b"
    assert tex("?`") == "?{}`"
    assert tex("[2em]*") == "{[}2em{]}{*}"
    assert tex("α ≤ β") == r"$\alpha$ $\le$ $\beta$"


def test_a_p_value_below_its_decimals_is_never_zero() -> None:
    rows = (
        {"method": "r2d", "p": Number(1e-9, digits=4)},
        {"method": "sft", "p": Number(0.5, digits=4)},
    )
    table = Table("t", "T", (Column("method", "Method"), Column("p", "p")), rows)
    (sheet,) = sheets(table)
    assert sheet.columns[1].cells == ("< 0.001", "0.500")
