"""Panels of lines, drawn twice from the same values: matplotlib for print, Plotly for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from analysis import names
from analysis.pictures.lines_page import page_panels
from analysis.pictures.looks import GREY, PRINT_DASHES
from analysis.pictures.panels import Line, Panel, Values, apart, aside, legend_of, marked
from analysis.pictures.style import PRINT, Printed, broken, print_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


LETTERS = 16.0  # of a printed legend's or title's line, to the inch
NARROWEST = {True: 1.4, False: 2.3}  # inches of a printed panel: square ones, others
COMFORTABLE = 3.2  # inches of a panel that may stand beside another


def draw_panels(
    panels: Sequence[Panel], columns: int = 1, page: Sequence[Panel] | None = None
) -> tuple[Printed[Panel], dict[str, Any]]:
    """Return what prints the panels in a width of inches, and the page's figure, one below another.

    Args:
        panels: What is printed.
        columns: Panels side by side in print, fewer where it is narrow.
        page: What the page shows where a reader's own choice of lines does better than panels.
    """
    return Printed(partial(_print, columns), apart(panels)), page_panels(apart(page or panels))


def _print(columns: int, panels: Sequence[Panel], width: float) -> Figure:
    from matplotlib import rc_context

    columns = max(columns, int(width // COMFORTABLE))
    columns = max(1, min(columns, len(panels), int(width // NARROWEST[panels[0].equal])))
    rows = math.ceil(len(panels) / columns)
    columns = math.ceil(len(panels) / rows)  # four panels stand two by two, not three and one
    labels = legend_of(panels)
    line = int(LETTERS * width)
    words = {label: broken(names.in_words(label), line - 6) for label in labels}
    longest = max((len(part) for text in words.values() for part in text.split("\n")), default=0)
    across = max(1, min(4, line // (8 + longest)))
    named = sum(text.count("\n") + 1 for text in words.values())
    tall = min(2.6, width / columns + 0.2) if panels[0].equal else 2.3 if columns == 1 else 2.1
    height = tall * rows + 0.17 * math.ceil(named / across) + 0.2
    with rc_context(PRINT):
        figure = print_figure(height, width)
        grid = figure.subplots(rows, columns, squeeze=False)
        handles: dict[str, Any] = {}
        for place, axes in enumerate(grid.flat):
            if place >= len(panels):
                axes.remove()
                continue
            handles |= _print_panel(axes, panels[place], max(10, int(13 * (width / columns - 0.6))))
        if labels:
            shown = [handles[label] for label in labels]
            texts = [words[label] for label in labels]
            figure.legend(shown, texts, loc="outside lower left", ncols=across, handlelength=2.6)
    return figure


def _print_panel(axes: Axes, panel: Panel, letters: int) -> dict[str, Any]:
    """Draw a panel; return the handle of each line by its label."""
    from matplotlib.ticker import FixedLocator, NullLocator

    handles: dict[str, Any] = {}
    axes.set_yscale(panel.scale)
    for place, line in enumerate(panel.lines):
        handles[line.label] = _print_line(axes, line, aside(panel, place))
    if panel.equal:
        axes.axline((0, 0), slope=1, color=GREY, linewidth=0.8, linestyle=":")
    title = broken(names.in_words(panel.title), letters)
    x_title, y_title = (names.in_words(text) for text in (panel.x_title, panel.y_words))
    axes.set(title=title, xlabel=broken(x_title, letters), ylabel=broken(y_title, 28))
    axes.set(xlim=panel.x_range, ylim=panel.y_range)
    if panel.scale == "log":
        axes.yaxis.set_major_locator(FixedLocator(panel.ticks()))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    if panel.equal:
        axes.set_aspect("equal")
    return handles


def _print_line(axes: Axes, line: Line, shift: float) -> Any:
    """Draw a line, with its range `shift` beside it; return its handle."""
    look = line.style
    y = _floats(line.y)
    drawn = axes.plot(
        line.x,
        y,
        color=look.colour,
        linestyle=PRINT_DASHES[look.dash] if "lines" in line.mode else "none",
        linewidth=look.width,
        drawstyle="steps-post" if line.steps else "default",
        marker=None if line.sizes else look.mark or ("o" if line.mode == "markers" else None),
        markevery=None if line.mode == "markers" else marked(line),
        markersize=4.5 + max(0.0, 1.5 * (look.width - 1.6)),
        markerfacecolor="white" if look.hollow else look.colour,
        label=line.label,
    )
    if line.sizes:
        face = "white" if look.hollow else look.colour
        sizes = [size**2 for size in line.sizes]
        axes.scatter(line.x, y, s=sizes, marker=look.mark or "o", color=face, edgecolor=look.colour)
    if line.low:
        low, high = _floats(line.low), _floats(line.high)
        axes.vlines(
            [line.x[i] + shift for i in marked(line)],
            [low[i] for i in marked(line)],
            [high[i] for i in marked(line)],
            color=look.colour,
            linewidth=1.1,
        )
    return drawn[0]


def _floats(values: Values) -> list[float]:
    return [math.nan if value is None else value for value in values]
