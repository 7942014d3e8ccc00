"""Panels of lines as the page shows them, by Plotly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from analysis.pictures.looks import GREY, PAGE_DASHES, PAGE_MARKS
from analysis.pictures.panels import Line, Panel, aside, legend_of, marked
from analysis.pictures.style import page_json

if TYPE_CHECKING:
    import plotly.graph_objects as go


PANEL_PIXELS, SQUARE_PIXELS = 270, 350
BETWEEN_PIXELS = 92  # panels: the title of an axis, and that of the next panel
LEGEND_PIXELS = 22


def page_panels(panels: Sequence[Panel]) -> dict[str, Any]:
    """Return the page's figure, its panels one below another."""
    from plotly.subplots import make_subplots

    labels = legend_of(panels)
    legend = LEGEND_PIXELS * math.ceil(len(labels) / 2)
    height = sum(SQUARE_PIXELS if p.equal else PANEL_PIXELS for p in panels) + legend
    figure = make_subplots(
        rows=len(panels), cols=1, vertical_spacing=min(0.9 / len(panels), BETWEEN_PIXELS / height)
    )
    unnamed = set(labels)
    for row, panel in enumerate(panels, start=1):
        for place, line in enumerate(panel.lines):
            _page_range(figure, line, row, aside(panel, place))
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
            ticks = panel.ticks()
            figure.update_yaxes(tickvals=ticks, ticktext=[f"{t:g}" for t in ticks], row=row, col=1)
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
        return panel.y_words
    said = panel.y_words in panel.title.lower()
    return f"<b>{panel.title}</b>" if said else f"<b>{panel.title}</b>, {panel.y_words}"


def _page_range(figure: go.Figure, line: Line, row: int, shift: float) -> None:
    """Draw the range at a few places of a line, a little beside it so that none covers another."""
    if not line.low:
        return
    x, y = [], []
    for i in marked(line):
        x += [line.x[i] + shift, line.x[i] + shift, None]
        y += [line.low[i], line.high[i], None]
    figure.add_scatter(
        x=x, y=y, mode="lines", line={"color": line.style.colour, "width": 1.5},
        hoverinfo="skip", showlegend=False, legendgroup=line.label, name=f"{line.label}, range",
        row=row, col=1,
    )  # fmt: skip


def _page_line(figure: go.Figure, line: Line, row: int, named: bool) -> None:
    look = line.style
    dash, width = PAGE_DASHES[look.dash], look.width * 1.3
    dots = line.mode == "markers"
    symbol = PAGE_MARKS.get(look.mark, "circle") if dots else "circle"
    figure.add_scatter(
        x=list(line.x),
        y=list(line.y),
        mode="lines+markers" if line.sizes or line.low else line.mode,
        name=line.label,
        legendgroup=line.label,
        showlegend=named,
        line={
            "color": look.colour,
            "dash": dash,
            "width": width,
            "shape": "hv" if line.steps else "linear",
        },
        marker={
            "color": look.colour,
            "size": list(line.sizes) or (7 * max(1.0, look.width / 1.6) if dots else 7),
            "symbol": symbol,
        },
        text=list(line.notes) or None,
        row=row,
        col=1,
    )
