"""What happens in a study while it runs, for whoever shows it: a screen, a log, a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class PlannedTrial(NamedTuple):
    """A trial of the plan: what it is called, and the stage-2 steps of all its seeds."""

    name: str
    steps: int


@dataclass(frozen=True, slots=True)
class EndedTrial:
    """A trial of a former session: `done`, `pruned` or `failed`, its score and seconds."""

    status: str
    score: float | None
    seconds: float
    steps: int
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StudyPlanned:
    """The study before its trials of this session.

    Attributes:
        study: Its name.
        folder: Its folder.
        resumed: Whether it was there already.
        metric: What decides between trials.
        mode: `max` or `min`.
        trials: Those planned, by number.
        ended: Those of former sessions.
        goes_on: Step of the last checkpoint of each trial that was left unfinished.
        at_once: Trials at once.
        searched: Fields that trials differ in.
    """

    study: str
    folder: str
    resumed: bool
    metric: str
    mode: str
    trials: Sequence[PlannedTrial]
    ended: Mapping[int, EndedTrial] = field(default_factory=dict)
    goes_on: Mapping[int, int] = field(default_factory=dict)
    at_once: int = 1
    searched: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TrialEvent:
    """Something that happened to a trial, with its values.

    `started`: the searched values. `phase` and `step`: `phase`, `run`, `step`, `steps`, and
    `learning_rate` and `loss` where they are known. `evaluated`: `phase`, `run`, `step` and scores.
    `ended`: `status`, `score`, `selected_step`, `steps_done`, `seconds`, of a failure `reason`.
    """

    trial: int
    what: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoringEvent:
    """After the trials: what is scored now, as the one after `done` parts of `total`."""

    what: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class StudyNote:
    """Something that a person should know of the whole study."""

    text: str


@dataclass(frozen=True, slots=True)
class StudyStopping:
    """A signal asked the study to stop; running trials make a checkpoint first."""


Event = StudyPlanned | TrialEvent | ScoringEvent | StudyNote | StudyStopping
Show = Callable[[Event], None]
"""Takes events, one at a time, from the thread that runs the study."""


def silent(event: Event) -> None:
    """Show nothing."""
