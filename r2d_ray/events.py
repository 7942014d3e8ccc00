"""What happens to trials, passed from Ray Tune to whoever shows progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ray import tune


@dataclass(frozen=True, slots=True)
class TrialEvent:
    """Something that happened to a trial: started, evaluated, ended or failed, with its values."""

    trial: int
    what: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StudyNote:
    """Something that a person should know of the whole study."""

    text: str


Event = TrialEvent | StudyNote


class TrialEvents(tune.Callback):
    """A Tune callback that passes on starts, evaluations and ends."""

    def __init__(self, show: Callable[[TrialEvent], None]) -> None:
        self.show = show

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its parts into the study, and none is ever read back."""
        return {}

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Pass on a start with the trial's searched values."""
        self.show(TrialEvent(trial.config["trial"], "started", trial.config["values"]))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any
    ) -> None:
        """Pass on an evaluation."""
        self.show(TrialEvent(trial.config["trial"], "evaluated", dict(result)))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Pass on an end."""
        self.show(TrialEvent(trial.config["trial"], "ended"))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Pass on a failure."""
        self.show(TrialEvent(trial.config["trial"], "failed"))
