"""Seconds of a study and of its trials that are not training: `python -m benchmarks.overhead`.

One trial at a time on a cluster of the command's own. A trial's place is taken from the end of
the trial before it to its own end; what of that is not between the begin of training and its
last entry is overhead. Times come from outside: processes' births, event files, outcomes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import command, measure
from benchmarks.watch import Marks, Watch
from r2d_ray.study.folder import StudyFolder

SHORT = {  # every step is logged, so that the first one has a time
    "stage1_max_steps": 20,
    "stage1_eval_steps": 20,
    "max_steps": 40,
    "eval_steps": 40,
    "logging_steps": 1,
}
LONG_TRIALS_S = (60, 600)  # lengths of training for which the share is computed


@dataclass(frozen=True)
class Parts:
    """Seconds of a trial's place.

    `driver`: Tune hands over, and the trial's function begins; `stage1`: what stage 1 cost where
    this trial built it; `workers`: Train's processes, imports, model and data; `first_step`;
    `training`: the other steps and the evaluations; `end`: from the last entry to the outcome.
    """

    driver: float
    stage1: float
    workers: float
    first_step: float
    training: float
    end: float

    @property
    def overhead(self) -> float:
        """Seconds that are not training, stage 1 left out."""
        return self.driver + self.workers + self.end


def stage2_events(folder: StudyFolder, trial: int) -> Path:
    """Return where a trial's stage 2 leaves its events."""
    return folder.root / "tensorboard" / f"{folder.root.name}-{trial:04d}" / "stage2"


def parts_of(
    before: float, started: float, stage1: float | None, marks: Marks, ended: float
) -> Parts:
    """Return the parts of a trial from Unix times.

    Args:
        before: End of the trial before it.
        started: Its function began.
        stage1: Stage 1 ended, None where this trial did not build it.
        marks: Of stage 2.
        ended: Its outcome was there.
    """
    ready = stage1 or started
    return Parts(
        driver=started - before,
        stage1=ready - started,
        workers=marks.began - ready,
        first_step=marks.first_step - marks.began,
        training=marks.last - marks.first_step,
        end=ended - marks.last,
    )


def share(overhead: float, training: float) -> float:
    """Return which share of a trial is not training."""
    return overhead / (overhead + training)


def measured(folder: Path, trials: int) -> dict[str, Any]:
    """Run the study and return its parts."""
    watch = Watch(folder)
    ran = command.tune(
        folder,
        "overhead",
        *("--dataset", "bioasq", "--scheduler", "none", "--num-samples", str(trials)),
        *("--max-concurrent-trials", "1"),
        values=dict(SHORT),
        look=watch,
    )
    stages = watch.stages()
    (stage1,) = [marks for place, marks in stages.items() if place.name == "stage1"]
    cluster = min(watch.created.values())
    found: dict[str, Any] = {
        "to_cluster_start": cluster - ran.began,
        "cluster_start_to_first_trial": ran.started(0) - cluster,
        "to_first_step": stage1.first_step - ran.began,
        "stage1_before_training": stage1.began - ran.started(0),
        "after_last_trial": ran.ended - max(ran.ends),
        "trials": [],
    }
    for place, record in enumerate(ran.records):
        marks = stages[stage2_events(ran.folder, record.trial)]
        before = ran.ends[place - 1] if place else ran.started(0)
        # Stage 1's end is not seen from outside: its workers' end and stage 2's start share it.
        stage1_end = stage1.last if place == 0 else None
        parts = parts_of(before, ran.started(place), stage1_end, marks, ran.ends[place])
        found["trials"].append({"trial": record.trial, "parts": asdict(parts), "s": parts.overhead})
    found["helpers"] = watch.helpers(ran.ends[0], ran.ends[1])
    warm = [trial["s"] for trial in found["trials"][1:]]
    found["warm_overhead_s"] = statistics.median(warm)
    found["share"] = {str(s): share(found["warm_overhead_s"], s) for s in LONG_TRIALS_S}
    return found


def text(found: dict[str, Any]) -> str:
    """Return the numbers in words."""
    lines = [
        f"study, cold: first step {found['to_first_step']:.1f} s after the command: imports, plan "
        f"and tokenising {found['to_cluster_start']:.1f}, cluster and first driver "
        f"{found['cluster_start_to_first_trial']:.1f}, stage 1's workers "
        f"{found['stage1_before_training']:.1f}; after the last trial (export, test, end) "
        f"{found['after_last_trial']:.1f} s"
    ]
    for trial in found["trials"]:
        parts = ", ".join(f"{name} {value:.1f}" for name, value in trial["parts"].items())
        kind = "warm" if trial["trial"] else "cold"
        lines.append(f"trial {trial['trial']} ({kind}): {trial['s']:.1f} s not training ({parts})")
    shares = ", ".join(
        f"{value:.0%} of a trial that trains {s} s" for s, value in found["share"].items()
    )
    lines.append(f"warm trial: {found['warm_overhead_s']:.1f} s not training; computed: {shares}")
    born = ", ".join(f"{name} +{at:.1f}" for name, at in found["helpers"])
    lines.append(f"processes born for trial 1 (s after trial 0's end): {born}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Print the parts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--full", action="store_true", help="8 trials")
    parser.add_argument("--json", help="file for the numbers")
    args = parser.parse_args(argv)
    machine = measure.machine()
    with tempfile.TemporaryDirectory() as name:
        found = {"machine": machine, **measured(Path(name), 8 if args.full else args.trials)}
    print(text(found))
    measure.write(args.json, found)


if __name__ == "__main__":
    main()
