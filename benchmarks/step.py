"""Examples per second of a training step against the authors' behaviour: `-m benchmarks.step`.

Both train the same rows with the same model size, losses, optimiser and threads: those of some of
our batches, taken evenly from the shortest to the longest of an epoch; the yardstick shuffles them.
It gets a model that has learnt to end its labels, or its generation would run to the limit.
"""

from __future__ import annotations

import argparse
import itertools
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from benchmarks import measure
from benchmarks.setting import BATCH, SIZES, Setting, make_setting
from benchmarks.yardstick import Yardstick
from r2d_ray.data.batches import StepBatches
from r2d_ray.data.examples import Example
from r2d_ray.method import losses
from r2d_ray.method.step_rows import StepRows
from r2d_ray.model.t5 import load_model
from r2d_ray.training.trainer import StageTrainer

ALPHA, GOLD = 0.7, 0.5  # in mid-training: half of the prompts show the model's own label
MID_TRAINING = {
    "label_loss_weight": ALPHA,
    "label_warmup_ratio": 0.0,
    "sampling_decay": "constant",
    "gold_probability_floor": GOLD,
}
WARM_STEPS = 30  # label steps after which the yardstick's generation ends by itself


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Run in fp32, or under bf16 autocast."""
    with torch.autocast("cpu", torch.bfloat16, enabled=name == "bf16"):
        yield


def taught(setting: Setting, kernels: str) -> PreTrainedModel:
    """Return a model that writes one of the labels and ends; `kernels` as `attn_implementation`."""
    config = setting.config.model_copy(update={"attn_implementation": kernels})
    model = load_model(config, setting.prepared.tokenizer)
    side = yardstick_of(setting, model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    short = sorted(setting.splits.train, key=lambda row: len(row.context))[:BATCH]
    for _ in range(WARM_STEPS):
        ids, mask = side.encode([f"predict: {row.question}" for row in short])
        targets = side.targets([row.label for row in short])
        model(input_ids=ids, attention_mask=mask, labels=targets).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.train()


def yardstick_of(setting: Setting, model: PreTrainedModel) -> Yardstick:
    """Return the yardstick over a model."""
    config = setting.config
    return Yardstick(
        model,
        setting.prepared.tokenizer,
        config.max_input_length,
        config.max_rationale_length,
        setting.source,
    )


def sampled_steps(order: StepRows, count: int) -> list[int]:
    """Return so many steps of the first epoch, evenly from its shortest batch to its longest."""
    steps = range(order.steps_per_epoch)
    by_length = sorted(steps, key=lambda step: float(order.lengths[order[step]].mean()))
    return [by_length[(2 * i + 1) * len(by_length) // (2 * count)] for i in range(count)]


def yardstick_round(
    setting: Setting, rows: Sequence[Example], stage: str, dtype: str
) -> Callable[[], None]:
    """Return a round of the yardstick: random batches of raw rows."""
    model = taught(setting, "eager")
    side = yardstick_of(setting, model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    rng = random.Random(0)

    def epoch() -> None:
        order = rng.sample(list(rows), len(rows))
        for at in range(0, len(order), BATCH):
            batch = order[at : at + BATCH]
            with precision(dtype):
                if stage == "stage1":
                    loss = side.stage1_loss(batch)
                else:
                    loss = side.stage2_loss(batch, ALPHA, GOLD, rng)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return epoch


class Ours:
    """A round of the real trainer's batches and losses; keeps the sums that a step leaves."""

    def __init__(self, setting: Setting, rows: int, stage: Any, dtype: str, folder: Path) -> None:
        self.dtype = dtype
        self.model = taught(setting, setting.config.attn_implementation)
        self.trainer = StageTrainer(
            self.model, setting.config, setting.prepared, stage, folder / "out", folder / "best"
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-6)
        assert isinstance(self.trainer.train_dataset, StepBatches)
        self.batches = self.trainer.train_dataset
        self.steps = sampled_steps(self.batches.order, rows // BATCH)
        ids = {name for step in self.steps for name in self.batches[step]["ids"]}
        self.rows = [row for row in setting.splits.train if row.id in ids]

    def __call__(self) -> None:
        """Train one round."""
        for step in self.steps:
            self.trainer.state.global_step = step
            with precision(self.dtype):
                loss = self.trainer.compute_loss(self.model, self.batches[step])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()

    def take(self) -> dict[str, float]:
        """Return what was logged since the last call."""
        return self.trainer.sums.take(torch.device("cpu"))


@contextmanager
def timed_choice() -> Iterator[list[float]]:
    """Collect the seconds that choosing labels takes."""
    found: list[float] = []
    plain = losses.predict_pass_choice

    def timed(*args: Any, **more: Any) -> Any:
        began = time.perf_counter()
        try:
            return plain(*args, **more)
        finally:
            found.append(time.perf_counter() - began)

    losses.predict_pass_choice = timed
    try:
        yield found
    finally:
        losses.predict_pass_choice = plain


def compare(
    setting: Setting, rows: int, stage: str, dtype: str, rounds: int, folder: Path
) -> dict[str, Any]:
    """Return one line of the table."""
    ours = Ours(setting, rows, stage, dtype, folder / f"{stage}-{dtype}")
    yardstick = yardstick_round(setting, ours.rows, stage, dtype)
    peaks = measure.Peak(), measure.Peak()

    def watched(peak: measure.Peak, act: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            with peak.watching():
                act()

        return run

    ratio = measure.side_by_side(watched(peaks[0], yardstick), watched(peaks[1], ours), rounds)
    ours.take()
    with timed_choice() as choosing:
        took = measure.seconds_of(ours)
    logged = ours.take()
    steps, rows = len(ours.steps), len(ours.rows)
    rate = measure.product_rate(torch.bfloat16 if dtype == "bf16" else torch.float32)
    seconds = sorted(ratio.ours_s)[len(ratio.ours_s) // 2]
    return {
        "stage": stage,
        "dtype": dtype,
        "ratio": ratio.value,
        "spread": ratio.spread,
        "yardstick_examples_per_s": rows / sorted(ratio.yardstick_s)[rounds // 2],
        "ours_examples_per_s": rows / seconds,
        "label_choice_share": sum(choosing) / took,
        "padding_share": logged["padding_share"],
        "model_flops_utilisation": logged["model_flops"] * steps / seconds / rate,
        "matrix_product_flops_per_s": rate,
        "yardstick_peak_gb": peaks[0].bytes / 1e9,
        "ours_peak_gb": peaks[1].bytes / 1e9,
    }


def main() -> None:
    """Print a line for each stage and precision."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__)
    parser.add_argument("--rows", type=int, default=64, help="training rows of a round")
    parser.add_argument("--table", type=int, default=800, help="rows that batches are made of")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of each side")
    parser.add_argument("--full", action="store_true", help="t5-small's size too")
    parser.add_argument("--threads", type=int, default=measure.THREADS, help="of both sides")
    parser.add_argument("--json", help="file for the numbers")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found: dict[str, Any] = {"machine": measure.machine(), "lines": []}
    for size in list(SIZES)[: 2 if args.full else 1]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            setting = make_setting(size, args.table, folder, **MID_TRAINING)
            print(
                f"{size}, {setting.data}: {args.rows} of {len(setting.splits.train)} rows, "
                f"batch {BATCH}",
                flush=True,
            )
            for stage, dtype in itertools.product(("stage1", "stage2"), ("fp32", "bf16")):
                line = compare(setting, args.rows, stage, dtype, args.rounds, folder)
                found["lines"].append({"size": size, **line})
                print(text(line), flush=True)
    measure.write(args.json, found)


def text(line: dict[str, Any]) -> str:
    """Return a line of the table in words."""
    low, high = line["spread"]
    return (
        f"{line['stage']} {line['dtype']}: {line['ratio']:.2f}x ({low:.2f} to {high:.2f}), "
        f"{line['yardstick_examples_per_s']:.2f} -> {line['ours_examples_per_s']:.2f} examples/s, "
        f"label choice {line['label_choice_share']:.1%}, padding {line['padding_share']:.1%}, "
        f"MFU {line['model_flops_utilisation']:.1%}, "
        f"peak {line['yardstick_peak_gb']:.2f} -> {line['ours_peak_gb']:.2f} GB"
    )


if __name__ == "__main__":
    main()
