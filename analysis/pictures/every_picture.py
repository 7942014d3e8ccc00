"""Pictures of a report: all that its studies give, and what is left out and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from analysis.groups import groups_of
from analysis.pictures.captions import picture_caption
from analysis.pictures.forest import forest_pictures
from analysis.pictures.grid import comparison_grids
from analysis.pictures.labels import label_pictures
from analysis.pictures.looks import place_of
from analysis.pictures.search import search_pictures
from analysis.pictures.search_forest import search_forest
from analysis.pictures.style import PRINT, Picture
from analysis.pictures.training import training_pictures
from analysis.studies import Study
from r2d_ray.records import file_slug

TELLABLE = 8
"""So many arms can be told apart in one picture; of more, a grid's settings are left out."""


def draw_pictures(studies: Sequence[Study]) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """Return the pictures of these studies, and a sentence on each that is left out.

    With several studies names and titles say which study a picture is of.

    Raises:
        UserError: for arms that cannot be compared (see groups.py).
    """
    pictures: dict[str, Picture] = {}
    left_out = []
    several = len(studies) > 1
    for study in studies:
        for drawn in _of(study):
            if isinstance(drawn, str):
                left_out.append(f"{study.info.name}: {drawn}" if several else drawn)
                continue
            metric, searched = study.info.space["metric"], not study.is_comparison
            caption = picture_caption(drawn.name, metric, len(study.done()), searched)
            drawn = replace(drawn, caption=caption)
            if several:
                name = f"{file_slug(study.info.name)}-{drawn.name}"
                title = f"{drawn.title}: {study.info.name}"
                caption = f"{study.info.name}: {drawn.caption}"
                drawn = replace(drawn, name=name, title=title, caption=caption)
            name, count = drawn.name, 1
            while name in pictures:  # studies of one name from two places
                count += 1
                name = f"{drawn.name}-{count}"
            pictures[name] = replace(drawn, name=name)
    return tuple(pictures.values()), tuple(left_out)


def report_pictures(studies: Sequence[Study]) -> tuple[Picture, ...]:
    """Return the pictures of these studies; `draw_pictures` also says what is left out."""
    return draw_pictures(studies)[0]


def write_picture(picture: Picture, folder: Path) -> dict[str, Path]:
    """Write `<name>.svg` and `<name>.png`; return their paths by ending.

    The same picture makes the same bytes: no date, no random names.
    """
    from matplotlib import rc_context

    files = {ending: folder / f"{picture.name}.{ending}" for ending in ("svg", "png")}
    figure = picture.print_figure
    with rc_context(PRINT):
        figure.savefig(files["svg"], metadata={"Date": None, "Creator": None})
        figure.savefig(files["png"], metadata={"Software": None})
    return files


def _of(study: Study) -> Iterator[Picture | str]:
    groups = groups_of(study)
    if not study.is_comparison:
        yield from search_pictures(study)
        if groups:
            yield search_forest(groups)
            yield from label_pictures(groups)
            yield from training_pictures(groups)
        elif study.done():
            yield "labels: result.json has no test scores of the search's models"
        return
    groups = tuple(sorted(groups, key=lambda group: place_of(group.method)))
    yield from forest_pictures(groups)
    shown = tuple(g for g in groups if "=" not in g.setting) if len(groups) > TELLABLE else groups
    if shown:
        yield from label_pictures(shown)
        yield from training_pictures(shown)
    if len(shown) < len(groups):
        yield (
            f"labels and training of {len(groups) - len(shown)} settings of a grid: too many to "
            "tell apart; their scores are in the maps of sensitivity and the differences"
        )
    yield from comparison_grids(study, groups)
