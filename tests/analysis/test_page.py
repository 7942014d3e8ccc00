"""The report's page: whole, safe and readable, whatever the studies hold."""

import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from small_study import ROWS, WRONG, write_comparison

from analysis.page import render as page
from analysis.page.predictions import browser, embedded
from analysis.page.render import Content, render
from analysis.pictures.style import Picture
from analysis.studies import open_study
from analysis.tables.table import Column, Number, Table
from r2d_ray.errors import UserError
from r2d_ray.records import RowText, rows_file, write_jsonl

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)><!--\u2028'\"&amp;{{7*7}}"
VOID = {"meta", "link", "img", "input", "br"}


class Walk(HTMLParser):
    """Reads a page as a browser would: its elements in order, and what stands in scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            name = self.elements[-1][1].get("id") or f"code {len(self.scripts)}"
            self.scripts[name] = self.scripts.get(name, "") + data
        else:
            self.text += data


def table(text: str = "") -> Table:
    columns = (Column("method", f"method{text}"), Column("f1", "macro-F1", published=True))
    rows = ({"method": f"r2d{text}", "f1": Number(0.5, 0.1, factor=100, digits=1)}, {"method": "s"})
    return Table("main", f"Main{text}", columns, rows, (f"a note{text}",))


def content(folder: Path, tmp_path: Path, text: str = "", figure: bool = True) -> Content:
    shown = Figure(figsize=(2, 1))
    files = {ending: tmp_path / f"curve.{ending}" for ending in ("svg", "png")}
    for path in files.values():
        shown.savefig(path)
    lively = {"data": [{"type": "bar", "x": [f"r2d{text}"], "y": [1.0]}], "layout": {}}
    picture = Picture("curve", f"Curve{text}", f"Rises.{text}", shown, lively if figure else None)
    words = [f"No method separates.{text}"]
    return Content([open_study(folder)], words, [table(text)], [(picture, files)])


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_comparison(tmp_path)


@pytest.fixture
def walk(small: Path, tmp_path: Path) -> Walk:
    return Walk(render(content(small, tmp_path)))


def test_the_page_asks_the_network_for_nothing(walk: Walk) -> None:
    addresses = [v for _, a in walk.elements for k, v in a.items() if k in ("src", "href") and v]
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    (policy,) = [a["content"] for _, a in walk.elements if a.get("http-equiv")]
    assert policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_links_of_the_contents_lead_somewhere(walk: Walk) -> None:
    ids = [a["id"] for _, a in walk.elements if a.get("id")]
    assert not [name for name, count in Counter(ids).items() if count > 1]
    links = [a["href"] or "" for tag, a in walk.elements if tag == "a"]
    assert {link.removeprefix("#") for link in links} <= set(ids)
    referred = [a["aria-labelledby"] for _, a in walk.elements if "aria-labelledby" in a]
    assert set(referred) <= set(ids)


def test_headings_come_in_order(walk: Walk) -> None:
    levels = [int(tag[1]) for tag, _ in walk.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_table_has_a_caption_and_scopes_and_every_picture_words(walk: Walk) -> None:
    tags = Counter(tag for tag, _ in walk.elements)
    assert tags["table"] == tags["caption"] == 3  # one is of the surest errors
    assert all(a.get("scope") in ("col", "row") for tag, a in walk.elements if tag == "th")
    assert all(a.get("alt") for tag, a in walk.elements if tag == "img")
    assert {tag for tag in ("nav", "main", "header", "footer") if tags[tag] == 1} == {
        *("nav", "main", "header", "footer")
    }


def test_numbers_without_a_value_are_not_there_and_published_ones_are_marked(walk: Walk) -> None:
    assert "50.0 ± 10.0" in walk.text
    assert "n/a" in walk.text
    assert "macro-F1 (published)" in walk.text


def test_what_has_nothing_to_show_stands_there_with_its_reason(small: Path, tmp_path: Path) -> None:
    shown = content(small, tmp_path)
    empty = Table("sources", "Sources", (), (), ("one source <only>",))
    left_out = ["importance: one trial & no more"]
    made = Walk(render(replace(shown, tables=[*shown.tables, empty], left_out=left_out)))
    assert "Sources: one source <only>" in made.text
    assert "importance: one trial & no more" in made.text
    links = [a["href"] for tag, a in made.elements if tag == "a"]
    assert "#table-main" in links
    assert "#table-sources" not in links


def test_hostile_text_in_every_field_stays_text(tmp_path: Path) -> None:
    quiet = Walk(render(content(write_comparison(tmp_path, name="quiet"), tmp_path)))
    changes = {
        key: f"{key}{HOSTILE}" for key in ("name", "dataset", "profile", "data_hash", "git_commit")
    }
    changes["versions"] = {f"python{HOSTILE}": HOSTILE}
    hostile = write_comparison(
        tmp_path, text=HOSTILE, labels=(f"yes{HOSTILE}", f"no{HOSTILE}"), changes=changes
    )
    text = render(content(hostile, tmp_path, text=HOSTILE))
    loud = Walk(text)
    shape = [(tag, sorted(attributes)) for tag, attributes in quiet.elements]
    found = [(tag, sorted(attributes)) for tag, attributes in loud.elements]
    assert [tag for tag in found if tag[0] != "dt" and tag[0] != "dd"] == [
        tag for tag in shape if tag[0] != "dt" and tag[0] != "dd"
    ]
    assert loud.text.count("alert(1)") > 10
    assert "{{7*7}}" in loud.text
    data = json.loads(loud.scripts["prediction-data"])
    assert all(HOSTILE in row["reference"] for row in data["rows"])
    figure = json.loads(loud.scripts["figure-curve"])
    assert "<" not in figure["data"][0]["x"][0]


def test_plotly_comes_along_only_where_a_figure_needs_it(small: Path, tmp_path: Path) -> None:
    without = render(content(small, tmp_path, figure=False))
    assert len(without) < 200_000
    assert len(render(content(small, tmp_path))) > 4_000_000


def test_markup_that_plotly_reads_is_left_and_links_are_not() -> None:
    given_ = {"a": ["<b>x</b><br>", '<a href="x">', "1 < 2", "%{y}<extra></extra>"], "n": 1.5}
    assert page._plain(given_) == {
        "a": ["<b>x</b><br>", '&lt;a href="x">', "1 &lt; 2", "%{y}<extra></extra>"],
        "n": 1.5,
    }


def test_a_page_too_large_holds_fewer_predictions_and_says_how_many(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = content(small, tmp_path, figure=False)
    whole = len(render(shown).encode())
    limit = whole + page.SLACK_BYTES - 7_000
    monkeypatch.setattr(page, "MAX_BYTES", limit)
    text = render(shown)
    assert len(text.encode()) <= limit
    found = re.search(r"(\d+) of 27 wrong predictions on the test split \(as many as fit\)", text)
    data = json.loads(Walk(text).scripts["prediction-data"])
    wrong = [item for item in data["items"] if item[2] != data["rows"][item[1]]["gold"]]
    assert found
    assert len(wrong) == int(found[1]) < 27


def test_tables_and_pictures_too_large_for_a_page_are_refused(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MAX_BYTES", 30_000)
    with pytest.raises(UserError, match=r"without predictions \(allowed: 10,000; fewer studies"):
        render(content(small, tmp_path, figure=False))


def test_the_browser_holds_all_wrong_ones_first_then_right_ones(small: Path) -> None:
    found = browser([open_study(small)], 10**6, with_text=False)
    verdicts = [item[2] == found.data["rows"][item[1]]["gold"] for item in found.data["items"]]
    wrong, right = 3 * sum(WRONG.values()), 3 * (2 * ROWS - sum(WRONG.values()))
    assert verdicts == [False] * wrong + [True] * right
    assert {held.run.name: (held.wrong, held.right) for held in found.held} == {
        f"{method}-{seed}": (count, ROWS - count)
        for method, count in WRONG.items()
        for seed in (1, 2, 3)
    }
    assert all(h.wrong == h.wrong_held and h.right == h.right_held for h in found.held)


def test_the_sample_of_right_ones_is_limited_and_the_same_rows_for_all_runs(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.page.predictions.RIGHT_PER_RUN", 2)
    found = browser([open_study(small)], 10**6, with_text=False)
    assert {held.right_held for held in found.held} == {2}
    seeds = {1: set(), 2: set()}  # type: dict[int, set[str]]
    for run, row, label, *_ in found.data["items"]:
        made, gold = found.data["runs"][run], found.data["rows"][row]
        if made["method"] == "r2d" and label == gold["gold"] and made["seed"] in seeds:
            seeds[made["seed"]].add(gold["id"])
    assert seeds[1] == seeds[2]


@pytest.mark.parametrize("room", [0, 300, 1_000, 2_000, 10_000])
def test_the_browser_keeps_to_its_bytes(small: Path, room: int) -> None:
    found = browser([open_study(small)], room, with_text=False)
    size = len(embedded({"rows": found.data["rows"], "items": found.data["items"]}))
    assert size <= room + len('{"rows":[],"items":[]}')
    assert sum(h.wrong_held + h.right_held for h in found.held) == len(found.data["items"])


def test_what_a_row_asks_is_shown_unless_it_is_left_out(small: Path) -> None:
    text = RowText(id="test-0", question="What now?", context="A fall.")
    write_jsonl(rows_file(small / "predictions", "test"), [text])
    rows = browser([open_study(small)], 10**6, with_text=True).data["rows"]
    assert {row["id"]: row["note"] for row in rows if row["note"]} == {
        "test-0": "What now?\n\nA fall."
    }
    bare = browser([open_study(small)], 10**6, with_text=False).data["rows"]
    assert {row["note"] for row in bare} == {None}


def test_a_line_that_is_no_text_of_a_row_is_named(small: Path) -> None:
    file = rows_file(small / "predictions", "test")
    file.write_text('{"id": "a", "question": "q", "context": ""}\n{"id": 1}\n')
    with pytest.raises(UserError, match=r"rows-test\.jsonl:2: "):
        browser([open_study(small)], 10**6, with_text=True)


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_embedded_json_reads_back_and_cannot_end_its_element(value: object) -> None:
    text = embedded(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)
