"""The forest plot: each method's difference from the reference with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from analysis import names
from analysis.groups import Group, paired, runs_of
from analysis.pictures.looks import GREY, Style, looks_of
from analysis.pictures.style import (
    PRINT,
    Picture,
    Printed,
    broken,
    listed,
    number,
    page_json,
    print_figure,
    wrapped,
)
from analysis.stats.significance import REFERENCE
from r2d_ray.storage import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


METRICS = {
    "macro_f1": ("Macro-F1", 100.0),
    "bleu": ("BLEU", 1.0),
    "bertscore": ("BERTScore", 100.0),
    "reader_consistency": ("Rationale supports the prediction", 100.0),
}
"""What is compared: its heading, and the factor that makes points of 100."""


@dataclass(frozen=True, slots=True)
class Row:
    """One difference in points, with its interval, style and number of seeds."""

    name: str
    estimate: float
    low: float
    high: float
    style: Style
    seeds: int

    @property
    def words(self) -> str:
        """The difference as it stands beside its mark."""
        sign = "+" if self.estimate > 0 else ""
        low, high = number(self.low, 1), number(self.high, 1)
        return f"{sign}{number(self.estimate, 1)} [{low}, {high}]"


def forest_pictures(groups: Sequence[Group]) -> list[Picture | str]:
    """Return the picture of differences from the reference, or why it is left out."""
    looks = looks_of(groups)
    panels: dict[str, tuple[Row, ...]] = {}
    for metric, (title, factor) in METRICS.items():
        if rows := _rows(groups, metric, factor, looks):
            panels[title] = rows
    if not panels:
        return [
            f"differences: no finished arm shares a seed and test rows with {REFERENCE} "
            "(or all test rows are in one group)"
        ]
    shown = {row.name for rows in panels.values() for row in rows}
    missing = [g.name for g in groups if g.name not in shown and not _is_reference(g)]
    return [forest(panels, REFERENCE, missing)]


def forest(
    panels: Mapping[str, tuple[Row, ...]], reference: str, missing: Sequence[str]
) -> Picture:
    """Return the picture of these differences from a reference.

    Args:
        panels: The rows of each score, none of them empty.
        reference: The name of what is subtracted.
        missing: What has no row, for lack of a common seed or of rows.
    """
    words = [
        f"Differences from {reference} on test in points of 100, with 95 % intervals over seeds "
        "and groups of test rows (groups alone where there is one seed); above 0 is better than "
        f"{reference}"
    ]
    words += [
        f"{title}: "
        + listed([f"{row.name} {row.words} ({counted(row.seeds, 'seed')})" for row in rows])
        for title, rows in panels.items()
    ]
    if missing:
        words.append(f"Not compared, for lack of a common seed or of rows: {', '.join(missing)}")
    return Picture(
        "differences",
        f"Differences from {reference}",
        ". ".join(words) + ".",
        Printed(partial(_print, reference), list(panels.items())),
        _page(panels, reference),
    )


def _is_reference(group: Group) -> bool:
    return group.method == REFERENCE and not group.setting


def _rows(
    groups: Sequence[Group], metric: str, factor: float, looks: dict[str, Style]
) -> tuple[Row, ...]:
    """Return each group's difference from the reference trained on the same rationales."""
    references = {group.source: group for group in groups if _is_reference(group)}
    rows = []
    for group in groups:
        reference = references.get(group.source)
        if reference is None or group is reference:
            continue
        found = paired(group, reference, metric)
        if found is None:
            continue
        seeds = len(runs_of(group, metric).keys() & runs_of(reference, metric).keys())
        estimate, low, high = (factor * x for x in (found.estimate, found.low, found.high))
        rows.append(Row(group.name, estimate, low, high, looks[group.name], seeds))
    return tuple(rows)


def _print(reference: str, panels: Sequence[tuple[str, tuple[Row, ...]]], width: float) -> Figure:
    from matplotlib import rc_context

    letters = max(12, int(4 * width))
    tall = max(_told(row, letters).count("\n") for _, rows in panels for row in rows)
    heights = [len(rows) * (1 + 0.6 * tall) + 1.6 for _, rows in panels]
    with rc_context(PRINT):
        figure = print_figure(0.21 * sum(heights) + 0.3, width)
        grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
        for axes, (title, rows) in zip(grid.flat, panels, strict=True):
            _print_rows(axes, title, rows, letters)
        grid.flat[-1].set_xlabel(f"points above {names.run(reference)}")
    return figure


def _told(row: Row, letters: int) -> str:
    return broken(names.run(row.name), letters)


def _print_rows(axes: Axes, title: str, rows: Sequence[Row], letters: int) -> None:
    axes.axvline(0, color=GREY, linewidth=0.8)
    for place, row in enumerate(rows):
        axes.plot([row.low, row.high], [place, place], color=row.style.colour, linewidth=1.6)
        axes.plot(row.estimate, place, "o", color=row.style.colour, label=row.name)
        axes.text(
            1.02, place, row.words, transform=axes.get_yaxis_transform(), va="center", fontsize=8
        )
    axes.set_yticks(range(len(rows)), [_told(row, letters) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_title(broken(title, 2 * letters))
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _page(panels: Mapping[str, tuple[Row, ...]], reference: str) -> dict[str, Any]:
    from plotly.subplots import make_subplots

    counts = [len(rows) for rows in panels.values()]
    arms = {row.name for rows in panels.values() for row in rows}
    lines = {arm: wrapped(arm).replace("\n", "<br>") for arm in arms}
    tall = max(line.count("<br>") for line in lines.values())
    height = (36 + 8 * tall) * sum(counts) + 76 * len(panels)
    figure = make_subplots(
        rows=len(panels), cols=1, row_heights=counts,
        vertical_spacing=min(0.9 / len(panels), 70 / height),
    )  # fmt: skip
    for place, (title, rows) in enumerate(panels.items(), start=1):
        for row in rows:
            figure.add_scatter(
                x=[row.estimate], y=[lines[row.name]], name=row.name,
                mode="markers", showlegend=False,
                marker={"color": row.style.colour, "size": 9},
                error_x={
                    "array": [row.high - row.estimate],
                    "arrayminus": [row.estimate - row.low],
                    "color": row.style.colour,
                },
                hovertemplate=f"{row.words}, {counted(row.seeds, 'seed')}<extra>{row.name}</extra>",
                row=place, col=1,
            )  # fmt: skip
            figure.add_annotation(
                x=row.estimate, y=lines[row.name], text=row.words, showarrow=False, yshift=13,
                font={"size": 10}, row=place, col=1,
            )  # fmt: skip
        figure.add_vline(x=0, line={"color": GREY, "width": 1}, row=place, col=1)
        figure.update_yaxes(type="category", autorange="reversed", row=place, col=1)
        figure.add_annotation(
            text=f"<b>{title}</b>", x=0, xref="paper", xanchor="left", yanchor="bottom",
            y=figure.get_subplot(place, 1).yaxis.domain[1], yref="paper", showarrow=False,
        )  # fmt: skip
    figure.update_xaxes(title_text=f"points above {reference}", row=len(panels), col=1)
    return page_json(figure, height)
