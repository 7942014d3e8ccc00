"""Wall time of a whole search against a plain Ray Tune study: `python -m benchmarks.study`.

The plain study is a function trainable per trial that trains both stages with the yardstick's
steps, evaluates and saves as the authors' scripts do, and shares nothing. It gets the settings
that our search drew, the same steps, rows, CPUs and trials at once; neither side stops a trial
early (no ASHA, no patience). Ours runs first: its records hold the settings.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import command, measure
from benchmarks.plain import PlainJob, side_of, step_seconds
from benchmarks.setting import BATCH, SIZES, Setting, make_setting, real_or_sample, with_rationale
from benchmarks.step import taught
from r2d_ray.data.examples import Example

STAGE_S, FULL_STAGE_S = 26, 60  # seconds that a stage of the yardstick takes at least
CALIBRATION_ROWS = 64
EVALUATED = 16  # validation rows
SEED = 42
VALUES = {  # both sides'; the learning rates are low: labels must go on ending by themselves
    "max_input_length": 512,
    "max_rationale_length": 256,
    "per_device_train_batch_size": BATCH,
    "per_device_eval_batch_size": EVALUATED,
    "learning_rate": 1e-5,
    "stage1_learning_rate": 1e-5,
    "early_stopping_patience": 0,
    "stage1_early_stopping_patience": 0,
}
SPACE = """\
metric: macro_f1
mode: max
search:
  label_loss_weight:      {type: float, low: 0.3, high: 0.9}
  sampling_decay_ratio:   {type: float, low: 0.2, high: 0.6}
  gold_probability_floor: {type: float, low: 0.0, high: 0.5}
"""


@dataclass(frozen=True)
class Task:
    """What both sides train: a model folder, a table of rows, a space, and the run's values."""

    model: Path
    rows: Path
    space: Path
    values: dict[str, object]
    told: str


def steps_for(step_s: float, stage_s: float, rows: int) -> int:
    """Return the steps after which a stage has lasted so long, at most an epoch of the rows."""
    return min(math.ceil(stage_s / step_s), rows // BATCH)


def write_rows(parts: Mapping[str, Sequence[Example]], source: str, path: Path) -> None:
    """Write a table that names its splits."""
    lines = [
        {
            "id": row.id,
            "group": row.group,
            "split": split,
            "question": row.question,
            "context": row.context,
            "label": row.label,
            "rationale": row.rationales.get(source, ""),
        }
        for split, rows in parts.items()
        for row in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def make_task(size: str, stage_s: float, folder: Path) -> Task:
    """Return rows for one epoch a stage that lasts so long, and a model whose labels end.

    One epoch: both sides train the same rows, whatever their order.
    """
    setting: Setting = make_setting(size, CALIBRATION_ROWS, folder / "setting", **VALUES)
    taught(setting, "eager").save_pretrained(setting.model_dir)
    side = side_of(setting.config, setting.splits, setting.prepared.tokenizer)
    step_s = step_seconds(side, setting.config, setting.splits.train)
    splits, data = real_or_sample()
    train = with_rationale(splits.train, setting.source)
    steps = steps_for(step_s, stage_s, len(train))
    parts = {
        "train": train[: steps * BATCH],
        "validation": with_rationale(splits.validation, setting.source)[:EVALUATED],
        "test": splits.test[:EVALUATED],
    }
    rows, space = folder / "rows.jsonl", folder / "space.yaml"
    write_rows(parts, setting.source, rows)
    space.write_text(SPACE, encoding="utf-8")
    lengths = ("stage1_max_steps", "stage1_eval_steps", "max_steps", "eval_steps")
    values: dict[str, object] = {**VALUES, **dict.fromkeys(lengths, steps)}
    return Task(setting.model_dir, rows, space, values, f"{size}, {data}, {steps} steps a stage")


def ours(task: Task, folder: Path, trials: int, at_once: int) -> command.Ran:
    """Run our search."""
    return command.tune(
        folder,
        "ours",
        *("--dataset", str(task.rows), "--model", str(task.model), "--space", str(task.space)),
        *("--scheduler", "none", "--num-samples", str(trials), "--seed", str(SEED)),
        *("--max-concurrent-trials", str(at_once)),
        values=task.values,
    )


def plain(task: Task, folder: Path, searched: command.Ran, at_once: int) -> dict[str, Any]:
    """Run the plain study on the settings of our trials; return its trials and times."""
    job = PlainJob(
        configs=[record.config for record in searched.records],
        dataset=str(task.rows),
        seed=SEED,
        at_once=at_once,
        storage=str(folder),
        out=str(folder / "plain.json"),
    )
    path = folder / "job.json"
    path.write_text(json.dumps(job.values()), encoding="utf-8")
    began, ended = command.run([sys.executable, "-m", "benchmarks.plain", str(path)])
    trials = json.loads(Path(job.out).read_text(encoding="utf-8"))
    return {"began": began, "ended": ended, "trials": trials}


def compared(searched: command.Ran, naive: dict[str, Any], at_once: int) -> dict[str, Any]:
    """Return the measured wall times and counts, and what is computed from them."""
    ends = tuple(trial["ended"] for trial in naive["trials"])
    naive_s = max(ends) - naive["began"]
    slots = command.slot_s(ends, at_once), command.slot_s(searched.ends, at_once)
    return {
        "trials": len(ends),
        "at_once": at_once,
        "yardstick_search_s": naive_s,
        "ours_search_s": searched.search_s,
        "ratio": naive_s / searched.search_s,
        "yardstick_command_s": naive["ended"] - naive["began"],
        "ours_command_s": searched.ended - searched.began,
        "yardstick_stage_s": {
            stage: statistics.median(trial[f"{stage}_s"] for trial in naive["trials"])
            for stage in ("stage1", "stage2")
        },
        "yardstick_stage1_trainings": sum(trial["stage1_trainings"] for trial in naive["trials"]),
        "ours_stage1_trainings": sum(bool(r.stage1.get("built_here")) for r in searched.records),
        "yardstick_slot_s": slots[0],
        "ours_slot_s": slots[1],
        "asymptote": slots[0] / slots[1],
        "yardstick_label_tokens": statistics.fmean(t["label_tokens"] for t in naive["trials"]),
    }


def text(found: dict[str, Any]) -> str:
    """Return the numbers in words."""
    stage = found["yardstick_stage_s"]
    return (
        f"{found['trials']} trials, {found['at_once']} at once, no trial stopped early\n"
        f"search, from command to the end of the last trial: plain Tune with the authors' steps "
        f"{found['yardstick_search_s']:.0f} s, ours {found['ours_search_s']:.0f} s: "
        f"{found['ratio']:.2f}x\n"
        f"  stages of the yardstick: {stage['stage1']:.0f} s + {stage['stage2']:.0f} s (median)\n"
        f"  trainings of stage 1: {found['yardstick_stage1_trainings']} -> "
        f"{found['ours_stage1_trainings']}\n"
        f"  whole command: {found['yardstick_command_s']:.0f} s -> {found['ours_command_s']:.0f} s "
        "(ours also exports the best model and evaluates it on test)\n"
        f"asymptote, computed: a trial after the first ones holds its place for "
        f"{found['yardstick_slot_s']:.1f} s -> {found['ours_slot_s']:.1f} s (measured), so a "
        f"search of very many trials approaches {found['asymptote']:.2f}x\n"
        f"the yardstick's labels ended after {found['yardstick_label_tokens']:.1f} tokens (longest "
        "of a batch, mean)"
    )


def main(argv: list[str] | None = None) -> None:
    """Print the wall times of both."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--size", choices=tuple(SIZES), default="bench-tiny")
    parser.add_argument("--stage-seconds", type=float, help=f"default {STAGE_S}")
    parser.add_argument("--at-once", type=int, default=command.cores(), help="trials at once")
    parser.add_argument("--full", action="store_true", help=f"stages of {FULL_STAGE_S} s")
    parser.add_argument("--json", help="file for the numbers")
    args = parser.parse_args(argv)
    stage_s = args.stage_seconds or (FULL_STAGE_S if args.full else STAGE_S)
    machine = measure.machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task = make_task(args.size, stage_s, folder)
        print(task.told, flush=True)
        searched = ours(task, folder, args.trials, args.at_once)
        naive = plain(task, folder, searched, args.at_once)
        found = compared(searched, naive, args.at_once)
    found = {"machine": machine, "task": task.told, "values": task.values, **found}
    print(text(found))
    measure.write(args.json, found)


if __name__ == "__main__":
    main()
