"""Notebooks are stored without outputs, call our own names only, and read any study to its end."""

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from analysis import load_study
from analysis.pictures.captions import CAPTIONS
from r2d_ray.errors import UserError

STORED = Path(__file__).parents[2] / "examples" / "studies"
FOLDER = Path(__file__).parents[2] / "analysis" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
ALLOWED = {"analysis", "pandas", "r2d_ray"}
READING = NOTEBOOKS[:4]
"""Those that read a study; the last one makes one."""


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def source(path: Path) -> str:
    return "\n".join("".join(cell["source"]) for cell in cells(path, "code"))


def test_every_notebook_is_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        *("01_results", "02_search", "03_rationales", "04_errors", "05_table_to_model")
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    for cell in cells(path, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
    assert len(path.read_bytes()) < 10_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_call_our_own_names_only(path: Path) -> None:
    modules = set()
    for node in ast.walk(ast.parse(source(path))):
        assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda)
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(str(node.module).split(".")[0])
    assert "analysis" in modules
    assert modules <= ALLOWED


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_code_cell_is_the_only_one_to_change(path: Path) -> None:
    tagged = [
        cell for cell in cells(path, "code") if "parameters" in cell["metadata"].get("tags", [])
    ]
    assert tagged == cells(path, "code")[:1]
    last = "".join(tagged[0]["source"]).splitlines()[-1]
    assert last == ("STUDY = None" if path in READING else 'STORAGE = "studies"')


@pytest.mark.parametrize("path", READING, ids=lambda path: path.stem)
def test_what_it_shows_exists(path: Path) -> None:
    """Every name that cells show is that of a table, a picture or a frame."""
    study = load_study(STORED / "search")
    known = {table.name for table in study.tables} | set(CAPTIONS)
    known |= {"trials", "runs", "scores", "predictions", "errors"}
    calls = [node for node in ast.walk(ast.parse(source(path))) if isinstance(node, ast.Call)]
    shown = [call for call in calls if ast.unparse(call.func) == "study.show"]
    assert len(shown) >= 4
    assert {ast.literal_eval(word) for call in shown for word in call.args} <= known


@pytest.mark.parametrize("path", READING, ids=lambda path: path.stem)
def test_a_study_without_result_and_predictions_is_read_to_the_end(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(STORED / "search", tmp_path / "search"))
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "predictions")
    monkeypatch.setenv("R2D_STUDY", str(folder))
    found: dict[str, Any] = {}
    for cell in cells(path, "code"):
        exec("".join(cell["source"]), found)
    assert found["study"].study.folder == folder


def test_a_wrong_study_is_one_line_in_a_notebook() -> None:
    with pytest.raises(UserError) as caught:
        load_study("nowhere")
    lines = caught.value._render_traceback_()
    assert lines == ["error: nowhere: not a study (allowed: a folder with study.json)"]
