"""Comparisons over folds and searches of several seeds, killed again and again, leave no trace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY
from leftovers import FREE_WITHIN_S, alive, descendants, seconds_until
from real_study import RealStudy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(2400)]
NOT_COMPARED = {"wall_s", "step_s", "built_here", "best_dir"}
"""What tells of times and places, and of which session built a stage 1."""
STEPS = {"max_steps": 40, "eval_steps": 10, "stage1_max_steps": 40, "stage1_eval_steps": 10}

FOLDS = (  # the moment at which a session is killed: when this is there
    "stage1/*.work/ray/checkpoint_*",
    "trials/0000/ray/checkpoint_*/trainer_state.json",
    "trials/0000/outcome.json",
    "predictions/*-oof.jsonl",
    "predictions/control-bag-of-words*.jsonl",
)
SEEDS = (
    "stage1/*.work/ray/checkpoint_*",
    "trials/0000/ray/checkpoint_*/trainer_state.json",
    "trials/0000/*/ray/checkpoint_*/trainer_state.json",
    "trials/0000/outcome.json",
    "predictions/control-*.jsonl",
)


def command(folder: Path, program: str, *more: str) -> list[str]:
    values = {**TINY, **STEPS}
    sets = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    return [
        *(sys.executable, "-m", f"r2d_ray.{program}", "--dataset", str(folder / "notes.csv")),
        *("--storage-path", str(folder), "--name", "s", "--max-concurrent-trials", "1"),
        *(*sets, *more),
    ]


def over_folds(folder: Path) -> RealStudy:
    study = RealStudy(folder, 1)
    asked = ("--methods", "r2d", "sft", "--seeds", "1", "--folds", "2")
    study.command = command(folder, "compare", *asked)
    return study


def of_seeds(folder: Path) -> RealStudy:
    study = RealStudy(folder, 1)
    asked = ("--num-samples", "2", "--seeds-per-config", "2", "--pruner", "none")
    study.command = command(folder, "tune", *asked)
    return study


def killed_when_there(study: RealStudy, pattern: str) -> None:
    """Start or resume a study and kill all its processes as soon as such a file is there."""
    process = study.start()
    deadline = time.monotonic() + 900
    while not list(study.root.glob(pattern)):
        assert process.poll() is None, f"ended before {pattern}: {study.log.read_text()[-3000:]}"
        assert time.monotonic() < deadline, pattern
        time.sleep(0.01)
    kill_all(process)


def kill_all(process: subprocess.Popen[str]) -> None:
    """Send SIGKILL to a process and to all that it started, and wait until none is left."""
    started = descendants(process.pid)
    process.kill()
    process.wait()
    for pid, start in started:
        if alive({(pid, start)}):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    seconds_until(lambda: not alive(started), FREE_WITHIN_S)


def told(value: Any) -> Any:
    """Return a JSON value without what need not be the same."""
    if isinstance(value, dict):
        return {name: told(each) for name, each in value.items() if name not in NOT_COMPARED}
    return [told(each) for each in value] if isinstance(value, list) else value


def lines_of(path: Path) -> list[Any]:
    return [told(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def kept(study: RealStudy) -> dict[str, Any]:
    """Return what a study holds for its readers: records, result, pooled table, predictions."""
    root = study.root
    found: dict[str, Any] = {file.name: lines_of(file) for file in root.glob("*.jsonl")}
    found["records.jsonl"].sort(key=lambda record: record["trial"])
    result = json.loads((root / "result.json").read_text(encoding="utf-8"))
    files = sorted((root / "predictions").glob("*.jsonl"))
    return {**found, "result": told(result), **{file.name: file.read_bytes() for file in files}}


def assert_no_trace(study: RealStudy, calm: RealStudy, moments: Sequence[str]) -> None:
    """Kill a study at every moment, let it end, and compare it with a calm one."""
    for pattern in moments:
        killed_when_there(study, pattern)
    assert study.end(study.start()) == 0, study.log.read_text()[-3000:]
    assert calm.end(calm.start()) == 0, calm.log.read_text()[-3000:]
    found, want = kept(study), kept(calm)
    assert found.keys() == want.keys()
    assert [name for name in want if found[name] != want[name]] == []


def test_a_comparison_over_folds_killed_at_every_stage_equals_a_calm_one(tmp_path: Path) -> None:
    calm, study = over_folds(tmp_path / "calm"), over_folds(tmp_path / "killed")
    assert_no_trace(study, calm, FOLDS)
    assert (study.root / "oof.jsonl").exists()


def test_a_search_of_several_seeds_killed_at_every_stage_equals_a_calm_one(tmp_path: Path) -> None:
    calm, study = of_seeds(tmp_path / "calm"), of_seeds(tmp_path / "killed")
    assert_no_trace(study, calm, SEEDS)
    assert [len(record.seeds) for record in study.records()] == [2, 2]
