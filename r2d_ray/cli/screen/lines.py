"""A study's progress as lines, where there is no terminal: a log, a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r2d_ray.cli.screen.state import StudyState, TrialState
from r2d_ray.cli.screen.words import (
    best_words,
    clock_words,
    phase_words,
    scoring_words,
    short,
    time_words,
    value_words,
)
from r2d_ray.study.progress.events import Event, ScoringEvent, TrialEvent


def event_line(event: Event, state: StudyState, elapsed: float) -> str | None:
    """Return an event as a line, None for one that a log does without.

    Args:
        event: What happened.
        state: The study with the event taken in.
        elapsed: Seconds of this session.
    """
    if isinstance(event, ScoringEvent):
        return scoring_words(event)
    if not isinstance(event, TrialEvent) or event.what == "step":
        return None
    trial = state.trial(event.trial)
    if event.what == "started":
        return joined(f"{trial.name} started", value_words(trial.values))
    if event.what == "ended":
        ended = joined(f"{trial.name} {trial.status}", end_words(trial, state.objective.metric))
        study = [state.counts(), best_words(state), clock_words(state, elapsed)]
        return " | ".join(part for part in (ended, *study) if part)
    return joined(
        f"{trial.name} {phase_words(trial)}", evaluation_words(event.values, trial, state)
    )


def joined(*parts: str) -> str:
    """Return the parts of a line that are not empty, two spaces apart."""
    return "  ".join(part for part in parts if part)


def evaluation_words(values: dict[str, Any], trial: TrialState, state: StudyState) -> str:
    """Return the score of an evaluation, and the last logged learning rate and loss."""
    metric = state.objective.metric
    words: Sequence[str] = ()
    if metric in values:
        best = f" (best {values['best']:.3f})" if "best" in values else ""
        words = [f"{metric} {values[metric]:.3f}{best}"]
    elif "rationale_loss" in values:
        words = [f"rationale_loss {values['rationale_loss']:.3f}"]
    logged = {"learning rate": trial.learning_rate, "loss": trial.loss}
    more = [f"{name} {short(value)}" for name, value in logged.items() if value is not None]
    return ", ".join([*words, *more]) if words else ""


def end_words(trial: TrialState, metric: str) -> str:
    """Return the score of a trial that is over, or why it failed, and its duration."""
    reason, took = trial.ended.get("reason"), trial.ended.get("seconds")
    step = trial.ended.get("selected_step")
    at = f" at step {step}" if step is not None else ""
    score = f"{metric} {trial.score:.3f}{at}" if trial.score is not None and not reason else ""
    return ", ".join(filter(None, [reason, score, time_words(took) if took else ""]))
