"""What trackers are told of a trial beside its series: that it ended, and its test scores."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from r2d_ray.records import StudyInfo, TrialRecord
from r2d_ray.study.folder import StudyFolder, read_trials
from r2d_ray.tracking import mlflow_runs, wandb_runs
from r2d_ray.tracking.hparams import write_hparams, write_scores
from r2d_ray.tracking.names import TrackedTrial, parameters

logger = logging.getLogger(__name__)


def trial_of(
    root: Path, info: StudyInfo, trackers: tuple[str, ...], record: TrialRecord
) -> TrackedTrial:
    """Return a recorded trial as trackers know it."""
    named = {"method": record.method, "seed": record.seed, "arm": record.arm}
    return TrackedTrial.of(root, info, trackers, record.trial, **named)


def trial_ended(
    root: Path, info: StudyInfo, trackers: tuple[str, ...], record: TrialRecord
) -> None:
    """Tell trackers how a trial ended: its settings, status and validation scores."""
    if not trackers:
        return
    trial, values = trial_of(root, info, trackers, record), parameters(record.config)
    scores = {f"validation/{name}": value for name, value in record.metrics.items()}
    if "tensorboard" in trackers and record.metrics:
        metric = info.space["metric"]
        searched = [name for name in info.space.get("search", {}) if name in values]
        shown = {**{name: values[name] for name in searched}, **trial.tags()}
        _told("tensorboard", lambda: write_hparams(trial.events, shown, metric, scores))
    if "mlflow" in trackers:
        status = record.status
        _told("mlflow", lambda: mlflow_runs.end_trial(trial, status, values, scores))


def tests_ended(folder: StudyFolder, info: StudyInfo, trackers: tuple[str, ...]) -> None:
    """Tell trackers the test scores of those trials of a study that have some."""
    for record in read_trials(folder.root, info) if trackers else ():
        scores = {f"test/{k}": v for k, v in record.test_metrics.items() if v is not None}
        if scores:
            _test_ended(trial_of(folder.root, info, trackers, record), record, scores)


def _test_ended(trial: TrackedTrial, record: TrialRecord, scores: Mapping[str, Any]) -> None:
    if "tensorboard" in trial.trackers:
        _told("tensorboard", lambda: write_scores(trial.events, scores))
    if "mlflow" in trial.trackers:
        _told("mlflow", lambda: mlflow_runs.log_scores(mlflow_runs.trial_run(trial), scores))
    if "wandb" in trial.trackers:
        values = parameters(record.config)
        _told("wandb", lambda: wandb_runs.show_scores(trial, values, scores))


def _told(name: str, act: Callable[[], object]) -> None:
    """Act; a tracker that fails never costs a trial."""
    try:
        act()
    except Exception as error:  # whichever the tracker's library raises
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        logger.warning("%s: %s; the study goes on without it", name, why)
