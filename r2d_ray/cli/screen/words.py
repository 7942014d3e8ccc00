"""The words of a study's progress: phases, values, durations, the parts of the status line."""

from __future__ import annotations

from typing import Any

from r2d_ray.cli.screen.state import DONE, RUNNING, StudyState, TrialState
from r2d_ray.study.progress.events import ScoringEvent, StudyPlanned
from r2d_ray.study.progress.files import STAGE1, STAGE2, WAITS

STOPPING = "stopping at the next checkpoint; Ctrl-C again stops at once"
SAVED = "saved; the same command resumes"
MINUTE_S = 60
STDOUT = "-"  # as a file of events
PHASES = {STAGE1: "stage 1", WAITS: "waits for stage 1", STAGE2: "stage 2"}


def short(value: Any) -> str:
    """Return a value in few characters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def value_words(values: dict[str, Any]) -> str:
    """Return searched values in a line."""
    return "  ".join(f"{name}={short(value)}" for name, value in values.items())


def time_words(seconds: float) -> str:
    """Return a duration: `40 s`, `12 min`, `3 h 5 min`, `2 d 4 h`."""
    minutes = round(seconds / 60)
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {rest} min"
    days, hours = divmod(round(minutes / 60), 24)
    return f"{days} d {hours} h"


def phase_words(trial: TrialState) -> str:
    """Return where a trial stands: `stage 1 120/200`; of a second seed `seed 2, stage 2 40/300`."""
    if trial.status != RUNNING:
        return trial.status
    if not trial.phase:
        return "starts"
    seed = f"seed {trial.run + 1}, " if trial.run else ""
    return f"{seed}{PHASES[trial.phase]} {trial.step}/{trial.steps}"


def best_words(state: StudyState) -> str:
    """Return the best so far with its trial, nothing before there is one."""
    number = state.best()
    if number is None:
        return ""
    trial = state.trials[number]
    still = "" if trial.status == DONE else ", still running"
    return f"best {state.objective.metric} {trial.score:.3f} ({trial.name}{still})"


def clock_words(state: StudyState, elapsed: float) -> str:
    """Return the time of this session and, where it can be known, what is left of the trials."""
    left = state.seconds_left()
    if left is None:
        return time_words(elapsed)
    said = f"about {time_words(left)}" if left >= MINUTE_S else "less than a minute"
    return f"{time_words(elapsed)}, {said} left"


def status_parts(state: StudyState, elapsed: float) -> list[str]:
    """Return the parts of the status line."""
    what = scoring_words(state.scoring) if state.scoring else ""
    parts = [state.counts(), best_words(state), what, clock_words(state, elapsed)]
    return [part for part in parts if part]


def scoring_words(event: ScoringEvent) -> str:
    """Return what is scored after the trials: `scoring test rows (600): 1 of 2`."""
    count = f": {event.done} of {event.total}" if event.total > 1 else ""
    return f"scoring {event.what}{count}"


def plan_words(plan: StudyPlanned, more: str) -> str:
    """Return what is found and what is to come of a study.

    Args:
        plan: The study.
        more: What a study is told in which nothing is left to do.
    """
    total, ended = len(plan.trials), len(plan.ended)
    many = "trials" if total != 1 else "trial"
    if not plan.resumed:
        at_once = f", {plan.at_once} at once" if total > 1 else ""
        return f"study {plan.study}: {total} {many}{at_once}"
    if ended >= total:
        return f"nothing left to do; {more}" if more else "nothing left to do"
    states = [trial.status for trial in plan.ended.values()]
    others = [f"{states.count(s)} {s}" for s in ("pruned", "failed") if s in states]
    done = ", ".join([f"{states.count(DONE)} of {total} {many} done", *others])
    goes_on = [
        f"{plan.trials[number].name} goes on at step {step}"
        if step
        else f"{plan.trials[number].name} begins again"
        for number, step in plan.goes_on.items()
    ]
    return ", ".join([f"resumed: {done}", *goes_on])
