"""What a study would take, before anything is run: steps, hours, GPU-hours, disk.

Hours are the model's FLOPs over a device's rate; none is measured on the machine that plans.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from r2d_ray.config import GPU_PEAK_FLOPS, STAGE1_FIELDS, TrainConfig
from r2d_ray.data.examples import Splits, pick_source
from r2d_ray.distributed.cluster import Capacity
from r2d_ray.model.flops import Lengths, ModelShape, training_flops
from r2d_ray.model.t5 import architecture_of, count_parameters
from r2d_ray.records import StudyInfo
from r2d_ray.search.plan import StudyPlan

USUAL_GPU = "A10G"
"""Which GPU an estimate is made for where none is here, or one that `GPU_PEAK_FLOPS` lacks."""

UTILISATION = 0.15
"""Share of the peak that a training step reaches; assumed."""

MIG_SLICES = 7
"""Compute slices of an A100, H100 or H200 that MIG parts. Source: NVIDIA's MIG user guide."""

CPU_FLOPS = 80e9
"""FLOP/s of a worker's one thread in fp32: scratch-tiny's 8 rows of 256 tokens in 0.210 s on an AMD
EPYC (benchmarks/README.md, `scaling`)."""

TRIAL_SECONDS = 11.0
"""Of a trial, beside training (benchmarks/README.md, `overhead`)."""

TOKENS_PER_WORD, PREFIX_TOKENS, LABEL_TOKENS = 1.4, 8, 3
"""Of a rationale's words, of a prompt's prefix and of a label, about."""

CHECKPOINT_BYTES = 16  # of a parameter: fp32 weights, two Adam moments, and the selected weights
WEIGHT_BYTES = 4
CHECKPOINTS = 3  # on disk at once while a trial trains: two kept and one being written


@dataclass(frozen=True, slots=True)
class Estimate:
    """Optimiser steps, hours on the wall, GPU-hours and GB of a whole study; the device's rate."""

    steps: int
    hours: float
    gpu_hours: float
    disk_gb: float
    device: str


class Planned(Protocol):
    """What a plan of either kind says of its data."""

    @property
    def splits(self) -> Splits:
        """The data."""

    @property
    def info(self) -> StudyInfo:
        """What study.json says."""


def gpu_flops(name: str | None) -> tuple[float, str]:
    """Return the FLOP/s of a training step on a GPU of this name, and which GPU that is taken from.

    A MIG slice has its share of the GPU.

    Args:
        name: As torch reports it, such as `NVIDIA A100-SXM4-40GB` or, of a slice,
            `NVIDIA A100-SXM4-40GB MIG 1g.5gb`; None where it is not known.
    """
    words = set(re.split(r"\W+", (name or "").lower()))
    fitting = (gpu for gpu in GPU_PEAK_FLOPS if words.issuperset(gpu.lower().split()))
    known = next(fitting, None)
    if known is None:
        return UTILISATION * GPU_PEAK_FLOPS[USUAL_GPU], f"an {USUAL_GPU}"
    whole = UTILISATION * GPU_PEAK_FLOPS[known]
    called = f"{'a' if known.startswith('T') else 'an'} {known}"  # an A100, an L4, an H100
    if slices := re.search(r"\bMIG (\d)g\b", name or ""):
        return whole * int(slices[1]) / MIG_SLICES, f"{slices[1]}/{MIG_SLICES} of {called}"
    return whole, called


def search_estimate(plan: StudyPlan, capacity: Capacity, concurrency: int) -> Estimate:
    """Return what a search takes if no trial stops early; stage 1 is trained once for each seed."""
    seeds = plan.settings.seeds_per_config
    runs = plan.settings.num_samples * seeds
    kept = 1 + (2 + concurrency) * seeds  # the export; best, trial 0, those running
    if seeds > 1:  # the first seed's checkpoints stay while the others train
        kept += concurrency * CHECKPOINTS * CHECKPOINT_BYTES // WEIGHT_BYTES
    first, configs = [plan.config] * seeds, [plan.config] * runs
    return _estimate(first, configs, plan, concurrency, kept, capacity.gpu_name)


def comparison_estimate(
    configs: Sequence[TrainConfig],
    plan: Planned,
    capacity: Capacity,
    concurrency: int,
    folds: int = 1,
) -> Estimate:
    """Return what a comparison takes: every arm's weights are kept, equal stages 1 trained once.

    Each of several folds has stages 1 of its own; `configs` holds those of all folds.
    """
    stages = {
        c.model_dump_json(include=set(STAGE1_FIELDS)) + str(c.stage1_source): c for c in configs
    }
    first = [config for config in stages.values() if config.stage1_max_steps] * folds
    kept = len(configs) + len(first)
    return _estimate(first, configs, plan, concurrency, kept, capacity.gpu_name)


def _estimate(
    first: Sequence[TrainConfig],
    configs: Sequence[TrainConfig],
    plan: Planned,
    concurrency: int,
    kept: int,
    gpu: str | None,
) -> Estimate:
    config = configs[0]
    flops, known = gpu_flops(gpu)
    stage1 = [stage_seconds(c, plan, stage=1, gpu_flops=flops) for c in first]
    stage2 = [stage_seconds(c, plan, stage=2, gpu_flops=flops) + TRIAL_SECONDS for c in configs]
    wall = rounds(stage1, concurrency) + rounds(stage2, concurrency)
    gpus = config.num_workers * config.gpus_per_worker
    steps = sum(c.stage1_max_steps for c in first) + sum(c.max_steps for c in configs)
    running = concurrency * CHECKPOINTS * CHECKPOINT_BYTES
    disk = count_parameters(config) * (running + kept * WEIGHT_BYTES) / 1e9
    rate = f"{flops / 1e12:.1f} TFLOP/s a GPU, as on {known}"
    cpu = f"{CPU_FLOPS / 1e9:.0f} GFLOP/s a worker"
    return Estimate(
        steps,
        wall / 3600,
        (sum(stage1) + sum(stage2)) * gpus / 3600,
        disk,
        rate if gpus else cpu,
    )


def rounds(seconds: Sequence[float], concurrency: int) -> float:
    """Return the wall seconds of runs of about equal length, so many at once."""
    if not seconds:
        return 0.0
    return math.ceil(len(seconds) / concurrency) * sum(seconds) / len(seconds)


def stage_seconds(config: TrainConfig, plan: Planned, stage: int, gpu_flops: float) -> float:
    """Return the seconds of one stage of one run: its steps and its evaluations on validation."""
    label, rationale = row_flops(config, plan)
    if stage == 1:
        steps, every, row = config.stage1_max_steps, config.stage1_eval_steps, rationale
    else:
        steps, every = config.max_steps, config.eval_steps
        row = label + (rationale if config.trains_rationales else 0.0)
    evaluated = steps // every * len(plan.splits.validation)
    # A forward pass is a third of a training pass.
    total = row * (steps * config.global_batch_size + evaluated / 3)
    share = config.gpus_per_worker
    rate = min(share, 1.0) * gpu_flops if share else CPU_FLOPS
    return float(total / (rate * config.num_workers))


def row_flops(config: TrainConfig, plan: Planned) -> tuple[float, float]:
    """Return the FLOPs of training one row on its label, and on its rationale."""
    card = plan.info.data_card
    body = card["tokens"].get("train", {}).get("mean", config.max_input_length)
    inputs = min(body + PREFIX_TOKENS, config.max_input_length)
    words = card["rationale_words"].get(pick_source(plan.splits, config.rationale_source), {})
    target = min(TOKENS_PER_WORD * words.get("median", 0), config.max_rationale_length)
    shape = ModelShape.of(architecture_of(config))

    def flops(e: float, d: float) -> Any:
        return training_flops(shape, Lengths(e, d, e * e, d * d, e * d))

    return float(flops(inputs, LABEL_TOKENS)), float(flops(inputs, target))
