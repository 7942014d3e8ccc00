"""The house keeps its order: imports go one way, heavy libraries stay where they belong."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "r2d_ray"
ORDER = [
    "errors",
    "config storage",
    "model",
    "method",
    "records",
    "data",
    "evaluation study",
    "sharing tracking",
    "training prediction",
    "distributed",
    "search",
    "comparison",
    "cli",
    "tune compare predict export",
    "train functions __main__",
]
"""From left to right: a room may import those of earlier lines, and none of its own line."""
METHOD_MAY_IMPORT = {
    *("torch", "numpy", "transformers", "pydantic"),
    *("r2d_ray.config", "r2d_ray.errors", "r2d_ray.model", "r2d_ray.method"),
}
RAY_LIVES_IN = {"distributed", "search", "functions"}
PRINTING = {"cli", "tune", "compare", "predict", "export", "__main__"}
MAX_LINES = 250
LONGER = {"config.py"}  # every number of a run, with unit, bounds and source, in one list
MAX_FUNCTION = 45
MAX_FILES = 14

FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
PLACE = {name: place for place, names in enumerate(ORDER) for name in names.split()}


def room(path: Path) -> str:
    """Return the folder of `r2d_ray/` that a file lies in, or its own name."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path, node: ast.AST | None = None) -> Iterator[str]:
    """Yield what a file imports anywhere, as dotted names; not for the type checker alone."""
    node = node or ast.parse(path.read_text(encoding="utf-8"))
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{path}: relative import"
            inside = str(child.module).startswith("r2d_ray")
            names = [f"{child.module}.{alias.name}" for alias in child.names]
            yield from names if inside else [str(child.module)]
        else:
            yield from imports(path, child)


def modules_imported(path: Path) -> set[Path]:
    """Return the files of the package that a file imports."""
    found = set()
    for name in imports(path):
        parts = name.split(".")[1:] if name.startswith("r2d_ray.") else []
        while parts:
            file = ROOT.joinpath(*parts).with_suffix(".py")
            if file.is_file():
                found.add(file)
                break
            parts = parts[:-1]
    return found - {path}


def libraries_imported(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    here = room(path)
    assert here in PLACE, f"{here} has no place in ORDER"
    others = {room(other) for other in modules_imported(path)} - {here}
    wrong = {other for other in others if PLACE[other] >= PLACE[here]}
    assert not wrong, f"{here} imports {sorted(wrong)}"


def test_every_place_is_taken() -> None:
    assert set(PLACE) == {room(path) for path in FILES}


def test_no_file_imports_itself_through_others() -> None:
    graph = {path: modules_imported(path) for path in FILES}
    while free := {path for path, others in graph.items() if not others & graph.keys()}:
        graph = {path: others for path, others in graph.items() if path not in free}
    assert set(graph) == set()


def test_the_walk_sees_imports_wherever_they_hide(tmp_path: Path) -> None:
    source = tmp_path / "x.py"
    source.write_text(
        "from typing import TYPE_CHECKING\n"
        "import os.path\n"
        "if TYPE_CHECKING:\n    import seen_by_mypy_only\n"
        "def f():\n    try:\n        from r2d_ray import tune\n    finally:\n        import ray\n"
        "if __name__ == '__main__':\n    from r2d_ray.cli.command import run_command\n"
    )
    found = set(imports(source))
    assert found == {
        *("typing", "os.path", "ray"),
        *("r2d_ray.tune", "r2d_ray.cli.command.run_command"),
    }
    assert modules_imported(source) == {ROOT / "tune.py", ROOT / "cli" / "command.py"}


def test_the_method_knows_neither_files_nor_ray() -> None:
    standard = set(sys.stdlib_module_names) - {"pathlib", "os", "io", "shutil", "tempfile"}
    for path in (ROOT / "method").glob("*.py"):
        heads = {
            ".".join(name.split(".")[:2]) if name.startswith("r2d_ray") else name.split(".")[0]
            for name in imports(path)
        }
        assert heads - standard <= METHOD_MAY_IMPORT, path.name


def test_only_one_file_imports_deepspeed() -> None:
    found = {name_of(path) for path in FILES if "deepspeed" in libraries_imported(path)}
    assert found == {"training/arguments.py"}


def test_only_these_rooms_import_ray() -> None:
    assert {room(path) for path in FILES if "ray" in libraries_imported(path)} == RAY_LIVES_IN


def test_only_the_command_line_prints() -> None:
    calls = {
        room(path)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    }
    assert calls <= PRINTING


def loaded_by(module: str, libraries: str) -> list[str]:
    """Return which of the libraries a fresh Python has loaded after importing a module."""
    code = f"import sys, {module}; print(*sorted({set(libraries.split())!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_package_is_light_to_import() -> None:
    assert loaded_by("r2d_ray", "torch ray transformers datasets optuna pandas numpy") == []


@pytest.mark.parametrize(
    "module",
    [
        *("tune", "compare", "predict", "search.trial", "search.plan", "comparison.plan"),
        *("cli.console", "distributed.worker_group"),
    ],
)
def test_a_command_that_only_plans_or_drives_loads_no_model_library(module: str) -> None:
    assert loaded_by(f"r2d_ray.{module}", "torch transformers datasets") == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_is_long(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert (lines > MAX_LINES) == (name_of(path) in LONGER), f"{lines} lines"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_function_is_long(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < MAX_FUNCTION, f"{node.name}, line {node.lineno}"


def test_no_folder_is_crowded() -> None:
    for folder in {path.parent for path in FILES}:
        assert len(list(folder.glob("*.py"))) <= MAX_FILES, folder.name


def test_there_is_no_room_for_odds_and_ends() -> None:
    assert not [path for path in FILES if "util" in path.stem or path.stem in ("misc", "helpers")]
