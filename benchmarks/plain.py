"""The plain study: Ray Tune function trainables that train both stages as the authors' scripts do.

`python -m benchmarks.plain JOB.json`; called by `benchmarks.study`. Each trial reads the rows,
trains stage 1 and stage 2 with the yardstick's steps, evaluates and saves at the same steps as
ours. Source: train_stage1.py and train_stage2.py as described in their public code.
"""

from __future__ import annotations

import functools
import itertools
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase, get_scheduler

from benchmarks.yardstick import Yardstick
from r2d_ray.config import TrainConfig, build_config
from r2d_ray.data.examples import Example, Splits, pick_source
from r2d_ray.data.location import DataRequest
from r2d_ray.data.sources import load_splits
from r2d_ray.evaluation.label_metrics import label_scores
from r2d_ray.method.prompts import PREDICT_PREFIX
from r2d_ray.method.schedules import gold_probability, label_weight
from r2d_ray.model.t5 import load_model

EVALUATION_LIMIT = 20  # tokens that evaluation generates: T5's default, which they leave
CALIBRATION_STEPS = 3


@dataclass(frozen=True)
class PlainJob:
    """What the plain study trains and where it leaves its trials."""

    configs: list[dict[str, Any]]
    dataset: str
    seed: int
    at_once: int
    storage: str
    out: str

    def values(self) -> dict[str, Any]:
        """Return the job as JSON values."""
        return asdict(self)


@dataclass
class Counted(Yardstick):
    """The yardstick, and how many tokens the longest text of each generation has."""

    longest: list[int] = field(default_factory=list)

    def generate(self, ids: torch.Tensor, mask: torch.Tensor, limit: int) -> list[str]:
        """Return the texts, and count."""
        texts = super().generate(ids, mask, limit)
        self.longest.append(max(len(self.tokenizer(text)["input_ids"]) for text in texts))
        return texts


def side_of(config: TrainConfig, splits: Splits, tokenizer: PreTrainedTokenizerBase) -> Counted:
    """Return the config's model, with the library's own kernels, and the yardstick's steps."""
    source = pick_source(splits, config.rationale_source)
    assert source is not None
    lengths = config.max_input_length, config.max_rationale_length
    model = load_model(config.model_copy(update={"attn_implementation": "eager"}), tokenizer)
    return Counted(model.train(), tokenizer, *lengths, source)


def random_batches(rows: Sequence[Example], size: int, seed: int) -> Iterator[list[Example]]:
    """Yield batches of shuffled rows without end."""
    rng = random.Random(seed)
    while True:
        order = rng.sample(rows, len(rows))
        for at in range(0, len(order) - size + 1, size):
            yield order[at : at + size]


def train_stage(
    side: Yardstick, config: TrainConfig, splits: Splits, stage: str, folder: Path
) -> dict[str, float]:
    """Train one stage; return its seconds (evaluations and saves included) and its best score.

    Stage 1 is selected by its validation loss, stage 2 by macro-F1, each with its own optimiser.
    """
    first = stage == "stage1"
    steps = config.stage1_max_steps if first else config.max_steps
    interval = config.stage1_eval_steps if first else config.eval_steps
    rate = config.stage1_learning_rate if first else config.learning_rate
    optimizer = torch.optim.AdamW(side.model.parameters(), lr=rate, weight_decay=0.0)
    schedule = get_scheduler(config.lr_scheduler_type, optimizer, 0, steps)
    rng = random.Random(config.seed)
    rows = [row for row in splits.train if row.rationales.get(side.source)]
    batches = random_batches(rows, config.per_device_train_batch_size, config.seed)
    scores: list[float] = []
    began = time.perf_counter()
    for step, batch in enumerate(itertools.islice(batches, steps)):
        train_step(side, config, batch, step, stage, rng).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(side.model.parameters(), config.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if (step + 1) % interval == 0:
            scores.append(evaluate(side, splits.validation, config, first))
            state = {"model": side.model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state, folder / f"{stage}.pt")
            if scores[-1] == max(scores):
                torch.save(side.model.state_dict(), folder / f"{stage}-best.pt")
    side.model.load_state_dict(torch.load(folder / f"{stage}-best.pt", weights_only=True))
    return {"seconds": time.perf_counter() - began, "score": max(scores)}


def train_step(
    side: Yardstick,
    config: TrainConfig,
    batch: Sequence[Example],
    step: int,
    stage: str,
    rng: random.Random,
) -> torch.Tensor:
    """Return the loss of one step."""
    if stage == "stage1":
        return side.stage1_loss(batch)
    gold = gold_probability(step, config)
    return side.stage2_loss(batch, label_weight(step, config), gold, rng)


@torch.no_grad()
def evaluate(side: Yardstick, rows: Sequence[Example], config: TrainConfig, stage1: bool) -> float:
    """Return minus the rationale loss (stage 1), or macro-F1 of generated labels (stage 2)."""
    side.model.eval()
    losses, labels = [], []
    size = config.per_device_eval_batch_size
    for at in range(0, len(rows), size):
        batch = rows[at : at + size]
        if stage1:
            losses.append(float(side.stage1_loss(batch)))
            continue
        ids, mask = side.encode([f"{PREDICT_PREFIX} {side.body(row)}" for row in batch])
        targets = side.targets([row.label for row in batch])
        side.model(input_ids=ids, attention_mask=mask, labels=targets)  # their eval_loss
        labels += side.generate(ids, mask, EVALUATION_LIMIT)
    side.model.train()
    if stage1:
        return -statistics.fmean(losses)
    gold = [row.label for row in rows]
    return float(label_scores(gold, labels, sorted(set(gold)))["macro_f1"])


def train_trial(asked: dict[str, Any], dataset: str, seed: int) -> dict[str, Any]:
    """Train both stages from scratch, as a trial that shares nothing."""
    config = build_config(asked)
    splits = load_splits(DataRequest(dataset, split_seed=seed))
    side = side_of(config, splits, AutoTokenizer.from_pretrained(config.model))
    with tempfile.TemporaryDirectory() as name:
        first = train_stage(side, config, splits, "stage1", Path(name))
        second = train_stage(side, config, splits, "stage2", Path(name))
    return {
        "stage1_s": first["seconds"],
        "stage2_s": second["seconds"],
        "stage1_trainings": 1,
        "label_tokens": statistics.fmean(side.longest),
        "ended": time.time(),
    }


def step_seconds(side: Yardstick, config: TrainConfig, rows: Sequence[Example]) -> float:
    """Return the median seconds of a stage-1 step (the shorter one) on a trial's one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = []
    batches = random_batches(rows, config.per_device_train_batch_size, 0)
    for batch in itertools.islice(batches, CALIBRATION_STEPS):
        began = time.perf_counter()
        side.stage1_loss(batch).backward()  # type: ignore[no-untyped-call]
        side.model.zero_grad()
        seconds.append(time.perf_counter() - began)
    torch.set_num_threads(threads)
    return statistics.median(seconds)


def report_trial(asked: dict[str, Any], dataset: str, seed: int) -> None:
    """Tune's function trainable."""
    from ray import tune

    tune.report(train_trial(asked["config"], dataset, seed))


def run(job: PlainJob) -> list[dict[str, Any]]:
    """Run the study on a cluster of its own and return its trials."""
    import ray
    from ray import tune

    ray.init(
        address="local",
        num_cpus=job.at_once,
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        log_to_driver=False,
    )
    trainable = functools.partial(report_trial, dataset=job.dataset, seed=job.seed)
    results = tune.Tuner(
        tune.with_resources(trainable, {"CPU": 1}),
        param_space={"config": tune.grid_search(job.configs)},
        tune_config=tune.TuneConfig(max_concurrent_trials=job.at_once),
        run_config=tune.RunConfig(name="plain", storage_path=job.storage, verbose=0),
    ).fit()
    if results.num_errors:
        raise RuntimeError(str(results.errors[0]))
    names = ("stage1_s", "stage2_s", "stage1_trainings", "label_tokens", "ended")
    found = [{name: result.metrics[name] for name in names} for result in results]
    ray.shutdown()
    return found


def main() -> None:
    """Run the study of a job file."""
    job = PlainJob(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Path(job.out).write_text(json.dumps(run(job)), encoding="utf-8")


if __name__ == "__main__":
    # Ray's processes import the trainable by its module's name.
    from benchmarks.plain import main as imported_main

    imported_main()
