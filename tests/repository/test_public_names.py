"""The names that `r2d_ray` offers: each resolves, does what its command does, and costs nothing."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import tiny_config, toy_info, toy_rows

import r2d_ray
from r2d_ray.__main__ import commands
from r2d_ray.compare import main as compare_main
from r2d_ray.errors import EXIT_STOPPED_RESUMABLE, UserError
from r2d_ray.predict import main as predict_main
from r2d_ray.tune import main as tune_main

ROOT = Path(__file__).parents[2]
ROWS = toy_rows("new", 3)


def test_every_name_resolves_and_is_listed() -> None:
    assert set(r2d_ray.__all__) <= set(dir(r2d_ray))
    for name in r2d_ray.__all__:
        assert getattr(r2d_ray, name).__name__ == name
    assert r2d_ray.TrainConfig(max_steps=7).max_steps == 7
    with pytest.raises(AttributeError, match="has no attribute 'run_serch'"):
        r2d_ray.run_serch  # noqa: B018


def test_listing_the_names_loads_nothing() -> None:
    code = "import sys, r2d_ray; dir(r2d_ray); print(*(n for n in sys.modules if 'r2d_ray.' in n))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def asked(monkeypatch: pytest.MonkeyPatch, place: str) -> list[Any]:
    """Return a list that fills with the plans that would be run there."""
    plans: list[Any] = []
    module, _, name = place.rpartition(".")
    monkeypatch.setattr(importlib.import_module(module), name, lambda plan, *_: plans.append(plan))
    return plans


def test_a_search_plans_what_the_command_plans(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plans = asked(monkeypatch, "r2d_ray.search.run.run_study")
    words = "--dataset bioasq --profile embedded --num-samples 3 --seed 5 --set max_steps=60"
    more = ["--address", "local", "--storage-path", str(tmp_path), "--sampler", "random"]
    assert tune_main([*words.split(), *more, "--verbosity", "quiet"]) == EXIT_STOPPED_RESUMABLE
    values: dict[str, Any] = {"profile": "embedded", "num_samples": 3, "seed": 5, "max_steps": 60}
    with pytest.raises(r2d_ray.StudyStopped, match="stopped; the same call resumes"):
        r2d_ray.run_search(
            "bioasq", **values, address="local", storage_path=tmp_path, sampler="random"
        )
    by_command, by_function = plans
    assert by_function.settings == by_command.settings
    assert by_function.info == by_command.info


def test_a_comparison_plans_what_the_command_plans(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plans = asked(monkeypatch, "r2d_ray.comparison.run.run_comparison")
    words = "--dataset triage --profile embedded --methods sft r2d --seeds 1 2 --limit 40"
    more = ["--address", "local", "--storage-path", str(tmp_path), "--verbosity", "quiet"]
    assert compare_main([*words.split(), *more]) == EXIT_STOPPED_RESUMABLE
    values: dict[str, Any] = {"methods": ["sft", "r2d"], "seeds": [1, 2], "limit": 40}
    with pytest.raises(r2d_ray.StudyStopped):
        r2d_ray.run_comparison(
            "triage", **values, profile="embedded", address="local", storage_path=tmp_path
        )
    by_command, by_function = plans
    assert by_function.settings == by_command.settings
    assert by_function.arms == by_command.arms


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_smaples": 3}, "unknown setting 'num_smaples'; did you mean 'num_samples'"),
        ({"num_samples": 0}, "--num-samples 0"),
        ({"max_steps": 0}, "max_steps = 0"),
        ({"overrides": {}}, "unknown setting 'overrides'"),
        ({"profile": "huge"}, "--profile huge"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(
    settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        r2d_ray.run_search("bioasq", address="local", storage_path=tmp_path, **settings)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, prepared_dir: Path) -> Path:
    """An untrained model, exported as a study would its best trial's."""
    from r2d_ray.data.prepare import open_prepared
    from r2d_ray.model.t5 import load_model
    from r2d_ray.sharing.best import export_best
    from r2d_ray.study.books import trial_record

    folder, config = tmp_path_factory.mktemp("model"), tiny_config()
    tokenizer = open_prepared(prepared_dir).tokenizer
    load_model(config, tokenizer).save_pretrained(folder / "weights")
    info = toy_info("s", config, {"metric": "macro_f1", "mode": "max"}, 1)
    record = trial_record(info, 0, {}, "done", metrics={"macro_f1": 0.5}, selected_step=8)
    export_best(folder / "weights", prepared_dir / "tokenizer", folder / "best", info, record)
    return folder / "best"


def test_rows_are_predicted_alike_from_a_frame_mappings_and_a_file(
    model: Path, tmp_path: Path
) -> None:
    columns = {"question": "q", "context": "note"}
    rows = [{"id": row.id, "q": row.question, "note": row.context} for row in ROWS]
    frame = pd.DataFrame(rows, index=range(10, 10 + len(rows)))
    frame.to_csv(tmp_path / "rows.csv", index=False)
    found = r2d_ray.predict_rows(model, rows, columns=columns, probabilities=True)
    assert [{name: row[name] for name in rows[0]} for row in found] == rows
    assert {row["predicted_label"] for row in found} <= {"yes", "no"}
    assert all(
        row["probability_yes"] + row["probability_no"] == pytest.approx(1, abs=2e-6)
        for row in found
    )
    asked = {"columns": "question=q,context=note", "probabilities": True}
    assert r2d_ray.predict_rows(model, tmp_path / "rows.csv", **asked) == found
    again = r2d_ray.predict_rows(model, frame, **asked)
    assert list(again.index) == list(frame.index)
    assert again.to_dict("records") == found


def test_a_cell_without_a_value_is_a_missing_one(model: Path) -> None:
    questions = [row.question for row in ROWS]
    frame = pd.DataFrame({"question": questions, "context": [None, float("nan"), "It helped."]})
    told = [{"question": q} for q in questions[:2]] + [
        {"question": questions[2], "context": "It helped."}
    ]
    answers = r2d_ray.predict_rows(model, frame).to_dict("records")
    for row, other in zip(answers, r2d_ray.predict_rows(model, told), strict=True):
        for name in ("predicted_label", "probability", "predicted_rationale"):
            assert row[name] == other[name]


@pytest.mark.parametrize(
    "rows", [[], [{"context": "No question."}], [{"question": "Q?"}, {"question": None}]]
)
def test_rows_that_cannot_be_read_are_refused(rows: list[dict[str, str]], model: Path) -> None:
    with pytest.raises(UserError, match=r"no rows|no column 'question'|row 2 has no value"):
        r2d_ray.predict_rows(model, rows)


def test_the_overview_names_every_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    places = {place.partition(":")[0] for place in project["project"]["scripts"].values()}
    named = {word.removeprefix("python -m ") for word in commands()}
    assert named == {place.removesuffix(".__main__") for place in places}
    done = subprocess.run(
        [sys.executable, "-m", "r2d_ray"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    for command, what in commands().items():
        assert f"{command}  " in done.stdout
        assert what in done.stdout


def test_a_frame_gets_what_the_command_writes(model: Path, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "Q?": [row.question for row in ROWS],
            "note, free text": [row.context for row in ROWS],
            "ward": ["A", None, "C"],
        }
    )
    frame.to_csv(tmp_path / "rows.csv", index=False)
    words = ["--model", str(model), "--input", str(tmp_path / "rows.csv"), "--device", "cpu"]
    words += ["--columns", 'question=Q?,context="note, free text"']
    assert (
        predict_main([*words, "--output", str(tmp_path / "out.csv"), "--verbosity", "quiet"]) == 0
    )
    written = pd.read_csv(tmp_path / "out.csv")
    columns = {"question": "Q?", "context": "note, free text"}
    found = r2d_ray.predict_rows(model, frame, columns=columns, device="cpu")
    found.to_csv(tmp_path / "again.csv", index=False)
    answers = ["predicted_label", "probability", "margin", "predicted_rationale"]
    assert list(written.columns)[:3] == list(frame.columns)
    assert set(answers) <= set(written.columns)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "again.csv"), written)
