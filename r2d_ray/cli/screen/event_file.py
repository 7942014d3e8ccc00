"""A study's progress for programs: one JSON object a line, with names that stay."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from r2d_ray.study.progress.events import (
    Event,
    ScoringEvent,
    StudyNote,
    StudyPlanned,
    StudyStopping,
    TrialEvent,
)


class JsonEvent(BaseModel):
    """A line: what happened, when (ISO 8601, with the zone), in which study."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    event: str
    """What happened."""
    time: str
    """When: ISO 8601 with the zone."""
    study: str
    """The study's name."""


class Plan(JsonEvent):
    """Before the first trial of this session."""

    event: Literal["plan"] = "plan"
    folder: str
    """The study's folder."""
    resumed: bool
    """Whether the study was there already."""
    metric: str
    """What decides between trials."""
    mode: Literal["max", "min"]
    """Whether more or less of it is better."""
    trials: list[str]
    """Names of all trials, by number from 0."""
    ended: dict[int, str]
    """Status of the trials that ended in former sessions, by number."""
    goes_on: dict[int, int]
    """Step of the last checkpoint of those that were left unfinished, by number."""


class Note(JsonEvent):
    """Something that a person should know."""

    event: Literal["note"] = "note"
    text: str
    """What."""


class Trial(JsonEvent):
    """Of a trial."""

    trial: int
    """Its number."""
    name: str
    """What it is called: the arm of a comparison."""


class TrialStarted(Trial):
    """A trial starts, or goes on."""

    event: Literal["trial_started"] = "trial_started"
    values: dict[str, Any]
    """Its searched values; of an arm all that it sets."""


class Phase(Trial):
    """A trial reaches a stage."""

    event: Literal["phase"] = "phase"
    phase: Literal["stage1", "waiting_for_stage1", "stage2"]
    """Which."""
    run: int
    """Which of its seeds, from 0."""
    step: int
    """Where it begins: after 0 where it goes on."""
    steps: int
    """Steps of the stage."""


class Evaluation(Trial):
    """An evaluation on validation rows."""

    event: Literal["evaluation"] = "evaluation"
    phase: Literal["stage1", "stage2"]
    """The stage."""
    run: int
    """Which of its seeds, from 0."""
    step: int
    """Optimiser steps done."""
    steps: int
    """Steps of the stage."""
    scores: dict[str, float]
    """Scores by name."""
    best: float | None
    """Best of the metric so far in this run; null in stage 1."""
    learning_rate: float | None
    """At the last log entry."""
    loss: float | None
    """There, too."""


class TrialEnded(Trial):
    """A trial is over."""

    event: Literal["trial_ended"] = "trial_ended"
    status: Literal["done", "pruned", "failed"]
    """How."""
    score: float | None
    """Its metric at the selected step."""
    selected_step: int | None
    """The step."""
    seconds: float | None
    """How long it took."""
    reason: str | None
    """Why it failed."""


class Scoring(JsonEvent):
    """After the trials, a part of what is scored."""

    event: Literal["scoring"] = "scoring"
    what: str
    """Which part."""
    done: int
    """Pieces done."""
    total: int
    """Pieces in all."""


class Stopping(JsonEvent):
    """The first signal came; running trials make a checkpoint."""

    event: Literal["stopping"] = "stopping"


class Stopped(JsonEvent):
    """The last line of a session that a signal ended; the same command resumes."""

    event: Literal["stopped"] = "stopped"


class Finished(JsonEvent):
    """The last line of a session that ended by itself; `result.json` has the scores."""

    event: Literal["finished"] = "finished"
    trials: dict[str, int]
    """How many trials ended how."""
    best_trial: int | None
    """The best of a search."""
    seconds: float = Field(ge=0)
    """How long this session took."""


def json_event(event: Event, known: dict[str, Any], trial: dict[str, Any]) -> JsonEvent | None:
    """Return an event as a line, None for a step, of which there are many.

    Args:
        event: What happened.
        known: `time` and `study`.
        trial: Of an event of a trial its `name`, `steps`, `learning_rate` and `loss`.
    """
    if isinstance(event, StudyPlanned):
        return Plan(
            **known,
            folder=event.folder,
            resumed=event.resumed,
            metric=event.metric,
            mode="min" if event.mode == "min" else "max",
            trials=[planned.name for planned in event.trials],
            ended={number: ended.status for number, ended in event.ended.items()},
            goes_on=dict(event.goes_on),
        )
    if isinstance(event, StudyNote):
        return Note(**known, text=event.text)
    if isinstance(event, ScoringEvent):
        return Scoring(**known, what=event.what, done=event.done, total=event.total)
    if isinstance(event, StudyStopping):
        return Stopping(**known)
    return _of_trial(event, {**known, "trial": event.trial, "name": trial["name"]}, trial)


def _of_trial(event: TrialEvent, known: dict[str, Any], trial: dict[str, Any]) -> Trial | None:
    values = event.values
    if event.what == "started":
        return TrialStarted(**known, values=values)
    if event.what == "phase":
        named = {name: values[name] for name in ("phase", "step", "steps")}
        return Phase(**known, **named, run=values.get("run", 0))
    if event.what == "evaluated":
        named = {name: values[name] for name in ("phase", "step")}
        logged = {name: trial[name] for name in ("steps", "learning_rate", "loss")}
        scores = {name: v for name, v in values.items() if name in SCORES}
        best = values.get("best")
        return Evaluation(
            **known, **named, **logged, run=values.get("run", 0), scores=scores, best=best
        )
    if event.what == "ended":
        named = {n: values.get(n) for n in ("score", "selected_step", "seconds", "reason")}
        return TrialEnded(**known, **named, status=values["status"])
    return None


SCORES = ("macro_f1", "accuracy", "rationale_loss", "composite")
EVENTS = (
    *(Plan, Note, TrialStarted, Phase, Evaluation, TrialEnded),
    *(Scoring, Stopping, Stopped, Finished),
)


def finished(result: dict[str, Any], known: dict[str, Any], seconds: float) -> Finished:
    """Return the last line of a study with this result."""
    states = dict(Counter(result["trials"]))
    return Finished(**known, trials=states, best_trial=result.get("best_trial"), seconds=seconds)
