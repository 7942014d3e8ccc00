from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState
from ray.tune.search import Searcher

from r2d_ray.errors import UserError
from r2d_ray.records import Evaluation, Objective, TrialRecord
from r2d_ray.search.pruner import RungPruner
from r2d_ray.search.samplers import SAMPLERS, WARM, grid_points, is_ours, make_sampler
from r2d_ray.search.searcher import (
    StudySearcher,
    open_journal,
    settle,
    warm_start,
)

METRIC = "macro_f1"
OBJECTIVE, LOSS = Objective(METRIC, "max"), Objective("rationale_loss", "min")
SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "label_loss_weight": FloatDistribution(0.3, 0.9),
    "sampling_decay": CategoricalDistribution(("linear", "none")),
}
DEFAULTS = {"learning_rate": 1e-3, "label_loss_weight": 0.7, "sampling_decay": "linear"}
GRID: dict[str, BaseDistribution] = {
    "sampling_decay": CategoricalDistribution(("linear", "none", "constant")),
    "rationale_prompt": CategoricalDistribution(("given_label", "plain")),
}
GRID_DEFAULTS = {"sampling_decay": "linear", "rationale_prompt": "given_label"}


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # Optuna's, after every line


def score(values: Mapping[str, Any]) -> float:
    """A made-up score with its best at the largest weight and a learning rate of 1e-3."""
    rate = abs(math.log10(values.get("learning_rate", 1e-3)) + 3)
    return float(values.get("label_loss_weight", 0.5) - rate / 10)


def record(number: int, values: Mapping[str, Any], **more: Any) -> TrialRecord:
    final = score(values)
    known: dict[str, Any] = {
        "study": "s",
        "trial": number,
        "method": "r2d",
        "dataset": "toy",
        "config": {**DEFAULTS, **values},
        "seed": 1,
        "status": "done",
        "curve": (
            Evaluation(step=4, scores={METRIC: final - 0.1}),
            Evaluation(step=8, scores={METRIC: final}),
        ),
        "metrics": {METRIC: final},
    }
    return TrialRecord(**{**known, **more})


def journal(folder: Path, defaults: Mapping[str, Any] = DEFAULTS) -> optuna.Study:
    """Open a study as a session does."""
    study = open_journal(folder / "optuna.journal", "s", OBJECTIVE)
    if not study.trials:
        study.enqueue_trial(dict(defaults))
    return study


def searcher(study: optuna.Study, **more: Any) -> StudySearcher:
    settings: dict[str, Any] = {
        "objective": OBJECTIVE,
        "sampler": "random",
        "seed": 3,
        "ended": record,
        "ask_to_end": lambda number: None,
    }
    space = more.pop("space", SPACE)
    return StudySearcher(study, space, **{**settings, **more})


def ask(search: StudySearcher, tune_id: str) -> dict[str, Any]:
    asked = search.suggest(tune_id)
    assert isinstance(asked, dict)
    return asked


def run_trials(search: StudySearcher, count: int) -> list[dict[str, Any]]:
    """Run trials one after the other; return what each was asked to be."""
    asked = []
    for _ in range(count):
        asked.append(ask(search, f"id{len(asked)}"))
        search.on_trial_complete(f"id{len(asked) - 1}")
    return asked


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
def test_trial_0_has_the_defaults_and_later_ones_lie_in_the_space(
    tmp_path: Path, sampler: str
) -> None:
    # TPE and GP draw at random until they know ten trials.
    first, *rest = run_trials(searcher(journal(tmp_path), sampler=sampler), 12)
    assert first == {"trial": 0, "values": DEFAULTS}
    assert [asked["trial"] for asked in rest] == list(range(1, 12))
    for asked in rest:
        assert asked["values"].keys() == SPACE.keys()
        assert 1e-5 <= asked["values"]["learning_rate"] <= 1e-2
        assert 0.3 <= asked["values"]["label_loss_weight"] <= 0.9
        assert asked["values"]["sampling_decay"] in ("linear", "none")
    assert len({asked["values"]["learning_rate"] for asked in rest}) == len(rest)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_trials_asked_at_once_differ(tmp_path: Path, sampler: str) -> None:
    study = journal(tmp_path, GRID_DEFAULTS if sampler == "grid" else DEFAULTS)
    search = searcher(study, sampler=sampler, space=GRID if sampler == "grid" else SPACE)
    asked = [tuple(ask(search, f"id{i}")["values"].items()) for i in range(5)]
    assert len(set(asked)) == 5


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
def test_trials_differ_where_all_before_failed(tmp_path: Path, sampler: str) -> None:
    def failed(number: int, values: Mapping[str, Any]) -> TrialRecord:
        return record(number, values, status="failed", reason="out of memory", curve=(), metrics={})

    asked = run_trials(searcher(journal(tmp_path), sampler=sampler, ended=failed), 4)
    assert len({each["values"]["learning_rate"] for each in asked}) == 4


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "grid"])
@pytest.mark.parametrize("ended", [1, 4, 11])
def test_a_resumed_study_draws_what_an_uninterrupted_one_would(
    tmp_path: Path, sampler: str, ended: int
) -> None:
    grid = sampler == "grid"
    more = {"sampler": sampler, "space": GRID if grid else SPACE}
    defaults = GRID_DEFAULTS if grid else DEFAULTS
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = run_trials(searcher(journal(tmp_path / "whole", defaults), **more), 14)
    before = run_trials(searcher(journal(tmp_path / "cut", defaults), **more), ended)
    after = run_trials(searcher(journal(tmp_path / "cut", defaults), **more), 14 - ended)
    assert before + after == whole


def test_tpe_learns_from_what_it_was_told(tmp_path: Path) -> None:
    """The best weight is the largest: after 25 trials TPE's guesses beat chance."""
    asked = run_trials(searcher(journal(tmp_path), sampler="tpe"), 25)
    late = [each["values"]["label_loss_weight"] for each in asked[15:]]
    assert sum(late) / len(late) > 0.7  # chance: 0.6


def test_what_a_kill_left_running_is_handed_out_again_first(tmp_path: Path) -> None:
    search = searcher(journal(tmp_path))
    ask(search, "a")
    search.on_trial_complete("a")
    left = [ask(search, "b"), ask(search, "c")]
    again = searcher(journal(tmp_path))
    assert [ask(again, "x"), ask(again, "y")] == left
    assert ask(again, "z")["trial"] == 3
    for name in "xyz":
        again.on_trial_complete(name)
    study = journal(tmp_path)
    assert [t.number for t in study.trials] == [0, 1, 2, 3]
    assert {t.state for t in study.trials} == {TrialState.COMPLETE}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_kill_between_any_two_lines_of_the_journal_changes_nothing(
    tmp_path: Path, sampler: str
) -> None:
    """Other points draw together (TPE and GP from trial 10 on, grid) or one after the other."""
    grid = sampler == "grid"
    more = {"sampler": sampler, "space": GRID if grid else SPACE}
    defaults = GRID_DEFAULTS if grid else DEFAULTS

    def told(study: optuna.Study) -> list[tuple[Any, ...]]:
        return [(t.number, t.params, t.value, t.intermediate_values) for t in study.trials]

    def begin(name: str, lines: list[bytes]) -> StudySearcher:
        (tmp_path / name).mkdir()
        (tmp_path / name / "optuna.journal").write_bytes(b"".join(lines))
        return searcher(journal(tmp_path / name, defaults), **more)

    learns = sampler in ("tpe", "gp")
    trials = 12 if learns else 4
    search, whole = begin("whole", []), tmp_path / "whole" / "optuna.journal"
    run_trials(search, trials - 1)
    first = len(whole.read_bytes().splitlines()) if learns else 0
    run_trials(search, 1)
    want = told(search.study)
    lines = whole.read_bytes().splitlines(keepends=True)
    for count in range(first, len(lines), 3 if sampler == "gp" else 1):  # GP is slow
        search = begin(str(count), lines[:count])
        done = sum(t.state.is_finished() for t in search.study.trials)
        run_trials(search, trials - done)
        assert told(search.study) == want, count


def test_a_torn_last_line_is_dropped_and_the_journal_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    run_trials(searcher(journal(tmp_path)), 2)
    journal(tmp_path).set_user_attr("é", "ü")
    data = path.read_bytes()
    last = data[:-1].rindex(b"\n") + 1
    for size in range(last, len(data)):
        path.write_bytes(data[:size])
        study = journal(tmp_path)
        assert path.read_bytes()[:last] == data[:last]
        assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 2
        assert study.user_attrs == {}
        study.set_user_attr("size", size)  # writes after the cut
        assert journal(tmp_path).user_attrs == {"size": size}


@pytest.mark.parametrize(
    ("status", "state", "value"),
    [
        ("done", TrialState.COMPLETE, 0.7),
        ("pruned", TrialState.PRUNED, 0.7),
        ("failed", TrialState.FAIL, None),
    ],
)
def test_a_trial_is_settled_with_state_values_and_reason(
    tmp_path: Path, status: str, state: TrialState, value: float | None
) -> None:
    study = journal(tmp_path)
    search = searcher(study)
    ask(search, "a")
    curve = [(4, 0.5), (8, 0.7), (12, 0.6)]
    ended = record(
        0,
        DEFAULTS,
        status=status,
        reason="why" if status == "failed" else None,
        curve=tuple(Evaluation(step=step, scores={METRIC: v}) for step, v in curve),
        metrics={METRIC: 0.7},
        selected_step=8,
        steps_done=12 if status == "pruned" else 300,
        config={**DEFAULTS, "max_steps": 300},
    )
    settle(study, ended, OBJECTIVE)
    settle(study, ended, OBJECTIVE)  # once
    [trial] = journal(tmp_path).trials
    assert trial.state == state
    assert trial.value == value
    assert trial.intermediate_values == {4: 0.5, 8: 0.7, 12: 0.7}  # best so far
    reasons = {"failed": "why", "pruned": "asked to end after 12 of 300 steps"}
    told = {"reason": reasons[status]} if status in reasons else {}
    assert trial.user_attrs == {"folder": "trials/0000", "selected_step": 8, **told}


def test_the_best_so_far_of_a_loss_is_the_least(tmp_path: Path) -> None:
    study = open_journal(tmp_path / "j", "s", LOSS)
    study.ask(SPACE)
    steps = [(4, 2.0), (8, 1.0), (12, 1.5)]
    curve = tuple(Evaluation(step=s, scores={"rationale_loss": v}) for s, v in steps)
    settle(study, record(0, {}, curve=curve, metrics={"rationale_loss": 1.0}), LOSS)
    assert study.trials[0].intermediate_values == {4: 2.0, 8: 1.0, 12: 1.0}
    assert study.best_value == 1.0


def test_evaluations_stand_in_the_journal_while_a_trial_runs(tmp_path: Path) -> None:
    search = searcher(journal(tmp_path))
    ask(search, "a")
    search.on_trial_result("a", {"step": 4, METRIC: 0.4})
    search.on_trial_result("a", {"step": 4, METRIC: 0.9})  # again, after a worker was replaced
    search.on_trial_result("a", {"training_iteration": 1})
    assert journal(tmp_path).trials[0].intermediate_values == {4: 0.4}
    assert journal(tmp_path).trials[0].state == TrialState.RUNNING


def test_the_request_to_end_comes_before_the_journal_hears_of_the_evaluation(
    tmp_path: Path,
) -> None:
    """A kill between the two asks again; the other way round it would lose the request."""

    class KilledError(BaseException):
        pass

    def ask_to_end(number: int) -> None:
        assert number == 1
        raise KilledError

    pruner = RungPruner(OBJECTIVE, 6, 12)
    search = searcher(journal(tmp_path), ask_to_end=ask_to_end, pruner=pruner)
    ask(search, "a")
    search.on_trial_result("a", {"step": 8, METRIC: 0.9})
    ask(search, "b")
    search.on_trial_result("b", {"step": 4, METRIC: 0.1})
    with pytest.raises(KilledError):
        search.on_trial_result("b", {"step": 8, METRIC: 0.5})
    assert journal(tmp_path).trials[1].intermediate_values == {4: 0.1}
    asked: list[int] = []
    again = searcher(journal(tmp_path), ask_to_end=asked.append, pruner=pruner)
    again.hear(1, 8, 0.5)
    again.hear(1, 8, 0.5)
    again.hear(1, 10, 0.5)
    assert asked == [1]
    assert journal(tmp_path).trials[1].intermediate_values == {4: 0.1, 8: 0.5, 10: 0.5}


def test_a_trial_whose_driver_died_is_settled_from_its_record(tmp_path: Path) -> None:
    known: list[tuple[int, dict[str, Any]]] = []

    def ended(number: int, values: Mapping[str, Any]) -> TrialRecord:
        known.append((number, dict(values)))
        return record(number, values, status="failed", reason="died", curve=(), metrics={})

    search = searcher(journal(tmp_path), ended=ended)
    ask(search, "a")
    search.on_trial_complete("a", error=True)
    assert known == [(0, DEFAULTS)]
    [trial] = journal(tmp_path).trials
    told = {"folder": "trials/0000", "reason": "died"}
    assert (trial.state, trial.user_attrs) == (TrialState.FAIL, told)


def test_after_the_deadline_nothing_starts_and_what_runs_is_asked_to_end(tmp_path: Path) -> None:
    asked: list[int] = []
    search = searcher(journal(tmp_path), ask_to_end=asked.append, deadline=time.time() + 3600)
    ask(search, "a")
    search.on_trial_result("a", {"step": 4, METRIC: 0.4})
    assert asked == []
    search.deadline = time.time() - 1
    search.on_trial_result("a", {"step": 8, METRIC: 0.4})
    assert asked == [0]
    assert search.suggest("b") == Searcher.FINISHED
    assert len(journal(tmp_path).trials) == 1


def test_tune_pickles_nothing_of_the_searcher(tmp_path: Path) -> None:
    search = searcher(journal(tmp_path))
    assert search.__getstate__() == {}
    search.save(str(tmp_path / "state.pkl"))
    assert not (tmp_path / "state.pkl").exists()


# Warm start


def test_another_studys_trials_are_learnt_from_and_counted_apart(tmp_path: Path) -> None:
    study = journal(tmp_path)
    older = [
        record(0, {"label_loss_weight": 0.4}),
        record(1, {"label_loss_weight": 0.95}),  # outside this study's range
        record(2, {"sampling_decay": "constant"}),  # not one of this study's choices
        record(3, {"label_loss_weight": 0.8}),
        record(4, {"label_loss_weight": 0.5}, status="pruned"),
        record(5, {"label_loss_weight": 0.5}, status="failed", metrics={}),
        record(6, {}, metrics={"accuracy": 0.9}),
        record(7, {}, config={"learning_rate": 1e-3}),  # lacks searched fields
    ]
    assert warm_start(study, "older", older, SPACE, METRIC) == 2
    taken = [t for t in study.trials if not is_ours(t)]
    assert [t.params["label_loss_weight"] for t in taken] == [0.4, 0.8]
    assert [t.value for t in taken] == [0.4, 0.8]
    assert [t.user_attrs for t in taken] == [{WARM: "older"}] * 2
    # Once, also for the session that resumes.
    assert warm_start(journal(tmp_path), "older", older, SPACE, METRIC) == 0

    search = searcher(study)
    asked = run_trials(search, 3)
    assert asked[0] == {"trial": 0, "values": DEFAULTS}
    assert [each["trial"] for each in asked] == [0, 3, 4]  # Optuna's numbers: 1, 2 are the older's
    ours = [t for t in journal(tmp_path).trials if is_ours(t)]
    assert [t.number for t in ours] == [0, 3, 4]
    assert all(t.state == TrialState.COMPLETE for t in ours)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "qmc"])
def test_a_warm_start_does_not_repeat_a_draw(tmp_path: Path, sampler: str) -> None:
    study = journal(tmp_path)
    older = [record(i, {"label_loss_weight": 0.3 + i / 20}) for i in range(12)]
    assert warm_start(study, "older", older, SPACE, METRIC) == 12
    asked = run_trials(searcher(study, sampler=sampler), 3)
    assert len({each["values"]["learning_rate"] for each in asked}) == 3


# Grid


def test_a_grid_is_drawn_once_whole_with_trial_0_in_it(tmp_path: Path) -> None:
    search = searcher(journal(tmp_path, GRID_DEFAULTS), sampler="grid", space=GRID)
    asked = [each["values"] for each in run_trials(search, 6)]
    assert asked[0] == GRID_DEFAULTS
    points = grid_points(GRID)
    assert len(points) == 6
    assert sorted(asked, key=str) == sorted(points, key=str)
    assert ask(search, "one more")["values"] in points  # and begins again


def test_a_grid_is_the_studys_own_whatever_another_study_drew(tmp_path: Path) -> None:
    study = journal(tmp_path, GRID_DEFAULTS)
    older = [record(0, {"sampling_decay": "none", "rationale_prompt": "plain"})]
    assert warm_start(study, "older", older, GRID, METRIC) == 1
    asked = run_trials(searcher(study, sampler="grid", space=GRID), 6)
    assert len({tuple(each["values"].items()) for each in asked}) == 6


def test_a_grid_over_a_range_is_refused_with_the_field() -> None:
    for domain in (FloatDistribution(0, 1), IntDistribution(1, 3)):
        with pytest.raises(UserError, match=r"--sampler grid: max_steps .*categorical"):
            make_sampler("grid", 1, 0, {**GRID, "max_steps": domain})


def test_an_unknown_sampler_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UserError, match=r"'cma'.*gp, grid, qmc, random, tpe"):
        make_sampler("cma", 1, 0, SPACE)
