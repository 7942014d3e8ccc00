"""The wheel holds every file of its packages, and works where nothing else of the project lies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)
ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = [
    pattern.removesuffix("*")
    for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
]
COMMANDS = sorted(PROJECT["project"]["scripts"])
NOT_SHIPPED = {".ipynb", ".pyc"}


def python(*words: str | Path, folder: Path, interpreter: str | Path = sys.executable) -> str:
    """Run Python in a folder, without what this process adds to its path; return what it prints."""
    hidden = {"PYTHONPATH", "R2D_DATA", "RAY_ADDRESS"}
    done = subprocess.run(
        [str(interpreter), *map(str, words)],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in hidden},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the project: building writes beside the sources."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    named = ["pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]]
    for name in named:
        shutil.copy(ROOT / name, copy)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package)
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    python(*("-m", "pip", "wheel", "-q", *offline, "--wheel-dir", out, "."), folder=copy)
    [made] = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment with the wheel, and the dependencies of this one.

    Paths in a .pth file are searched for packages but not for further .pth files, so an editable
    install of the project is not seen from there.
    """
    root = tmp_path_factory.mktemp("installed")
    venv.create(root, symlinks=True, with_pip=False)
    paths = {"base": str(root), "platbase": str(root)}
    packages = Path(sysconfig.get_path("purelib", scheme="venv", vars=paths))
    here = [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]
    (packages / "dependencies.pth").write_text("\n".join(here) + "\n", encoding="utf-8")
    commands = Path(sysconfig.get_path("scripts", scheme="venv", vars=paths))
    offline = ("--no-index", "--no-deps", "--disable-pip-version-check")
    target = ("-m", "pip", "--python", commands / "python")
    python(*target, "install", "-q", *offline, wheel, folder=root)
    return commands


def test_the_wheel_holds_every_file_of_its_packages_and_no_other(wheel: Path) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in NOT_SHIPPED
    }
    kinds = {Path(name).suffix for name in sources}
    assert {".py", ".yaml", ".csv", ".j2", ".css", ".js"} <= kinds
    assert "r2d_ray/py.typed" in sources
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == sources


def test_every_package_is_taken_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    lines = [f"import {package}; print(*{package}.__path__)" for package in PACKAGES]
    printed = python(
        "-c", "\n".join(lines), folder=tmp_path, interpreter=installed / "python"
    ).splitlines()
    assert len(printed) == len(PACKAGES)
    for package, place in zip(PACKAGES, printed, strict=True):
        assert Path(place).is_relative_to(installed.parent), package


def test_a_search_is_planned_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    words = ("-m", "r2d_ray.tune", "--dataset", "bioasq", "--dry-run")
    printed = python(*words, folder=tmp_path, interpreter=installed / "python")
    assert "data bioasq-sample" in printed
    assert "\nsearched (macro_f1, max):\n" in printed
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_written_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    places = ("tests/data/study", "examples/studies")
    studies = [path.parent for place in places for path in ROOT.glob(f"{place}/*/study.json")]
    words = ("-m", "analysis", sorted(studies)[0], "--out", tmp_path / "report")
    python(*words, folder=tmp_path, interpreter=installed / "python")
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "<style>" in page
    assert "<script" in page
    assert list((tmp_path / "report" / "tables").iterdir())


def test_every_command_of_the_wheel_starts(installed: Path, tmp_path: Path) -> None:
    assert {path.name for path in installed.glob("r2d-*")} == set(COMMANDS)
    for command in COMMANDS:
        printed = python(
            installed / command, "--help", folder=tmp_path, interpreter=installed / "python"
        )
        assert printed.startswith("usage: "), command
