"""How every picture looks, in print and on the page."""

from __future__ import annotations

import json
import math
import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Printed(Generic[Item]):
    """A printed figure of many parts (maps, panels): all on one sheet, or on several of a page."""

    draw: Callable[[Sequence[Item], float], Figure]
    items: Sequence[Item]

    def __call__(self, width: float) -> Figure:
        """Return all parts in one figure of this width in inches."""
        return self.draw(self.items, width)

    def sheets(self, width: float, tallest: float) -> tuple[Printed[Item], ...]:
        """Return the fewest figures of about equally many parts that are no taller, in inches."""
        for count in range(1, len(self.items) + 1):
            size = math.ceil(len(self.items) / count)
            places = range(0, len(self.items), size)
            found = tuple(Printed(self.draw, self.items[i : i + size]) for i in places)
            if all(sheet(width).get_figheight() <= tallest for sheet in found):
                break
        return found


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: `name` is its file's name, `description` says in words what it shows.

    `draw` makes the printed figure, by matplotlib, for a width in inches; `page_figure` is a Plotly
    figure as JSON values, None where the page shows the printed one; `caption` is one sentence for
    a paper.
    """

    name: str
    title: str
    description: str
    draw: Callable[[float], Figure]
    page_figure: dict[str, Any] | None = None
    caption: str = ""

    @property
    def print_figure(self) -> Figure:
        """The printed figure at the report's width, drawn anew."""
        return self.draw(PRINT_WIDTH)


PRINT_WIDTH = 5.5  # inches: the width of the report's pictures
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
    "pdf.fonttype": 42,  # letters as letters (TrueType), as publishers ask
    "text.parse_math": False,  # a label may hold any number of dollar signs
    "svg.hashsalt": "r2d_ray",  # else the marks of an SVG are named at random
    "savefig.dpi": 200,
}
"""Settings of matplotlib for printed pictures."""


def print_figure(height: float, width: float) -> Figure:
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


def broken(name: str, letters: int = LONG_NAME) -> str:
    """Return a printed name on several lines if it is long."""
    return "\n".join(textwrap.wrap(drawable(name), letters)) or name


def drawable(text: str) -> str:
    """Return a text in letters that the print font has; others (emoji, say) by their names."""
    has = _letters()
    return "".join(c if c in " \n" or ord(c) in has else _named(c) for c in text)


def _named(char: str) -> str:
    name = unicodedata.name(char, "IDEOGRAPH")
    return f"(U+{ord(char):04X})" if "IDEOGRAPH" in name else f"({name.lower()})"


@cache
def _letters() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(PRINT["font.family"])).get_charmap())
