"""Pictures of a paper: every one as PDF and SVG, as wide as a column and as the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.paper.letters import tex
from analysis.pictures.style import PRINT, Picture, Printed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


WIDTHS = {"single": 3.3, "double": 7.0}
"""Inches of a picture in one of two columns, and across the page."""

TALLEST = 8.8  # inches that leave room for a caption on an A4 page with margins of 2 cm


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture, or a part of one that is taller than a page: its file's name and its caption.

    `across` says that even in a column it must span the page, as it would be too tall there.
    """

    name: str
    caption: str
    draw: Callable[[float], Figure]
    across: bool


def picture_sheets(pictures: Sequence[Picture]) -> list[Sheet]:
    """Return every picture in as many parts as pages are needed."""
    found = []
    for picture in pictures:
        draw, caption = picture.draw, picture.caption or picture.title
        parts: Sequence[Callable[[float], Figure]] = (
            draw.sheets(WIDTHS["double"], TALLEST) if isinstance(draw, Printed) else [draw]
        )
        for place, part in enumerate(parts, start=1):
            told = f" (part {place} of {len(parts)})" if len(parts) > 1 else ""
            name = picture.name if place == 1 else f"{picture.name}-{place}"
            across = part(WIDTHS["single"]).get_figheight() > TALLEST
            found.append(Sheet(name, caption + told, part, across))
    return found


def write_pictures(sheets: Sequence[Sheet], folder: Path) -> None:
    """Write `NAME-single` and `NAME-double`, `.pdf` and `.svg`, with the same bytes each time."""
    from matplotlib import rc_context

    folder.mkdir()
    for sheet in sheets:
        for size, inches in WIDTHS.items():
            figure = sheet.draw(inches)
            with rc_context(PRINT):
                for ending, undated in (("pdf", "CreationDate"), ("svg", "Date")):
                    figure.savefig(
                        folder / f"{sheet.name}-{size}.{ending}",
                        metadata={undated: None, "Creator": None},
                    )


def figures(sheets: Sequence[Sheet]) -> str:
    """Return the LaTeX that shows every picture; its macro `rdsize` says how wide they are."""
    return "\n".join(_figure(sheet) for sheet in sheets)


def _figure(sheet: Sheet) -> str:
    kind, place, size = (
        ("figure*", "[!tbp]", "double") if sheet.across else ("figure", "[!htbp]", r"\rdsize")
    )
    lines = [
        rf"\begin{{{kind}}}{place}",
        r"\centering",
        rf"\includegraphics[width=\linewidth]{{pictures/{sheet.name}-{size}}}",
        rf"\caption{{{tex(sheet.caption)}.}}",
        rf"\label{{fig:{sheet.name}}}",
        rf"\end{{{kind}}}",
    ]
    return "\n".join(lines) + "\n"
