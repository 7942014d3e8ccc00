"""A disturbed run ends as an undisturbed one: killed searches and stages, full disks, lost nodes.

Kills come at moments drawn with a fixed seed; what is compared are results and counted work.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import ray.train.torch
import torch
from conftest import tiny_config, toy_splits
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages.journal import _file as journal_module
from ray import tune as ray_tune
from ray.train import WorkerGroupError
from ray.tune.integration import ray_train
from safetensors import SafetensorError
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

TRIALS, STEPS, EVERY = 12, 20, 2  # TPE draws from what it knows from trial 10 on
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
        self.drawing = False
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
        if self.drawing:  # a kill within a draw changes it: docs/reliability.md, "Not promised"
            return
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
        self.drawing = True
        asked = trials.suggest(name)
        self.drawing = False
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
    records = [
        r.model_copy(update={"wall_s": 0}) for r in read_jsonl(folder.records_path, TrialRecord)
    ]
    trials = open_journal(folder.journal_path, "s", "maximize").trials
    told = [
        (t.number, t.state, t.value, t.params, t.intermediate_values, t.user_attrs) for t in trials
    ]
    return records, told


def killed_and_repeated(session: Session, plan: StudyPlan, root: Path, gap: int) -> int:
    """Run the search to its end through kills at most `gap` moments apart; return their number."""
    draw, kills, session.steps = random.Random(SEED), 0, 0
    while True:
        session.moments, session.kill_at = 0, draw.randint(1, gap)
        try:
            session.search(plan, root)
            return kills
        except KilledError:
            kills += 1


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_search_killed_at_drawn_moments_ends_as_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    session, plan = Session(monkeypatch), search_plan(sampler, "none")
    want = ended(session.search(plan, tmp_path / "calm"))
    calm_steps = session.steps
    assert {r.status for r in want[0]} == {"done", "failed"}  # those that raise fail alone
    assert {r.reason for r in want[0]} == {None, "OutOfMemoryError: no room"}
    assert [r.trial for r in want[0]] == list(range(TRIALS))

    kills = killed_and_repeated(session, plan, tmp_path / "hit", session.moments // 6)
    assert kills >= 8
    assert ended(StudyFolder(tmp_path / "hit")) == want
    assert calm_steps <= session.steps <= calm_steps + kills * EVERY


def test_a_search_with_asha_killed_at_drawn_moments_loses_and_repeats_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, plan = Session(monkeypatch), search_plan("random", "asha")
    records, told = ended(session.search(plan, tmp_path / "calm"))
    assert "pruned" in {r.status for r in records}
    kills = killed_and_repeated(session, plan, tmp_path / "hit", session.moments // 6)
    assert kills >= 8
    found, found_told = ended(StudyFolder(tmp_path / "hit"))
    assert [(r.trial, r.config) for r in found] == [(r.trial, r.config) for r in records]
    assert [trial[3] for trial in found_told] == [trial[3] for trial in told]
    assert all(state.is_finished() for _, state, *_ in found_told)
    assert session.steps <= TRIALS * STEPS + kills * EVERY


def test_a_study_that_ended_runs_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, plan = Session(monkeypatch), search_plan("random", "none")
    want = ended(session.search(plan, tmp_path))
    session.steps = 0
    assert ended(session.search(plan, tmp_path)) == want
    assert session.steps == 0


def test_the_exit_code_tells_whether_trials_failed() -> None:
    assert exit_code({"trials": {"done": 2, "pruned": 1}}) == EXIT_DONE == 0
    assert exit_code({"trials": {"done": 1, "failed": 2}}) == EXIT_SOME_TRIALS_FAILED == 3
    assert exit_code({"trials": {"failed": 2}}) == EXIT_NO_USABLE_TRIAL == 1


def test_a_journal_whose_writer_was_killed_with_its_lock_opens_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "optuna.journal"
    open_journal(path, "s", "maximize").set_user_attr("a", 1)
    assert JournalFileSymlinkLock(str(path)).acquire()  # and never released
    assert path.with_name("optuna.journal.lock").is_symlink()
    seconds = itertools.count(step=10)
    clock = SimpleNamespace(monotonic=lambda: next(seconds), sleep=lambda _: None)
    monkeypatch.setattr(journal_module, "time", clock)
    study = open_journal(path, "s", "maximize")
    study.set_user_attr("b", 2)
    assert study.user_attrs == {"a": 1, "b": 2}
    assert next(seconds) > 30


# A stage, killed and resumed


@pytest.fixture(scope="module")
def prepared(prepared_dir: Path) -> Prepared:
    return open_prepared(prepared_dir)


CONFIG = tiny_config(sampling_decay="constant", gold_probability_floor=0.5)
assert (CONFIG.max_steps, CONFIG.eval_steps, CONFIG.dropout_rate) == (8, 4, 0.1)


def run(prepared: Prepared, folder: Path, **more: Any) -> StageOutcome:
    best_dir = folder / "best"
    return run_stage(CONFIG, prepared, "stage2", output_dir=folder, best_dir=best_dir, **more)


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, prepared: Prepared
) -> tuple[Path, StageOutcome]:
    """An undisturbed stage."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, replace(run(prepared, folder), step_s=None)


def same_weights(one: Path, other: Path) -> bool:
    a, b = (load_file(folder / "best" / "model.safetensors") for folder in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_stage_killed_at_drawn_steps_ends_bit_for_bit_as_an_undisturbed_one(
    tmp_path: Path,
    prepared: Prepared,
    whole: tuple[Path, StageOutcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = kill_after = 0
    reported: list[Path] = []
    real = trainer_module.stage2_loss

    def counted(*arguments: Any) -> Any:
        nonlocal steps, kill_after
        kill_after -= 1
        if kill_after == 0:
            raise KilledError
        steps += 1
        return real(*arguments)

    def keep(_: dict[str, Any], checkpoint: Path) -> None:
        reported.append(checkpoint)

    monkeypatch.setattr(trainer_module, "stage2_loss", counted)
    draw, kills = random.Random(SEED), 0
    for drawn in [draw.randint(1, 4), draw.randint(5, 8), draw.randint(1, 4), 0]:
        kill_after = drawn
        try:
            last = reported[-1] if reported else None
            found = run(prepared, tmp_path, report=keep, resume_from=last)
        except KilledError:
            kills += 1
    assert kills == 3
    assert replace(found, step_s=None) == whole[1]
    assert same_weights(tmp_path, whole[0])
    assert CONFIG.max_steps < steps <= CONFIG.max_steps + kills * CONFIG.eval_steps


def test_a_full_disk_ends_the_stage_and_the_checkpoint_before_it_still_serves(
    tmp_path: Path,
    prepared: Prepared,
    whole: tuple[Path, StageOutcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[Path] = []
    real = trainer_module.write_json

    def full(path: Path, value: object) -> None:
        if reported:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, value)

    monkeypatch.setattr(trainer_module, "write_json", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        run(prepared, tmp_path, report=lambda _, checkpoint: reported.append(checkpoint))
    assert one_line(caught.value) == "OSError: [Errno 28] No space left on device"
    assert [path.name for path in reported] == ["checkpoint-4"]  # the second was not handed over
    monkeypatch.undo()
    found = run(prepared, tmp_path, resume_from=reported[0])
    assert replace(found, step_s=None) == whole[1]
    assert same_weights(tmp_path, whole[0])


DAMAGE = [
    *((name, "half") for name in ("config.json", "model.safetensors", "optimizer.pt")),
    *((name, "half") for name in ("rng_state.pth", "scheduler.pt", "trainer_state.json")),
    *((name, "gone") for name in ("model.safetensors", "trainer_state.json", "running.json")),
    *((name, "gone") for name in ("optimizer.pt", "rng_state.pth", "scheduler.pt", "files.json")),
]


@pytest.mark.parametrize(("name", "how"), DAMAGE)
def test_a_damaged_checkpoint_ends_the_run_and_is_not_trained_on(
    tmp_path: Path, prepared: Prepared, whole: tuple[Path, StageOutcome], name: str, how: str
) -> None:
    shutil.copytree(whole[0] / "checkpoint-4", tmp_path / "checkpoint-4")
    file = tmp_path / "checkpoint-4" / name
    data = file.read_bytes()
    file.unlink()
    if how == "half":
        file.write_bytes(data[: len(data) // 2])
    with pytest.raises((OSError, RuntimeError, ValueError, SafetensorError)):
        run(prepared, tmp_path / "run", resume_from=tmp_path / "checkpoint-4")
    assert not list(tmp_path.glob("run/checkpoint-*"))
    assert not (tmp_path / "run" / "best").exists()


# What Ray is told and asked


class FailingTrainer:
    """Stands for TorchTrainer: takes what it is told, fails as when a worker is out of memory."""

    def __init__(self, *_: Any, **told: Any) -> None:
        self.told.append(told)

    told: list[dict[str, Any]] = []  # noqa: RUF012

    def fit(self) -> None:
        error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        raise WorkerGroupError("a worker failed", {1: error})


def test_a_trial_out_of_memory_fails_with_its_reason_after_a_bounded_number_of_replacements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FailingTrainer.told.clear()
    monkeypatch.setattr(ray.train.torch, "TorchTrainer", FailingTrainer)
    with pytest.raises(RuntimeError) as caught:
        run_training(TrainingJob(CONFIG, "stage2", tmp_path / "p", tmp_path / "run"))
    reason = "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"
    assert one_line(caught.value) == reason
    [told] = FailingTrainer.told  # no attempt but Ray's
    assert told["run_config"].failure_config.max_failures == MAX_FAILURES == 2
    assert told["run_config"].checkpoint_config.num_to_keep == CHECKPOINTS_KEPT == 2


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Path]:
    """Nodes of a cluster by id, with what each has in the place of the storage."""
    storages: dict[str, Path] = {}

    def node(name: str) -> dict[str, Any]:
        return {"NodeID": name, "NodeManagerAddress": f"10.0.0.{int(name, 16)}", "Alive": True}

    class Task:
        def options(self, scheduling_strategy: Any) -> Task:
            self.node = scheduling_strategy.node_id
            return self

        def remote(self, path: Path) -> bool:
            return (storages[self.node] / path.relative_to(tmp_path)).exists()

    monkeypatch.setattr(ray, "nodes", lambda: [node(name) for name in storages])
    monkeypatch.setattr(ray, "remote", lambda **_: lambda look: Task())
    monkeypatch.setattr(ray, "get", lambda answer: answer)
    return storages


def test_a_node_that_does_not_see_the_study_is_refused_by_its_address(
    tmp_path: Path, nodes: dict[str, Path]
) -> None:
    study = tmp_path / "studies" / "s"
    study.mkdir(parents=True)
    first, second, third = (f"{number:056x}" for number in (1, 2, 3))
    nodes |= {first: tmp_path, second: tmp_path}
    check_shared_storage(study)
    nodes[third] = tmp_path / "a folder of its own"
    with pytest.raises(UserError, match=r"--storage-path .*studies: node 10\.0\.0\.3 does not see"):
        check_shared_storage(study)
