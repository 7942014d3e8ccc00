"""How cost grows with rows, lengths, labels, workers and trials: `python -m benchmarks.scaling`.

Rows are made from a seed; the model is scratch-tiny. Rows, lengths and labels are measured in
this process, workers through Ray Train, trials through one search. The exponent is the slope of
log(cost) over log(size): 1 is linear.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import command, measure
from benchmarks.setting import BATCH, Setting
from benchmarks.step import Ours, timed_choice
from r2d_ray.config import TrainConfig, build_config
from r2d_ray.data.examples import Example, Provenance, Splits
from r2d_ray.data.prepare import open_prepared, prepare

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "bdfgklmnprst"]
SOURCE = "made"
SIZES = {
    "rows": (250, 500, 1000, 2000),
    "input tokens": (64, 128, 256, 512),
    "labels": (2, 10, 100, 1000),
    "workers": (1, 2),
    "trials": (1, 8),
}
FULL_SIZES = {**SIZES, "rows": (500, 1000, 2000, 4000, 8000), "input tokens": (64, 256, 512, 1024)}
STEP_ROWS = 64  # rows of the tables on which steps are timed
ROUNDS = 2
WORKER_STEPS = 60
TRIAL_VALUES = {"stage1_max_steps": 20, "stage1_eval_steps": 20, "max_steps": 60, "eval_steps": 60}


def made_rows(split: str, count: int, words: int, labels: Sequence[str]) -> tuple[Example, ...]:
    """Return rows of so many words; every label comes in turn."""
    draw = random.Random(f"{split} {count} {words}")
    return tuple(
        Example(
            id=f"{split}-{i}",
            group=f"{split}-{i}",
            question=f"{split} question {i}",
            context=" ".join(draw.choices(WORDS, k=words)),
            label=labels[i % len(labels)],
            rationales={SOURCE: " ".join(draw.choices(WORDS, k=20))},
        )
        for i in range(count)
    )


def label_set(count: int) -> tuple[str, ...]:
    """Return so many labels of two words; beyond 60 of them first words are shared."""
    return tuple(f"{WORDS[i % 60]} {WORDS[i // 60]}" for i in range(count))


def made_splits(rows: int, words: int, labels: int, evaluated: int = STEP_ROWS) -> Splits:
    """Return splits of so many training rows and evaluated validation rows."""
    names = label_set(labels)
    counts = {"train": rows, "validation": evaluated, "test": 8}
    made = {split: made_rows(split, count, words, names) for split, count in counts.items()}
    return Splits(
        name="made",
        train=made["train"],
        validation=made["validation"],
        test=made["test"],
        labels=names,
        provenance=Provenance("sample", "benchmarks/scaling.py", "Apache-2.0"),
    )


def config_for(**values: object) -> TrainConfig:
    """Return the config of a measurement."""
    return build_config(
        {
            "model": "scratch-tiny",
            "max_rationale_length": 64,
            "per_device_train_batch_size": BATCH,
            "learning_rate": 1e-3,
            "stage1_max_steps": 0,
            **values,
        }
    )


def setting_of(splits: Splits, config: TrainConfig, folder: Path) -> tuple[Setting, float]:
    """Return the tokenised setting and the seconds that tokenising took."""
    took: list[Path] = []
    seconds = measure.seconds_of(lambda: took.append(prepare(splits, config, folder / "prepared")))
    prepared = open_prepared(took[0])
    return Setting(splits, prepared, config, took[0], SOURCE, "made rows"), seconds


def training_costs(setting: Setting, folder: Path) -> dict[str, float]:
    """Return the seconds of an epoch of stage 2 and of choosing labels of validation rows."""
    ours = Ours(setting, len(setting.splits.train), "stage2", "fp32", folder / "run")
    ours()
    with timed_choice() as choosing:
        epochs = [measure.seconds_of(ours) for _ in range(ROUNDS)]
    evaluator = ours.trainer.evaluator()
    rows = setting.prepared.tables["validation"]
    evaluator.labels(rows)
    labels = statistics.median(
        measure.seconds_of(lambda: evaluator.labels(rows)) for _ in range(ROUNDS)
    )
    return {
        "epoch_s": statistics.median(epochs),
        "labels_s": labels,
        "choice_share": sum(choosing) / sum(epochs),
    }


def over_rows(sizes: Sequence[int], folder: Path) -> list[dict[str, float]]:
    """Tokenising, an epoch and label evaluation of so many rows."""
    lines = []
    for rows in sizes:
        splits = made_splits(rows, words=60, labels=2, evaluated=rows)
        setting, tokenising = setting_of(splits, config_for(max_input_length=128), folder)
        costs = training_costs(setting, folder / str(rows))
        names = ("epoch_s", "labels_s")
        lines.append({"size": rows, "prepare_s": tokenising, **{n: costs[n] for n in names}})
    return lines


def over_lengths(sizes: Sequence[int], folder: Path) -> list[dict[str, float]]:
    """A step of inputs that are cut at so many tokens."""
    lines = []
    for tokens in sizes:
        splits = made_splits(STEP_ROWS, words=2 * tokens, labels=2)
        setting, _ = setting_of(splits, config_for(max_input_length=tokens), folder)
        costs = training_costs(setting, folder / str(tokens))
        lines.append({"size": tokens, "step_s": costs["epoch_s"] * BATCH / STEP_ROWS})
    return lines


def over_labels(sizes: Sequence[int], folder: Path) -> list[dict[str, float]]:
    """A step, and the label evaluation of a row, under so many labels."""
    lines = []
    for labels in sizes:
        splits = made_splits(STEP_ROWS, words=60, labels=labels)
        setting, _ = setting_of(splits, config_for(max_input_length=128), folder)
        costs = training_costs(setting, folder / str(labels))
        lines.append(
            {
                "size": labels,
                "step_s": costs["epoch_s"] * BATCH / STEP_ROWS,
                "label_row_s": costs["labels_s"] / STEP_ROWS,
                "choice_share": costs["choice_share"],
            }
        )
    return lines


def over_workers(sizes: Sequence[int], folder: Path) -> list[dict[str, float]]:
    """A step of the same rows shared by so many Ray Train workers."""
    import ray

    from r2d_ray.distributed import cluster
    from r2d_ray.distributed.stage_job import TrainingJob, run_training

    splits = made_splits(1000, words=100, labels=2)
    lines = []
    cluster.connect(None, cluster.Capacity(max(sizes), 0))
    for workers in sizes:
        config = config_for(
            max_input_length=192,
            per_device_train_batch_size=32 // workers,
            num_workers=workers,
            max_steps=WORKER_STEPS,
            eval_steps=WORKER_STEPS,
        )
        prepared = prepare(splits, config, folder / "prepared")
        outcome = run_training(TrainingJob(config, "stage2", prepared, folder / str(workers)))
        lines.append({"size": workers, "step_s": outcome["step_s"]})
    ray.shutdown()
    return lines


def over_trials(sizes: Sequence[int], folder: Path) -> list[dict[str, float]]:
    """Seconds from the first trial's start to the n-th trial's end, in one search."""
    ran = command.tune(
        folder,
        "trials",
        *("--dataset", "bioasq", "--scheduler", "none", "--num-samples", str(max(sizes))),
        *("--max-concurrent-trials", str(min(command.cores(), max(sizes)))),
        values=dict(TRIAL_VALUES),
    )
    begins = min(ran.started(place) for place in range(len(ran.ends)))
    ends = sorted(ran.ends)
    return [{"size": n, "s": ends[n - 1] - begins} for n in range(min(sizes), max(sizes) + 1)]


MEASURES = {
    "rows": over_rows,
    "input tokens": over_lengths,
    "labels": over_labels,
    "workers": over_workers,
    "trials": over_trials,
}


def exponents(lines: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return for every cost the slope of its logarithm over the size's."""
    sizes = np.log([line["size"] for line in lines])
    costs = [name for name in lines[0] if name.endswith("_s") or name == "s"]
    return {
        name: float(np.polyfit(sizes, np.log([line[name] for line in lines]), 1)[0])
        for name in costs
    }


def table(name: str, lines: Sequence[dict[str, float]]) -> str:
    """Return a Markdown table, the exponents in its last line."""
    columns = [column for column in lines[0] if column != "size"]
    slopes = exponents(lines)
    rows = [[f"{line['size']:g}", *(f"{line[c]:.4g}" for c in columns)] for line in lines]
    last = ["exponent", *(f"{slopes[c]:.2f}" if c in slopes else "" for c in columns)]
    shown = [[name, *columns], ["---"] * (len(columns) + 1), *rows, last]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in shown)


def draw(found: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Write the curves, one picture a size, on logarithmic axes."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "scaling", "font.size": 8})
    figure, axes = plt.subplots(1, len(found), figsize=(3 * len(found), 2.8), squeeze=False)
    for axis, (name, lines) in zip(axes[0], found.items(), strict=True):
        for cost, slope in exponents(lines).items():
            sizes = [line["size"] for line in lines]
            values = [line[cost] for line in lines]
            axis.loglog(sizes, values, "o-", label=f"{cost.removesuffix('_s')}: {slope:.2f}")
        axis.set(xlabel=name, ylabel="seconds")
        axis.legend(title="exponent", frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main(argv: list[str] | None = None) -> None:
    """Print a table for every size and draw them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--only", choices=tuple(MEASURES), nargs="+", default=list(MEASURES))
    parser.add_argument("--full", action="store_true", help="more rows and longer inputs")
    parser.add_argument("--plot", default="benchmarks/plots/scaling.svg", help="picture to write")
    parser.add_argument("--json", help="file for the numbers")
    args = parser.parse_args(argv)
    # It has bound this process's threads; each of Ray's processes would bind to the first core.
    os.environ.pop("OMP_PROC_BIND", None)
    machine = measure.machine()
    sizes = FULL_SIZES if args.full else SIZES
    found = {}
    for name in args.only:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = MEASURES[name](sizes[name], Path(folder))
        print(table(name, found[name]), end="\n\n", flush=True)
    draw(found, Path(args.plot))
    slopes = {name: exponents(lines) for name, lines in found.items()}
    measure.write(args.json, {"machine": machine, "lines": found, "exponents": slopes})


if __name__ == "__main__":
    main()
