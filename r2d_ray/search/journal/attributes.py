"""What Optuna's own tools show of a study beside its values: names and attributes.

Nothing is decided by them, and no time is in them: a killed and resumed search has the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import optuna

from r2d_ray.records import TrialRecord
from r2d_ray.study.seeds import is_number


def name_metric(study: optuna.Study, metric: str) -> None:
    """Name a study's value, once."""
    if study.metric_names == [metric]:
        return
    with warnings.catch_warnings():  # "experimental": optuna's bounds in pyproject.toml
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([metric])


def trial_attributes(record: TrialRecord) -> dict[str, Any]:
    """Return what is told of an ended trial: its folder in the study, and why it ended.

    `reason` is there where not all steps were made, `selected_step` where weights were selected.
    """
    steps = record.config.get("max_steps")
    reason = record.reason
    if record.status == "pruned":
        reason = f"asked to end after {record.steps_done} of {steps} steps"
    elif record.status == "done" and steps and record.steps_done < steps:
        reason = f"stopped early after {record.steps_done} of {steps} steps"
    told = {
        "folder": f"trials/{record.trial:04d}",
        "reason": reason,
        "selected_step": record.selected_step,
    }
    return {name: value for name, value in told.items() if value is not None}


def tell_result(study: optuna.Study, best_trial: int, scores: Mapping[str, Any]) -> None:
    """Enter the best trial and its test scores with the study: Optuna keeps ended trials closed.

    Args:
        study: The journal's.
        best_trial: Its number.
        scores: Its row of the result.
    """
    test = {f"test_{name}": value for name, value in scores.items() if is_number(value)}
    told = {"best_trial": best_trial, **test}
    for name, value in told.items():
        if study.user_attrs.get(name) != value:
            study.set_user_attr(name, value)
