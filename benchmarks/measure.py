"""How all is measured here: A B A B in one process, ratios with spread, the machine named."""

from __future__ import annotations

import json
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch

from r2d_ray.model.cpu_layers import product

SAMPLE_S = 0.02  # seconds between two looks at the process's memory
THREADS = 1  # of a process: what a worker has (train.CPUS_PER_WORKER)
PRODUCT = 1024  # rows and columns of the matrix product that stands for the machine's rate


@dataclass(frozen=True, slots=True)
class Ratio:
    """Times of the yardstick and of ours; `value` is how many times faster ours is."""

    yardstick_s: tuple[float, ...]
    ours_s: tuple[float, ...]

    @property
    def value(self) -> float:
        """Ratio of the medians."""
        return statistics.median(self.yardstick_s) / statistics.median(self.ours_s)

    @property
    def spread(self) -> tuple[float, float]:
        """Smallest and largest ratio of a neighbouring pair."""
        pairs = [a / b for a, b in zip(self.yardstick_s, self.ours_s, strict=True)]
        return min(pairs), max(pairs)

    def __str__(self) -> str:
        low, high = self.spread
        return f"{self.value:.2f}x ({low:.2f} to {high:.2f})"


def seconds_of(act: Callable[[], Any]) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def side_by_side(yardstick: Callable[[], Any], ours: Callable[[], Any], rounds: int) -> Ratio:
    """Return the times of both, in the order A B A B, after one untimed call of each."""
    yardstick()
    ours()
    pairs = [(seconds_of(yardstick), seconds_of(ours)) for _ in range(rounds)]
    return Ratio(tuple(a for a, _ in pairs), tuple(b for _, b in pairs))


@dataclass
class Peak:
    """Largest resident memory seen, in bytes; each `watching` block raises it."""

    bytes: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Sample this process's memory while the block runs."""
        process = psutil.Process()
        self._stop.clear()

        def look() -> None:
            while not self._stop.wait(SAMPLE_S):
                self.bytes = max(self.bytes, process.memory_info().rss)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()


def product_rate(dtype: torch.dtype, rounds: int = 20) -> float:
    """Return the FLOP/s of a square matrix product in this dtype, the best of `rounds`.

    In fp32 it is the faster of torch's own and oneDNN's.
    """
    a = torch.randn(PRODUCT, PRODUCT).to(dtype)
    ways: list[Callable[[], Any]] = [lambda: a @ a]
    if dtype == torch.float32:
        ways.append(lambda: product(a, a))
    best = min(seconds_of(way) for _ in range(rounds) for way in ways)
    return float(2 * PRODUCT**3 / best)


def machine() -> dict[str, Any]:
    """Return what the numbers were measured on, and when."""
    names = ("torch", "transformers", "ray", "deepspeed", "optuna")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names},
        "date": date.today().isoformat(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def write(path: str | None, found: dict[str, Any]) -> None:
    """Write a benchmark's numbers as JSON, where a file was asked for."""
    if path:
        Path(path).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
