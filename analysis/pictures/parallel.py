"""Parallel coordinates of a search, from Optuna's, with axes that lie."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import optuna

from analysis import names
from analysis.pictures.looks import GREY
from analysis.pictures.optuna_figures import SCALE, Drawn
from analysis.pictures.style import FAINT, PRINT, broken, page_json, print_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


PAGE_LETTERS = 16  # of an axis' name on a line of the page: a phone has room for the axes
TICK_INCHES = 0.66  # from one tick's words to the next


def parallel(study: optuna.Study, metric: str) -> Drawn:
    """Return Optuna's parallel coordinates, its axes lying, for print and for the page.

    Lying axes have room for their names and ticks on paper and on a phone; Optuna's matplotlib
    writes them over one another, so the printed figure is drawn from its Plotly one.
    """
    page = optuna.visualization.plot_parallel_coordinate(study, target_name=metric)
    fields = [metric, *sorted({name for trial in study.trials for name in trial.params})]
    every = [(a.y, a.x, a.text) for a in page.layout.annotations]
    ticks = _apart(every, 0.12)
    lines = [trace for trace in page.data if trace.mode == "lines"]
    for trace in lines:
        better = trace.y[0] if study.direction == study.direction.MAXIMIZE else 1 - trace.y[0]
        colour = _mixed(better)
        trace.update(x=trace.y, y=trace.x, opacity=0.9, line={"color": colour, "width": 1.6})
    page.data = lines  # Optuna's last trace is a scale of colours
    words = [names.metric(fields[0]), *(names.field(field) for field in fields[1:])]
    end = len(fields) - 0.7
    page.layout.shapes = [
        {"type": "line", "x0": 0, "x1": 1, "y0": i, "y1": i, "line": {"color": FAINT, "width": 1}}
        for i in range(len(fields))
    ]
    page.layout.annotations = [
        {"x": x, "y": y, "text": text, "yshift": -9, "font": {"size": 10}} for x, y, text in ticks
    ]
    page.update_annotations(showarrow=False)
    page.update_layout(showlegend=False, hovermode="closest")
    page.update_xaxes(range=(-0.06, 1.06), visible=False, tickmode="auto")
    page.update_yaxes(  # names stand beside the axes: above them lines would cross them
        range=(end, -0.5), visible=True, automargin=True, showgrid=False, zeroline=False, ticks="",
        title=None, tickmode="array", tickvals=list(range(len(fields))), tickfont={"size": 11},
        ticktext=[broken(name, PAGE_LETTERS).replace("\n", "<br>") for name in words],
    )  # fmt: skip
    return partial(_print_parallel, lines, words, every), page_json(page, 62 * len(fields))


Tick = tuple[float, int, str]
"""Place on an axis from 0 to 1, the axis' number, and what stands there."""


def _apart(ticks: Sequence[Tick], gap: float) -> list[Tick]:
    """Return the ticks without those that would be written over the one before, or the last."""
    kept: list[Tick] = []
    for tick in sorted(ticks, key=lambda tick: (tick[1], tick[0])):
        same = bool(kept) and kept[-1][1] == tick[1]
        if same and tick[0] - kept[-1][0] < gap:
            if tick[0] == 1:  # an end says more than what lies before it
                kept[-1] = tick
            continue
        kept.append(tick)
    return kept


def _mixed(share: float) -> str:
    ends = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in SCALE]
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(*ends, strict=True))


def _print_parallel(
    lines: Sequence[Any], words: Sequence[str], ticks: Sequence[Tick], width: float
) -> Figure:
    from matplotlib import rc_context

    ticks = _apart(ticks, TICK_INCHES / (0.7 * width))
    with rc_context(PRINT):
        figure = print_figure(0.45 * len(words), width)
        axes = figure.subplots()
        axes.hlines(range(len(words)), 0, 1, color=GREY, linewidth=0.6)
        for line in lines:
            axes.plot(line.x, line.y, color=line.line.color, linewidth=1.2)
        for x, y, text in ticks:
            axes.annotate(
                text.replace("_", " "), (x, y), (0, -3), textcoords="offset points", ha="center",
                va="top", fontsize=8, color="#505050",
                bbox={"fc": "white", "ec": "none", "pad": 0.4},
            )  # fmt: skip
        letters = max(16, int(4.5 * width))
        axes.set_yticks(range(len(words)), [broken(word, letters) for word in words])
        axes.set_ylim(len(words) - 0.6, -0.3)
        axes.set_xticks([])
        axes.tick_params(length=0, pad=24)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
    return figure
