"""What a finished study tells its user to type next."""

from __future__ import annotations

from pathlib import Path

import pytest

from r2d_ray.cli.command import parse
from r2d_ray.cli.screen.next_steps import next_lines

TYPED = ["python", "-m", "r2d_ray.tune", "--dataset", "my notes.csv", "--extend", "2"]


def test_the_commands_have_the_study_s_own_paths_and_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my notes.csv").touch()
    folder = tmp_path / "studies" / "clinic"
    assert next_lines(folder, "my notes.csv", TYPED, predicts=True) == [
        "next:",
        "  python -m r2d_ray.predict --model studies/clinic/best --input 'my notes.csv' "
        "--output labelled.csv",
        "  python -m analysis studies/clinic --out studies/clinic/report",
        "  python -m r2d_ray.tune --dataset 'my notes.csv' --extend 4",
    ]


def test_a_comparison_has_no_model_of_its_own_and_a_named_set_no_rows(tmp_path: Path) -> None:
    assert next_lines("/s/c", "bioasq") == ["next:", "  python -m analysis /s/c --out /s/c/report"]
    assert next_lines("/s/c", "bioasq", predicts=True)[1] == (
        "  python -m r2d_ray.predict --model /s/c/best --input rows.csv --output labelled.csv"
    )
    assert next_lines("/s/c", "bioasq", quiet=True) == []


def test_what_was_typed_is_kept_as_it_was() -> None:
    args = parse("tune", ["--dataset", "a.csv", "--num_samples", "3"])
    assert " ".join(args.typed) == "python -m r2d_ray.tune --dataset a.csv --num-samples 3"
