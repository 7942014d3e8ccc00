"""The blocks of docs/python.md are one program: its names and settings exist, and it runs."""

from __future__ import annotations

import ast
import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from fenced import blocks

from r2d_ray.config import TrainConfig
from r2d_ray.study.settings import SearchSettings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "python.md"
PROGRAM = "\n".join(
    line
    for block in blocks(PAGE.read_text(encoding="utf-8"))
    if block.language == "python"
    for line in (*block.lines, "")
)


def test_its_names_and_settings_exist() -> None:
    tree = list(ast.walk(ast.parse(PROGRAM)))
    for node in tree:
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names)
    [search] = [n for n in tree if isinstance(n, ast.Call) and ast.unparse(n.func) == "run_search"]
    known = {*SearchSettings.model_fields, *TrainConfig.model_fields, "progress"}
    assert {word.arg for word in search.keywords} <= known


@pytest.mark.commands
@pytest.mark.timeout(900)
def test_it_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", "")
    shutil.copy(ROOT / "examples" / "notes.csv", "notes.csv")
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(PROGRAM, str(PAGE), "exec", dont_inherit=True), names)
    assert names["result"].best_model.is_dir()
    assert list(names["labelled"].columns[:3]) == ["question", "context", "group"]
    assert (tmp_path / "trials.csv").stat().st_size > 0
    assert (tmp_path / "report" / "index.html").is_file()
