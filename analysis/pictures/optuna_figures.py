"""Optuna's own pictures in the look of the others: matplotlib for print, Plotly for the page."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna

from analysis.pictures.style import (
    BLUE,
    FAINT,
    GREY,
    PRINT,
    PRINT_WIDTH,
    VERMILLION,
    page_json,
    print_figure,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


ROW_PIXELS = 230
COLUMNS = 3  # of small plots side by side in print
WIDE_TICKS = [float(f"{digit}e{power}") for power in range(-6, 5) for digit in (1, 3)]
SCALE = ("#a3c8e2", "#005a9c")  # one hue that stands out from light and dark pages


def history(study: optuna.Study, metric: str) -> tuple[Figure, dict[str, Any]]:
    """Return Optuna's history of a study, for print and for the page."""
    figure, (axes,) = _drawn("optimization_history", study, metric)
    axes.collections[0].set_color(BLUE)
    axes.lines[0].set(color=VERMILLION, alpha=1, label="best so far")
    _plain(figure, [axes], 2.6)
    figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=8)
    page = optuna.visualization.plot_optimization_history(study, target_name=metric)
    for trace, colour in zip(page.data, (BLUE, VERMILLION), strict=False):
        trace.update(marker={"color": colour}, line={"color": colour})
    page.data[1].update(name="best so far")
    page.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    return figure, page_json(page, 340)


def importance(study: optuna.Study, metric: str) -> tuple[Figure, dict[str, Any]]:
    """Return Optuna's importance of the fields, for print and for the page."""
    figure, (axes,) = _drawn("param_importances", study, metric)
    for bar in axes.patches:
        bar.set_color(BLUE)
        axes.grid(visible=False, axis="y")
    axes.set(xlabel="share of the differences, 0 to 1", ylabel="")
    _plain(figure, [axes], 0.7 + 0.28 * len(axes.patches))
    page = optuna.visualization.plot_param_importances(study, target_name=metric)
    page.update_traces(marker={"color": BLUE}, textposition="auto")
    page.update_layout(showlegend=False)
    page.update_xaxes(title_text="share of the differences, 0 to 1")
    page.update_yaxes(title_text="", showgrid=False)
    return figure, page_json(page, 90 + 34 * len(axes.patches))


def slices(study: optuna.Study, metric: str) -> tuple[Figure, dict[str, Any]]:
    """Return Optuna's slices, three side by side in print, one below another on the page."""
    from matplotlib.category import StrCategoryLocator
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import FixedLocator, NullLocator

    figure, panels = _drawn("slice", study, metric)
    rows = math.ceil(len(panels) / COLUMNS)
    grid = figure.add_gridspec(rows, min(COLUMNS, len(panels)))
    if bar := panels[-1].collections[0].colorbar:
        bar.remove()
    colours = LinearSegmentedColormap.from_list("trials", SCALE)
    for place, axes in enumerate(panels):
        axes.set_subplotspec(grid[divmod(place, COLUMNS)])
        axes.collections[0].set_cmap(colours)
        axes.set_ylabel(metric if place % COLUMNS == 0 else "")
        axes.tick_params(labelleft=place % COLUMNS == 0)
        if axes.get_xscale() == "log":
            axes.xaxis.set_major_locator(FixedLocator(WIDE_TICKS))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_locator(NullLocator())
        words = [label.get_text().strip("'") for label in axes.get_xticklabels()]
        if isinstance(axes.xaxis.get_major_locator(), StrCategoryLocator):
            axes.set_xticks(axes.get_xticks(), words, rotation=25, ha="right")
    _plain(figure, panels, 1.9 * rows)
    page = optuna.visualization.plot_slice(study, target_name=metric)
    _stack(page, len(panels), metric)
    return figure, page_json(page, ROW_PIXELS * len(panels))


def parallel(study: optuna.Study, metric: str) -> tuple[Figure, dict[str, Any]]:
    """Return Optuna's parallel coordinates, its axes lying, for print and for the page.

    Lying axes have room for their names and ticks on paper and on a phone; Optuna's matplotlib
    writes them over one another, so the printed figure is drawn from its Plotly one.
    """
    page = optuna.visualization.plot_parallel_coordinate(study, target_name=metric)
    names = [metric, *sorted({name for trial in study.trials for name in trial.params})]
    ticks = _apart([(a.y, a.x, a.text) for a in page.layout.annotations])
    lines = [trace for trace in page.data if trace.mode == "lines"]
    for trace in lines:
        better = trace.y[0] if study.direction == study.direction.MAXIMIZE else 1 - trace.y[0]
        colour = _mixed(better)
        trace.update(x=trace.y, y=trace.x, opacity=0.9, line={"color": colour, "width": 1.6})
    page.data = lines  # Optuna's last trace is a scale of colours
    end = len(names) - 0.7
    page.layout.shapes = [
        {"type": "line", "x0": 0, "x1": 1, "y0": i, "y1": i, "line": {"color": FAINT, "width": 1}}
        for i in range(len(names))
    ]
    page.layout.annotations = [
        *(
            {"x": x, "y": y, "text": text, "yshift": -9, "font": {"size": 10}}
            for x, y, text in ticks
        ),
        *(
            {"x": 0, "y": i, "text": f"<b>{name}</b>", "xanchor": "left", "yshift": 10}
            for i, name in enumerate(names)
        ),
    ]
    page.update_annotations(showarrow=False)
    page.update_layout(showlegend=False, hovermode="closest")
    page.update_xaxes(range=(-0.06, 1.06), visible=False, tickmode="auto")
    page.update_yaxes(range=(end, -0.5), visible=False)
    return _print_parallel(lines, names, ticks), page_json(page, 62 * len(names))


Tick = tuple[float, int, str]
"""Place on an axis from 0 to 1, the axis' number, and what stands there."""


def _apart(ticks: list[Tick]) -> list[Tick]:
    """Return the ticks without those that would be written over the one before, or the last."""
    kept: list[Tick] = []
    for tick in sorted(ticks, key=lambda tick: (tick[1], tick[0])):
        same = bool(kept) and kept[-1][1] == tick[1]
        if same and tick[0] - kept[-1][0] < 0.12:
            if tick[0] == 1:  # an end says more than what lies before it
                kept[-1] = tick
            continue
        kept.append(tick)
    return kept


def _mixed(share: float) -> str:
    ends = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in SCALE]
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(*ends, strict=True))


def _print_parallel(lines: list[Any], names: list[str], ticks: list[Tick]) -> Figure:
    from matplotlib import rc_context

    with rc_context(PRINT):
        figure = print_figure(0.45 * len(names))
        axes = figure.subplots()
        axes.hlines(range(len(names)), 0, 1, color=GREY, linewidth=0.6)
        for line in lines:
            axes.plot(line.x, line.y, color=line.line.color, linewidth=1.2)
        for x, y, text in ticks:
            axes.annotate(
                text, (x, y), (0, -3), textcoords="offset points", ha="center", va="top",
                fontsize=7, color="#505050", bbox={"fc": "white", "ec": "none", "pad": 0.4},
            )  # fmt: skip
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.6, -0.3)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
    return figure


def _drawn(kind: str, study: optuna.Study, metric: str) -> tuple[Figure, list[Axes]]:
    """Return Optuna's matplotlib picture and its panels, unknown to pyplot."""
    import matplotlib as mpl
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as drawn

    with mpl.rc_context(), warnings.catch_warnings():  # it sets a style of its own, for good
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Attempting to set identical")  # one trial
        found = list(np.ravel(getattr(drawn, f"plot_{kind}")(study, target_name=metric)))
        figure: Figure = found[0].figure
        pyplot.close(figure)  # it stays drawable, pyplot only forgets it
    return figure, found


def _plain(figure: Figure, panels: list[Axes], height: float) -> None:
    """Give Optuna's printed figure the look of the others."""
    figure.suptitle("")
    figure.set_facecolor("white")
    figure.set_size_inches(PRINT_WIDTH, height)
    figure.set_layout_engine("constrained")
    for axes in panels:
        if legend := axes.get_legend():
            legend.remove()
        for place in ("left", "center", "right"):
            axes.set_title("", loc=place)
        axes.set_facecolor("white")
        axes.tick_params(which="both", labelsize=8, colors="black")
        axes.grid(color=PRINT["grid.color"], linewidth=0.6)
        axes.spines[:].set(visible=True, color=PRINT["axes.edgecolor"], linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set(fontsize=9, color="black")


def _stack(page: go.Figure, count: int, metric: str) -> None:
    """Put the plots of a row one below another, each as wide as the page."""
    for place in range(count):
        top = 1 - place / count
        bottom = top - (1 - 64 / ROW_PIXELS) / count
        suffix = str(place + 1) if place else ""
        axis = {"domain": [bottom, top], "showticklabels": True, "title": {"text": metric}}
        page.layout[f"xaxis{suffix}"].update(domain=[0, 1], categoryarray=None)
        if page.layout[f"xaxis{suffix}"].type == "log":
            words = [f"{value:g}" for value in WIDE_TICKS]
            page.layout[f"xaxis{suffix}"].update(tickvals=WIDE_TICKS, ticktext=words)
        page.layout[f"yaxis{suffix}"].update(matches=None, **axis)
    for trace in page.data:  # Optuna writes a word as Python does, with its quotes
        trace.x = [x.strip("'") if isinstance(x, str) else x for x in trace.x]
    page.update_traces(marker={"colorscale": [[0, SCALE[0]], [1, SCALE[1]]], "showscale": False})
