"""Every test that the documents cite is there, and every promise of docs/reliability.md has one."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
CITATION = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
"""A test file, or a test of it: `tests/test_x.py::test_y`."""


@functools.cache
def names_in(path: Path) -> frozenset[str]:
    """Return the names of the functions of a module that pytest would collect."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def wrong(text: str, root: Path = ROOT) -> list[str]:
    """Return the citations of a text that name no test."""
    lost = []
    for file, name in CITATION.findall(text):
        path = root / file
        if not path.is_file() or not names_in(path) or (name and name not in names_in(path)):
            lost.append(f"{file}::{name}" if name else file)
    return lost


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_cited_test_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert wrong(text) == []


@pytest.mark.parametrize("name", ["security.md", "reliability.md"])
def test_every_mention_of_a_test_is_a_citation(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert CITATION.search(text)
    assert len(re.findall(r"tests/\S*?\.py", text)) == len(CITATION.findall(text))


def test_a_citation_of_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_b(): ...\ndef helper(): ...\n")
    (tmp_path / "tests" / "empty.py").touch()
    good = "`tests/test_a.py` `tests/test_a.py::test_b`"
    assert wrong(good, tmp_path) == []
    bad = "`tests/test_a.py::test_c` `tests/test_a.py::helper` `tests/test_d.py` `tests/empty.py`"
    said = [
        "tests/test_a.py::test_c",
        "tests/test_a.py::helper",
        "tests/test_d.py",
        "tests/empty.py",
    ]
    assert wrong(bad, tmp_path) == said


def test_every_promise_has_a_test_and_everything_else_a_reason() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    promised, rest = text.split("## Not promised")
    rows = [line.split(" | ") for line in promised.splitlines() if re.match(r"\| R\d", line)]
    names = [row[0].removeprefix("| ").split(" ")[0] for row in rows]
    assert names == [f"R{number}" for number in range(1, len(rows) + 1)]
    for row in rows:
        assert len(row) == 4, row[0]
        assert CITATION.search(row[3]), row[0]
    assert rest.count("\n- **") >= 1
