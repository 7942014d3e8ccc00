"""What a search may not leave behind: processes, actors, placement groups, CPUs in use."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.util.state import list_actors, list_placement_groups

FREE_WITHIN_S = 10.0
CLEANER = "PlacementGroupCleaner"
"""Ray Train's actor, without CPUs, that removes the placement group of a run whose controller was
killed: it means to end itself then, but from a thread, where Ray's `exit_actor` ends only that."""
ONE_A_CLUSTER = frozenset({"_AutoscalingCoordinatorActor"})
"""Detached actors without CPUs: Ray Train makes one of each, by name, and later runs use it."""
Process = tuple[int, str]  # pid and start, so that a pid used again is another


def here() -> str:
    """Return the address of the cluster of this process: others may run on this machine."""
    return str(ray.get_runtime_context().gcs_address)


def live_actors() -> list[Any]:
    """Return the actors of the connected cluster that are not dead."""
    return list(list_actors(here(), filters=[("state", "!=", "DEAD")], limit=10_000))


def left_behind(expected: Iterable[str] = ()) -> list[str]:
    """Return what the connected cluster still holds, but for an actor of each class expected."""
    actors = Counter(actor.class_name for actor in live_actors())
    actors -= Counter([*expected, *ONE_A_CLUSTER])
    groups = list_placement_groups(here(), filters=[("state", "!=", "REMOVED")], limit=10_000)
    free, all_cpus = (have.get("CPU", 0.0) for have in (available(), ray.cluster_resources()))
    used = [f"{all_cpus - free:g} CPUs"] if free < all_cpus else []
    return [*actors.elements(), *(f"placement group {g.placement_group_id}" for g in groups), *used]


def available() -> dict[str, float]:
    return dict(ray.available_resources())


def seconds_until(condition: Callable[[], object], limit: float) -> float:
    """Return how long it took until a condition held; it must within `limit` seconds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit, f"not within {limit} s"
        time.sleep(0.1)
    return time.monotonic() - began


def assert_nothing_is_left(expected: Iterable[str] = ()) -> None:
    """Wait until the connected cluster holds nothing of a search, `FREE_WITHIN_S` at most."""
    ended = time.monotonic()
    while left := left_behind(expected):
        assert time.monotonic() - ended < FREE_WITHIN_S, left
        time.sleep(0.2)


def descendants(pid: int) -> set[Process]:
    """Return the processes that a process started, and those that these did."""
    children: dict[int, list[Process]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append((int(entry.name), fields[19]))
    found: set[Process] = set()
    todo = [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            found.add(child)
            todo.append(child[0])
    return found


def alive(processes: set[Process]) -> set[Process]:
    """Return those that still run; one that nobody has waited for does not."""
    found = set()
    for pid, start in processes:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if fields[19] == start and fields[0] != "Z":
                found.add((pid, start))
    return found


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
