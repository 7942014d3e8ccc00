"""Panels of lines, drawn twice from the same values: matplotlib for print, Plotly for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.pictures.style import (
    GREY,
    PAGE_DASHES,
    PRINT,
    PRINT_DASHES,
    Style,
    page_json,
    print_figure,
    wrapped,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Values = Sequence[float | None]
PANEL_PIXELS, SQUARE_PIXELS = 270, 350
BETWEEN_PIXELS = 92  # panels: the title of an axis, and that of the next panel
LEGEND_PIXELS = 22
LINE_LENGTH = 90  # characters of a printed legend's line
LOG_TICKS = [float(f"{digit}e{power}") for power in range(-6, 5) for digit in (1, 2, 5)]
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
) -> tuple[Figure, dict[str, Any]]:
    """Return the printed figure, with so many columns, and the page's, one panel below another.

    Args:
        panels: What is printed.
        columns: Panels side by side in print.
        page: What the page shows where a reader's own choice of lines does better than panels.
    """
    return _print(panels, columns), _page(page or panels)


def _labels(panels: Sequence[Panel]) -> list[str]:
    return list(dict.fromkeys(line.label for panel in panels for line in panel.lines))


def _legend(panels: Sequence[Panel]) -> list[str]:
    """Return what a legend must name: nothing where titles do, or where there is one line."""
    labels = _labels(panels)
    told = all([line.label for line in panel.lines] == [panel.title] for panel in panels)
    return labels if len(labels) > 1 and not told else []


def _print(panels: Sequence[Panel], columns: int) -> Figure:
    from matplotlib import rc_context

    rows = math.ceil(len(panels) / columns)
    labels = _legend(panels)
    across = max(1, min(3, LINE_LENGTH // (8 + max(map(len, labels), default=0))))
    height = (2.3 if columns == 1 else 2.1) * rows + 0.17 * math.ceil(len(labels) / across) + 0.2
    with rc_context(PRINT):
        figure = print_figure(height)
        grid = figure.subplots(rows, columns, squeeze=False)
        handles: dict[str, Any] = {}
        for place, axes in enumerate(grid.flat):
            if place >= len(panels):
                axes.remove()
                continue
            handles |= _print_panel(axes, panels[place])
        if labels:
            shown = [handles[label] for label in labels]
            figure.legend(shown, labels, loc="outside lower left", ncols=across, handlelength=2.6)
    return figure


def _print_panel(axes: Axes, panel: Panel) -> dict[str, Any]:
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
            marker="o" if line.mode == "markers" else None,
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
    axes.set(title=wrapped(panel.title), xlabel=panel.x_title, ylabel=panel.y_title)
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
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"


def _floats(values: Values) -> list[float]:
    return [math.nan if value is None else value for value in values]
