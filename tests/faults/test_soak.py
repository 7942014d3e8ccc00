"""A long search under a random killer: every trial accounted for, nothing left, memory flat."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import mean

import pytest
import ray
import soak_session
from filelock import FileLock
from leftovers import CLEANER, assert_nothing_is_left, live_actors, resident_mb, seconds_until
from optuna.trial import TrialState
from real_study import RealStudy, journal

from r2d_ray.distributed import cluster
from r2d_ray.records import TrialRecord, read_jsonl
from r2d_ray.study.lock import StudyLock

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]
TRIALS = int(os.environ.get("R2D_SOAK", "200"))
SEED = 2026
DRIVER = "ImplicitFunc"  # Ray Tune's name of a trial's actor
DIED = "the trial's driver died"
STATES = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
GROWTH_MB = 40.0
"""What a session may grow from the first third of 200 trials to the last: twice what was measured.
Tune keeps what it knows of each trial, the last result among it: 0.15 MB. A leak of a run's
weights, rows or logs would be more for each."""


class Killer(threading.Thread):
    """Kills processes of the connected cluster's actors at moments drawn with a fixed seed."""

    def __init__(self, classes: tuple[str, ...], least_s: float, most_s: float) -> None:
        super().__init__()
        self.classes, self.pauses = classes, (least_s, most_s)
        self.over = threading.Event()
        self.killed: Counter[str] = Counter()

    def run(self) -> None:
        draw = random.Random(SEED)
        while not self.over.wait(draw.uniform(*self.pauses)):
            kind = draw.choice(self.classes)
            alive = [actor for actor in live_actors() if actor.class_name == kind and actor.pid]
            if alive:
                with suppress(ProcessLookupError):  # it ended meanwhile
                    os.kill(draw.choice(alive).pid, signal.SIGKILL)
                    self.killed[kind] += 1

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self.start()
        try:
            yield
        finally:
            self.over.set()
            self.join()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster that outlives the searches on it."""
    cluster.connect(None, cluster.Capacity(soak_session.CONCURRENCY, 0))
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


def start(root: Path, address: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, soak_session.__file__, str(root), address, str(TRIALS)]
    tests = Path(__file__).parents[1]
    places = os.pathsep.join(map(str, (tests, tests.parent)))
    with root.with_name("log.txt").open("ab") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": places}
        )


def records(root: Path) -> list[TrialRecord]:
    return list(read_jsonl(root / "records.jsonl", TrialRecord))


def thirds(values: list[float]) -> list[float]:
    """Return the means of the first, the middle and the last third."""
    count = len(values) // 3
    return [mean(part) for part in (values[:count], values[count:-count], values[-count:])]


def test_a_long_search_of_sleepers_under_a_killer(tmp_path: Path, address: str) -> None:
    ray.cloudpickle.register_pickle_by_value(soak_session)
    holder = ray.remote(soak_session.Holder).options(
        name=soak_session.HOLDER, namespace=soak_session.NAMESPACE, num_cpus=0
    )
    kept = holder.remote()
    expected = ["Holder"]
    root = tmp_path / "soak"

    # the session is killed
    session = start(root, address)
    seconds_until(lambda: len(records(root)) >= TRIALS // 12 or session.poll() is not None, 300)
    assert session.poll() is None, (tmp_path / "log.txt").read_text()[-3000:]
    session.kill()
    session.wait()
    assert_nothing_is_left(expected)

    # drivers and workers are killed, then the session is asked to stop
    memory: dict[int, float] = {}

    def nearly_all() -> bool:
        assert session.poll() is None, (tmp_path / "log.txt").read_text()[-3000:]
        memory[len(records(root))] = resident_mb(session.pid)
        return max(memory) >= TRIALS * 19 // 20

    session = start(root, address)
    killer = Killer((DRIVER, "Sleeper"), 2.0, 6.0)
    with killer.at_work():
        seconds_until(nearly_all, 1200)
    session.send_signal(signal.SIGTERM)
    assert session.wait(60) == 75
    assert_nothing_is_left(expected)

    # the rest
    session = start(root, address)
    assert session.wait(300) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    assert_nothing_is_left(expected)

    found, trials = records(root), journal(root)
    assert sorted(r.trial for r in found) == list(range(TRIALS)) == [t.number for t in trials]
    assert {r.trial: STATES[r.status] for r in found} == {t.number: t.state for t in trials}
    ends = Counter(r.status for r in found)
    reasons = Counter(r.reason for r in found if r.status == "failed")
    assert reasons.keys() <= {DIED, soak_session.NO_ROOM, "ActorDiedError: the worker died"}
    assert 0 < reasons[DIED] <= killer.killed[DRIVER]
    assert killer.killed["Sleeper"] > 0
    assert ends["pruned"] > 0
    assert sum(bool(r.stage1 and r.stage1["built_here"]) for r in found) <= 1  # 0: that one failed

    with StudyLock(root):  # nobody holds it
        assert not (root / "optuna.journal.lock").is_symlink()
    [entry] = {path.name.partition(".")[0] for path in root.glob("stage1/*")}
    FileLock(root / "stage1" / f"{entry}.lock", timeout=0).acquire()

    first, middle, last = thirds([memory[trials] for trials in sorted(memory)])
    print(f"memory {first:.0f}, {middle:.0f}, {last:.0f} MB")
    print(f"killed {dict(killer.killed)}, ended {dict(ends)}, {dict(reasons)}")
    assert last - first < GROWTH_MB
    ray.kill(kept)


def test_real_trials_under_a_killer(tmp_path: Path, address: str) -> None:
    study = RealStudy(tmp_path, 6, "--address", address, "--max-concurrent-trials", "2")
    killer = Killer((DRIVER, "RayTrainWorker"), 15.0, 30.0)
    with killer.at_work():
        code = study.end(study.start(), 900)
    assert code in (0, 3), study.log.read_text()[-3000:]
    assert_nothing_is_left([CLEANER] * killer.killed[DRIVER])
    found = study.records()
    assert [r.trial for r in found] == [t.number for t in study.journal()] == list(range(6))
    assert [STATES[r.status] for r in found] == [t.state for t in study.journal()]
    assert (code == 3) == any(r.status == "failed" for r in found)
    print(f"killed {dict(killer.killed)}, {Counter(r.status for r in found)}")
