"""Whether ours and the authors' behaviour learn alike: `-m benchmarks.agreement`.

A faster method that learns otherwise would be no gain. Both train stage 2 of scratch-tiny on the
embedded sample over the same seeds, steps, schedules and optimiser; what differs is how a step is
computed and in which order rows come. Losses with dropout on are compared in windows of steps,
validation losses at the end, both against the noise of the seeds.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from transformers import PreTrainedModel

from benchmarks import measure
from benchmarks.setting import embedded_sample, with_rationale
from benchmarks.yardstick import Yardstick
from r2d_ray.config import PROFILES, TrainConfig, build_config
from r2d_ray.data.examples import Splits, pick_source
from r2d_ray.data.prepare import Prepared, open_prepared, prepare
from r2d_ray.evaluation.evaluator import Evaluator
from r2d_ray.method.labels import prompt_table
from r2d_ray.method.schedules import gold_probability, label_weight
from r2d_ray.model.t5 import load_model
from r2d_ray.training.trainer import StageTrainer

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Learning:
    """One run: the loss of every step, and the rationales' validation loss at the end."""

    losses: np.ndarray
    validation: float


@dataclass(frozen=True)
class Task:
    """What both sides train on."""

    splits: Splits
    prepared: Prepared
    config: TrainConfig
    source: str


def make_task(steps: int, folder: Path) -> Task:
    """Return the embedded sample, rows with a rationale only, as the yardstick needs them."""
    splits = embedded_sample()
    source = pick_source(splits, None)
    assert source is not None
    rows = with_rationale(splits.train, source)
    splits = replace(splits, train=rows)
    config = build_config({**PROFILES["embedded"], "max_steps": steps, "stage1_max_steps": 0})
    return Task(splits, open_prepared(prepare(splits, config, folder)), config, source)


def train(
    model: PreTrainedModel, config: TrainConfig, loss_of: Callable[[int], Tensor]
) -> np.ndarray:
    """Train with AdamW and a linearly falling rate; return the loss of every step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.0)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, config.max_steps)
    losses = []
    for step in range(config.max_steps):
        loss = loss_of(step)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimizer.step()
        falling.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return np.array(losses)


def learn_theirs(task: Task, seed: int) -> Learning:
    """Train the yardstick's step on random batches."""
    config = task.config.model_copy(update={"seed": seed, "attn_implementation": "eager"})
    model = load_model(config, task.prepared.tokenizer).train()
    lengths = config.max_input_length, config.max_rationale_length
    side = Yardstick(model, task.prepared.tokenizer, *lengths, task.source)
    rng = random.Random(seed)
    rows, size = list(task.splits.train), config.per_device_train_batch_size
    per_epoch = len(rows) // size

    def loss(step: int) -> Tensor:
        if step % per_epoch == 0:
            rng.shuffle(rows)
        at = step % per_epoch * size
        shown = gold_probability(step, config)
        return side.stage2_loss(rows[at : at + size], label_weight(step, config), shown, rng)

    return Learning(train(model, config, loss), validation_loss(task, model, config))


def learn_ours(task: Task, seed: int, folder: Path) -> Learning:
    """Train our step on the trainer's batches."""
    config = task.config.model_copy(update={"seed": seed})
    model = load_model(config, task.prepared.tokenizer).train()
    trainer = StageTrainer(model, config, task.prepared, "stage2", folder / "run", folder / "best")
    batches = trainer.train_dataset
    assert batches is not None

    def loss(step: int) -> Tensor:
        trainer.state.global_step = step
        return trainer.compute_loss(model, batches[step])

    return Learning(train(model, config, loss), validation_loss(task, model, config))


def validation_loss(task: Task, model: PreTrainedModel, config: TrainConfig) -> float:
    """Return the token mean loss of the validation rationales, given gold labels."""
    prepared = task.prepared
    table = prompt_table(prepared.tokenizer, prepared.label_tokens, torch.device("cpu"))
    evaluator = Evaluator(model, prepared.tokenizer, table, config)
    return evaluator.rationale_loss(prepared.tables["validation"], "rationale_ids", True)


def windows(runs: Sequence[Learning], size: int) -> np.ndarray:
    """Return the mean loss of every run in every window of steps: (runs, windows)."""
    losses = np.stack([run.losses for run in runs])
    whole = losses[:, : losses.shape[1] // size * size].reshape(len(runs), -1, size)
    return np.asarray(whole.mean(axis=2))


def difference(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """Return ours minus theirs, its Welch interval over the seeds, and both deviations."""
    found = stats.ttest_ind(ours, theirs, equal_var=False)
    low, high = found.confidence_interval(CONFIDENCE)
    return {
        "ours": float(ours.mean()),
        "theirs": float(theirs.mean()),
        "difference": float(ours.mean() - theirs.mean()),
        "low": float(low),
        "high": float(high),
        "seed_deviation_ours": float(ours.std(ddof=1)),
        "seed_deviation_theirs": float(theirs.std(ddof=1)),
    }


def compare(seeds: int, steps: int, window: int, folder: Path) -> dict[str, Any]:
    """Return the difference in every window and at the end."""
    task = make_task(steps, folder / "prepared")
    ours, theirs = [], []
    for seed in range(seeds):
        theirs.append(learn_theirs(task, seed))
        ours.append(learn_ours(task, seed, folder / str(seed)))
    pairs = zip(windows(ours, window).T, windows(theirs, window).T, strict=True)
    ends = [np.array([run.validation for run in side]) for side in (ours, theirs)]
    return {
        "windows": [
            {"until_step": window * (i + 1), **difference(a, b)} for i, (a, b) in enumerate(pairs)
        ],
        "validation": difference(*ends),
    }


def text(found: dict[str, float]) -> str:
    """Return a difference in words."""
    return (
        f"{found['theirs']:.3f} ± {found['seed_deviation_theirs']:.3f} -> "
        f"{found['ours']:.3f} ± {found['seed_deviation_ours']:.3f}, difference "
        f"{found['difference']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})"
    )


def main() -> None:
    """Print a line for each window of steps and one for validation."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agreement", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--window", type=int, default=20, help="steps of a window")
    parser.add_argument("--full", action="store_true", help="300 steps, the embedded profile's")
    parser.add_argument("--json", help="file for the numbers")
    args = parser.parse_args()
    steps = 300 if args.full else args.steps
    with tempfile.TemporaryDirectory() as name:
        found = compare(args.seeds, steps, args.window, Path(name))
    for line in found["windows"]:
        print(f"training loss until step {line['until_step']}: {text(line)}")
    print(f"validation loss of the rationales: {text(found['validation'])}")
    inside = sum(line["low"] <= 0.0 <= line["high"] for line in found["windows"])
    print(f"{inside} of {len(found['windows'])} windows have 0 in the {CONFIDENCE:.0%} interval")
    measure.write(args.json, {"machine": measure.machine(), **found})


if __name__ == "__main__":
    main()
