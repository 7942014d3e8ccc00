"""The house keeps its order: imports go one way, heavy libraries stay where they belong."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "r2d_ray"
LAYERS = [
    "errors subnormals",
    "config",
    "settings schedules prompts metrics flops bertscore running provenance samplers plain_yaml",
    "kernels",
    "methods rationale_metrics attention cross_entropy",
    "search_space records lease",
    "changes",
    "models study_lock grid kept checkpoint",
    "data",
    "zero labels cycle decode",
    "sampling stage_plan",
    "losses series",
    "alignment trivial",
    "evaluate plausibility",
    "callbacks reading since_log",
    "trainer failures worker_group",
    "stage",
    "train",
    "stage1 cluster events",
    "study searcher asha export",
    "plan trial arms summary",
    "tune finalists predict compare_plan",
    "runner compare_rationales arm_scores",
    "compare",
    "arguments console signals",
    "cli",
]
"""From left to right: a module may import those of earlier lines, and none of its own line."""
RAY = {
    "train",
    "failures",
    "worker_group",
    "cluster",
    "events",
    "searcher",
    "asha",
    "trial",
    "tune",
} | {
    *("finalists", "arm_scores", "compare"),
}
PRINTING = {"cli", "console"}
MAX_LINES = 300

FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
PLACE = {name: place for place, names in enumerate(LAYERS) for name in names.split()}


def room(path: Path) -> str:
    """Return the module's name, `data` for everything in that folder."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_block(node: ast.AST, text: str) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == text


def imports(path: Path, node: ast.AST | None = None) -> Iterator[str]:
    """Yield what a file imports anywhere, as dotted names; not for the type checker alone.

    The last lines of a module that `python -m` runs may call the command line.
    """
    node = node or ast.parse(path.read_text(encoding="utf-8"))
    for child in ast.iter_child_nodes(node):
        if is_block(child, "TYPE_CHECKING"):
            continue
        if is_block(child, "__name__ == '__main__'"):
            yield from (name for name in imports(path, child) if name != "r2d_ray.cli")
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{path}: relative import"
            if child.module == "r2d_ray":
                yield from (f"r2d_ray.{alias.name}" for alias in child.names)
            else:
                yield str(child.module)
        else:
            yield from imports(path, child)


def rooms_imported(path: Path) -> set[str]:
    names = {name.split(".")[1] for name in imports(path) if name.startswith("r2d_ray.")}
    return names - {"__version__"}


def libraries_imported(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    here = room(path)
    assert here in PLACE, f"{here} has no place in LAYERS"
    others = rooms_imported(path) - ({"data"} if here == "data" else set())
    assert others <= set(PLACE)
    wrong = {other for other in others if PLACE[other] >= PLACE[here]}
    assert not wrong, f"{here} imports {sorted(wrong)}"


def test_every_place_is_taken() -> None:
    assert set(PLACE) == {room(path) for path in FILES}


def test_the_walk_sees_imports_wherever_they_hide(tmp_path: Path) -> None:
    source = tmp_path / "x.py"
    source.write_text(
        "from typing import TYPE_CHECKING\n"
        "import os.path\n"
        "if TYPE_CHECKING:\n    import seen_by_mypy_only\n"
        "def f():\n    try:\n        from r2d_ray import tune\n    finally:\n        import ray\n"
        "if __name__ == '__main__':\n    from r2d_ray.cli import main\n    import json\n"
    )
    found = set(imports(source))
    assert found == {"typing", "os.path", "r2d_ray.tune", "ray", "json"}


def test_only_zero_imports_deepspeed() -> None:
    assert {room(path) for path in FILES if "deepspeed" in libraries_imported(path)} == {"zero"}


def test_only_these_import_ray() -> None:
    assert {room(path) for path in FILES if "ray" in libraries_imported(path)} == RAY


def test_only_the_command_line_prints() -> None:
    calls = {
        room(path)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    }
    assert calls == PRINTING


def test_the_package_is_light_to_import() -> None:
    heavy = "{'torch', 'ray', 'transformers', 'datasets', 'optuna', 'pandas', 'numpy'}"
    code = f"import sys, r2d_ray; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module", [*("tune", "compare", "trial", "console", "plan", "compare_plan", "worker_group")]
)
def test_a_command_that_only_plans_or_drives_loads_no_model_library(module: str) -> None:
    heavy = "{'torch', 'transformers', 'datasets'}"
    code = f"import sys, r2d_ray.{module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_is_long(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES


def test_there_is_no_room_for_odds_and_ends() -> None:
    assert not [path for path in FILES if "util" in path.stem or path.stem in ("misc", "helpers")]
