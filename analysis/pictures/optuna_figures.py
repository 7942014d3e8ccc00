"""Optuna's own plots in the look of the others: matplotlib for print, Plotly for the page."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna

from analysis import names
from analysis.pictures.looks import BLUE, VERMILLION
from analysis.pictures.style import PRINT, broken, page_json

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Drawn = tuple[Callable[[float], "Figure"], dict[str, Any]]
"""What prints a picture in a width of inches, and the page's figure."""

ROW_PIXELS = 230
NARROWEST = 1.6  # inches of a small plot beside others in print
WIDE_TICKS = [float(f"{digit}e{power}") for power in range(-6, 5) for digit in (1, 3)]
SCALE = ("#a3c8e2", "#005a9c")  # one hue that stands out from light and dark pages


def history(study: optuna.Study, metric: str) -> Drawn:
    """Return Optuna's history of a study, for print and for the page."""
    page = optuna.visualization.plot_optimization_history(study, target_name=metric)
    for trace, colour in zip(page.data, (BLUE, VERMILLION), strict=False):
        trace.update(marker={"color": colour}, line={"color": colour})
    page.data[1].update(name="best so far", line={"shape": "hv"})
    page.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    return partial(_print_history, study, metric), page_json(page, 340)


def _print_history(study: optuna.Study, metric: str, width: float) -> Figure:
    figure, (axes,) = _drawn("optimization_history", study, metric)
    axes.collections[0].set(color=BLUE, label="finished trial")
    axes.lines[0].set(color=VERMILLION, alpha=1, label="best so far", drawstyle="steps-post")
    axes.set(xlabel="trial", ylabel=f"validation {names.metric(metric)}")
    _plain(figure, [axes], 2.6, width)
    figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=8)
    return figure


def importance(study: optuna.Study, metric: str) -> Drawn:
    """Return Optuna's importance of the fields, for print and for the page."""
    page = optuna.visualization.plot_param_importances(study, target_name=metric)
    page.update_traces(marker={"color": BLUE}, textposition="auto")
    page.update_layout(showlegend=False)
    page.update_xaxes(title_text="share of the differences, 0 to 1")
    page.update_yaxes(title_text="", showgrid=False)
    bars = len({name for trial in study.trials for name in trial.params})
    return partial(_print_importance, study, metric), page_json(page, 90 + 34 * bars)


def _print_importance(study: optuna.Study, metric: str, width: float) -> Figure:
    figure, (axes,) = _drawn("param_importances", study, metric)
    for bar in axes.patches:
        bar.set_color(BLUE)
    for text in axes.texts:
        text.set(text=f" {text.get_text()}", fontsize=8)
    axes.grid(visible=False, axis="y")
    axes.set(xlabel="share of the differences, 0 to 1", ylabel="")
    fields = [broken(names.field(label.get_text())) for label in axes.get_yticklabels()]
    axes.set_yticks(axes.get_yticks(), fields)
    _plain(figure, [axes], 0.7 + 0.32 * len(axes.patches), width)
    return figure


def slices(study: optuna.Study, metric: str) -> Drawn:
    """Return Optuna's slices, side by side in print, one below another on the page."""
    page = optuna.visualization.plot_slice(study, target_name=metric)
    panels = len({name for trial in study.trials for name in trial.params})
    _stack(page, panels, metric)
    return partial(_print_slices, study, metric), page_json(page, ROW_PIXELS * panels)


def _print_slices(study: optuna.Study, metric: str, width: float) -> Figure:
    from matplotlib.category import StrCategoryLocator
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import FixedLocator, NullLocator

    figure, panels = _drawn("slice", study, metric)
    columns = max(1, min(len(panels), int(width // NARROWEST)))
    rows = math.ceil(len(panels) / columns)
    grid = figure.add_gridspec(rows, columns)
    if bar := panels[-1].collections[0].colorbar:
        bar.remove()
    colours = LinearSegmentedColormap.from_list("trials", SCALE)
    for place, axes in enumerate(panels):
        axes.set_subplotspec(grid[divmod(place, columns)])
        axes.collections[0].set_cmap(colours)
        axes.set_xlabel(broken(names.field(axes.get_xlabel()), 22))
        axes.set_ylabel(names.metric(metric) if place % columns == 0 else "")
        axes.tick_params(labelleft=place % columns == 0)
        if axes.get_xscale() == "log":
            axes.xaxis.set_major_locator(FixedLocator(WIDE_TICKS))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_locator(NullLocator())
        words = [label.get_text().strip("'") for label in axes.get_xticklabels()]
        if isinstance(axes.xaxis.get_major_locator(), StrCategoryLocator):
            words = [word.replace("_", " ") for word in words]
            axes.set_xticks(axes.get_xticks(), words, rotation=25, ha="right")
    _plain(figure, panels, 1.9 * rows, width)
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


def _plain(figure: Figure, panels: list[Axes], height: float, width: float) -> None:
    """Give Optuna's printed figure the look of the others."""
    figure.suptitle("")
    figure.set_facecolor("white")
    figure.set_size_inches(width, height)
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
