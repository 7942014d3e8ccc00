"""What of a profile follows data and machine: steps from epochs, lengths from tokens, the device.

The values stand at the profile's place: the space's fixed values, the method and flags win.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from r2d_ray.config import (
    ON_GPU,
    PROFILES,
    SMALL_GPU_GB,
    SMALL_MODEL,
    SMOKE_VALUES,
    TrainConfig,
)
from r2d_ray.data.examples import Splits, pick_source
from r2d_ray.distributed.cluster import Capacity
from r2d_ray.errors import UserError
from r2d_ray.study.folder import read_info
from r2d_ray.study.place import root_of
from r2d_ray.study.settings import StudySettings

DEFAULT_EPOCHS = 10.0
"""Epochs of stage 2 under `finetune`, as far as `LEAST_STEPS` and `MOST_STEPS` allow."""

LEAST_STEPS, MOST_STEPS = 1_000, 30_000
"""Bounds of stage 2's default steps under `finetune`: T5 v1.1 saw no supervised task, so a few
hundred steps teach it little; more than the authors' 30,000 must be asked for."""

STAGE1_SHARE = 5 / 3
"""Epochs of stage 1 for each epoch of stage 2. Authors: 50,000 to 30,000 steps."""

MOST_EVALUATIONS = 40
"""Evaluations of a stage that trains small data for many epochs; else one each half epoch."""

INPUT_BOUNDS, INPUT_MULTIPLE = (64, 1024), 32
"""Tokens that `max_input_length` is planned within, rounded up; the authors have 1024."""

RATIONALE_BOUNDS, RATIONALE_SHARE = (32, 256), 0.99
"""Tokens that `max_rationale_length` is planned within (authors: 256), and the share of the
training rationales that it takes whole: a cut rationale teaches the model not to end."""

LABEL_BOUNDS = (8, 512)
"""Tokens that `max_label_length` is planned within: the longest label and two more."""


def profile_values(settings: StudySettings, capacity: Capacity) -> dict[str, Any]:
    """Return the profile's values on these machines, before the data is known."""
    values = dict(PROFILES[settings.profile])
    if settings.profile == "finetune":
        if capacity.gpus > 0 and settings.overrides.get("gpus_per_worker") != 0:
            values |= ON_GPU
        if capacity.gpu_gb is not None and capacity.gpu_gb < SMALL_GPU_GB:
            values["model"] = SMALL_MODEL
    return {**values, **(SMOKE_VALUES if settings.smoke_test else {})}


def stored_profile(settings: StudySettings, name: str) -> str | None:
    """Return the profile of a study of this name where it decides: none was named."""
    if "profile" in settings.model_fields_set:
        return None
    try:
        return read_info(root_of(settings.storage_path, name)).profile
    except UserError:  # no study: said where it is opened, if it matters
        return None


def fitted_values(
    settings: StudySettings, config: TrainConfig, splits: Splits, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the values that follow from the data: steps where epochs say so, finetune's lengths.

    Args:
        settings: Profile and epochs.
        config: Trial 0 as it is without these values: batch, model, rationale sources.
        splits: The data.
        given: Values that the space, the method and flags set; none of them is returned.

    Raises:
        UserError: for epochs beside steps, or a tokenizer that cannot be read.
    """
    named = {**(SMOKE_VALUES if settings.smoke_test else {}), **given}
    if settings.epochs is not None and "max_steps" in named:
        raise UserError(
            f"--epochs {settings.epochs:g}: max_steps = {named['max_steps']} is set too "
            "(allowed: one of the two)"
        )
    found: dict[str, Any] = {}
    if settings.profile == "finetune":
        found |= lengths_of(splits, config)
    if settings.profile == "finetune" or settings.epochs is not None:
        rows = len(splits.train)
        explained = len(list(stage1_rows(splits, config)))
        steps = named.get("max_steps") or stage2_steps(
            settings.epochs, rows, config.global_batch_size
        )
        found |= step_values(int(steps), rows, explained, config.global_batch_size, named)
    return {name: value for name, value in found.items() if name not in named}


def stage1_rows(splits: Splits, config: TrainConfig) -> Iterable[str]:
    """Yield the rationales that stage 1 trains on."""
    source = pick_source(splits, config.stage1_source)
    return (text for row in splits.train if source and (text := row.rationales.get(source)))


def stage2_steps(epochs: float | None, rows: int, batch: int) -> int:
    """Return stage 2's optimiser steps: of so many epochs, or of finetune's default.

    Args:
        epochs: None takes `DEFAULT_EPOCHS` within `LEAST_STEPS` and `MOST_STEPS`.
        rows: Training rows.
        batch: Rows of a step.
    """
    steps = max(1, math.ceil((epochs or DEFAULT_EPOCHS) * rows / batch))
    return steps if epochs else min(max(steps, LEAST_STEPS), MOST_STEPS)


def step_values(
    steps: int, rows: int, explained: int, batch: int, named: Mapping[str, Any]
) -> dict[str, int]:
    """Return both stages' steps and evaluation intervals.

    Args:
        steps: Optimiser steps of stage 2.
        rows: Training rows.
        explained: Those with a rationale, which stage 1 trains on.
        batch: Rows of a step.
        named: Values that are set already; `stage1_max_steps` counts.
    """
    stage1 = math.ceil(STAGE1_SHARE * steps * explained / rows)
    stage1 = int(named.get("stage1_max_steps", stage1))
    return {
        "max_steps": steps,
        "eval_steps": evaluation_interval(steps, rows, batch),
        "stage1_max_steps": stage1,
        "stage1_eval_steps": evaluation_interval(stage1, explained, batch),
    }


def evaluation_interval(steps: int, rows: int, batch: int) -> int:
    """Return half an epoch in steps, longer where `MOST_EVALUATIONS` bounds it, at most `steps`."""
    half = math.ceil(rows / batch / 2)
    return max(1, min(steps, max(half, math.ceil(steps / MOST_EVALUATIONS))))


def lengths_of(splits: Splits, config: TrainConfig) -> dict[str, int]:
    """Return the lengths, in tokens, that the training rows ask for, within the bounds above.

    Raises:
        UserError: if the model's tokenizer cannot be read.
    """
    import numpy as np

    from r2d_ray.data.encode import set_tokens
    from r2d_ray.data.lengths import (
        FITTING_SHARE,
        measured_bodies,
        plan_tokenizer,
        prefix_lengths,
        text_lengths,
    )

    tokenizer = plan_tokenizer(splits, config)
    every = [row for _, rows in splits.items() for row in rows]
    labels = text_lengths(sorted({row.label for row in every}), tokenizer)
    longest = bounded(int(labels.max()) + 2, LABEL_BOUNDS)
    fitting = config.model_copy(update={"max_label_length": longest})
    tokens = set_tokens(tokenizer, splits.labels, every, fitting)
    bodies = measured_bodies(splits, "train", config)
    inputs = bodies.lengths + prefix_lengths(bodies.rows, tokenizer, tokens)
    whole = math.ceil(float(np.quantile(inputs, FITTING_SHARE)))
    found = {
        "max_input_length": bounded(
            math.ceil(whole / INPUT_MULTIPLE) * INPUT_MULTIPLE, INPUT_BOUNDS
        ),
        "max_label_length": longest,
    }
    sources = {pick_source(splits, s) for s in (config.rationale_source, config.stage1_source)}
    measured = [row.rationales for row in bodies.rows]
    texts = [held[s] for held in measured for s in sources if s and held.get(s)]
    if texts:
        ends = text_lengths(texts, tokenizer) + 1
        longest = math.ceil(float(np.quantile(ends, RATIONALE_SHARE)))
        found["max_rationale_length"] = bounded(longest, RATIONALE_BOUNDS)
    return found


def bounded(value: int, bounds: tuple[int, int]) -> int:
    """Return the value within the bounds."""
    return min(max(value, bounds[0]), bounds[1])
