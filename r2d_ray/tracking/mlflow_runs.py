"""MLflow's runs of a trial: one for the trial, one within it for each stage; found again by key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from r2d_ray.tracking.names import Parameter, TrackedTrial

KEY = "r2d_ray.key"
PARENT, NAME = "mlflow.parentRunId", "mlflow.runName"  # MLflow's own tags
ENDS = {"done": "FINISHED", "pruned": "FINISHED", "failed": "FAILED"}
AT_ONCE = 100  # parameters in one call, MLflow's limit


def open_experiment(study: str) -> str:
    """Return the id of the study's experiment, made where there is none; the tables, too."""
    from mlflow import MlflowClient

    client, name = MlflowClient(), experiment_name(study)
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def experiment_name(study: str) -> str:
    """Return the experiment of a study: its name, unless MLFLOW_EXPERIMENT_NAME is another."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or study


def run_of(trial: TrackedTrial, key: str, name: str, tags: Mapping[str, str]) -> str:
    """Return the id of the run with this key, which is made where there is none."""
    from mlflow import MlflowClient

    client, experiment = MlflowClient(), open_experiment(trial.study)
    found = client.search_runs([experiment], f"tags.`{KEY}` = '{key}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    # Named here: MLflow would draw a name from the generator that training has seeded.
    made = client.create_run(experiment, tags={**trial.tags(), **tags, KEY: key}, run_name=name)
    return str(made.info.run_id)


def trial_run(trial: TrackedTrial) -> str:
    """Return the id of the trial's own run."""
    return run_of(trial, f"{trial.key}-{trial.trial:04d}", trial.name, {})


def stage_run(
    trial: TrackedTrial, stage: str, run: int, values: Mapping[str, Parameter]
) -> tuple[str, str]:
    """Return a stage's experiment and run, with these parameters, within the trial's."""
    parent = trial_run(trial)
    name = trial.stage_name(stage, run)
    tags = {PARENT: parent, "stage": stage, "seed": str(values["seed"])}
    made = run_of(trial, trial.stage_key(stage, run), name, tags)
    log_parameters(made, values)
    return experiment_name(trial.study), made


def log_parameters(run_id: str, values: Mapping[str, Parameter]) -> None:
    """Enter parameters; the same once more are no harm."""
    from mlflow import MlflowClient
    from mlflow.entities import Param

    found = [Param(name, str(value)) for name, value in values.items()]
    for start in range(0, len(found), AT_ONCE):
        MlflowClient().log_batch(run_id, params=found[start : start + AT_ONCE])


def end_trial(
    trial: TrackedTrial, status: str, values: Mapping[str, Parameter], scores: Mapping[str, Any]
) -> None:
    """Enter a trial's parameters and scores into its run, and end it."""
    from mlflow import MlflowClient

    run_id, client = trial_run(trial), MlflowClient()
    log_parameters(run_id, values)
    client.set_tag(run_id, "status", status)
    log_scores(run_id, scores)
    client.set_terminated(run_id, ENDS[status])


def log_scores(run_id: str, scores: Mapping[str, Any]) -> None:
    """Enter scores under the names that MLflow allows: `f1[yes]` -> `f1_yes_`."""
    from mlflow import MlflowClient

    for name, value in scores.items():
        allowed = "".join(c if c.isascii() and (c.isalnum() or c in "_-. /") else "_" for c in name)
        MlflowClient().log_metric(run_id, allowed, float(value))
