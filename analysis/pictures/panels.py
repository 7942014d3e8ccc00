"""Panels of lines: their values, what their legend names, and the ticks of their axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.pictures.looks import PRINT_DASHES, Style

Values = Sequence[float | None]
MARKED = 7  # marks of a line, about
ASIDE = 0.009  # of a panel's width: from the range of a line to that of the next
LOG_FROM = 3.0  # times the least value: below, a logarithmic scale looks like a linear one
LOG_DIGITS = ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5), (1, 1.5, 2, 3, 4, 5, 6, 8))
LOG_TICKS = 4
NEAR = 0.02  # of a panel's height: two lines that are no farther apart look like one


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its range from `low` to `high` (empty: none); the page shows its `notes`.

    `mode` is Plotly's: `lines`, `markers` or both; `sizes` are diameters of markers in points;
    `steps` keeps a value until the next one, instead of a slope between them.
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
    steps: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines on common axes; `equal` draws the line x = y, on which both axes agree.

    `log` takes logarithms of y, where all values have one and lie far enough apart.
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
        values = self._values()
        whole = bool(values) and min(values) > 0
        return "log" if self.log and whole and max(values) >= LOG_FROM * min(values) else "linear"

    @property
    def y_words(self) -> str:
        """What y is, with its scale where that is not the usual one."""
        return f"{self.y_title}, log scale" if self.scale == "log" else self.y_title

    def ticks(self) -> list[float]:
        """Return the ticks of a logarithmic scale: the coarsest that are at least four."""
        low, high = min(self._values()), max(self._values())
        found: list[float] = []
        for digits in LOG_DIGITS:
            powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            every = [float(f"{digit}e{power}") for power in powers for digit in digits]
            found = [tick for tick in every if 0.95 * low <= tick <= 1.05 * high]
            if len(found) >= LOG_TICKS:
                break
        return found

    def _values(self) -> list[float]:
        values = [v for line in self.lines for v in (*line.y, *line.low, *line.high)]
        return [value for value in values if value is not None]


def legend_of(panels: Sequence[Panel]) -> list[str]:
    """Return what a legend must name: nothing where titles do, or where there is one line."""
    places: dict[str, int] = {}
    for line in (line for panel in panels for line in panel.lines):
        places[line.label] = min(line.style.place, places.get(line.label, line.style.place))
    labels = sorted(places, key=lambda label: places[label])
    told = all([line.label for line in panel.lines] == [panel.title] for panel in panels)
    return labels if len(labels) > 1 and not told else []


def apart(panels: Sequence[Panel]) -> list[Panel]:
    """Return the panels with lines that lie on one another told apart: wide below, dashed on top.

    A line has the same look in all panels. Lines that share a label, as a search's trials do, are
    of one kind: of thousands not all pairs are looked at.
    """
    if any(len({line.label for line in panel.lines}) < len(panel.lines) for panel in panels):
        return list(panels)
    above: dict[str, int] = {}
    for panel in panels:
        for place, line in enumerate(panel.lines):
            below = [one for one in panel.lines[:place] if one.label != line.label]
            hidden = [above.get(one.label, 0) + 1 for one in below if _covered(one, line, panel)]
            above[line.label] = max([above.get(line.label, 0), *hidden])
    deepest = max(above.values(), default=0)

    def told(line: Line) -> Line:
        level = above[line.label]
        wide = line.style.width + (1.6 * (deepest - level) if _meets(line, panels) else 0)
        dash = (line.style.dash + level) % len(PRINT_DASHES)
        return replace(line, style=replace(line.style, width=wide, dash=dash))

    return [replace(panel, lines=tuple(map(told, panel.lines))) for panel in panels]


def _meets(line: Line, panels: Sequence[Panel]) -> bool:
    return any(
        one.label != line.label
        and line.label in {x.label for x in panel.lines}
        and any(_covered(one, x, panel) for x in panel.lines if x.label == line.label)
        for panel in panels
        for one in panel.lines
    )


def _covered(one: Line, other: Line, panel: Panel) -> bool:
    """Return whether two lines can hardly be told apart at half of the places they share."""
    if "lines" not in one.mode or "lines" not in other.mode or one.sizes:
        return False
    values = [v for line in panel.lines for v in line.y if v is not None]
    near = NEAR * (max(values) - min(values))
    known = dict(zip(one.x, one.y, strict=True))
    gaps = [
        abs(y - there)
        for x, y in zip(other.x, other.y, strict=True)
        if y is not None and (there := known.get(x)) is not None
    ]
    return len(gaps) > 1 and 2 * sum(gap <= near for gap in gaps) >= len(gaps)


def marked(line: Line) -> list[int]:
    """Return the places of a line that bear a mark and its range: a few, the last among them."""
    count = len(line.x)
    step = max(1, math.ceil(count / MARKED))
    return sorted({count - 1 - i for i in range(0, count, step)})


def aside(panel: Panel, place: int) -> float:
    """Return how far beside its place in x a line's range is drawn, in units of x."""
    if not panel.lines[place].low:
        return 0.0
    ends = [x for line in panel.lines for x in line.x]
    return ASIDE * (max(ends) - min(ends)) * (place - (len(panel.lines) - 1) / 2)
