"""The recipes of docs/extending.md do what they say, and docs/architecture.md names what is there.

Each block of a recipe is run as it stands on the page, where it is a part of a file in its names.
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from r2d_ray.config import PROFILES, build_config
from r2d_ray.data import location, named_sets, sources
from r2d_ray.errors import EXIT_DONE, UserError
from r2d_ray.evaluation import label_metrics
from r2d_ray.method import variants
from r2d_ray.search import samplers
from r2d_ray.tune import main as tune_main

ROOT = Path(__file__).parents[2]
EXTENDING = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PLACE = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")


def block(title: str) -> str:
    """Return the code of a recipe."""
    [code] = re.findall(rf'^ *```python title="{title}"\n(.*?)^ *```$', EXTENDING, re.M | re.S)
    return textwrap.dedent(code)


def test_every_block_is_run_here() -> None:
    titles = re.findall(r'title="(\w+)"', EXTENDING)
    assert sorted(titles) == ["method", "metric", "reader", "sampler", "set"]
    assert EXTENDING.count("```python") == len(titles)


def test_a_method_of_the_recipe_is_planned(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    method = eval(block("method"), vars(variants))
    monkeypatch.setitem(variants.METHODS, method.name, method)
    for profile in PROFILES.values():
        assert build_config({**profile, **method.values}).gold_probability_floor == 0.75
    words = "--dataset bioasq --profile embedded --address local --dry-run --method"
    assert tune_main([*words.split(), method.name]) == EXIT_DONE
    assert "gold_probability_floor" in capfd.readouterr().out


def test_a_data_set_of_the_recipe_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = eval(block("set"), vars(named_sets))
    names: dict[str, Any] = {"__name__": "ward"}
    exec(compile(block("reader"), "reader", "exec", dont_inherit=True), names)
    monkeypatch.setitem(named_sets.NAMED_SETS, "ward", known)
    monkeypatch.setitem(sources.OFFICIAL, "ward", names["read_ward"])
    entries = [
        {
            "number": f"{i}",
            "patient": f"p{i // 2}",
            "note": f"Note {i}.",
            "decision": ("yes", "no")[i % 2],
            "reason": "So it is.",
        }
        for i in range(40)
    ]
    path = tmp_path / "ward.json"
    path.write_text(json.dumps(entries))
    found = sources.load_splits(location.DataRequest("ward", data=path))
    rows = [row for _, part in found.items() for row in part]
    assert found.name == "ward"
    assert found.provenance.licence == "CC BY 4.0"
    assert found.rationale_sources() == ("human",)
    assert sorted(int(row.id) for row in rows) == list(range(40))
    path.write_text(json.dumps([{**entries[0], "decision": " "}]))
    with pytest.raises(UserError, match=r"ward\.json: 0\.decision"):
        sources.load_splits(location.DataRequest("ward", data=path))


def test_a_metric_of_the_recipe_counts_what_it_says() -> None:
    names = dict(vars(label_metrics))
    exec(compile(block("metric"), "metric", "exec", dont_inherit=True), names)
    matrix = np.array([[3, 1, 0], [0, 1, 1]])  # recalls 3/4 and 1/2
    assert names["balanced_accuracy"](matrix) == 0.625
    assert names["balanced_accuracy"](np.stack([matrix, matrix * 2])).tolist() == [0.625, 0.625]


def test_a_sampler_of_the_recipe_draws_alike_for_the_same_trial() -> None:
    def draw(number: int) -> float:
        sampler = eval(block("sampler"), {**vars(samplers), "seed": 5, "number": number})
        study = optuna.create_study(sampler=sampler)
        return study.ask().suggest_float("x", 0, 1)

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def defined(path: Path) -> set[str]:
    """Return the names that a module defines at its top."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize("text", [ARCHITECTURE, EXTENDING], ids=["architecture", "extending"])
def test_every_file_and_name_is_there(text: str) -> None:
    files_ = [
        path for top in ("r2d_ray", "analysis", "tests") for path in (ROOT / top).rglob("*.py")
    ]
    there = {path.relative_to(ROOT).as_posix(): path for path in files_}
    known = {"r2d_ray/data/official/ward.py"}  # the recipe's own
    missing = []
    cited = PLACE.findall(text)
    assert len(cited) > 8
    for place, name in cited:
        ends = [path for full, path in there.items() if f"/{full}".endswith(f"/{place}")]
        if place not in known and not any(not name or name in defined(path) for path in ends):
            missing.append(f"{place}::{name}")
    assert missing == []


def test_the_walk_goes_through_the_lines_that_it_names() -> None:
    walk = ARCHITECTURE.partition("## The walk of one value")[2].partition("\n## ")[0]
    value = re.search(r"`sampling_decay_ratio: (\{.*?\})`", walk)
    assert value
    space = (ROOT / "search_spaces" / "bioasq.yaml").read_text(encoding="utf-8")
    assert value[1] in re.sub(r" +", " ", space)
    stack = re.search(r"`errors > .*? > the verbs`", ARCHITECTURE, re.S)
    assert stack
    from test_layers import ORDER

    rooms = [part.strip() for part in stack[0].strip("`").replace("\n", " ").split(">")]
    assert [room.replace(",", "") for room in rooms[:-1]] == ORDER[: len(rooms) - 1]


def test_the_picture_has_every_room_in_the_order_of_the_test_of_layers() -> None:
    from test_layers import ORDER

    picture = (ROOT / "docs" / "pictures" / "rooms.svg").read_text(encoding="utf-8")
    names = re.findall(r'font-size="14.5"[^>]*>([^<]+)<', picture)
    drawn = [name for text in names if text != "analysis" for name in text.split()]
    wanted = [name for line in ORDER for name in line.split() if name != "__main__"]
    assert sorted(drawn) == sorted(wanted)
    assert drawn.index("cli") < drawn.index("search") < drawn.index("data") < drawn.index("errors")
