"""Label score against rationale score of a search's trials, and the trials that no other beats."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.pictures.lines import draw_panels
from analysis.pictures.looks import BLUE, GREY, ORANGE, SKY, VERMILLION, Style
from analysis.pictures.panels import Line, Panel
from analysis.pictures.style import Picture, listed, number
from analysis.studies import Study
from r2d_ray.records import TrialRecord
from r2d_ray.search.space import SearchSpace
from r2d_ray.storage import counted

RATIONALE = "rationale_loss"  # nats per token: what validation knows of rationales
NO_LABEL_SCORES = (RATIONALE, "composite")
LABEL = "macro_f1"  # where a search looked at none of labels alone

Point = tuple[float, float]
"""A trial's rationale loss and its label score."""


def pareto(study: Study, space: SearchSpace) -> Picture | str:
    """Return the picture of both scores of each trial, or why it is left out."""
    own = space.metric not in NO_LABEL_SCORES
    label = space.metric if own else LABEL
    sign = -1.0 if own and space.mode == "min" else 1.0
    known = [r for r in study.records if label in r.metrics and RATIONALE in r.metrics]
    done = [record for record in known if record.status == "done"]
    if len(done) < 2:
        return (
            f"label against rationale score: {counted(len(done), 'finished trial')} with "
            f"{label} and {RATIONALE} on validation (needed: 2)"
        )
    points = {record.trial: (record.metrics[RATIONALE], record.metrics[label]) for record in known}
    front = _front(done, points, sign)
    best = study.info.objective.best_of(done)
    panel = Panel(
        "",
        "validation rationale loss, nats per token (less is better)",
        f"validation {label} ({'more' if sign > 0 else 'less'} is better)",
        tuple(_lines(known, front, best, points)),
    )
    said = [f"trial {t}: {number(points[t][1])} at {number(points[t][0])}" for t in front]
    words = [
        f"Validation {label} against validation rationale loss of "
        f"{counted(len(done), 'finished trial')}, each at its chosen step. On the Pareto front, "
        f"where no other trial is as good on one and better on the other: {listed(said)}"
    ]
    if best is not None:
        on = "on" if best.trial in front else "not on"
        words.append(f"The best trial, {best.trial}, is {on} the front")
    if any(record.trial == 0 for record in done):
        words.append(f"The defaults, trial 0, are {'on' if 0 in front else 'not on'} the front")
    if pruned := sum(record.status == "pruned" for record in known):
        words.append(f"{counted(pruned, 'pruned trial')} trained less and cannot be on the front")
    title = "Label score against rationale score"
    return Picture("pareto", title, ". ".join(words) + ".", *draw_panels([panel]))


def _front(done: Sequence[TrialRecord], points: dict[int, Point], sign: float) -> list[int]:
    """Return the trials that no other beats, by growing loss; equal ones all."""
    ranked = sorted(done, key=lambda r: (points[r.trial][0], -sign * points[r.trial][1], r.trial))
    front: list[int] = []
    for record in ranked:
        point = points[record.trial]
        last = points[front[-1]] if front else None
        if last is None or point == last or sign * point[1] > sign * last[1]:
            front.append(record.trial)
    return front


def _lines(
    known: Sequence[TrialRecord],
    front: Sequence[int],
    best: TrialRecord | None,
    points: dict[int, Point],
) -> list[Line]:
    """Return the front below the trials; the best and the defaults on top, with marks of theirs."""
    chosen = best.trial if best else None
    lines = []
    if len({points[trial] for trial in front}) > 1:
        x, y = zip(*(points[trial] for trial in front), strict=True)
        look = Style(VERMILLION, place=3)
        lines.append(Line("Pareto front", x, y, look, steps=True, notes=_told(front)))
    rest = [r for r in known if r.trial not in (0, chosen)]
    kinds = {
        "finished trial": (
            Style(SKY, mark="o", place=2),
            [r.trial for r in rest if r.status == "done"],
        ),
        "pruned trial": (
            Style(GREY, mark="X", place=4),
            [r.trial for r in rest if r.status == "pruned"],
        ),
        "defaults, trial 0": (
            Style(ORANGE, width=3.0, mark="D", place=1),
            [r.trial for r in known if r.trial == 0 != chosen],
        ),
        f"best, trial {chosen}": (
            Style(BLUE, width=4.0, mark="*", place=0),
            [r.trial for r in known if r.trial == chosen],
        ),
    }
    for label, (look, trials) in kinds.items():
        if trials:
            x, y = zip(*(points[trial] for trial in trials), strict=True)
            lines.append(Line(label, x, y, look, mode="markers", notes=_told(trials)))
    return lines


def _told(trials: Sequence[int]) -> list[str]:
    return [f"trial {trial}" for trial in trials]
