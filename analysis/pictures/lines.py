"""Panels of lines, drawn twice from the same values: matplotlib for print, Plotly for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from analysis import names
from analysis.pictures.style import (
    GREY,
    PAGE_DASHES,
    PRINT,
    PRINT_DASHES,
    Printed,
    Style,
    broken,
    page_json,
    print_figure,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Values = Sequence[float | None]
PANEL_PIXELS, SQUARE_PIXELS = 270, 350
BETWEEN_PIXELS = 92  # panels: the title of an axis, and that of the next panel
LEGEND_PIXELS = 22
LETTERS = 16.0  # of a printed legend's or title's line, to the inch
NARROWEST = {True: 1.4, False: 2.3}  # inches of a printed panel: square ones, others
COMFORTABLE, MARKED = 3.2, 7  # inches of a panel that may stand beside another; marks of a line
LOG_TICKS = [float(f"{digit}e{power}") for power in range(-6, 5) for digit in (1, 2, 3, 5)]
LOG_WORDS = [f"{value:g}" for value in LOG_TICKS]


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its band from `low` to `high` (empty: none); `notes` are shown on the page.

    `mode` is Plotly's: `lines`, `markers` or both; `sizes` are diameters of markers in points.
    """

    label: str
    x: Sequence[float]
    y: Values
    style: Style
    low: Values = ()
    high: Values = ()
    mode: str = "lines"
    sizes: Sequence[float] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines on common axes; `equal` draws the line x = y, on which both axes agree.

    `log` takes logarithms of y, where all values have one.
    """

    title: str
    x_title: str
    y_title: str
    lines: tuple[Line, ...]
    y_range: tuple[float, float] | None = None
    x_range: tuple[float, float] | None = None
    equal: bool = False
    log: bool = False

    @property
    def scale(self) -> str:
        """The scale of y, in the words of both libraries."""
        values = [value for line in self.lines for value in (*line.y, *line.low)]
        whole = all(value is None or value > 0 for value in values)
        return "log" if self.log and whole else "linear"


def draw_panels(
    panels: Sequence[Panel], columns: int = 1, page: Sequence[Panel] | None = None
) -> tuple[Printed[Panel], dict[str, Any]]:
    """Return what prints the panels in a width of inches, and the page's figure, one below another.

    Args:
        panels: What is printed.
        columns: Panels side by side in print, fewer where it is narrow.
        page: What the page shows where a reader's own choice of lines does better than panels.
    """
    return Printed(partial(_print, columns), panels), _page(page or panels)


def _legend(panels: Sequence[Panel]) -> list[str]:
    """Return what a legend must name: nothing where titles do, or where there is one line."""
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    told = all([line.label for line in panel.lines] == [panel.title] for panel in panels)
    return labels if len(labels) > 1 and not told else []


def _print(columns: int, panels: Sequence[Panel], width: float) -> Figure:
    from matplotlib import rc_context

    columns = max(columns, int(width // COMFORTABLE))
    columns = max(1, min(columns, len(panels), int(width // NARROWEST[panels[0].equal])))
    rows = math.ceil(len(panels) / columns)
    labels = _legend(panels)
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
    for line in panel.lines:
        look = line.style
        y = _floats(line.y)
        drawn = axes.plot(
            line.x,
            y,
            color=look.colour,
            linestyle=PRINT_DASHES[look.dash] if "lines" in line.mode else "none",
            linewidth=look.width,
            marker=look.mark or ("o" if line.mode == "markers" else None),
            markevery=max(1, math.ceil(len(y) / MARKED)),
            markerfacecolor="white" if look.hollow else look.colour,
            label=line.label,
        )
        if line.sizes:
            axes.scatter(line.x, y, s=[size**2 for size in line.sizes], color=look.colour)
        if line.low:
            low, high = _floats(line.low), _floats(line.high)
            axes.fill_between(line.x, low, high, color=look.colour, alpha=0.15, linewidth=0)
        handles[line.label] = drawn[0]
    if panel.equal:
        axes.axline((0, 0), slope=1, color=GREY, linewidth=0.8, linestyle=":")
    title = broken(names.in_words(panel.title), letters)
    x_title, y_title = (names.in_words(text) for text in (panel.x_title, panel.y_title))
    axes.set(title=title, xlabel=broken(x_title, letters), ylabel=broken(y_title, 28))
    axes.set(xlim=panel.x_range, ylim=panel.y_range)
    if panel.scale == "log":
        axes.yaxis.set_major_locator(FixedLocator(LOG_TICKS))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    if panel.equal:
        axes.set_aspect("equal")
    return handles


def _page(panels: Sequence[Panel]) -> dict[str, Any]:
    from plotly.subplots import make_subplots

    labels = _legend(panels)
    legend = LEGEND_PIXELS * math.ceil(len(labels) / 2)
    height = sum(SQUARE_PIXELS if p.equal else PANEL_PIXELS for p in panels) + legend
    figure = make_subplots(
        rows=len(panels), cols=1, vertical_spacing=min(0.9 / len(panels), BETWEEN_PIXELS / height)
    )
    unnamed = set(labels)
    for row, panel in enumerate(panels, start=1):
        for line in panel.lines:
            _page_line(figure, line, row, line.label in unnamed)
            unnamed.discard(line.label)
        if panel.equal and panel.x_range:
            ends = list(panel.x_range)
            look = {"color": GREY, "width": 1, "dash": "dot"}
            figure.add_scatter(
                x=ends, y=ends, mode="lines", line=look, hoverinfo="skip", showlegend=False,
                name="x = y", row=row, col=1,
            )  # fmt: skip
        figure.update_xaxes(title_text=panel.x_title, range=panel.x_range, row=row, col=1)
        figure.update_yaxes(range=panel.y_range, type=panel.scale, row=row, col=1)
        if panel.scale == "log":
            figure.update_yaxes(tickvals=LOG_TICKS, ticktext=LOG_WORDS, row=row, col=1)
        axis = figure.get_subplot(row, 1).yaxis
        # Above its panel rather than turned by its side: a phone has no room there.
        figure.add_annotation(
            text=_heading(panel),
            x=0, xref="paper", xanchor="left", y=axis.domain[1], yref="paper", yanchor="bottom",
            showarrow=False,
        )  # fmt: skip
    figure.update_layout(
        hovermode="closest",
        legend={"orientation": "h", "y": 1 + 30 / height, "yanchor": "bottom", "x": 0},
    )
    return page_json(figure, height)


def _heading(panel: Panel) -> str:
    """Return a panel's title and the unit of y, where the title does not say it."""
    if not panel.title:
        return panel.y_title
    said = panel.y_title in panel.title.lower()
    return f"<b>{panel.title}</b>" if said else f"<b>{panel.title}</b>, {panel.y_title}"


def _page_line(figure: go.Figure, line: Line, row: int, named: bool) -> None:
    look = line.style
    if line.low:
        for edge, fill in ((line.low, None), (line.high, "tonexty")):
            figure.add_scatter(
                x=list(line.x), y=list(edge), mode="lines", line={"width": 0}, fill=fill,
                fillcolor=_faded(look.colour), hoverinfo="skip", showlegend=False,
                legendgroup=line.label, name=f"{line.label}, range", row=row, col=1,
            )  # fmt: skip
    figure.add_scatter(
        x=list(line.x),
        y=list(line.y),
        mode="lines+markers" if line.sizes else line.mode,
        name=line.label,
        legendgroup=line.label,
        showlegend=named,
        line={"color": look.colour, "dash": PAGE_DASHES[look.dash], "width": look.width * 1.3},
        marker={"color": look.colour, "size": list(line.sizes) or 7},
        text=list(line.notes) or None,
        row=row,
        col=1,
    )


def _faded(colour: str) -> str:
    return f"rgba({','.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))},0.15)"


def _floats(values: Values) -> list[float]:
    return [math.nan if value is None else value for value in values]
