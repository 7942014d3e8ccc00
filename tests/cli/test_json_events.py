"""Events for programs: names that stay, documented in full, one object a line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from r2d_ray.cli.screen.event_file import EVENTS, JsonEvent
from r2d_ray.cli.screen.event_out import EventOut, check_events
from r2d_ray.cli.screen.progress import Progress
from r2d_ray.errors import UserError
from r2d_ray.study.progress.events import (
    EndedTrial,
    PlannedTrial,
    ScoringEvent,
    StudyNote,
    StudyPlanned,
    StudyStopping,
    TrialEvent,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "watching.md"
PLAN = StudyPlanned(
    study="clinic",
    folder="/s/clinic",
    resumed=True,
    metric="macro_f1",
    mode="max",
    trials=[PlannedTrial("trial 0", 300), PlannedTrial("trial 1", 300)],
    ended={0: EndedTrial("done", 0.5, 60.0, 300)},
    goes_on={1: 120},
)
WHERE = {"phase": "stage2", "run": 0, "step": 120, "steps": 300}


def written(file: Path, *events: Any, result: dict[str, Any] | None) -> list[dict[str, Any]]:
    with Progress(Console(file=StringIO()), "macro_f1", events=str(file)) as progress:
        for event in events:
            progress.show(event)
        progress.over(result)
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_event_is_a_line_with_stable_names(tmp_path: Path) -> None:
    evaluated = {"phase": "stage2", "run": 0, "step": 150, "macro_f1": 0.5, "best": 0.6}
    lines = written(
        tmp_path / "events.jsonl",
        PLAN,
        StudyNote("a note"),
        TrialEvent(1, "started", {"learning_rate": 0.001}),
        TrialEvent(1, "phase", WHERE),
        TrialEvent(1, "step", {**WHERE, "step": 130, "learning_rate": 0.0005, "loss": 1.5}),
        TrialEvent(1, "evaluated", evaluated),
        TrialEvent(1, "ended", {"status": "failed", "reason": "RuntimeError: x"}),
        ScoringEvent("test rows (40)", 0, 2),
        result={"trials": {"done": 1, "failed": 1}, "best_trial": 0, "test": {}},
    )
    for line in lines:
        assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
        assert line.pop("study") == "clinic"
    assert lines[-1].pop("seconds") >= 0
    trial = {"trial": 1, "name": "trial 1"}
    assert lines == [
        {
            "event": "plan",
            "folder": "/s/clinic",
            "resumed": True,
            "metric": "macro_f1",
            "mode": "max",
            "trials": ["trial 0", "trial 1"],
            "ended": {"0": "done"},
            "goes_on": {"1": 120},
        },
        {"event": "note", "text": "a note"},
        {"event": "trial_started", **trial, "values": {"learning_rate": 0.001}},
        {"event": "phase", **trial, **WHERE},
        {
            "event": "evaluation",
            **trial,
            **WHERE,
            "step": 150,
            "scores": {"macro_f1": 0.5},
            "best": 0.6,
            "learning_rate": 0.0005,
            "loss": 1.5,
        },
        {
            "event": "trial_ended",
            **trial,
            "status": "failed",
            "score": None,
            "selected_step": None,
            "seconds": None,
            "reason": "RuntimeError: x",
        },
        {"event": "scoring", "what": "test rows (40)", "done": 0, "total": 2},
        {"event": "finished", "trials": {"done": 1, "failed": 1}, "best_trial": 0},
    ]


def test_a_stopped_session_ends_with_that_and_the_next_one_adds_to_the_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / "events.jsonl"
    first = written(file, PLAN, StudyStopping(), result=None)
    assert [line["event"] for line in first] == ["plan", "stopping", "stopped"]
    both = written(file, PLAN, result={"trials": {"done": 2}})
    assert [line["event"] for line in both] == [
        *("plan", "stopping", "stopped"),
        *("plan", "finished"),
    ]


def test_a_signal_outside_of_the_trials_is_a_stop_too(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    progress = Progress(Console(file=StringIO()), "macro_f1", events=str(file))
    progress.show(PLAN)
    progress.__exit__(KeyboardInterrupt)
    assert json.loads(file.read_text().splitlines()[-1])["event"] == "stopped"


NO_PLACE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (Path.mkdir, "Is a directory"),
    "no folder": (lambda place: place.symlink_to("no/where"), "its folder does not exist"),
    "a pipe without a reader": (os.mkfifo, "a pipe that no process reads"),
    "an input": (lambda place: place.symlink_to("notes.csv"), "the command reads this file"),
}


@pytest.mark.parametrize("case", NO_PLACE)
def test_a_place_that_takes_no_lines_is_refused(tmp_path: Path, case: str) -> None:
    make, said = NO_PLACE[case]
    (tmp_path / "notes.csv").write_text("question\n")
    place = tmp_path / "events"
    make(place)

    def opened() -> None:
        check_events(str(place), ["unknown", str(tmp_path / "notes.csv")])
        EventOut(str(place), print)

    with pytest.raises(UserError) as refused:
        opened()
    assert str(refused.value) == f"--json-events {place}: {said} (allowed: a file, or - for stdout)"
    assert (tmp_path / "notes.csv").read_text() == "question\n"


def test_a_pipe_that_a_process_reads_gets_the_lines(tmp_path: Path) -> None:
    place = tmp_path / "events"
    os.mkfifo(place)
    with open(os.open(place, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8") as reader:
        with Progress(Console(file=StringIO()), "macro_f1", events=str(place)) as progress:
            progress.show(PLAN)
        assert json.loads(reader.readline())["event"] == "plan"


def test_a_full_disk_ends_the_events_and_not_the_study() -> None:
    seen = StringIO()
    with Progress(Console(file=seen), "macro_f1", quiet=True, events="/dev/full") as progress:
        progress.show(PLAN)
        progress.show(StudyStopping())
    lines = [line for line in seen.getvalue().splitlines() if "json-events" in line]
    assert lines == ["--json-events /dev/full: No space left on device: it gets no more events"]


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_the_document_has_every_event_with_all_its_fields(kind: type[JsonEvent]) -> None:
    name = kind.model_fields["event"].default
    [row] = re.findall(rf"^\| `{name}` \| .* \| (.*) \|$", DOCUMENT.read_text(), re.M)
    own = [field for field in kind.model_fields if field not in JsonEvent.model_fields]
    assert re.findall(r"`(\w+)`", row) == own
