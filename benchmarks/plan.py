"""Seconds and memory of planning on a large table of one's own: `python -m benchmarks.plan`.

Notes of about 80 words go into a CSV file, words drawn from 30,000 as their ranks say (Zipf);
two notes of each patient. What is measured is the whole command, `tune --dry-run`.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import measure
from benchmarks.report import run

WORDS, NOTE_WORDS, RATIONALE_WORDS = 30_000, 80, 15
SYLLABLES = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
BLOCK = 10_000  # rows that are drawn at once


def write_table(path: Path, rows: int) -> None:
    """Write so many rows, the same ones whenever it is asked."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 5, WORDS)
    words = np.array(["".join(rng.choice(SYLLABLES, size=size)) for size in sizes])
    shares = 1 / np.arange(1, WORDS + 1)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "patient", "question", "context", "label", "rationale"])
        for start in range(0, rows, BLOCK):
            count = min(BLOCK, rows - start)
            lengths = rng.integers(NOTE_WORDS // 2, NOTE_WORDS * 3 // 2, count)
            total = int(lengths.sum()) + RATIONALE_WORDS * count
            drawn = iter(words[rng.choice(WORDS, total, p=shares / shares.sum())])
            labels = rng.choice(list("abcd"), count)
            for place, length, label in zip(range(count), lengths, labels, strict=True):
                note, why = (
                    " ".join(itertools.islice(drawn, int(n))) for n in (length, RATIONALE_WORDS)
                )
                number = start + place
                patient = f"p{number // 2}"
                writer.writerow([f"n{number}", patient, "How urgent is it?", note, label, why])


def main() -> None:
    """Print both for every size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[170_000, 1_000_000])
    parser.add_argument("--json", help="file for the numbers")
    args = parser.parse_args()
    found, spent = [], 0.0
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as name:
            table = Path(name) / "notes.csv"
            write_table(table, rows)
            command = [sys.executable, "-m", "r2d_ray.tune", "--dataset", str(table), "--dry-run"]
            place = ["--columns", "group=patient", "--address", "local", "--storage-path", name]
            seconds, peak = run([*command, *place, "--verbosity", "quiet"])
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu, spent = used.ru_utime + used.ru_stime - spent, used.ru_utime + used.ru_stime
        found.append({"rows": rows, "seconds": seconds, "cpu_s": cpu, "peak_gb": peak})
        print(f"{rows} rows: {seconds:.0f} s, {cpu:.0f} s of CPU, {peak:.2f} GB", flush=True)
    measure.write(args.json, {"machine": measure.machine(), "plans": found})


if __name__ == "__main__":
    main()
