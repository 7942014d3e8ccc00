"""The sensitivity heat map: scores over the points of a grid of two or three fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.groups import Group
from analysis.pictures.heat import Heat, draw_heats
from analysis.pictures.style import Picture, number
from analysis.stats.intervals import mean_sd
from analysis.studies import Study
from r2d_ray.search.space import SearchSpace
from r2d_ray.storage import counted

FIELDS = (2, 3)  # what a heat map with panels can show
NO_POINT = "not run"


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a grid: its field values and the scores of its runs."""

    values: tuple[Any, ...]
    scores: tuple[float, ...]


def comparison_grids(study: Study, groups: Sequence[Group]) -> list[Picture | str]:
    """Return a heat map of test scores for each method that ran a grid of settings.

    A grid's settings are named by their fields, `r2d-sampling_decay=none`; the method's default is
    a point of it.
    """
    metric = study.info.space["metric"]
    drawn: list[Picture | str] = []
    members: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        if not group.setting or "=" in group.setting:
            members.setdefault((group.method, group.source), []).append(group)
    for (method, source), alike in members.items():
        fields = _fields(alike)
        if not fields:
            continue
        name = f"{method}-{source}" if source else method
        points = [
            Point(tuple(g.config[field] for field in fields), tuple(g.values(metric)))
            for g in alike
        ]
        drawn.append(_draw(name, fields, points, f"{metric} on test"))
    return drawn


def search_grid(study: Study) -> list[Picture | str]:
    """Return the heat map of a search whose fields are all categorical; nothing for another."""
    space = SearchSpace.model_validate(study.info.space)
    if any(domain.choices is None for domain in space.search.values()):
        return []
    fields = tuple(space.search)
    scores: dict[tuple[Any, ...], list[float]] = {}
    for record in study.done():
        values = tuple(record.config[field] for field in fields)
        scores.setdefault(values, []).append(record.metrics[space.metric])
    points = [Point(values, tuple(found)) for values, found in scores.items()]
    return [_draw(study.info.method, fields, points, f"{space.metric} on validation")]


def _fields(groups: Sequence[Group]) -> tuple[str, ...]:
    """Return the fields in which the settings' names differ, in the order of the config."""
    named = {part.partition("=")[0] for g in groups if g.setting for part in g.setting.split(",")}
    return tuple(field for field in groups[0].config if field in named)


def _draw(name: str, fields: Sequence[str], points: Sequence[Point], what: str) -> Picture | str:
    scored = [point for point in points if point.scores]
    if len(fields) not in FIELDS:
        return f"sensitivity of {name}: {counted(len(fields), 'field')} (a heat map shows 2 or 3)"
    if not scored:
        return f"sensitivity of {name}: no point of the grid has a score"
    *panel_field, row_field, column_field = _ordered(fields, points)
    places = [fields.index(field) for field in (*panel_field, row_field, column_field)]
    means = {tuple(p.values[i] for i in places): mean_sd(p.scores) for p in scored}
    axes = [_values(points, i) for i in places]
    rows, columns = axes[-2:]
    heats = []
    for panel in axes[0] if panel_field else [None]:
        keys = [[(panel, r, c) if panel_field else (r, c) for c in columns] for r in rows]
        heats.append(
            Heat(
                f"{panel_field[0]}\n{panel}" if panel_field else "",
                tuple(map(str, rows)),
                tuple(map(str, columns)),
                tuple(tuple(means[k][0] if k in means else None for k in row) for row in keys),
                tuple(tuple(_words(means.get(k)) for k in row) for row in keys),
            )
        )
    values = [mean for mean, _ in means.values()]
    drawn = draw_heats(
        heats, column_field, row_field, (min(values), max(values)), columns=len(heats)
    )
    said = _description(what, [*panel_field, row_field, column_field], means)
    empty = sum(text == NO_POINT for heat in heats for row in heat.texts for text in row)
    if empty:
        said += (
            f" {counted(empty, 'cell')} without a score: the same run as another point, failed, "
            "pruned or not run."
        )
    return Picture(f"sensitivity-{name}", f"Sensitivity of {name}", said, *drawn)


def _ordered(fields: Sequence[str], points: Sequence[Point]) -> list[str]:
    """Return the fields with words before those with numbers: words name panels best."""

    def numeric(field: str) -> bool:
        values = _values(points, fields.index(field))
        return all(isinstance(value, int | float) for value in values)

    return sorted(fields, key=numeric)


def _values(points: Sequence[Point], place: int) -> list[Any]:
    found = list(dict.fromkeys(point.values[place] for point in points))
    numbers = all(isinstance(value, int | float) for value in found)
    return sorted(found) if numbers else found


def _words(score: tuple[float, float | None] | None) -> str:
    if score is None:
        return NO_POINT
    mean, sd = score
    return number(mean) if sd is None else f"{number(mean)}\n\N{PLUS-MINUS SIGN}{number(sd)}"


def _description(
    what: str, fields: Sequence[str], means: dict[tuple[Any, ...], tuple[float, float | None]]
) -> str:
    def told(key: tuple[Any, ...]) -> str:
        point = ", ".join(f"{f} {v}" for f, v in zip(fields, key, strict=True))
        return f"{_words(means[key]).replace(chr(10), ' ')} at {point}"

    ranked = sorted(means, key=lambda key: means[key][0])
    cells = "; ".join(told(key) for key in reversed(ranked))
    return (
        f"Mean {what} (± standard deviation over seeds where there are several) over "
        f"{', '.join(fields)}, best first: {cells}."
    )
