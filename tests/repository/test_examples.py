"""The space and the table of examples/ are read; tests/commands runs the script."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from r2d_ray import DataRequest, TrainConfig, load_splits
from r2d_ray.config import PROFILES
from r2d_ray.method.variants import METHODS
from r2d_ray.search.space import load_search_space, prepare_space

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def test_the_readme_names_every_file() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| (.+?) \|", text, re.M))
    words = {word for cell in named for word in re.findall(r"`([^`]+)`", cell)}
    there = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md"}
    studies = {f"studies/{path.name}" for path in (EXAMPLES / "studies").iterdir()}
    assert words == {name for name in there | studies if not name.startswith(".")}


@pytest.mark.parametrize("method", ["r2d", "sft"])
def test_the_space_contains_the_defaults(method: str) -> None:
    space = load_search_space(str(EXAMPLES / "my_space.yaml"))
    values = METHODS[method].values
    defaults = {**PROFILES["embedded"], **space.fixed, **values}
    searched, dropped = prepare_space(space, defaults, values)  # raises where a range lacks them
    assert set(searched.search) | set(dropped) == set(space.search)
    assert "learning_rate" in searched.search
    start, floor = TrainConfig().sampling_start_ratio, TrainConfig().gold_probability_floor
    _, longest = space.search["sampling_decay_ratio"].bounds
    assert start + longest * (1 - floor) <= 0.65  # mixed before early stopping may begin


def test_the_table_is_read_and_its_groups_stay_together() -> None:
    splits = load_splits(DataRequest(str(EXAMPLES / "notes.csv")))
    rows = [row for _, part in splits.items() for row in part]
    assert len(rows) == 60
    assert splits.labels == ("later", "today")
    assert splits.dropped == {} or not any(splits.dropped.values())
    assert all(row.context and row.rationales["human"] for row in rows)
    of_split = {name: {row.group for row in part} for name, part in splits.items()}
    assert sum(len(groups) for groups in of_split.values()) == 30
    assert len(set.union(*of_split.values())) == 30
    for row in rows:  # the rationale names the sign that the note ends with
        sign = row.context.rpartition(": ")[2].removesuffix(".")
        assert row.rationales["human"].lower().startswith(sign.lower())


def test_the_table_is_what_its_script_writes(tmp_path: Path) -> None:
    runpy.run_path(str(EXAMPLES / "make_notes.py"))["write"](tmp_path / "notes.csv")
    assert (tmp_path / "notes.csv").read_bytes() == (EXAMPLES / "notes.csv").read_bytes()
