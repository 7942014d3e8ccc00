"""How every method looks, and where it stands: the same in every picture of every report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.groups import Group

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
    "drop_wrong_reweighted": (GREY, 2),
    "relabel": (BLUE, 1),
    "relabel_or_keep": (BLUE, 2),
}
"""Colour and dash of each method; legends and panels name methods in this order."""

PRINT_DASHES = ("-", "--", ":", "-.")
PAGE_DASHES = ("solid", "dash", "dot", "dashdot")
DEFAULTS = "defaults"
"""Stands for a search's defaults among methods; no method has this name."""

PAGE_MARKS = {
    "o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down",
    "P": "cross", "X": "x", "*": "star", "<": "triangle-left", ">": "triangle-right",
    "p": "pentagon", "h": "hexagon", "d": "diamond-tall", "8": "octagon", "H": "hexagon2",
}  # fmt: skip
"""Plotly's names of matplotlib's marks."""
MARKS = "os^DvPX*<>phd8H"
"""Marks of printed lines, one a method: they tell lines apart where there is no colour."""
SETTINGS = 1000  # places in the order for the settings of one method


@dataclass(frozen=True, slots=True)
class Style:
    """How one arm is drawn: `dash` is a place in `PRINT_DASHES` and `PAGE_DASHES`.

    `mark` is matplotlib's, of printed lines; a setting's marks after the method's own are hollow.
    `place` orders legends.
    """

    colour: str
    dash: int = 0
    width: float = 1.6
    mark: str = ""
    hollow: bool = False
    place: int = 0


def styles(methods: Mapping[str, str]) -> dict[str, Style]:
    """Return each arm's style: its method's colour; settings after the first thinner and dashed.

    Args:
        methods: The method of each arm, in the order of the study.
    """
    seen: dict[str, int] = {}
    found: dict[str, Style] = {}
    for arm, method in methods.items():
        place = seen.setdefault(method, 0)
        seen[method] += 1
        colour, dash = METHODS_SHOWN.get(method, (GREY, 2))
        known = place_of(method) if method in METHODS_SHOWN else len(found)
        found[arm] = Style(
            colour,
            (dash + place) % len(PAGE_DASHES),
            1.1 if place else 1.6,
            MARKS[(known + place) % len(MARKS)],
            bool(place),
            SETTINGS * place_of(method) + place,
        )
    return found


def looks_of(groups: Sequence[Group]) -> dict[str, Style]:
    """Return each group's style; of a search its defaults are grey, the best has the method's."""
    return styles({group.name: DEFAULTS if group.defaults else group.method for group in groups})


def place_of(method: str) -> int:
    """Return a method's place in the order of methods; unknown ones come last."""
    return list(METHODS_SHOWN).index(method) if method in METHODS_SHOWN else len(METHODS_SHOWN)
