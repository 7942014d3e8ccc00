"""What a release says of itself holds: pinned versions, the citation, the image, the hooks."""

from __future__ import annotations

import fnmatch
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
REQUIREMENTS = [(extra, line) for extra, lines in EXTRAS.items() for line in lines]
CLUSTER_FILES = [ROOT / "cluster.yaml", *sorted((ROOT / "cluster").glob("*.yaml"))]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pins() -> dict[str, Version]:
    lines = [line for line in text("constraints.txt").splitlines() if not line.startswith("#")]
    pairs = [line.split("==") for line in lines]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


@pytest.mark.parametrize(("extra", "line"), REQUIREMENTS)
def test_the_constraints_hold_a_version_of_every_requirement(extra: str, line: str) -> None:
    requirement = Requirement(line)
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("path", CLUSTER_FILES, ids=lambda path: path.name)
def test_a_cluster_file_installs_no_other_version_than_the_constraints(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    config = yaml.safe_load(source)
    commands = [command for key in config if key.endswith("_commands") for command in config[key]]
    words = [word for command in commands for word in shlex.split(command)]
    named = dict(word.split("==") for word in words if re.fullmatch(r"[\w-]+==[\w.]+", word))
    named.pop("uv", None)  # makes the environment and is not in it
    assert {name: Version(version) for name, version in named.items()} == {
        name: pins()[canonicalize_name(name)] for name in named
    }
    taken = re.findall(r"--constraint (\S+)", source)
    assert set(taken) == {"constraints.txt"}  # no other list, with exceptions


def test_the_citation_is_of_this_version_and_licence() -> None:
    citation = yaml.safe_load(text("CITATION.cff"))
    assert str(citation["version"]) == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["title"].replace("_", "-") == PROJECT["name"]
    assert citation["authors"] == PROJECT["authors"]
    [paper] = citation["references"]
    assert paper["url"] in text("README.md")


def copied() -> list[str]:
    """Return what the Dockerfile copies from the project."""
    lines = [line.split() for line in text("Dockerfile").splitlines()]
    return [word for line in lines if line[:1] == ["COPY"] for word in line[1:-1]]


def test_the_image_gets_what_the_package_is_built_from_and_nothing_else() -> None:
    tools = tomllib.loads(text("pyproject.toml"))["tool"]["setuptools"]
    packages = [pattern.removesuffix("*") for pattern in tools["packages"]["find"]["include"]]
    files = ["pyproject.toml", "constraints.txt", PROJECT["readme"], *PROJECT["license-files"]]
    assert sorted(copied()) == sorted(packages + files)
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def test_nothing_else_is_sent_to_where_the_image_is_built() -> None:
    lines = [line for line in text(".dockerignore").splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == set(copied())


def test_the_image_has_the_python_of_a_cluster_and_runs_as_no_root() -> None:
    image, cluster = text("Dockerfile"), text("cluster.yaml")
    for pattern in (r"uv==[\d.]+", r"--python [\d.]+"):
        assert re.findall(pattern, image) == re.findall(pattern, cluster)
    user = re.findall(r"(?m)^USER (\d+)", image)[-1]
    assert user != "0"
    assert re.findall(r"pip install(?!.*(?:--constraint constraints\.txt|==)).*", image) == []


def test_every_hook_is_a_tool_of_make_check() -> None:
    [local] = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    assert local["repo"] == "local"
    makefile = text("Makefile").replace("$(BIN)", ".venv/bin")
    for hook in local["hooks"]:
        command = hook["entry"].removesuffix(" --force-exclude")
        assert re.search(rf"(?m)^\t{re.escape(command)}\b", makefile), hook["id"]


def test_what_is_built_stays_out_of_commits() -> None:
    ignored = text(".gitignore").splitlines()
    for folder in ("build", "dist", "site", "mlruns", "report", "studies"):
        assert any(fnmatch.fnmatch(f"/{folder}/", line) for line in ignored), folder
