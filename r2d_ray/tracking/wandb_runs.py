"""Weights & Biases' runs: a group for each study, a job type for each stage."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from r2d_ray.tracking.names import Parameter, TrackedTrial

PROJECT = "r2d_ray"


def begin(trial: TrackedTrial, part: str, values: Mapping[str, Parameter]) -> Any:
    """Begin a run of this process or, after a resume, go on with it.

    Only names, settings and numbers leave: no code, no output, nothing of the machine.
    """
    import wandb

    return wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        group=trial.study,
        job_type=part.partition("-")[0],
        name=f"{trial.name}-{part}",
        id=f"{trial.key}-{trial.trial:04d}-{part}",
        resume="allow",
        tags=[f"{name}:{value}"[:64] for name, value in trial.tags().items()],
        config=dict(values),
        dir=os.environ.get("WANDB_DIR", trial.root),
        reinit="finish_previous",
        settings=wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            silent=True,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
        ),
    )


def show_scores(
    trial: TrackedTrial, values: Mapping[str, Parameter], scores: Mapping[str, Any]
) -> None:
    """Show a trial's test scores as a run of their own: Weights & Biases nests none."""
    run = begin(trial, "test", values)
    run.summary.update({name: float(value) for name, value in scores.items()})
    run.finish()
