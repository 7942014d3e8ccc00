"""Pictures of training: the schedules of each method, the effective dose, losses and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from analysis.groups import Group
from analysis.pictures.lines import draw_panels
from analysis.pictures.looks import Style, looks_of
from analysis.pictures.panels import Line, Panel, Values
from analysis.pictures.style import Picture, listed, number, percent
from r2d_ray.config import TrainConfig, build_config
from r2d_ray.method.schedules import gold_probability, label_weight
from r2d_ray.records import TrialRecord
from r2d_ray.storage import counted

POINTS = 100  # of a schedule's curve: one for each percent of the steps
Series = Mapping[int, float]
"""A value by optimiser step."""


def training_pictures(groups: Sequence[Group]) -> list[Picture | str]:
    """Return the pictures of the training of arms, or of a search's models, or why not."""
    return [_schedules(groups), _dose(groups), _training(groups)]


def _titled(title: str, groups: Sequence[Group]) -> str:
    """Return a title that says of a search which of its trials are shown."""
    return f"{title}: {' and '.join(g.name for g in groups)}" if groups[0].searched else title


def _schedules(groups: Sequence[Group]) -> Picture:
    looks = looks_of(groups)
    configs = {group.name: build_config(group.config) for group in groups}
    shown = {n: c for n, c in configs.items() if c.trains_rationales}
    shown = {n: c for n, c in shown.items() if c.rationale_prompt == "given_label"}
    curves = {
        name: (
            _curve(gold_probability, config) if name in shown else (),
            _curve(label_weight, config),
        )
        for name, config in configs.items()
    }
    gold, alpha = _alike(curves, looks)
    axis = "share of stage 2's steps, %"
    panels = [
        Panel("Gold probability", axis, "probability", gold, (-0.03, 1.03)),
        Panel("Weight of the label loss", axis, "alpha", alpha, (-0.03, 1.03)),
    ]
    words = []
    if gold:
        falls = listed([_fall(line) for line in gold])
        words.append(f"The probability that a rationale prompt shows the gold label: {falls}")
    if without := [name for name in configs if name not in shown]:
        words.append(f"No label in a rationale prompt, so no such curve: {', '.join(without)}")
    words.append(f"The weight of the label loss: {listed([_fall(line) for line in alpha])}")
    panels = panels if gold else panels[1:]
    figures = draw_panels(panels, columns=len(panels))
    description = ". ".join(words) + "."
    title = _titled("Schedules" if groups[0].searched else "Schedules of the methods", groups)
    return Picture("schedules", title, description, *figures)


Points = tuple[tuple[float, float], ...]
"""Percent of stage 2's steps, and a value there."""


def _curve(schedule: Callable[[int, TrainConfig], float], config: TrainConfig) -> Points:
    steps = sorted({round(i * config.max_steps / POINTS) for i in range(POINTS + 1)})
    return tuple(
        (round(100 * step / config.max_steps, 1), round(schedule(step, config), 9))
        for step in steps
    )


def _alike(
    curves: Mapping[str, tuple[Points, Points]], looks: Mapping[str, Style]
) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """Return the lines of both schedules: one for all arms that have both in common.

    Where two still lie on one another the later is thinner, so that both are seen.
    """
    same: dict[tuple[Points, Points], list[str]] = {}
    for name, pair in curves.items():
        same.setdefault(pair, []).append(name)
    found: tuple[list[Line], list[Line]] = ([], [])
    for place, (pair, names) in enumerate(same.items()):
        width = 1.2 + 2.0 * (1 - (place + 1) / len(same))
        look = replace(looks[names[0]], width=width)
        for lines, points in zip(found, pair, strict=True):
            if points:
                x, y = zip(*points, strict=True)
                lines.append(Line(", ".join(names), x, y, look))
    return tuple(found[0]), tuple(found[1])


def _fall(line: Line) -> str:
    first, last = line.y[0], line.y[-1]
    if len(set(line.y)) == 1:
        return f"{line.label} {number(first, 2)} throughout"
    points = list(zip(line.x, line.y, strict=True))
    moved = next(i for i, (_, y) in enumerate(points) if y != first)
    start = points[moved - 1][0]
    end = next(x for x, y in points if y == last)
    ends = f"{number(first, 2)} to {number(last, 2)}"
    return f"{line.label} from {ends} between {start:.0f} % and {end:.0f} % of the steps"


def _logged(record: TrialRecord, name: str) -> Series:
    steps = record.series.get("step", [])
    values = record.series.get(name, [])
    pairs = zip(steps, values, strict=False)
    return {int(s): value for s, value in pairs if s is not None and value is not None}


def _evaluated(record: TrialRecord, name: str) -> Series:
    return {e.step: e.scores[name] for e in record.curve if name in e.scores}


def _over_seeds(group: Group, style: Style, runs: Sequence[Series]) -> Line | None:
    """Return the mean over the seeds that have a step, with their range."""
    runs = [run for run in runs if run]
    if not runs:
        return None
    steps = sorted({step for run in runs for step in run})
    found = [[run[step] for run in runs if step in run] for step in steps]
    mean = [sum(values) / len(values) for values in found]
    low: Values = [min(values) for values in found] if len(runs) > 1 else ()
    high: Values = [max(values) for values in found] if len(runs) > 1 else ()
    # A line of one point cannot be seen.
    mode = "lines" if len(steps) > 1 else "markers"
    return Line(group.name, steps, mean, style, low, high, mode)


def _lines(groups: Sequence[Group], get: Callable[[TrialRecord], Series]) -> tuple[Line, ...]:
    looks = looks_of(groups)
    found = (
        _over_seeds(group, looks[group.name], [get(record) for record in group.done.values()])
        for group in groups
    )
    return tuple(line for line in found if line is not None)


def _dose(groups: Sequence[Group]) -> Picture | str:
    shares = {
        "sampled_share": "Label was sampled",
        "changed_share": "Label really changed",
    }
    panels = []
    words = [
        "Shares of the rationale prompts of a training step whose label was sampled, or changed"
    ]
    for name, title in shares.items():
        lines = tuple(x for x in _lines(groups, partial(_logged, name=name)) if any(x.y))
        if not lines:
            continue
        scaled = tuple(_times_100(line) for line in lines)
        panels.append(Panel(title, "optimiser step of stage 2", "% of prompts", scaled))
        means = [
            f"{line.label} {percent(sum(y or 0 for y in line.y) / len(line.y))} on average, "
            f"{percent(line.y[-1] or 0)} at the end"
            for line in lines
        ]
        words.append(f"{title}: {listed(means)}")
    if not panels:
        return "effective dose: no finished run sampled a label"
    rest = [g.name for g in groups if g.name not in {line.label for line in panels[0].lines}]
    if rest:
        words.append(f"None sampled by {', '.join(rest)}")
    words.append(_seeds_said(groups))
    description = ". ".join(words) + "."
    title = _titled("Effective dose over steps", groups)
    return Picture("dose", title, description, *draw_panels(panels))


def _times_100(line: Line) -> Line:
    def scaled(values: Values) -> list[float | None]:
        return [None if value is None else 100 * value for value in values]

    ends = (scaled(line.low), scaled(line.high))
    return Line(line.label, line.x, scaled(line.y), line.style, *ends, line.mode)


def _training(groups: Sequence[Group]) -> Picture | str:
    metric = groups[0].study.info.space["metric"]
    loss = "nats per token"
    wanted: list[tuple[str, str, Callable[[TrialRecord], Series]]] = [
        (f"Validation {metric}", metric, partial(_evaluated, name=metric)),
        ("Label loss in training", loss, partial(_logged, name="label_loss")),
        ("Rationale loss in training", loss, partial(_logged, name="rationale_loss")),
    ]
    panels, words = [], []
    for title, unit, get in wanted:
        if not (lines := _lines(groups, get)):
            continue
        panels.append(Panel(title, "optimiser step of stage 2", unit, lines, log=unit == loss))
        ends = [f"{x.label} {number(x.y[0])} to {number(x.y[-1])}" for x in lines]
        words.append(f"{title}, first to last: {listed(ends)}")
    if not panels:
        return "training curves: no finished run has an evaluation or a logged series"
    words.append(_seeds_said(groups))
    if groups[0].searched and any(len(group.done) > 1 for group in groups):
        words.append("A search logs the losses of the first seed alone")
    description = ". ".join(words) + "."
    title = _titled("Training curves", groups)
    return Picture("training", title, description, *draw_panels(panels))


def _seeds_said(groups: Sequence[Group]) -> str:
    seeds = {len(group.done) for group in groups}
    if seeds == {1}:
        return "One seed each, so no spread is shown"
    counts = (
        f"{min(seeds)} to {max(seeds)} seeds" if len(seeds) > 1 else counted(max(seeds), "seed")
    )
    return f"Lines are means over {counts}, upright bars their range"
