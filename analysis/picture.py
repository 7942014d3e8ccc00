"""Picture: what a report's pictures are, for print (SVG, PNG) and for the page (interactive)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: `name` is its file's name, `description` says in words what it shows.

    `print_figure` is drawn by matplotlib; `page_figure` is a Plotly figure as JSON values, None
    where the page shows the printed one.
    """

    name: str
    title: str
    description: str
    print_figure: Figure
    page_figure: dict[str, Any] | None = None
