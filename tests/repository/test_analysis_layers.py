"""Analysis reads records only: it opens without torch or Ray and unpickles nothing."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "analysis"
FILES = sorted(ROOT.rglob("*.py"))
MAY_IMPORT = (
    *("r2d_ray.errors", "r2d_ray.config", "r2d_ray.storage", "r2d_ray.records"),
    *("r2d_ray.method.schedules", "r2d_ray.search.space", "r2d_ray.evaluation.label_metrics"),
)
"""The modules of r2d_ray that analysis may import: the pure ones."""
FORBIDDEN = {
    *("torch", "ray", "transformers", "datasets", "deepspeed", "accelerate", "bert_score"),
    *("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"),
    *("socket", "urllib", "http", "requests", "subprocess"),
}
HEAVY = {"torch", "ray", "transformers", "datasets", "deepspeed"}
ORDER = [
    *(
        "names published stats",
        "studies",
        "runs",
        "groups surest",
        "collapse",
        "tables pictures",
        "page paper",
        "place",
    ),
    "report notebook",
]
"""From left to right: a room may import those of earlier lines, and itself."""
MAX_LINES = 250
MAX_FUNCTION = 45
PRINTING = {"__main__.py"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if str(node.module).split(".")[0] in ("r2d_ray", "analysis"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_analysis_imports_no_training_and_no_pickles(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & FORBIDDEN


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_analysis_imports_only_the_pure_modules(path: Path) -> None:
    for name in imports(path):
        if name.startswith("r2d_ray"):
            assert name.startswith(MAY_IMPORT) or name == "r2d_ray.__version__", name


@pytest.mark.parametrize("path", [*ROOT.glob("*/*.py")], ids=name_of)
def test_the_rooms_keep_their_order(path: Path) -> None:
    place = {name: at for at, names in enumerate(ORDER) for name in names.split()}
    here = path.parent.name
    others = {name.split(".")[1] for name in imports(path) if name.startswith("analysis.")}
    assert not [other for other in others - {here} if place[other] >= place[here]]


def test_the_walk_sees_imports_in_functions(tmp_path: Path) -> None:
    source = tmp_path / "x.py"
    source.write_text("def f():\n    import torch.nn\n    from r2d_ray import train\n")
    assert set(imports(source)) == {"torch.nn", "r2d_ray.train"}


def test_making_a_report_imports_neither_torch_nor_ray() -> None:
    code = (
        "import sys, analysis.report, analysis.__main__\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    assert done.stdout.strip() == "[]"


def test_only_the_command_line_prints() -> None:
    calls = {
        name_of(path)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    }
    assert calls == PRINTING


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_and_no_function_is_long(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < MAX_FUNCTION, node.name
