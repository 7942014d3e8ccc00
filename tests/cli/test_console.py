"""Progress as lines: what happens to trials, and what a person should know of the study."""

from io import StringIO

from rich.console import Console

from r2d_ray.cli.console import Progress
from r2d_ray.search.tuner import Event, StudyNote, TrialEvent


def shown(*events: Event, quiet: bool = False) -> list[str]:
    out = StringIO()
    with Progress(Console(file=out, soft_wrap=True), "macro_f1", quiet) as progress:
        for event in events:
            progress.show(event)
    return out.getvalue().splitlines()


def test_a_note_on_the_study_is_one_line() -> None:
    assert shown(StudyNote("resumed with another version: [ray] '2' -> '3'")) == [
        "resumed with another version: [ray] '2' -> '3'"
    ]
    assert shown(StudyNote("resumed"), quiet=True) == []


def test_evaluations_are_told_with_the_end() -> None:
    evaluated = TrialEvent(3, "evaluated", {"macro_f1": 0.5, "step": 20})
    [start, end] = shown(
        TrialEvent(3, "started", {"learning_rate": 0.001}), evaluated, TrialEvent(3, "ended")
    )
    assert start.endswith("trial 3 started  learning_rate=0.001")
    assert end.endswith("trial 3 ended  macro_f1 0.500 at step 20")
