"""Progress as lines, where there is no terminal: what a log has of a study."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console

from r2d_ray.cli.screen.progress import Progress
from r2d_ray.study.progress.events import (
    EndedTrial,
    Event,
    PlannedTrial,
    ScoringEvent,
    StudyNote,
    StudyPlanned,
    StudyStopping,
    TrialEvent,
)

STAGE1 = {"phase": "stage1", "run": 0, "step": 0, "steps": 200}
STAGE2 = {"phase": "stage2", "run": 0, "step": 0, "steps": 300}


def planned(trials: int = 4, resumed: bool = False, **more: object) -> StudyPlanned:
    names = [PlannedTrial(f"trial {number}", 300) for number in range(trials)]
    told = {"at_once": 2, "searched": ("learning_rate",), **more}
    return StudyPlanned("clinic", "/s/clinic", resumed, "macro_f1", "max", names, **told)  # type: ignore[arg-type]


def shown(*events: Event, quiet: bool = False, no_more: str = "") -> list[str]:
    """Return what a file gets of these events, without the time of day."""
    out = StringIO()
    console = Console(file=out)
    with Progress(console, "macro_f1", quiet, no_more=no_more) as progress:
        for event in events:
            progress.show(event)
    return [
        re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", "", x) for x in out.getvalue().splitlines()
    ]


def test_a_note_on_the_study_is_one_line() -> None:
    assert shown(StudyNote("resumed with another version: [ray] '2' -> '3'")) == [
        "resumed with another version: [ray] '2' -> '3'"
    ]
    assert shown(StudyNote("resumed"), quiet=True) == []


def test_a_log_has_a_line_for_every_start_phase_evaluation_and_end() -> None:
    evaluated = {"phase": "stage2", "step": 120, "macro_f1": 0.512, "best": 0.53, "best_step": 90}
    ended = {"status": "done", "score": 0.53, "selected_step": 90, "steps_done": 300}
    lines = shown(
        planned(),
        TrialEvent(3, "started", {"learning_rate": 0.001}),
        TrialEvent(3, "phase", STAGE1),
        TrialEvent(3, "step", {**STAGE1, "step": 60, "learning_rate": 0.0005, "loss": 2.5}),
        TrialEvent(3, "evaluated", {**STAGE1, "step": 100, "rationale_loss": 2.31}),
        TrialEvent(3, "phase", STAGE2),
        TrialEvent(3, "step", {**STAGE2, "step": 110, "learning_rate": 0.0003, "loss": 1.25}),
        TrialEvent(3, "evaluated", evaluated),
        TrialEvent(3, "ended", {**ended, "seconds": 200.0}),
        ScoringEvent("test rows (600)", 1, 2),
        ScoringEvent("controls", 0, 1),
    )
    left = lines.pop(6)
    assert left.startswith(
        "trial 3 done  macro_f1 0.530 at step 90, 3 min | 1 done, 0 running, 3 to go | "
        "best macro_f1 0.530 (trial 3) | 0 s"
    )
    assert lines == [
        "study clinic: 4 trials, 2 at once",
        "trial 3 started  learning_rate=0.001",
        "trial 3 stage 1 0/200",
        "trial 3 stage 1 100/200  rationale_loss 2.310, learning rate 0.0005, loss 2.5",
        "trial 3 stage 2 0/300",
        "trial 3 stage 2 120/300  macro_f1 0.512 (best 0.530), learning rate 0.0003, loss 1.25",
        "scoring test rows (600): 1 of 2",
        "scoring controls",
    ]


def test_every_line_of_a_log_says_when() -> None:
    out = StringIO()
    with Progress(Console(file=out), "macro_f1") as progress:
        progress.show(TrialEvent(0, "started"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  trial 0 started\n", out.getvalue())


def test_a_failure_is_told_with_its_reason_and_another_seed_by_its_number() -> None:
    [seed, end] = shown(
        TrialEvent(1, "phase", {**STAGE2, "run": 1}),
        TrialEvent(1, "ended", {"status": "failed", "reason": "RuntimeError: loss = nan"}),
    )
    assert seed == "trial 1 seed 2, stage 2 0/300"
    assert end.startswith("trial 1 failed  RuntimeError: loss = nan | ")


ENDED = {0: EndedTrial("done", 0.5, 30.0, 300), 1: EndedTrial("done", 0.6, 30.0, 300)}
PRUNED = {2: EndedTrial("pruned", 0.2, 20.0, 200)}


@pytest.mark.parametrize(
    ("plan", "line"),
    [
        (planned(1), "study clinic: 1 trial"),
        (planned(resumed=True), "resumed: 0 of 4 trials done"),
        (
            planned(8, True, ended=ENDED, goes_on={3: 120, 4: 0}),
            "resumed: 2 of 8 trials done, trial 3 goes on at step 120, trial 4 begins again",
        ),
        (planned(8, True, ended=ENDED | PRUNED), "resumed: 2 of 8 trials done, 1 pruned"),
        (planned(2, True, ended=ENDED), "nothing left to do; --extend N adds trials"),
    ],
)
def test_a_study_says_what_it_found(plan: StudyPlanned, line: str) -> None:
    assert shown(plan, no_more="--extend N adds trials") == [line]


def test_a_stop_is_said_at_once_and_at_its_end_even_where_little_is() -> None:
    out = StringIO()
    with Progress(Console(file=out), "macro_f1", quiet=True) as progress:
        progress.show(planned())
        progress.show(StudyStopping())
        progress.over(None)
    assert out.getvalue().splitlines() == [
        "stopping at the next checkpoint; Ctrl-C again stops at once",
        "saved; the same command resumes",
    ]


def test_a_log_steers_no_terminal() -> None:
    values = {"status": "failed", "reason": "\x1b[31mred\x1b[0m"}
    [line] = shown(TrialEvent(0, "ended", values))
    assert "\x1b" not in line
