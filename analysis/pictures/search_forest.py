"""The forest plot of a search: its best model and its controls against its defaults."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.groups import Group, labels_of, paired, runs_of
from analysis.pictures.forest import METRICS, Row, forest
from analysis.pictures.looks import GREY, Style, looks_of
from analysis.pictures.style import Picture
from analysis.runs import Run, runs_in
from analysis.stats.intervals import Difference, paired_bootstrap
from analysis.stats.row_sums import row_statistics
from r2d_ray.errors import UserError


def search_forest(groups: Sequence[Group]) -> Picture | str:
    """Return what a search's runs differ by from its defaults, or why it is left out.

    Where the defaults are the best they are what the controls are compared with.

    Raises:
        UserError: for a control that answered other rows than the models.
    """
    reference = next((group for group in groups if group.defaults), groups[0])
    looks = looks_of(groups)
    controls = [run for run in runs_in(reference.study) if run.kind == "control"]
    panels: dict[str, tuple[Row, ...]] = {}
    for metric, (title, factor) in METRICS.items():
        found = [
            (group.name, looks[group.name], paired(group, reference, metric))
            for group in groups
            if group is not reference
        ]
        found += [(run.name, Style(GREY), _control(run, reference, metric)) for run in controls]
        seeds = len(runs_of(reference, metric))
        rows = tuple(
            Row(name, factor * d.estimate, factor * d.low, factor * d.high, look, seeds)
            for name, look, d in found
            if d is not None
        )
        if rows:
            panels[title] = rows
    if not panels:
        return (
            "differences: no model or control of the search shares test rows with "
            f"{reference.name} (or all test rows are in one group)"
        )
    shown = {row.name for rows in panels.values() for row in rows}
    names = [
        *(group.name for group in groups if group is not reference),
        *(c.name for c in controls),
    ]
    return forest(panels, reference.name, [name for name in names if name not in shown])


def _control(run: Run, reference: Group, metric: str) -> Difference | None:
    """Return control - reference; None where either has no such score, or for one group."""
    models = list(runs_of(reference, metric).values())
    rows = run.predictions()
    if not rows or not models or run.scores.get(metric) is None or len(set(models[0].groups)) < 2:
        return None
    labels = labels_of(reference.records[0])
    try:
        return paired_bootstrap([row_statistics(rows, metric, labels)] * len(models), models)
    except ValueError as error:
        raise UserError(
            f"{run.study.folder}: {run.name} against {reference.name}: {error}"
        ) from None
