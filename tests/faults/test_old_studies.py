"""Studies of former versions go on: what ended counts, what was killed ends, more can be added.

A stored study names folders from the root of the checkout; a study names its model by the whole
path, so that its copy here is told where this checkout lies.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from r2d_ray.records import TrialRecord, read_jsonl
from r2d_ray.study.folder import read_info

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests" / "data" / "old"
TEXTS = ("study.json", "records.jsonl", "trials/*/outcome.json", "trials/*/ray/*.json")
SET = (
    *("stage1_max_steps", "stage1_eval_steps", "max_steps", "eval_steps", "logging_steps"),
    *("per_device_train_batch_size", "early_stopping_patience"),
)


def copied(name: str, storage: Path) -> Path:
    """Return a copy of a stored study as a user of this checkout would have it."""
    study = storage / name
    shutil.copytree(OLD / name, study)
    for file in (file for pattern in TEXTS for file in study.glob(pattern)):
        text = file.read_text()
        text = text.replace(f"tests/data/old/{name}/", f"{study}/")
        file.write_text(text.replace("tests/data/old/model", str(OLD / "model")))
    for missing in ("tune", "predictions"):
        (study / missing).mkdir(exist_ok=True)
    return study


def repeat(study: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the command again that study.json tells of."""
    info = read_info(study)
    sets = [word for name in SET for word in ("--set", f"{name}={info.config[name]}")]
    asked = info.study
    command = [
        *(sys.executable, "-m", "r2d_ray.tune", "--dataset", asked["dataset"]),
        *("--profile", info.profile, "--model", info.config["model"]),
        *("--sample-rows", *map(str, asked["sample_rows"])),
        *("--num-samples", str(asked["num_samples"]), "--max-concurrent-trials", "1"),
        *("--storage-path", str(study.parent), "--name", study.name, "--address", "local"),
        *(*sets, *more),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=study.parent,
        env=environment,
        check=False,
        timeout=400,
    )


def records(study: Path) -> list[TrialRecord]:
    return list(read_jsonl(study / "records.jsonl", TrialRecord))


def journal(study: Path) -> list[optuna.trial.FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(study / "optuna.journal")))
    return optuna.load_study(study_name=study.name, storage=storage).trials


def test_a_study_killed_under_a_former_version_goes_on(tmp_path: Path) -> None:
    study = copied("interrupted", tmp_path)
    [first], [done, cut] = records(study), journal(study)
    assert (done.state, cut.state) == (TrialState.COMPLETE, TrialState.RUNNING)
    ended = repeat(study)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-3000:]
    after, trials = records(study), journal(study)
    assert [r.trial for r in after] == [t.number for t in trials] == [0, 1, 2]
    assert {r.status for r in after} <= {"done", "pruned"}
    assert all(t.state.is_finished() for t in trials)
    # Trial 0 counts as it ended; trial 1 goes on with its values after its last evaluation.
    assert (after[0].wall_s, after[0].curve) == (first.wall_s, first.curve)
    assert trials[1].params == cut.params
    assert cut.intermediate_values.items() <= trials[1].intermediate_values.items()
    assert [e.step for e in after[1].curve][:2] == [100, 200]
    assert "trial 0 started" not in ended.stdout
    assert (study / "best" / "model.safetensors").exists()


def test_a_study_that_ended_under_a_former_version_takes_another_trial(tmp_path: Path) -> None:
    study = copied("ended", tmp_path)
    before = records(study)
    ended = repeat(study, "--extend", "1")
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-3000:]
    after = records(study)
    assert [r.trial for r in after] == [t.number for t in journal(study)] == [0, 1, 2]
    assert [(r.wall_s, r.config) for r in after[:2]] == [(r.wall_s, r.config) for r in before]
    assert "trial 2 started" in ended.stdout
    assert "trial 1 started" not in ended.stdout
