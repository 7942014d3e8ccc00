"""How every picture looks, in print and on the page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: `name` is its file's name, `description` says in words what it shows.

    `print_figure` is drawn by matplotlib; `page_figure` is a Plotly figure as JSON values, None
    where the page shows the printed one.
    """

    name: str
    title: str
    description: str
    print_figure: Figure
    page_figure: dict[str, Any] | None = None


BLUE, SKY, GREEN = "#0072B2", "#56B4E9", "#009E73"
ORANGE, VERMILLION, PURPLE, GREY = "#E69F00", "#D55E00", "#CC79A7", "#808080"
METHODS_SHOWN = {
    "r2d": (BLUE, 0),
    "sft": (ORANGE, 0),
    "dss": (GREEN, 0),
    "r2d_c": (VERMILLION, 0),
    "teacher_forcing": (PURPLE, 0),
    "no_stage1": (SKY, 0),
    "random_wrong": (GREY, 0),
    "stage1_sft": (ORANGE, 1),
    "r2d_c_authors": (VERMILLION, 1),
    "gold_90": (PURPLE, 1),
    "gold_50": (PURPLE, 2),
    "gold_0": (PURPLE, 3),
    "no_dropout_labels": (SKY, 1),
    "composite_selection": (SKY, 2),
    "drop_wrong": (GREY, 1),
}
"""Colour and dash of each method, the same in every picture of every report."""

PRINT_DASHES = ("-", "--", ":", "-.")
PAGE_DASHES = ("solid", "dash", "dot", "dashdot")
PRINT_WIDTH = 5.5  # inches: the width of a column of text
LONG_NAME = 24  # characters
FAINT = "rgba(128,128,128,0.25)"
PRINT: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters everywhere
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.edgecolor": "#606060",
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "svg.hashsalt": "r2d_ray",  # else the marks of an SVG are named at random
    "savefig.dpi": 200,
}
"""Settings of matplotlib for printed pictures."""


@dataclass(frozen=True, slots=True)
class Style:
    """How one arm is drawn: `dash` is a place in `PRINT_DASHES` and `PAGE_DASHES`."""

    colour: str
    dash: int = 0
    width: float = 1.6


def styles(methods: Mapping[str, str]) -> dict[str, Style]:
    """Return each arm's style: its method's colour; settings after the first thinner and dashed.

    Args:
        methods: The method of each arm, in the order of the study.
    """
    seen: dict[str, int] = {}
    found = {}
    for arm, method in methods.items():
        place = seen.setdefault(method, 0)
        seen[method] += 1
        colour, dash = METHODS_SHOWN.get(method, (GREY, 2))
        found[arm] = Style(colour, (dash + place) % len(PAGE_DASHES), 1.1 if place else 1.6)
    return found


def print_figure(height: float, width: float = PRINT_WIDTH) -> Figure:
    """Return an empty figure, in inches; draw on it within `matplotlib.rc_context(PRINT)`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def page_json(figure: go.Figure, height: int) -> dict[str, Any]:
    """Return a figure for the page as JSON values: no background and no colour of text of its own.

    Args:
        figure: Drawn by Plotly; changed.
        height: Pixels; the width is the page's.
    """
    figure.update_layout(
        title=None,
        height=height,
        width=None,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        font={"size": 12},
    )
    axis = {"automargin": True, "gridcolor": FAINT, "zeroline": False, "fixedrange": True}
    figure.update_xaxes(title_font_size=12, **axis)
    figure.update_yaxes(title_font_size=12, **axis)
    values = json.loads(figure.to_json())
    assert isinstance(values, dict)
    del values["layout"]["template"]  # Plotly's own colours of text and lines
    return values


def number(value: float | None, digits: int = 3) -> str:
    """Return a number in words' company: `0.813`, or `n/a` for none."""
    if value is None or not math.isfinite(value):
        return "n/a"
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """Return a share as a whole percentage."""
    return f"{100 * share:.0f} %"


def listed(parts: Sequence[str]) -> str:
    """Return parts as the end of a sentence: `a; b; c`."""
    return "; ".join(parts)


def wrapped(name: str) -> str:
    """Return a name on several lines if it is long: a setting's fields one below another."""
    if len(name) <= LONG_NAME:
        return name
    method, dash, setting = name.partition("-")
    return method + dash.replace("-", "\n") + setting.replace(",", ",\n")


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 trial`, `2 trials`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
