from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from r2d_ray.distributed.stage1_cache import BEAT_S, TTL_S, Lease

NEVER_S = 1000.0  # a beat or an age that no test reaches


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stage1.lease"


def make_dead(path: Path, number: int = 1) -> None:
    """Leave the file of a holder that died long ago."""
    file = path.with_name(f"{path.name}.{number}")
    file.write_text("the dead\n")
    os.utime(file, (1.0, 1.0))


def wait_until(true: Callable[[], bool], at_most_s: float = 20.0) -> None:
    end = time.monotonic() + at_most_s
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def holders_of_a_race(path: Path, racers: int) -> list[Lease]:
    leases = [Lease(path, f"racer {i}") for i in range(racers)]
    line = threading.Barrier(racers)

    def race(lease: Lease) -> bool:
        line.wait()
        return lease.try_acquire()

    with ThreadPoolExecutor(racers) as pool:
        won = list(pool.map(race, leases))
    return [lease for lease, it in zip(leases, won, strict=True) if it]


def test_six_beats_may_be_missed_before_a_holder_counts_as_dead() -> None:
    assert TTL_S / BEAT_S == 6


def test_the_second_is_refused_until_the_first_releases(path: Path) -> None:
    first, second = Lease(path, "first"), Lease(path, "second")
    assert first.try_acquire()
    assert not second.try_acquire()
    assert not first.try_acquire()
    first.release()
    assert second.try_acquire()
    assert not first.try_acquire()
    second.release()


def test_leases_of_different_names_do_not_meet(tmp_path: Path) -> None:
    with Lease(tmp_path / "a", "x") as a, Lease(tmp_path / "a.b", "x") as ab:
        assert a.try_acquire()
        assert ab.try_acquire()


def test_the_end_of_the_block_releases_after_an_error_too(path: Path) -> None:
    lease = Lease(path, "first")
    assert lease.try_acquire()
    with pytest.raises(ZeroDivisionError), lease:
        _ = 1 / 0
    assert Lease(path, "second").try_acquire()


def test_releasing_what_is_not_held_harms_nobody(path: Path) -> None:
    holder, other = Lease(path, "holder"), Lease(path, "other")
    assert holder.try_acquire()
    other.release()
    assert not other.try_acquire()
    holder.release()
    holder.release()


def test_the_file_names_the_owner(path: Path) -> None:
    with Lease(path, "node7:4711") as lease:
        assert lease.try_acquire()
        assert Path(f"{path}.1").read_text() == "node7:4711\n"


@pytest.mark.parametrize("state", ["free", "stale", "released"])
def test_a_race_has_exactly_one_winner(path: Path, state: str) -> None:
    for _ in range(10):
        if state == "stale":
            make_dead(path)
        if state == "released":
            before = Lease(path, "before")
            assert before.try_acquire()
            before.release()
        winners = holders_of_a_race(path, 8)
        assert len(winners) == 1
        winners[0].release()
        for file in path.parent.iterdir():
            file.unlink()


def test_a_taker_that_acts_on_an_old_look_does_not_rob_the_new_holder(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_dead(path)
    quick, slow = Lease(path, "quick"), Lease(path, "slow")
    look = slow._is_stale

    def look_then_sleep(number: int) -> bool:
        seen = look(number)
        assert quick.try_acquire()
        return seen

    monkeypatch.setattr(slow, "_is_stale", look_then_sleep)
    assert not slow.try_acquire()
    assert not Lease(path, "third").try_acquire()
    quick.release()
    assert not quick.lost


def test_a_look_that_is_two_holders_old_robs_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, first, second = (Lease(path, name) for name in ("slow", "first", "second"))
    look = slow._last_number

    def look_then_sleep() -> int:
        seen = look()
        assert first.try_acquire()
        first.release()
        assert second.try_acquire()
        return seen

    monkeypatch.setattr(slow, "_last_number", look_then_sleep)
    assert not slow.try_acquire()
    second.release()


def test_only_the_file_systems_clock_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Lease(path, "holder") as holder:
        assert holder.try_acquire()
        monkeypatch.setattr(time, "time", lambda: 1e12)
        assert not Lease(path, "a node whose clock is ahead").try_acquire()
    make_dead(path, 2)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    with Lease(path, "a node whose clock is behind") as taker:
        assert taker.try_acquire()


def test_a_lease_is_stale_only_when_older_than_its_ttl(path: Path) -> None:
    make_dead(path)
    now = Lease(path, "clock")._filesystem_now()
    os.utime(f"{path}.1", (now - 100.0, now - 100.0))
    assert not Lease(path, "patient", ttl_s=200.0).try_acquire()
    with Lease(path, "hasty", ttl_s=50.0) as lease:
        assert lease.try_acquire()


def test_the_heartbeat_makes_a_stale_lease_fresh_again(path: Path) -> None:
    with Lease(path, "holder", ttl_s=NEVER_S, beat_s=0.02) as holder:
        assert holder.try_acquire()
        file = Path(f"{path}.1")
        os.utime(file, (1.0, 1.0))
        wait_until(lambda: file.stat().st_mtime > 1.0)
        assert not Lease(path, "other", ttl_s=NEVER_S).try_acquire()
        assert not holder.lost


def test_a_holder_learns_that_it_was_robbed_and_does_not_rob_back(path: Path) -> None:
    sleeper = Lease(path, "sleeper", beat_s=0.02)
    taker = Lease(path, "taker", ttl_s=-1.0)  # takes every lease for stale
    assert sleeper.try_acquire()
    assert not sleeper.lost
    assert taker.try_acquire()
    wait_until(lambda: sleeper.lost)
    sleeper.release()
    assert not Lease(path, "third").try_acquire()
    assert not taker.lost
    taker.release()
    assert sleeper.try_acquire()
    assert not sleeper.lost
    sleeper.release()


def test_a_holder_whose_folder_vanishes_has_lost(tmp_path: Path) -> None:
    folder = tmp_path / "stage1"
    folder.mkdir()
    with Lease(folder / "x", "holder", beat_s=0.02) as lease:
        assert lease.try_acquire()
        (folder / "x.1").unlink()
        folder.rmdir()
        wait_until(lambda: lease.lost)


def test_a_holder_that_was_killed_is_taken_over_after_the_ttl_and_not_before(path: Path) -> None:
    code = (
        "import sys, time, pathlib, r2d_ray.distributed.stage1_cache as it\n"
        f"print(it.Lease(pathlib.Path({str(path)!r}), 'victim', beat_s=0.05).try_acquire())\n"
        "sys.stdout.flush(); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == "True\n"
        assert not Lease(path, "other", ttl_s=NEVER_S).try_acquire()
        it.send_signal(signal.SIGKILL)
    with Lease(path, "heir", ttl_s=0.3) as heir:
        wait_until(heir.try_acquire)
        last_beat = Path(f"{path}.1").stat().st_mtime
        assert Path(f"{path}.2").stat().st_mtime - last_beat > 0.3


def test_of_several_processes_exactly_one_takes_over_the_dead_one(path: Path) -> None:
    make_dead(path)
    go = path.with_name("go")
    code = (
        "import pathlib, time, r2d_ray.distributed.stage1_cache as it\n"
        f"lease = it.Lease(pathlib.Path({str(path)!r}), 'process')\n"
        "print('ready', flush=True)\n"
        f"while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.001)\n"
        "print(lease.try_acquire())"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    go.touch()
    assert sorted(racer.communicate()[0] for racer in racers) == ["False\n"] * 3 + ["True\n"]
