"""What is known of a study while it runs: its trials, the best so far, the time that is left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from r2d_ray.records import Objective
from r2d_ray.study.progress.events import Event, ScoringEvent, StudyPlanned, TrialEvent
from r2d_ray.study.progress.files import STAGE1, STAGE2

TO_GO, RUNNING, DONE = "to go", "running", "done"


@dataclass
class Pace:
    """Steps of a stage and the seconds that they took, evaluations included."""

    began: float
    first: int
    now: float
    step: int
    evaluated: bool = False

    @property
    def known(self) -> bool:
        """Whether it says how long a step takes: not before an evaluation was among them."""
        return self.evaluated and self.step > self.first

    @property
    def seconds(self) -> float:
        """Seconds since the first step that was seen."""
        return self.now - self.began


@dataclass
class TrialState:
    """A trial as far as it is known."""

    name: str
    planned: int
    status: str = TO_GO
    phase: str = ""
    run: int = 0
    step: int = 0
    steps: int = 0
    learning_rate: float | None = None
    loss: float | None = None
    score: float | None = None
    values: dict[str, Any] = field(default_factory=dict)
    ended: dict[str, Any] = field(default_factory=dict)
    paces: dict[str, Pace] = field(default_factory=dict)

    @property
    def position(self) -> int:
        """Stage-2 steps done, over all seeds of the trial."""
        return self.run * self.steps + self.step if self.phase == STAGE2 else 0

    def measure(self, now: float, evaluated: bool) -> None:
        """Enter the step that the running stage has reached."""
        step = self.position if self.phase == STAGE2 else self.step
        pace = self.paces.setdefault(self.phase, Pace(now, step, now, step))
        if step < pace.step:  # a worker was replaced: what it did again is no measure
            pace.began, pace.first = now, step
        pace.now, pace.step = now, step
        pace.evaluated = pace.evaluated or evaluated


class StudyState:
    """Takes in events; says what a status line says."""

    def __init__(self, metric: str, mode: str = "max") -> None:
        self.objective = Objective(metric, "min" if mode == "min" else "max")
        self.trials: dict[int, TrialState] = {}
        self.searched: tuple[str, ...] = ()
        self.at_once = 1
        self.scoring: ScoringEvent | None = None

    def trial(self, number: int) -> TrialState:
        """Return a trial; one that was not planned is called by its number."""
        return self.trials.setdefault(number, TrialState(f"trial {number}", 0))

    def take(self, event: Event, now: float) -> None:
        """Take in an event at this time (seconds of a clock that only goes forward)."""
        if isinstance(event, StudyPlanned):
            self._plan(event)
        elif isinstance(event, ScoringEvent):
            self.scoring = event
        elif isinstance(event, TrialEvent):
            self._take_trial(self.trial(event.trial), event.what, event.values, now)

    def _plan(self, plan: StudyPlanned) -> None:
        self.objective = Objective(plan.metric, "min" if plan.mode == "min" else "max")
        self.searched, self.at_once = tuple(plan.searched), plan.at_once
        for number, planned in enumerate(plan.trials):
            self.trials[number] = TrialState(planned.name, planned.steps)
        for number, ended in plan.ended.items():
            trial = self.trial(number)
            trial.status, trial.score = ended.status, ended.score
            trial.values = dict(ended.values)
            trial.ended = {"seconds": ended.seconds, "steps_done": ended.steps}

    def _take_trial(self, trial: TrialState, what: str, values: dict[str, Any], now: float) -> None:
        if what == "started":
            trial.status = RUNNING
            trial.values = {name: values[name] for name in self.searched if name in values}
        elif what == "ended":
            trial.status, trial.ended = values.get("status", DONE), values
            trial.score = values.get("score", trial.score)
        else:
            trial.status = RUNNING
            if what == "phase":
                trial.learning_rate = trial.loss = None
            for name in ("phase", "run", "step", "steps", "learning_rate", "loss"):
                if name in values:
                    setattr(trial, name, values[name])
            if trial.phase == STAGE2 and "best" in values:
                trial.score = values["best"]
            trial.measure(now, what == "evaluated")

    def numbers(self, *states: str) -> list[int]:
        """Return the trials in one of these states, in order."""
        return sorted(number for number, trial in self.trials.items() if trial.status in states)

    @property
    def ended(self) -> list[int]:
        """The trials that are over."""
        return [n for n in sorted(self.trials) if self.trials[n].status not in (TO_GO, RUNNING)]

    def counts(self) -> str:
        """Return how many trials are done, running and to go; others where there are any."""
        count = Counter(trial.status for trial in self.trials.values())
        shown = [DONE, "pruned", "failed", RUNNING, TO_GO]
        always = (DONE, RUNNING, TO_GO)
        return ", ".join(f"{count[s]} {s}" for s in shown if count[s] or s in always)

    def best(self) -> int | None:
        """Return the best trial that is done, the earliest of equals; else the best that runs."""
        for status in (DONE, RUNNING):
            found: int | None = None
            for number in self.numbers(status):
                score = self.trials[number].score
                if score is None:
                    continue
                known = None if found is None else self.trials[found].score
                if known is None or self.objective.better(score, known):
                    found = number
            if found is not None:
                return found
        return None

    def differing(self, number: int) -> dict[str, Any]:
        """Return a trial's values that differ from trial 0's."""
        first = self.trials[0].values if 0 in self.trials else {}
        mine = self.trials[number].values
        return {name: v for name, v in mine.items() if not number or v != first.get(name)}

    def pace(self, phase: str) -> float | None:
        """Return seconds a step of this stage, as measured in this session; None if unknown.

        Of stage 2 the trials of former sessions serve until then.
        """
        paces = [trial.paces[phase] for trial in self.trials.values() if phase in trial.paces]
        known = [(pace.seconds, pace.step - pace.first) for pace in paces if pace.known]
        if not known and phase == STAGE2:
            over = [self.trials[n].ended for n in self.numbers(DONE)]
            known = [(e.get("seconds", 0.0), e.get("steps_done", 0)) for e in over]
        steps = sum(step for _, step in known)
        return sum(seconds for seconds, _ in known) / steps if steps else None

    def seconds_left(self) -> float | None:
        """Return about how long the trials still take, None before anything was measured.

        Trials to come are taken to end as early as those that have ended.
        """
        pace, building = self.pace(STAGE2), 0.0
        running = [self.trials[n] for n in self.numbers(RUNNING)]
        to_go = [self.trials[n] for n in self.numbers(TO_GO)]
        for trial in running:
            if trial.phase == STAGE1:
                first = self.pace(STAGE1)
                if first is None:
                    return None
                building = max(building, first * (trial.steps - trial.step))
        if pace is None or not (running or to_go):
            return None
        over = [self.trials[n] for n in self.numbers(DONE, "pruned") if self.trials[n].planned]
        made = sum(trial.ended.get("steps_done", trial.planned) for trial in over)
        planned = sum(trial.planned for trial in over)
        share = min(1.0, made / planned) if planned else 1.0
        left = [max(0, trial.planned - trial.position) for trial in running]
        work = sum(left) + share * sum(trial.planned for trial in to_go)
        at_once = min(self.at_once, len(running) + len(to_go))
        return building + pace * max(work / at_once, max(left, default=0))
