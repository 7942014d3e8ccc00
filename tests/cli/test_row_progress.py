"""Progress of a prediction: a line every so often, with this session's rate and the time left."""

import io

import pytest
from rich.console import Console

from r2d_ray.cli import row_progress
from r2d_ray.cli.row_progress import RowProgress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(row_progress.time, "monotonic", lambda: now[0])
    return now


def heard(progress: RowProgress, clock: list[float], *steps: tuple[float, int]) -> str:
    progress.console = Console(file=io.StringIO(), width=200)
    for seconds, rows in steps:
        clock[0] = 100.0 + seconds
        progress.done(rows, 10_000, earlier=1000)
    written = progress.console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def test_a_line_is_said_every_half_minute_and_not_between(clock: list[float]) -> None:
    steps = [(29.0, 1100), (30.0, 1300), (59.0, 1500), (60.0, 4000)]
    assert heard(RowProgress(), clock, *steps).splitlines() == [
        "1300 of 10000 rows, 10 a second, 14 min left",  # 300 rows in 30 s; 8,700 s
        "4000 of 10000 rows, 50 a second, 2 min left",  # 3,000 rows in 60 s; 120 s
    ]


def test_less_than_a_minute_is_told_in_seconds(clock: list[float]) -> None:
    assert heard(RowProgress(), clock, (30.0, 9700)) == (
        "9700 of 10000 rows, 290 a second, 1 s left\n"
    )


def test_quiet_is_quiet(clock: list[float]) -> None:
    assert heard(RowProgress(quiet=True), clock, (30.0, 9700)) == ""
