"""A study as a user runs it: killed, resumed, refused; nothing lost, nothing twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from conftest import TINY
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from toy_table import write_csv

from r2d_ray.records import TrialRecord, read_jsonl

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
TRIALS = 2
COLUMNS = ("key", "part", "q", "note", "answer", "why")


def command(folder: Path, *more: str) -> list[str]:
    values = {**TINY, "max_steps": 40, "eval_steps": 10}
    sets = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    columns = "id=key,split=part,question=q,context=note,label=answer,rationale.human=why"
    return [
        *(sys.executable, "-m", "r2d_ray.tune", "--dataset", str(folder / "notes.csv")),
        *("--columns", columns, "--storage-path", str(folder), "--name", "s"),
        *("--num-samples", str(TRIALS), "--max-concurrent-trials", "1", *sets, *more),
    ]


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    log = (folder / "log.txt").open("a")
    return subprocess.Popen(
        command(folder, *more), stdout=log, stderr=subprocess.STDOUT, text=True, cwd=folder
    )


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.time() + 240
    while not condition():
        assert process.poll() is None, "the study ended before the moment came"
        assert time.time() < deadline
        time.sleep(0.05)


def journal(folder: Path) -> list[optuna.trial.FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(folder / "s" / "optuna.journal")))
    return optuna.load_study(study_name="s", storage=storage).trials


def records(folder: Path) -> list[TrialRecord]:
    return list(read_jsonl(folder / "s" / "records.jsonl", TrialRecord))


def end(process: subprocess.Popen[str], log: Path) -> int:
    try:
        return process.wait(timeout=300)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(log.read_text()[-3000:]) from None


def test_a_study_survives_kill_9(tmp_path: Path) -> None:
    write_csv(tmp_path / "notes.csv", COLUMNS)
    study, log = tmp_path / "s", tmp_path / "log.txt"

    # kill -9 while trial 1 trains, after a checkpoint of its own
    process = start(tmp_path)
    wait_for(lambda: list(study.glob("trials/0001/ray/checkpoint_*/trainer_state.json")), process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert [t.state for t in journal(tmp_path)] == [TrialState.COMPLETE, TrialState.RUNNING]
    first = records(tmp_path)
    assert [r.trial for r in first] == [0]
    before = journal(tmp_path)[1].params

    # the same command: trial 0 is not run again, trial 1 goes on with its parameters
    assert end(start(tmp_path), log) == 0, log.read_text()[-3000:]
    trials, after = journal(tmp_path), records(tmp_path)
    assert len(trials) == len(after) == TRIALS
    assert all(t.state.is_finished() for t in trials)
    assert trials[1].params == before
    assert after[0].wall_s == first[0].wall_s
    assert [r.stage1["built_here"] for r in after] == [True, False]
    assert [e.step for e in after[1].curve] == [10, 20, 30, 40]

    # another setting in the same folder is refused with the difference
    done = subprocess.run(
        command(tmp_path, "--seed", "7"), capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert "seed: 42 -> 7" in done.stderr
    assert (study / "best" / "model.safetensors").exists()
    assert not list((study / "best").glob("*.bin"))
