from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import tiny_config
from optuna.trial import TrialState
from ray import tune as ray_tune
from ray.tune.integration import ray_train
from ray.tune.search import Searcher

from r2d_ray.config import TrainConfig
from r2d_ray.distributed.stage_job import STOP_FILE, TrainingJob
from r2d_ray.errors import UserError
from r2d_ray.records import Objective, StudyInfo, TrialRecord, read_jsonl
from r2d_ray.search import trial as trial_module
from r2d_ray.search.domain import Domain
from r2d_ray.search.journal.opening import reconcile
from r2d_ray.search.run import ask_to_end
from r2d_ray.search.searcher import StudySearcher, open_journal
from r2d_ray.search.space import SearchSpace, distributions
from r2d_ray.search.trial import (
    evaluations_left,
    one_line,
    run_trial,
    rung_step,
    step_left,
    train_trial,
)
from r2d_ray.study.books import OUTCOME, Bookkeeper, outcome_of, save_outcome, trial_record
from r2d_ray.study.folder import StudyFolder

SPACE = SearchSpace(
    name="s",
    metric="macro_f1",
    mode="max",
    search={"label_loss_weight": Domain(type="float", low=0.3, high=0.9)},
)
OBJECTIVE = SPACE.objective


def info(mode: str = "max", metric: str = "macro_f1", **config: Any) -> StudyInfo:
    return StudyInfo(
        name="s",
        method="r2d",
        dataset="toy",
        profile="embedded",
        config=tiny_config(stage1_max_steps=0, **config).model_dump(),
        space={**SPACE.model_dump(mode="json"), "mode": mode, "metric": metric},
        study={"num_samples": 4},
        data_card={"labels": ["yes", "no"]},
        data_hash="0123",
        provenance={"kind": "sample"},
        versions={"python": "3"},
    )


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    made = StudyFolder(tmp_path / "s")
    for place in made.made_at_once():
        place.mkdir(parents=True)
    return made


def books(folder: StudyFolder, **more: Any) -> Bookkeeper:
    return Bookkeeper(folder, info(**more))


def leave(folder: StudyFolder, number: int, value: float = 0.5, **more: Any) -> TrialRecord:
    """Leave in a trial's folder what it leaves when it ends: outcome, weights, checkpoints."""
    values: dict[str, Any] = {"metrics": {"macro_f1": value}, **more}
    status = values.pop("status", "done")
    record = trial_record(info(), number, {"label_loss_weight": 0.6}, status, **values)
    save_outcome(folder, record, started=0.0)
    for name in ("best", "ray"):
        (folder.trial_dir(number) / name).mkdir()
        (folder.trial_dir(number) / name / "file").touch()
    left = outcome_of(folder, number)
    assert left is not None
    return left


def test_an_outcome_that_is_none_is_refused_with_its_file(folder: StudyFolder) -> None:
    leave(folder, 0)
    path = folder.trial_dir(0) / "outcome.json"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=r"outcome\.json: not a valid trial outcome"):
        outcome_of(folder, 0)


def stored(folder: StudyFolder) -> list[TrialRecord]:
    return list(read_jsonl(folder.records_path, TrialRecord))


# Books


def test_an_outcome_is_entered_once(folder: StudyFolder) -> None:
    record = leave(folder, 0)
    kept = books(folder)
    assert kept.ended(0, {}) == kept.ended(0, {}) == record
    assert stored(folder) == [record]
    assert books(folder).ended(0, {}) == record  # the next session's
    assert stored(folder) == [record]


def test_a_driver_that_died_is_a_failed_trial_with_the_values_it_had(folder: StudyFolder) -> None:
    record = books(folder).ended(3, {"label_loss_weight": 0.8})
    assert stored(folder) == [record]
    assert (record.trial, record.status) == (3, "failed")
    assert record.reason == "the trial's driver died"
    assert record.config == {**info().config, "label_loss_weight": 0.8}
    assert record.metrics == {}


@pytest.mark.parametrize(("mode", "best"), [("max", 1), ("min", 2)])
def test_the_best_trial_has_the_best_score_and_is_the_earliest_of_equals(
    folder: StudyFolder, mode: str, best: int
) -> None:
    kept = books(folder, mode=mode)
    assert kept.best() is None
    values = {4: 0.7, 3: 0.6, 1: 0.7, 2: 0.4, 5: 0.4}  # in the order in which they ended
    for number, value in values.items():
        leave(folder, number, value)
        kept.ended(number, {})
    for number, status in ((6, "pruned"), (7, "failed")):
        leave(folder, number, 0.99 if mode == "max" else 0.01, status=status)
        kept.ended(number, {})
    for session in (kept, books(folder, mode=mode)):
        found = session.best()
        assert found is not None
        assert found.trial == best


def test_only_the_weights_of_trial_0_and_of_the_best_are_kept(folder: StudyFolder) -> None:
    def with_weights() -> list[int]:
        return [n for n in range(5) if (folder.trial_dir(n) / "best").exists()]

    kept = books(folder)
    expected = {0: [0], 1: [0, 1], 2: [0, 1], 3: [0, 3], 4: [0, 3]}
    statuses = {4: "pruned"}
    for number, value in enumerate([0.5, 0.6, 0.55, 0.7, 0.9]):
        leave(folder, number, value, status=statuses.get(number, "done"))
        kept.ended(number, {})
        assert with_weights() == expected[number]
        assert not (folder.trial_dir(number) / "ray").exists()
        assert (folder.trial_dir(number) / OUTCOME).exists()


def test_what_still_trains_is_not_tidied_away(folder: StudyFolder) -> None:
    running = folder.trial_dir(1) / "ray"
    running.mkdir(parents=True)
    leave(folder, 0)
    books(folder).ended(0, {})
    assert running.exists()


def test_a_record_that_cannot_be_read_is_named(folder: StudyFolder) -> None:
    folder.records_path.write_text("{}\n")
    with pytest.raises(Exception, match=r"records.jsonl:1: study"):
        books(folder)


# After a kill


def journal(folder: StudyFolder) -> optuna.Study:
    return open_journal(folder.journal_path, "s", OBJECTIVE)


def session(folder: StudyFolder) -> tuple[StudySearcher, Bookkeeper]:
    """Begin a session as `search` does, up to Tune."""
    study, kept = journal(folder), books(folder)
    reconcile(study, kept, OBJECTIVE)
    searcher = StudySearcher(
        study,
        distributions(SPACE),
        objective=OBJECTIVE,
        sampler="random",
        seed=1,
        ended=kept.ended,
        ask_to_end=lambda number: None,
    )
    return searcher, kept


def test_a_kill_between_outcome_record_and_tell_loses_nothing(folder: StudyFolder) -> None:
    first, _ = session(folder)
    asked = [first.suggest(f"id{number}") for number in range(4)]
    # 0: outcome, not yet a record; 1: a record, not yet told; 2: still training; 3: told.
    leave(folder, 0, 0.5, curve=[{"step": 4, "scores": {"macro_f1": 0.5}}])
    leave(folder, 1, status="failed", reason="NonFiniteError: loss = nan", metrics={})
    books(folder).ended(1, {})
    leave(folder, 3, 0.7)
    first.on_trial_complete("id3")

    second, kept = session(folder)
    trials = journal(folder).trials
    assert [t.state for t in trials] == [
        *(TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING, TrialState.COMPLETE)
    ]
    assert trials[0].intermediate_values == {4: 0.5}
    told = {"folder": "trials/0001", "reason": "NonFiniteError: loss = nan"}
    assert trials[1].user_attrs == told
    assert sorted(kept.records) == sorted(r.trial for r in stored(folder)) == [0, 1, 3]
    assert second.suggest("again") == asked[2]
    assert second.suggest("new") != Searcher.FINISHED
    assert [t.number for t in journal(folder).trials] == [0, 1, 2, 3, 4]


def test_a_failure_that_no_session_heard_of_is_tried_again(folder: StudyFolder) -> None:
    first, _ = session(folder)
    asked = first.suggest("id0")
    leave(folder, 0, status="failed", reason="ActorDiedError: a cluster ends", metrics={})
    second, kept = session(folder)
    assert second.suggest("again") == asked
    assert outcome_of(folder, 0) is None
    assert stored(folder) == []
    second.on_trial_complete("again", error=True)
    assert kept.records[0].reason == "the trial's driver died"


def test_reconciling_twice_changes_nothing(folder: StudyFolder) -> None:
    first, _ = session(folder)
    first.suggest("a")
    leave(folder, 0)
    session(folder)
    before = (stored(folder), [t.state for t in journal(folder).trials])
    session(folder)
    assert (stored(folder), [t.state for t in journal(folder).trials]) == before


def test_a_request_to_end_lies_where_training_looks(folder: StudyFolder) -> None:
    folder.trial_dir(2).mkdir(parents=True)
    ask_to_end(folder, 2)
    ask_to_end(folder, 2)
    job = TrainingJob(tiny_config(), "stage2", Path("p"), folder.trial_dir(2))
    assert (job.run_dir / STOP_FILE).exists()


# One trial


@pytest.mark.parametrize(("steps", "rung"), [(1, 1), (2, 2), (8, 6), (100, 65), (30_000, 19_500)])
def test_the_rung_stands_at_065_of_the_steps(steps: int, rung: int) -> None:
    assert rung_step(steps) == rung


def outcome(scores: dict[int, float], metric: str, best: int, **more: Any) -> dict[str, Any]:
    """What training returns: accuracy and `metric` at every evaluation."""
    return {
        "curve": [{"step": s, "scores": {metric: v, "accuracy": 0.5}} for s, v in scores.items()],
        "series": {"loss": [1.0, None]},
        "selected_step": best,
        "best_metric": scores[best],
        "steps_done": max(scores),
        "pruned": False,
        "step_s": 0.1,
        "device": "cpu",
        **more,
    }


def trained(
    folder: StudyFolder, study: StudyInfo, result: dict[str, Any]
) -> tuple[TrialRecord, list[TrainingJob]]:
    jobs: list[TrainingJob] = []

    def run_training(job: TrainingJob, callbacks: list[Any]) -> dict[str, Any]:
        jobs.append(job)
        return result

    values = {"label_loss_weight": 0.6}
    record = train_trial(study, folder, Path("p"), 2, values, [], run_training)
    return record, jobs


@pytest.mark.parametrize(
    ("scores", "value"),
    [
        # Rung of 100 steps: 65. The first evaluation there is at 70; best so far at it.
        ({20: 0.4, 40: 0.8, 70: 0.6, 90: 0.9}, 0.8),
        ({65: 0.3, 90: 0.9}, 0.3),
        ({20: 0.4, 40: 0.2}, 0.4),  # ended before the rung
    ],
)
def test_the_rung_value_is_the_best_up_to_the_first_evaluation_at_the_rung(
    folder: StudyFolder, scores: dict[int, float], value: float
) -> None:
    best = max(scores, key=lambda step: scores[step])
    result = outcome(scores, "macro_f1", best)
    record, _ = trained(folder, info(max_steps=100), result)
    assert record.rung == {"step": 65.0, "value": value}


def test_the_rung_value_of_a_loss_is_the_least(folder: StudyFolder) -> None:
    study = info(mode="min", metric="rationale_loss", max_steps=100)
    result = outcome({20: 1.0, 70: 2.0, 90: 0.5}, "rationale_loss", 90)
    record, _ = trained(folder, study, result)
    assert record.rung["value"] == 1.0


@pytest.mark.parametrize(("pruned", "status"), [(False, "done"), (True, "pruned")])
def test_a_record_tells_all_of_a_trial(folder: StudyFolder, pruned: bool, status: str) -> None:
    result = outcome({4: 0.4, 8: 0.7, 12: 0.6}, "macro_f1", 8, pruned=pruned)
    record, [job] = trained(folder, info(max_steps=12, seed=5), result)
    config = info(max_steps=12, seed=5).config
    assert job.config == TrainConfig(**{**config, "label_loss_weight": 0.6})
    assert (job.stage, job.run_dir, job.weights) == ("stage2", folder.trial_dir(2), None)
    assert job.report_metric == "macro_f1"
    assert record.status == status
    assert (record.trial, record.seed, record.study) == (2, 5, "s")
    assert record.config == job.config.model_dump()
    assert [(e.step, e.scores["macro_f1"]) for e in record.curve] == [(4, 0.4), (8, 0.7), (12, 0.6)]
    assert (record.selected_step, record.steps_done) == (8, 12)
    assert record.metrics == {"macro_f1": 0.7, "accuracy": 0.5}
    assert record.series == {"loss": [1.0, None]}
    assert TrialRecord.model_validate_json(record.model_dump_json()) == record


def checkpoint(folder: StudyFolder, name: str, *scores: dict[str, float], size: int = -1) -> None:
    """Write a trial's checkpoint with these log entries, cut after `size` characters."""
    place = folder.trial_dir(2) / "ray" / f"checkpoint_{name}"
    place.mkdir(parents=True)
    (place / "trainer_state.json").write_text(json.dumps({"log_history": scores})[:size])


def test_the_newest_whole_checkpoint_tells_the_best_so_far_at_each_evaluation(
    folder: StudyFolder,
) -> None:
    assert evaluations_left(folder, 2, OBJECTIVE) == {}
    log = [
        {"step": 2, "loss": 1.5},
        *({"step": step, "eval_macro_f1": v} for step, v in ((4, 0.4), (8, 0.3), (12, 0.5))),
    ]
    checkpoint(folder, "2026-01-01_09", *log[:2], size=1000)
    assert evaluations_left(folder, 2, OBJECTIVE) == {4: 0.4}
    checkpoint(folder, "2026-01-01_10", *log, size=1000)
    checkpoint(folder, "2026-01-01_11", *log, size=-1)  # killed while it was copied
    (folder.trial_dir(2) / "ray" / "checkpoint_2026-01-01_12").mkdir()
    assert evaluations_left(folder, 2, OBJECTIVE) == {4: 0.4, 8: 0.4, 12: 0.5}
    assert evaluations_left(folder, 2, Objective("macro_f1", "min")) == {4: 0.4, 8: 0.3, 12: 0.3}


def test_a_run_goes_on_at_the_step_of_its_newest_whole_checkpoint(folder: StudyFolder) -> None:
    place = folder.trial_dir(2)
    assert step_left(place) == 0
    for name, text in (("09", '{"global_step": 110}'), ("10", '{"global_step": 134}'), ("11", "{")):
        checkpoint = place / "ray" / f"checkpoint_{name}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "trainer_state.json").write_text(text)
    assert step_left(place) == 134


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a trial tells Tune."""
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(ray_tune, "report", told.append)
    monkeypatch.setattr(ray_train, "TuneReportCallback", lambda: None)
    return told


def asked(folder: StudyFolder, number: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    base = {
        "info": info().model_dump(mode="json"),
        "folder": str(folder.root),
        "prepared_dirs": {"": "p"},
    }
    return {"trial": number, "values": {"label_loss_weight": 0.6}}, base


def test_a_trial_that_ended_is_not_trained_again(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch, reports: list[dict[str, Any]]
) -> None:
    leave(folder, 0, 0.7, steps_done=8)
    monkeypatch.setattr(trial_module, "train_trial", pytest.fail)
    run_trial(*asked(folder))
    assert reports == [{"macro_f1": 0.7, "step": 8, "ended": True}]


def test_a_trial_leaves_its_outcome_before_it_tells_tune(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch, reports: list[dict[str, Any]]
) -> None:
    def killed(_: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    record = trial_record(info(), 0, {}, "done", metrics={"macro_f1": 0.7}, steps_done=8)
    monkeypatch.setattr(trial_module, "train_trial", lambda *_: record)
    monkeypatch.setattr(ray_tune, "report", killed)
    with pytest.raises(KeyboardInterrupt):
        run_trial(*asked(folder))
    left = outcome_of(folder, 0)
    assert left is not None
    assert left.metrics == {"macro_f1": 0.7}
    assert 0 <= left.wall_s < 60


def test_a_trial_that_fails_leaves_its_reason_in_one_line(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch, reports: list[dict[str, Any]]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("NonFiniteError: loss = nan at step 3\nand a long trace")

    monkeypatch.setattr(trial_module, "train_trial", fail)
    with pytest.raises(RuntimeError):
        run_trial(*asked(folder))
    left = outcome_of(folder, 0)
    assert left is not None
    assert (left.status, left.reason) == ("failed", "NonFiniteError: loss = nan at step 3")
    assert left.config["label_loss_weight"] == 0.6
    assert reports == []


def test_a_score_that_is_not_finite_fails_the_trial(
    folder: StudyFolder, reports: list[dict[str, Any]]
) -> None:
    result = outcome({4: math.nan, 8: 0.7}, "macro_f1", 8)
    with pytest.raises(ValueError, match="finite"):
        run_trial(*asked(folder), train=lambda *_: result)
    left = outcome_of(folder, 0)
    assert left is not None
    assert left.status == "failed"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("OutOfMemoryError: CUDA"), "OutOfMemoryError: CUDA"),
        (ValueError("  bad\nvalue"), "ValueError: bad"),
        (KeyError(), "KeyError: no message"),
    ],
)
def test_an_error_in_one_line(error: Exception, line: str) -> None:
    assert one_line(error) == line
