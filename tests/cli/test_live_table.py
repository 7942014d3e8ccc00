"""The table on a terminal: what runs, the status line and the best are visible at any height."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from r2d_ray.cli.screen.progress import Progress
from r2d_ray.cli.screen.state import StudyState
from r2d_ray.cli.screen.terminal import wrapped
from r2d_ray.study.progress.events import (
    EndedTrial,
    PlannedTrial,
    ScoringEvent,
    StudyPlanned,
    TrialEvent,
)

SEARCHED = {
    "learning_rate": 3e-4,
    "label_loss_weight": 0.7,
    "sampling_decay": "linear",
    "sampling_decay_ratio": 0.6,
    "gold_probability_floor": 0.1,
    "label_warmup_ratio": 0.05,
}


def plan(trials: int, at_once: int = 2, **more: object) -> StudyPlanned:
    names = [PlannedTrial(f"trial {number}", 300) for number in range(trials)]
    told = {"at_once": at_once, "searched": tuple(SEARCHED), **more}
    return StudyPlanned("s", "/s", False, "macro_f1", "max", names, **told)  # type: ignore[arg-type]


def values_of(number: int) -> dict[str, object]:
    return {**SEARCHED, "learning_rate": 3e-4 * (number + 1)} if number else dict(SEARCHED)


def run(progress: Progress, number: int, steps: int, score: float) -> None:
    """Let a trial reach a step of stage 2."""
    where = {"phase": "stage2", "run": 0, "step": steps, "steps": 300}
    progress.show(TrialEvent(number, "started", values_of(number)))
    progress.show(TrialEvent(number, "phase", {**where, "step": 0}))
    progress.show(TrialEvent(number, "evaluated", {**where, "macro_f1": score, "best": score}))


def end(progress: Progress, number: int, status: str, score: float) -> None:
    progress.show(TrialEvent(number, "ended", {"status": status, "score": score}))


def screen(width: int, height: int, trials: int = 24, ended: int = 18, running: int = 2) -> str:
    """Return what a terminal of this size shows of a search in its middle."""
    console = Console(
        file=StringIO(), force_terminal=True, width=width, height=height, color_system=None
    )
    progress = Progress(console, "macro_f1", quiet=True)
    progress.show(plan(trials, at_once=running))
    for number in range(ended):
        run(progress, number, 300, 0.5 + number / 100)
        end(progress, number, "pruned" if number % 3 == 1 else "done", 0.5 + number / 100)
    for number in range(ended, ended + running):
        run(progress, number, 120, 0.4)
    with console.capture() as shown:
        console.print(progress)
    return shown.get()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (60, 12), (200, 50)])
def test_of_24_trials_those_that_run_and_the_best_are_visible(width: int, height: int) -> None:
    lines = screen(width, height).splitlines()
    assert len(lines) < height
    assert all(len(line) + len("^C") < width for line in lines)
    text = "\n".join(lines)
    assert "best macro_f1 0.670 (trial 17)" in text
    for number in (18, 19):
        assert f"trial {number}  stage 2 120/300  0.400" in text
    rows = [line.split("  ")[0] for line in lines if line.startswith("trial")]
    assert rows == ["trial 18", "trial 19", "trial 17", "trial 15", "trial 14"]
    assert lines[-1] == "and 15 more: 9 done, 6 pruned"


def test_values_are_shown_where_they_differ_from_trial_0() -> None:
    lines = screen(100, 30).splitlines()
    [row] = [line for line in lines if line.startswith("trial 18")]
    assert row.split() == ["trial", "18", "stage", "2", "120/300", "0.400", "learning_rate=0.0057"]


def test_more_running_trials_than_lines_are_counted() -> None:
    lines = screen(80, 12, trials=40, ended=0, running=30).splitlines()
    assert len(lines) < 12
    assert lines[-1].startswith("and ")
    assert lines[-1].endswith(" running")
    shown = sum(line.startswith("trial") for line in lines)
    assert lines[-1] == f"and {30 - shown} more: {30 - shown} running"


def test_parts_of_a_status_line_stay_whole() -> None:
    assert wrapped(["a" * 6, "b" * 6, "c"], 14) == ["aaaaaa", "bbbbbb | c"]
    assert wrapped(["a" * 6, "b" * 5], 14) == ["aaaaaa | bbbbb"]
    assert wrapped(["a" * 20], 14) == ["a" * 20]


# What the status line says


def state(**more: object) -> StudyState:
    made = StudyState("macro_f1")
    made.take(plan(4, **more), 0.0)  # type: ignore[arg-type]
    return made


def at(
    number: int, step: int, what: str = "step", phase: str = "stage2", run: int = 0
) -> TrialEvent:
    steps = 300 if phase == "stage2" else 200
    values = {"phase": phase, "run": run, "step": step, "steps": steps}
    return TrialEvent(number, what, values)


def test_no_time_is_left_before_an_evaluation_was_measured() -> None:
    made = state()
    made.take(TrialEvent(0, "started"), 0.0)
    made.take(at(0, 0, "phase"), 10.0)
    made.take(at(0, 50), 20.0)
    assert made.seconds_left() is None
    made.take(at(0, 100, "evaluated"), 40.0)
    # 100 steps in 30 s. Left: 200 of this trial and three of 300, two at once.
    assert made.seconds_left() == pytest.approx(0.3 * (200 + 3 * 300) / 2)


def test_stage_1_is_added_once_and_not_before_it_was_measured() -> None:
    made = state()
    for number, phase in ((0, "stage1"), (1, "waiting_for_stage1")):
        made.take(TrialEvent(number, "started"), 0.0)
        made.take(at(number, 0, "phase", phase), 0.0)
    assert made.seconds_left() is None
    made.take(at(0, 100, "evaluated", "stage1"), 50.0)
    assert made.seconds_left() is None, "of stage 2 nothing is known"


def test_trials_of_former_sessions_tell_the_pace_until_this_one_does() -> None:
    ended = {0: EndedTrial("done", 0.5, 60.0, 300), 1: EndedTrial("failed", None, 1.0, 3)}
    made = state(ended=ended)
    assert made.counts() == "1 done, 1 failed, 0 running, 2 to go"
    assert made.seconds_left() == pytest.approx(0.2 * 2 * 300 / 2)


def test_trials_to_come_are_taken_to_end_as_early_as_those_before() -> None:
    ended = {0: EndedTrial("done", 0.5, 60.0, 300), 1: EndedTrial("pruned", 0.1, 40.0, 100)}
    made = state(ended=ended)
    # 300 + 100 of 600 planned steps: two more of 200 each, side by side.
    assert made.seconds_left() == pytest.approx(0.2 * 200)


def test_the_last_trial_takes_as_long_as_it_takes_however_many_could_run() -> None:
    ended = {n: EndedTrial("done", 0.5, 60.0, 300) for n in range(3)}
    made = state(ended=ended)
    made.take(TrialEvent(3, "started"), 0.0)
    made.take(at(3, 0, "phase"), 0.0)
    assert made.seconds_left() == pytest.approx(60.0)


def test_a_replaced_worker_begins_a_new_measure() -> None:
    made = state()
    made.take(TrialEvent(0, "started"), 0.0)
    for step, now in ((0, 0.0), (200, 20.0), (100, 60.0)):
        made.take(at(0, step), now)
    made.take(at(0, 200, "evaluated"), 70.0)
    assert made.pace("stage2") == pytest.approx(0.1)


def test_the_best_is_of_all_sessions_the_earliest_of_equals_and_done_before_running() -> None:
    ended = {2: EndedTrial("done", 0.5, 60.0, 300), 3: EndedTrial("pruned", 0.9, 40.0, 100)}
    made = state(ended=ended)
    assert made.best() == 2
    made.take(TrialEvent(0, "started"), 0.0)
    made.take(TrialEvent(0, "evaluated", {"phase": "stage2", "step": 9, "best": 0.8}), 1.0)
    assert made.best() == 2
    made.take(TrialEvent(0, "ended", {"status": "done", "score": 0.5}), 2.0)
    assert made.best() == 0


def test_less_is_better_of_a_loss() -> None:
    made = StudyState("rationale_loss")
    names = [PlannedTrial("a", 1), PlannedTrial("b", 1)]
    ended = {0: EndedTrial("done", 2.0, 1.0, 1), 1: EndedTrial("done", 1.0, 1.0, 1)}
    made.take(StudyPlanned("s", "/s", True, "rationale_loss", "min", names, ended), 0.0)
    assert made.best() == 1


def test_after_the_trials_the_status_line_says_what_is_scored() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=100, height=24, color_system=None)
    progress = Progress(console, "macro_f1", quiet=True)
    progress.show(plan(1))
    run(progress, 0, 300, 0.5)
    end(progress, 0, "done", 0.5)
    progress.show(ScoringEvent("test rows (600)", 1, 2))
    with console.capture() as shown:
        console.print(progress)
    first = shown.get().splitlines()[0]
    assert "1 done, 0 running, 0 to go | best macro_f1 0.500 (trial 0) | scoring test rows" in first
