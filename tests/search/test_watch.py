"""Where running trials stand, as the head reads it, and the first signal, which waits for them."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from r2d_ray.search.watch import callback
from r2d_ray.search.watch.callback import OrderlyStop, ended_values
from r2d_ray.search.watch.standings import Standings
from r2d_ray.study.progress.events import Event, StudyStopping, TrialEvent
from r2d_ray.study.progress.files import (
    SAVE,
    STAGE1,
    STAGE2,
    WAITS,
    Standing,
    read_standing,
    stage1_file,
    trial_file,
    write_standing,
)


class Head:
    """Standings of a folder, with what they told, looked at whenever a test says so."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told = folder, list[Event]()
        self.standings = Standings(folder, self.told.append)

    def write(self, number: int, standing: Standing) -> None:
        write_standing(trial_file(self.folder, number), standing)

    def look(self) -> list[tuple[int, str, Any]]:
        self.told.clear()
        self.standings._looked = -1e9
        self.standings.look()
        events = [event for event in self.told if isinstance(event, TrialEvent)]
        return [(event.trial, event.what, event.values.get("step")) for event in events]


@pytest.fixture
def head(tmp_path: Path) -> Head:
    return Head(tmp_path)


def test_what_was_written_is_read_and_a_torn_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "0001.json"
    assert read_standing(path) is None
    standing = Standing(STAGE1, 5, 10, 1, 4, 0.1, 2.5, ((2, 3.0), (4, 2.5)), "stage1-ab")
    write_standing(path, standing)
    assert read_standing(path) == standing
    path.write_bytes(path.read_bytes()[:20])
    assert read_standing(path) is None
    path.write_text('{"phase": "stage1"}')
    assert read_standing(path) is None


def test_a_folder_that_cannot_be_written_stops_no_training(tmp_path: Path) -> None:
    write_standing(tmp_path / "none" / "0001.json", Standing(STAGE2, 0, 1))


def test_a_phase_and_then_its_steps_are_told_once(head: Head) -> None:
    head.standings.started(3)
    assert head.look() == []
    head.write(3, Standing(STAGE2, 0, 300))
    assert head.look() == [(3, "phase", 0)]
    assert head.look() == []
    head.write(3, Standing(STAGE2, 40, 300))
    assert head.look() == [(3, "step", 40)]
    head.write(3, Standing(STAGE2, 0, 300, run=1))
    assert head.look() == [(3, "phase", 0)]


def test_a_trial_that_ended_is_looked_at_a_last_time(head: Head) -> None:
    head.standings.started(0)
    head.write(0, Standing(STAGE2, 300, 300))
    head.standings.ended(0)
    assert [event.what for event in head.told if isinstance(event, TrialEvent)] == ["phase"]
    head.write(0, Standing(STAGE2, 301, 300))
    assert head.look() == []


def test_what_a_former_session_left_is_not_told(head: Head) -> None:
    head.write(0, Standing(STAGE2, 134, 300))
    head.standings.started(0)
    assert head.look() == []


def test_a_shared_stage_1_is_told_of_who_trains_it_and_who_waits(head: Head) -> None:
    shared = stage1_file(head.folder, "ab")
    for number, phase in ((0, STAGE1), (1, WAITS)):
        head.standings.started(number)
        head.write(number, Standing(phase, 0, 200, follows=shared.stem))
    assert head.look() == [(0, "phase", 0), (1, "phase", 0)]
    trained = Standing(STAGE1, 120, 200, kept=100, evaluations=((50, 3.0), (100, 2.5)))
    write_standing(shared, trained)
    # Evaluations are those of the one trial that trains.
    assert head.look() == [
        *((0, "step", 120), (0, "evaluated", 50), (0, "evaluated", 100)),
        (1, "step", 120),
    ]
    write_standing(shared, replace(trained, step=160, evaluations=((100, 2.5), (150, 2.4))))
    assert head.look() == [(0, "step", 160), (0, "evaluated", 150), (1, "step", 160)]
    assert head.standings.kept() == {0: 100}


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [
        (Standing(STAGE2, 120, 300, kept=100), Standing(STAGE2, 121, 300, kept=100), False),
        (Standing(STAGE2, 120, 300, kept=100), Standing(STAGE2, 123, 300, kept=122), True),
        (Standing(STAGE2, 100, 300, kept=100), Standing(STAGE2, 100, 300, kept=100), True),
        (Standing(STAGE2, 0, 300), Standing(STAGE2, 0, 300), True),  # not begun
    ],
)
def test_a_trial_has_saved_once_its_checkpoint_is_newer_than_the_signal(
    head: Head, before: Standing, now: Standing, kept: bool
) -> None:
    head.standings.started(0)
    head.write(0, before)
    asked = head.standings.kept()
    head.write(0, now)
    assert head.standings.all_kept(asked) == kept


def test_the_first_signal_waits_for_checkpoints_and_then_ends_tune(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    kept = signal.signal(signal.SIGUSR1, lambda number, frame: ended.append(number))
    try:
        stop = OrderlyStop(head.standings, head.told.append)
        stop.take_over()
        stop.take_over()
        head.standings.started(0)
        head.write(0, Standing(STAGE2, 120, 300, kept=100))
        stop.look()
        assert head.told == []
        signal.raise_signal(signal.SIGUSR1)
        stop.look()
        assert head.told == [StudyStopping()]
        assert (head.folder / SAVE).exists()
        assert ended == []
        head.write(0, Standing(STAGE2, 121, 300, kept=121))
        stop.look()
        assert ended == [signal.SIGUSR1]
        assert head.told == [StudyStopping()]
    finally:
        signal.signal(signal.SIGUSR1, kept)


def test_a_checkpoint_that_takes_too_long_is_not_waited_for(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback, "SAVE_WITHIN_S", -1.0)
    ended: list[int] = []
    stop = OrderlyStop(head.standings, head.told.append)
    stop.former, stop.asked = (lambda number, frame: ended.append(number)), True
    head.standings.started(0)
    head.write(0, Standing(STAGE2, 120, 300, kept=100))
    stop.look()
    assert ended == [signal.SIGUSR1]


def test_a_driver_that_died_is_told_as_a_failure() -> None:
    assert ended_values(None, "macro_f1") == {
        "status": "failed",
        "reason": "the trial's driver died",
    }
