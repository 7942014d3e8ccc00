"""A disturbed run ends as an undisturbed one: killed searches and stages, full disks, lost nodes.

Kills come at moments drawn with a fixed seed; what is compared are results and counted work.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import ray
import ray.train.torch
import torch
from conftest import tiny_config, toy_splits
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages.journal import _file as journal_module
from optuna.trial import TrialState
from ray import tune as ray_tune
from ray.train import WorkerGroupError
from ray.tune.integration import ray_train
from safetensors.torch import load_file

from r2d_ray import trainer as trainer_module
from r2d_ray import trial as trial_module
from r2d_ray import tune as tune_module
from r2d_ray.cli import exit_code
from r2d_ray.cluster import check_shared_storage
from r2d_ray.data.prepare import Prepared, open_prepared
from r2d_ray.errors import EXIT_DONE, EXIT_NO_USABLE_TRIAL, EXIT_SOME_TRIALS_FAILED, UserError
from r2d_ray.methods import get_method
from r2d_ray.plan import StudyPlan
from r2d_ray.records import StudyInfo, TrialRecord, append_jsonl, read_jsonl, write_atomically
from r2d_ray.search_space import Domain, SearchSpace
from r2d_ray.searcher import open_journal
from r2d_ray.settings import StudySettings
from r2d_ray.study import StudyFolder
from r2d_ray.train import CHECKPOINTS_KEPT, MAX_FAILURES, STOP_FILE, TrainingJob, run_training
from r2d_ray.trainer import StageOutcome, run_stage
from r2d_ray.trial import one_line

SEED = 2026
METRIC = "macro_f1"


class KilledError(BaseException):
    """The process is gone."""


# A search, killed and repeated

TRIALS, STEPS, EVERY = 16, 20, 2  # TPE draws from what it knows from trial 10 on
SPACE = SearchSpace(
    name="s",
    metric=METRIC,
    mode="max",
    search={
        "label_loss_weight": Domain(type="float", low=0.3, high=0.9),
        "learning_rate": Domain(type="float", low=1e-5, high=1e-2, log=True),
    },
)


def search_plan(sampler: str, scheduler: str) -> StudyPlan:
    config = tiny_config(stage1_max_steps=0, max_steps=STEPS, eval_steps=EVERY)
    settings = StudySettings.model_validate(
        {
            "dataset": "toy",
            "profile": "embedded",
            "num_samples": TRIALS,
            "sampler": sampler,
            "scheduler": scheduler,
        }
    )
    info = StudyInfo(
        name="s",
        method="r2d",
        dataset="toy",
        profile="embedded",
        config=config.model_dump(),
        space=SPACE.model_dump(mode="json"),
        study={"num_samples": TRIALS},
        data_card={"labels": ["yes", "no"]},
        data_hash="0123",
        provenance={"kind": "sample"},
        versions={},
    )
    return StudyPlan(settings, get_method("r2d"), toy_splits(), config, SPACE, (), "s", info)


class Session:
    """Stands for Ray: trials one after the other in this process, which dies at given moments.

    Training counts its steps, keeps a checkpoint at every evaluation and goes on from it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps = self.moments = 0
        self.kill_at: int | None = None
        self.report: Callable[[dict[str, Any]], None] = lambda result: None
        append = JournalFileBackend.append_logs

        def tell(backend: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
            self.around(lambda: append(backend, logs))

        def save(path: Path, text: str) -> None:
            self.around(lambda: write_atomically(path, text))

        monkeypatch.setattr(os, "fsync", lambda _: None)
        monkeypatch.setattr(JournalFileBackend, "append_logs", tell)
        monkeypatch.setattr(trial_module, "write_atomically", save)
        monkeypatch.setattr(tune_module, "append_jsonl", self.append)
        monkeypatch.setattr(trial_module, "run_training", self.train)
        monkeypatch.setattr(tune_module, "drive", self.drive)
        monkeypatch.setattr(ray_tune, "report", lambda result: self.report(result))
        monkeypatch.setattr(ray_train, "TuneReportCallback", lambda: self.report)

    def moment(self) -> None:
        self.moments += 1
        if self.moments == self.kill_at:
            raise KilledError

    def around(self, act: Callable[[], None]) -> None:
        self.moment()
        act()
        self.moment()

    def append(self, path: Path, record: TrialRecord) -> None:
        whole = path.read_bytes() if path.exists() else b""
        try:
            self.around(lambda: append_jsonl(path, record))
        except KilledError:  # within the line: half of it is there
            line = record.model_dump_json().encode()
            path.write_bytes(whole + line[: len(line) // 2])
            raise

    def train(self, job: TrainingJob, callbacks: list[Any]) -> dict[str, Any]:
        weight, rate = job.config.label_loss_weight, job.config.learning_rate
        if round(1e7 * rate) % 3 == 0 and weight != 0.7:  # about every third, not trial 0
            raise RuntimeError("OutOfMemoryError: no room")
        checkpoints, pruned = job.run_dir / "ray", False
        checkpoints.mkdir(parents=True, exist_ok=True)
        done = max((int(path.name) for path in checkpoints.iterdir()), default=0)
        scores = {s: weight * s / (s + 1e3 * rate) for s in range(EVERY, STEPS + 1, EVERY)}
        for step in range(done + 1, STEPS + 1):
            self.steps += 1
            self.moment()
            if step in scores:
                done, pruned = step, step < STEPS and (job.run_dir / STOP_FILE).exists()
                self.around((checkpoints / str(step)).touch)
                best = max(value for at, value in scores.items() if at <= step)
                callbacks[0]({"step": step, METRIC: best})
            if pruned:
                break
        curve = [{"step": s, "scores": {METRIC: v}} for s, v in scores.items() if s <= done]
        return {
            "curve": curve,
            "series": {},
            "selected_step": done,
            "best_metric": scores[done],
            "steps_done": done,
            "pruned": pruned,
            "step_s": None,
            "device": "cpu",
        }

    def drive(
        self, folder: StudyFolder, base: Any, trials: Any, asha: Any, samples: int, *_: Any
    ) -> None:
        for place in range(samples):
            self.run_one(f"id{place}", trials, asha, base)

    def run_one(self, name: str, trials: Any, asha: Any, base: Any) -> None:
        asked = trials.suggest(name)
        tune_trial = SimpleNamespace(trial_id=name, config=asked)
        if asha:
            asha.on_trial_add(None, tune_trial)

        def report(result: dict[str, Any]) -> None:
            trials.on_trial_result(name, result)
            if asha:
                asha.on_trial_result(None, tune_trial, result)
            self.moment()

        self.report, error = report, False
        try:
            trial_module.run_trial(asked, base)
        except Exception:
            error = True
        trials.on_trial_complete(name, error=error)

    def search(self, plan: StudyPlan, root: Path) -> StudyFolder:
        """Run the plan's search in this folder, as the same command would again."""
        folder = StudyFolder(root)
        for place in folder.made_at_once():
            place.mkdir(parents=True, exist_ok=True)
        tune_module.search(plan, folder, root / "prepared" / "p", 1, lambda event: None)
        return folder


def ended(folder: StudyFolder) -> tuple[list[TrialRecord], list[tuple[Any, ...]]]:
    """Return what a search left: its records, and Optuna's trials without their times."""
    records = [r.model_copy(update={"wall_s": 0}) for r in read_jsonl(folder.records_path, TrialRecord)]
    trials = open_journal(folder.journal_path, "s", "maximize").trials
    told = [
        (t.number, t.state, t.value, t.params, t.intermediate_values, t.user_attrs) for t in trials
    ]
    return records, told


@pytest.mark.parametrize("scheduler", ["none", "asha"])
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_search_killed_at_drawn_moments_ends_as_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str, scheduler: str
) -> None:
    session, plan = Session(monkeypatch), search_plan(sampler, scheduler)
    want = ended(session.search(plan, tmp_path / "calm"))
    calm_steps, moments = session.steps, session.moments
    assert {r.status for r in want[0]} >= {"done", "failed"}
    assert [r.trial for r in want[0]] == list(range(TRIALS))

    draw, kills, session.steps = random.Random(SEED), 0, 0
    while True:
        session.moments, session.kill_at = 0, draw.randint(1, moments // 4)
        try:
            folder = session.search(plan, tmp_path / "hit")
            break
        except KilledError:
            kills += 1
    assert kills >= 8
    assert ended(folder) == want
    assert TrialState.RUNNING not in {trial[1] for trial in want[1]}
    assert calm_steps <= session.steps <= calm_steps + kills * EVERY
