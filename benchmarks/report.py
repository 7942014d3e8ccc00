"""Seconds and memory of a report over large studies made from a seed: `-m benchmarks.report`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks import measure
from benchmarks.made_studies import made_splits, write_comparison, write_search

LIMIT_S, LIMIT_GB = 60, 2  # what a report of this size may take on two cores


def run(command: list[str]) -> tuple[float, float]:
    """Return the seconds that a command takes and its largest resident memory in GB.

    Raises:
        RuntimeError: if it fails.
    """
    began = time.perf_counter()
    process = psutil.Popen(command)
    peak = 0
    while process.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(measure.SAMPLE_S)
    if process.wait() != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - began, peak / 1e9


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--evaluations", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1000, help="predictions of a run")
    parser.add_argument("--json", help="file for the numbers")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        splits = made_splits(args.rows)
        search = write_search(root, splits, args.trials, args.evaluations, seed=0)
        comparison = write_comparison(root, splits, args.seeds, seed=1)
        out = root / "report"
        command = [sys.executable, "-m", "analysis", str(comparison), str(search), "--out"]
        seconds, peak = run([*command, str(out)])
        page = (out / "index.html").stat().st_size / 1e6
    found: dict[str, Any] = {"seconds": seconds, "peak_gb": peak, "page_mb": page}
    print(
        f"{args.trials} trials x {args.evaluations} evaluations and 12 methods x {args.seeds} seeds"
        f" x {args.rows} predictions: {seconds:.1f} s (limit {LIMIT_S}), {peak:.2f} GB "
        f"(limit {LIMIT_GB}), page {page:.1f} MB"
    )
    measure.write(args.json, {"machine": measure.machine(), **found})
    if seconds > LIMIT_S or peak > LIMIT_GB:
        raise SystemExit("report: above its limits")


if __name__ == "__main__":
    main()
