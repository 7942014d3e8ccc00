"""Heat maps, drawn twice from the same values: by matplotlib for print, by Plotly for the page.

Every cell says its value in words, so that no colour has to be read off a scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from analysis import names
from analysis.pictures.style import (
    PRINT,
    Printed,
    broken,
    drawable,
    page_json,
    print_figure,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLOURS = ((0.0, "#f3f7fb"), (0.5, "#7fb3d8"), (1.0, "#08406f"))  # one hue: equal in grey print
DARK = 0.6  # share of the scale above which a cell's words are white
LONG = 9  # characters of a column's name that stand upright
NARROWEST = 0.2  # inches of a printed cell whose words can be read
LETTER = 0.075  # inches of a letter beside or below a printed map
LETTERS = 11.0  # of a printed map's bold title, to the inch


@dataclass(frozen=True, slots=True)
class Heat:
    """A map of `values` (rows x columns, None: no cell) with each cell's words in `texts`."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    texts: tuple[tuple[str, ...], ...]


def draw_heats(
    heats: Sequence[Heat], x_title: str, y_title: str, scale: tuple[float, float], columns: int
) -> tuple[Printed[Heat], dict[str, Any]]:
    """Return what prints the maps in a width of inches, and the page's figure, one below another.

    Args:
        heats: Maps with the same rows and columns.
        x_title: What the columns are.
        y_title: What the rows are.
        scale: The values of the lightest and the darkest colour.
        columns: Maps side by side in print, fewer where their cells would be too small.
    """
    printed = Printed(partial(_print, x_title, y_title, scale, columns), heats)
    return printed, _page(heats, x_title, y_title, scale)


def _share(value: float, scale: tuple[float, float]) -> float:
    low, high = scale
    return (value - low) / (high - low) if high > low else 0.5


def _ink(value: float, scale: tuple[float, float]) -> str:
    return "#ffffff" if _share(value, scale) > DARK else "#202020"


def _print(
    x_title: str,
    y_title: str,
    scale: tuple[float, float],
    columns: int,
    heats: Sequence[Heat],
    width: float,
) -> Figure:
    from matplotlib import rc_context
    from matplotlib.colors import LinearSegmentedColormap

    plan = _plan(heats, columns, width)
    colours = LinearSegmentedColormap.from_list("share", list(COLOURS))
    with rc_context(PRINT):
        figure = print_figure(plan.height, width)
        lines = math.ceil(len(heats) / plan.columns)
        grid = figure.subplots(lines, plan.columns, squeeze=False, sharex=True, sharey=True)
        for place, axes in enumerate(grid.flat):
            if place >= len(heats):
                axes.set_visible(False)
                continue
            _print_heat(axes, heats[place], scale, colours, plan)
            axes.set_title(plan.titles[place])
            # A map below which the last line has none carries the names itself.
            if place + plan.columns >= len(heats):
                axes.tick_params(labelbottom=True)
        figure.supxlabel(names.in_words(x_title), fontsize=9)
        figure.supylabel(names.in_words(y_title), fontsize=9)
    return figure


@dataclass(frozen=True, slots=True)
class Plan:
    """How printed maps stand: how many side by side, their names, and sizes in inches or points.

    A long name of a row stands on several lines; of a column, upright and cut, as the rows have it.
    """

    columns: int
    height: float
    titles: Sequence[str]
    rows: Sequence[str]
    across: Sequence[str]
    turned: bool
    size: float


def _plan(heats: Sequence[Heat], columns: int, width: float) -> Plan:
    first = heats[0]
    rows = [broken(name, 2 * LONG) for name in first.rows]
    beside = 0.3 + LETTER * max(len(line) for name in rows for line in name.split("\n"))
    words = max(len(w) for heat in heats for row in heat.texts for t in row for w in t.split("\n"))
    room, wide = width - beside, len(first.columns) + 0.4
    while columns > 1 and room / columns / wide < max(NARROWEST, 0.058 * words):
        columns -= 1
    cell = room / columns / wide
    upright = max(map(len, first.columns))
    turned = upright > LONG or LETTER * upright > cell
    across = [drawable(n if len(n) <= 2 * LONG else f"{n[: 2 * LONG]}…") for n in first.columns]
    titles = [broken(names.in_words(h.title), int(LETTERS * room / columns) + 8) for h in heats]
    lines = math.ceil(len(heats) / columns)
    tall = max(name.count("\n") + 1 for name in rows)
    side = max(min(0.55, max(0.3, 0.8 * cell)), 0.14 * tall)
    below = LETTER * min(2 * LONG, upright) if turned else 0.2
    title = max(text.count("\n") for text in titles)
    height = lines * (side * len(rows) + 0.35 + 0.16 * title) + below + 0.45
    size = min(8.0, 0.9 * 72 * cell / (0.62 * words))
    return Plan(columns, height, titles, rows, across, turned, size)


def _print_heat(
    axes: Axes, heat: Heat, scale: tuple[float, float], colours: Any, plan: Plan
) -> None:
    table = [[math.nan if v is None else v for v in row] for row in heat.values]
    low, high = scale
    axes.imshow(table, cmap=colours, vmin=low, vmax=high, aspect="auto")
    axes.grid(visible=False)
    axes.set_xticks(range(len(plan.across)), plan.across, rotation=90 if plan.turned else 0)
    axes.set_yticks(range(len(plan.rows)), plan.rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for i, row in enumerate(heat.values):
        for j, value in enumerate(row):
            ink = "#202020" if value is None else _ink(value, scale)
            text = heat.texts[i][j]
            axes.text(j, i, text, ha="center", va="center", color=ink, fontsize=plan.size)


def _page(
    heats: Sequence[Heat], x_title: str, y_title: str, scale: tuple[float, float]
) -> dict[str, Any]:
    from plotly.subplots import make_subplots

    longest = max(map(len, heats[0].columns))
    below = 7 * longest if longest > LONG else 20
    inner = 44 * len(heats[0].rows)
    between = below + 60 + 14 * max(wrapped(heat.title).count("\n") for heat in heats)
    height = (inner + between) * len(heats)
    figure = make_subplots(
        rows=len(heats), cols=1, vertical_spacing=min(0.9 / len(heats), between / height)
    )
    words: list[dict[str, Any]] = []
    for row, heat in enumerate(heats, start=1):
        figure.add_heatmap(
            x=list(heat.columns), y=list(heat.rows), z=[list(v) for v in heat.values],
            zmin=scale[0], zmax=scale[1], colorscale=[list(pair) for pair in COLOURS],
            showscale=False, hoverongaps=False, name=heat.title, xgap=1, ygap=1, row=row, col=1,
            text=[[t.replace("\n", "<br>") for t in texts] for texts in heat.texts],
            hovertemplate=f"{y_title}: %{{y}}<br>{x_title}: %{{x}}<br>%{{text}}<extra></extra>",
        )  # fmt: skip
        axis = figure.get_subplot(row, 1).yaxis
        words += _page_words(heat, axis.plotly_name.removeprefix("yaxis"), scale)
        figure.update_yaxes(
            autorange="reversed", type="category", title_text=y_title, row=row, col=1
        )
        figure.update_xaxes(type="category", tickangle=-90 if longest > LONG else 0, row=row, col=1)
        title = wrapped(heat.title).replace("\n", "<br>")
        words.append({
            "text": f"<b>{title}</b>" if title else f"{y_title} by {x_title}",
            "x": 0, "xref": "paper", "xanchor": "left",
            "y": axis.domain[1], "yref": "paper", "yanchor": "bottom", "showarrow": False,
        })  # fmt: skip
    figure.update_xaxes(title_text=x_title, row=len(heats), col=1)
    figure.update_layout(annotations=words)  # at once: each single one would copy all before it
    return page_json(figure, height)


def _page_words(heat: Heat, axes: str, scale: tuple[float, float]) -> list[dict[str, Any]]:
    """Return each cell's words in an ink that its own colour bears, on light and dark pages."""
    return [
        {
            "x": column, "xref": f"x{axes}", "y": name, "yref": f"y{axes}", "showarrow": False,
            "text": text.replace("\n", "<br>"),
            "font": {"color": _ink(value, scale), "size": 10},
        }
        for name, values, texts in zip(heat.rows, heat.values, heat.texts, strict=True)
        for column, value, text in zip(heat.columns, values, texts, strict=True)
        if value is not None
    ]  # fmt: skip
