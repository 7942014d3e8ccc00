"""A disturbed run ends as an undisturbed one: killed searches and stages, full disks, lost nodes.

Kills come at moments drawn with a fixed seed; what is compared are results and counted work.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import ray
import ray.train
import torch
from conftest import tiny_config, toy_info, toy_splits
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages.journal import _file as journal_module
from ray import tune as ray_tune
from ray.train import ControllerError, WorkerGroupError
from ray.tune.integration import ray_train
from ray.tune.search import Searcher
from safetensors.torch import load_file

from r2d_ray import storage
from r2d_ray.cli.command import exit_code
from r2d_ray.data.prepare import Prepared, open_prepared
from r2d_ray.distributed import worker_group
from r2d_ray.distributed.cluster import check_shared_storage
from r2d_ray.distributed.failures import training_failure
from r2d_ray.distributed.stage_job import MAX_FAILURES, STOP_FILE, TrainingJob, run_training
from r2d_ray.errors import EXIT_DONE, EXIT_NO_USABLE_TRIAL, EXIT_SOME_TRIALS_FAILED, UserError
from r2d_ray.method import losses
from r2d_ray.method.variants import get_method
from r2d_ray.records import TrialRecord, append_jsonl, read_jsonl
from r2d_ray.search import frame, trial, tuner
from r2d_ray.search.domain import Domain
from r2d_ray.search.plan import StudyPlan
from r2d_ray.search.run import SearchRun, missing_trials
from r2d_ray.search.searcher import StudySearcher, open_journal
from r2d_ray.search.space import SearchSpace
from r2d_ray.search.trial import one_line
from r2d_ray.storage import write_atomically
from r2d_ray.study import books
from r2d_ray.study.folder import StudyFolder, read_info, read_trials
from r2d_ray.study.patience import is_flat
from r2d_ray.study.progress.events import silent
from r2d_ray.study.settings import SearchSettings
from r2d_ray.training import trainer
from r2d_ray.training.checkpoint import CheckpointError, newest_whole
from r2d_ray.training.stage import StageOutcome, run_stage
from r2d_ray.training.trainer import NonFiniteError

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


def search_plan(
    sampler: str, pruner: str, seeds: int = 1, patience: int | None = None
) -> StudyPlan:
    config = tiny_config(stage1_max_steps=0, max_steps=STEPS, eval_steps=EVERY)
    settings = SearchSettings.model_validate(
        {
            "dataset": "toy",
            "profile": "embedded",
            "num_samples": TRIALS,
            "sampler": sampler,
            "pruner": pruner,
            "seeds_per_config": seeds,
            "patience_trials": patience,
        }
    )
    info = toy_info("s", config, SPACE.model_dump(mode="json"), TRIALS)
    info = info.model_copy(update={"study": settings.model_dump(mode="json")})
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
        monkeypatch.setattr(books, "write_atomically", save)
        monkeypatch.setattr(books, "append_jsonl", self.append)
        monkeypatch.setattr(frame, "drive", self.drive)
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
        seed = job.config.seed - 42
        if round(1e7 * rate) % 3 == 0 and weight != 0.7:  # about every third, not trial 0
            raise RuntimeError("OutOfMemoryError: no room")
        checkpoints, pruned = job.run_dir / "ray", False
        checkpoints.mkdir(parents=True, exist_ok=True)
        done = max((int(path.name[-2:]) for path in checkpoints.iterdir()), default=0)
        scores = {
            s: weight * s / (s + 1e3 * rate) + seed / 7 for s in range(EVERY, STEPS + 1, EVERY)
        }
        for step in range(done + 1, STEPS + 1):
            self.steps += 1
            self.moment()
            if step in scores:
                done, pruned = step, step < STEPS and (job.run_dir / STOP_FILE).exists()
                known = {at: value for at, value in scores.items() if at <= step}
                log = [{"step": at, f"eval_{METRIC}": value} for at, value in known.items()]
                self.around(partial(checkpoint, checkpoints / f"checkpoint_{step:02d}", log))
                run = {"run": job.run} if job.run else {}
                callbacks[0]({"step": step, METRIC: max(known.values()), **run})
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

    def drive(self, session: tuner.Session, searcher: StudySearcher, trials: int) -> None:
        for place in range(trials):
            self.run_one(f"id{place}", searcher, session.told())

    def run_one(self, name: str, searcher: StudySearcher, base: dict[str, Any]) -> None:
        asked = searcher.suggest(name)
        if asked == Searcher.FINISHED:
            return
        assert isinstance(asked, dict)

        def report(result: dict[str, Any]) -> None:
            self.moment()
            searcher.on_trial_result(name, result)
            self.moment()

        self.report, error = report, False
        try:
            trial.run_trial(asked, base, self.train)
        except Exception:
            error = True
        searcher.on_trial_complete(name, error=error)

    def search(self, plan: StudyPlan, root: Path) -> StudyFolder:
        """Run the plan's search in this folder, as the same command would again."""
        folder = StudyFolder(root)
        for place in folder.made_at_once():
            place.mkdir(parents=True, exist_ok=True)
        kept, prepared = books.Bookkeeper(folder, plan.info), {"": root / "prepared" / "p"}
        SearchRun(plan).train(tuner.Session(kept, prepared, 1, silent), resumed=False)
        return folder


def checkpoint(folder: Path, log: list[dict[str, float]]) -> None:
    folder.mkdir()
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": log}))


def ended(folder: StudyFolder) -> tuple[list[TrialRecord], list[tuple[Any, ...]]]:
    """Return what a search left: its records, and Optuna's trials without their times."""
    records = [
        r.model_copy(update={"wall_s": 0}) for r in read_jsonl(folder.records_path, TrialRecord)
    ]
    trials = open_journal(folder.journal_path, "s", SPACE.objective).trials
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


@pytest.mark.parametrize(("sampler", "seeds"), [("random", 1), ("tpe", 1), ("tpe", 2)])
def test_a_search_killed_at_drawn_moments_ends_as_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str, seeds: int
) -> None:
    session, plan = Session(monkeypatch), search_plan(sampler, "none", seeds)
    want = ended(session.search(plan, tmp_path / "calm"))
    calm_steps = session.steps
    assert {r.status for r in want[0]} == {"done", "failed"}  # those that raise fail alone
    named = "seed 42: " if seeds > 1 else ""
    assert {r.reason for r in want[0]} == {None, f"{named}OutOfMemoryError: no room"}
    assert [r.trial for r in want[0]] == list(range(TRIALS))

    kills = killed_and_repeated(session, plan, tmp_path / "hit", session.moments // 6)
    assert kills >= 8
    assert ended(StudyFolder(tmp_path / "hit")) == want
    assert calm_steps <= session.steps <= calm_steps + kills * EVERY


def asked_to_end(root: Path) -> set[str]:
    return {path.parent.name for path in root.glob(f"trials/*/{STOP_FILE}")}


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_search_with_a_pruner_killed_at_drawn_moments_takes_the_same_decisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: int
) -> None:
    session, plan = Session(monkeypatch), search_plan("random", "asha", seeds)
    records, told = ended(session.search(plan, tmp_path / "calm"))
    assert {r.status for r in records} == {"done", "pruned", "failed"}
    kills = killed_and_repeated(session, plan, tmp_path / "hit", session.moments // 12)
    assert kills >= 16
    found, found_told = ended(StudyFolder(tmp_path / "hit"))
    assert [(r.trial, r.config, r.status) for r in found] == [
        (r.trial, r.config, r.status) for r in records
    ]
    assert asked_to_end(tmp_path / "hit") == asked_to_end(tmp_path / "calm")
    # One that was asked to end may be killed before it could: it ends an evaluation later.
    assert [r.curve[: len(want.curve)] for r, want in zip(found, records, strict=True)] == [
        want.curve for want in records
    ]
    assert [trial[3] for trial in found_told] == [trial[3] for trial in told]
    assert all(state.is_finished() for _, state, *_ in found_told)
    assert session.steps <= seeds * TRIALS * STEPS + kills * EVERY


@pytest.mark.parametrize(("sampler", "pruner"), [("random", "none"), ("tpe", "halving")])
def test_a_killed_search_of_a_patience_stops_at_the_trial_at_which_a_calm_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str, pruner: str
) -> None:
    session, plan = Session(monkeypatch), search_plan(sampler, pruner, patience=4)
    calm = session.search(plan, tmp_path / "calm")
    records, _ = ended(calm)
    last = len(records)
    assert 5 <= last < TRIALS
    by_number = {record.trial: record for record in records}
    best = SPACE.objective.best_of(records)
    assert best is not None
    after = [record for record in records if record.trial > best.trial]
    assert sum(record.status != "failed" for record in after) == 4
    assert is_flat(by_number, SPACE.objective, 4)

    killed_and_repeated(session, plan, tmp_path / "hit", session.moments // 6)
    found, told = ended(StudyFolder(tmp_path / "hit"))
    assert [(r.trial, r.config, r.status) for r in found] == [
        (r.trial, r.config, r.status) for r in records
    ]
    assert len(told) == last
    # Nothing is left to train; without the patience the same study goes on.
    kept = books.Bookkeeper(calm, plan.info)
    idle = tuner.Session(kept, {}, 1, silent)
    assert missing_trials(plan, idle) is None
    more = missing_trials(search_plan(sampler, pruner), idle)
    assert more is not None
    assert more.trials == TRIALS - last


def test_no_trials_are_added_to_a_search_that_its_patience_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = search_plan("random", "none", patience=4)
    folder = Session(monkeypatch).search(plan, tmp_path)
    storage.write_json(folder.info_path, plan.info.model_dump(mode="json"))
    asked = plan.settings.model_copy(update={"extend": 2})
    with pytest.raises(UserError) as refused:
        SearchRun(replace(plan, settings=asked)).check_stored(folder)
    assert str(refused.value) == (
        "--extend 2: no better value in 4 trials, which ended the search (allowed: with a larger "
        "--patience-trials, or without it)"
    )
    patient = asked.model_copy(update={"patience_trials": 5})
    SearchRun(replace(plan, settings=patient)).check_stored(folder)


def test_a_search_that_ended_before_its_last_trial_is_extended_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a time budget, patience or a kill ends it: the flag adds its trials all the same."""
    plan = search_plan("random", "none", patience=4)
    folder = Session(monkeypatch).search(plan, tmp_path)
    storage.write_json(folder.info_path, plan.info.model_dump(mode="json"))
    ended, patient = len(read_trials(folder.root, plan.info)), {"patience_trials": None}
    assert ended < TRIALS
    asked = plan.settings.model_copy(update={"extend": 2, **patient})
    run = SearchRun(replace(plan, settings=asked))
    assert run.take_up(folder, plan.info) == ()
    assert run.plan.settings.num_samples == TRIALS + 2
    again = SearchRun(replace(plan, settings=asked))
    assert again.take_up(folder, read_info(folder.root)) == (
        f"--extend 2 adds no trials yet: {TRIALS + 2 - ended} of the {TRIALS + 2} trials that the "
        "former --extend made it have not ended; when they have, the same command adds more",
    )
    assert again.plan.settings.num_samples == TRIALS + 2


def test_the_pruner_decides_on_what_a_killed_trial_left_before_anybody_heard_of_it(
    tmp_path: Path,
) -> None:
    folder, plan = StudyFolder(tmp_path), search_plan("random", "asha")
    study = open_journal(folder.journal_path, "s", SPACE.objective)
    first, _ = study.ask(), study.ask()
    first.report(0.9, 14)
    study.tell(first, 0.9)
    left = folder.trial_dir(1) / "ray"
    left.mkdir(parents=True)
    checkpoint(left / "checkpoint_14", [{"step": 14, f"eval_{METRIC}": 0.5}])
    values = {"learning_rate": 1e-3, "label_loss_weight": 0.7}
    append_jsonl(
        folder.records_path,
        books.trial_record(plan.info, 0, values, "done", metrics={METRIC: 0.9}),
    )
    session = tuner.Session(books.Bookkeeper(folder, plan.info), {}, 1, lambda event: None)
    missing = missing_trials(plan, session)
    assert missing is not None
    assert missing.trials == TRIALS - 1
    assert asked_to_end(tmp_path) == {"0001"}
    told = open_journal(folder.journal_path, "s", SPACE.objective).trials
    assert told[1].intermediate_values == {14: 0.5}


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
    open_journal(path, "s", SPACE.objective).set_user_attr("a", 1)
    assert JournalFileSymlinkLock(str(path)).acquire()  # and never released
    assert path.with_name("optuna.journal.lock").is_symlink()
    seconds = itertools.count(step=10)
    clock = SimpleNamespace(monotonic=lambda: next(seconds), sleep=lambda _: None)
    monkeypatch.setattr(journal_module, "time", clock)
    study = open_journal(path, "s", SPACE.objective)
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
    real = losses.stage2_loss

    def counted(*arguments: Any) -> Any:
        nonlocal steps, kill_after
        kill_after -= 1
        if kill_after == 0:
            raise KilledError
        steps += 1
        return real(*arguments)

    def keep(_: dict[str, Any], checkpoint: Path) -> None:
        reported.append(checkpoint)

    monkeypatch.setattr(trainer, "stage2_loss", counted)
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
    real = storage.write_json

    def full(path: Path, value: object) -> None:
        if reported:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, value)

    monkeypatch.setattr(trainer, "write_json", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        run(prepared, tmp_path, report=lambda _, checkpoint: reported.append(checkpoint))
    assert one_line(caught.value) == "OSError: [Errno 28] No space left on device"
    assert [path.name for path in reported] == ["checkpoint-4"]  # the second was not handed over
    monkeypatch.undo()
    found = run(prepared, tmp_path, resume_from=reported[0])
    assert replace(found, step_s=None) == whole[1]
    assert same_weights(tmp_path, whole[0])


def test_whatever_file_of_the_newest_checkpoint_is_damaged_the_one_before_it_serves(
    tmp_path: Path, whole: tuple[Path, StageOutcome], prepared: Prepared
) -> None:
    for step in (4, 8):
        shutil.copytree(whole[0] / f"checkpoint-{step}", tmp_path / f"checkpoint_{step}")
    before, newest = tmp_path / "checkpoint_4", tmp_path / "checkpoint_8"
    files = [path for path in newest.rglob("*") if path.is_file()]
    needed = {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"}
    assert {path.name for path in files} > needed | {"trainer_state.json", "running.json"}
    for file in files:
        data = file.read_bytes()
        file.write_bytes(data[: len(data) // 2])
        assert newest_whole(tmp_path, newest) == before, file.name
        file.unlink()
        assert newest_whole(tmp_path, newest) == before, file.name
        file.write_bytes(data)
    assert newest_whole(tmp_path, newest) == newest
    found = run(prepared, tmp_path / "run", resume_from=before)
    assert replace(found, step_s=None) == whole[1]
    assert same_weights(tmp_path / "run", whole[0])


# What Ray is told and asked


class FailingTrainer:
    """Stands for StageWorkers: a worker fails at every attempt, and callbacks hear of it."""

    attempts = 0
    error: Exception

    def __init__(self, *_: Any, run_config: ray.train.RunConfig, **__: Any) -> None:
        self.run_config = run_config

    def fit(self) -> None:
        for _ in range(1 + self.run_config.failure_config.max_failures):
            FailingTrainer.attempts += 1
            for callback in self.run_config.callbacks:
                try:
                    callback.after_exception(None, {1: self.error})
                except Exception as error:
                    raise ControllerError(error) from error
        raise WorkerGroupError("a worker failed", {1: self.error})


@pytest.mark.parametrize(
    ("error", "attempts", "reason"),
    [
        (NonFiniteError("loss = nan at step 3"), 1, "NonFiniteError: loss = nan at step 3"),
        (UserError("no such column"), 1, "UserError: no such column"),
        (ValueError("bad shape"), 1, "ValueError: bad shape"),
        (CheckpointError("none is whole"), 1, "CheckpointError: none is whole"),
        (OSError(errno.ENOSPC, "no space"), 3, "OSError: [Errno 28] no space"),
        (ray.exceptions.ActorDiedError(), 3, "ActorDiedError: "),
        (RuntimeError("gloo: connection closed by peer"), 3, "RuntimeError: gloo"),
        (torch.OutOfMemoryError("2.00 GiB"), 1, "OutOfMemoryError: 2.00 GiB (a smaller per_device"),
    ],
)
def test_only_what_another_attempt_may_not_meet_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, attempts: int, reason: str
) -> None:
    FailingTrainer.attempts, FailingTrainer.error = 0, error
    monkeypatch.setattr(worker_group, "StageWorkers", FailingTrainer)
    with pytest.raises(RuntimeError) as caught:
        run_training(TrainingJob(CONFIG, "stage2", tmp_path / "p", tmp_path / "run"))
    assert FailingTrainer.attempts == attempts <= 1 + MAX_FAILURES == 3
    assert one_line(caught.value).startswith(reason)


def test_a_run_gives_back_the_handler_of_sigint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit() -> None:
        signal.signal(signal.SIGINT, lambda number, frame: None)
        raise WorkerGroupError("a worker failed", {0: RuntimeError("no peer")})

    monkeypatch.setattr(worker_group, "StageWorkers", Mock(return_value=Mock(fit=fit)))
    former = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="no peer"):
        run_training(TrainingJob(CONFIG, "stage2", tmp_path / "p", tmp_path / "run"))
    assert signal.getsignal(signal.SIGINT) is former


def test_a_run_that_ray_cannot_begin_names_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cause = ray.exceptions.RayTaskError(
        "init", "ray::init()\n  a frame\nOSError: a file", OSError()
    )
    fail = Mock(side_effect=ray.exceptions.ActorDiedError(cause))
    monkeypatch.setattr(worker_group, "StageWorkers", Mock(return_value=Mock(fit=fail)))
    with pytest.raises(RuntimeError, match=r"^ActorDiedError: OSError: a file$"):
        run_training(TrainingJob(CONFIG, "stage2", tmp_path / "p", tmp_path / "run"))


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes",
        "Task was killed due to the node running low on memory",
    ],
)
def test_a_trial_out_of_memory_names_the_settings_that_need_less(text: str) -> None:
    said = training_failure(WorkerGroupError("a worker failed", {0: RuntimeError(text)}))
    assert said.startswith(f"RuntimeError: {text} (")
    assert "per_device_train_batch_size" in said
    assert "gradient_accumulation_steps" in said
    other = training_failure(WorkerGroupError("a worker failed", {0: RuntimeError("no peer")}))
    assert other == "RuntimeError: no peer"


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
    with pytest.raises(UserError, match=r"--storage-path .*studies: node 10\.0\.0\.3 cannot see"):
        check_shared_storage(study)
