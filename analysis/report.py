"""The report of studies: tables, pictures and the page, written into one folder or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.page.findings import summarise
from analysis.page.render import Content, render
from analysis.pictures.every_picture import draw_pictures, write_picture
from analysis.studies import Study, open_studies
from analysis.tables.every_table import report_tables
from analysis.tables.formats import write_table
from r2d_ray.errors import UserError
from r2d_ray.storage import whole_folder, write_atomically, write_json

MADE_BY = "r2d_ray analysis"
MARKER = "report.json"
PARTS = {"index.html", MARKER, "tables", "pictures"}
"""Everything that a report's folder may hold: only such a folder is ever replaced."""


@dataclass(frozen=True, slots=True)
class Report:
    """A written report: its page, and how many tables and pictures stand beside it."""

    page: Path
    tables: int
    pictures: int


def write_report(
    folders: Sequence[Path],
    out: Path,
    *,
    with_text: bool = True,
) -> Report:
    """Write the report of these studies to `out`, replacing a report that is there.

    Args:
        folders: Study folders.
        out: The report's folder; it appears when everything in it is written.
        with_text: Whether the page shows what the rows ask (a clinical note, say).

    Raises:
        UserError: one line; nothing was written.
    """
    out = out.resolve()
    _check_place(out, folders)
    studies = open_studies(folders)
    _check_names(studies)
    try:
        with whole_folder(out) as part:
            tables, pictures = _write(studies, with_text, part)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror or error}") from None
    return Report(out / "index.html", tables, pictures)


def _check_place(out: Path, folders: Sequence[Path]) -> None:
    """Refuse a place whose content is not a report's, or that holds a study.

    Raises:
        UserError: with the place and what is there.
    """
    for folder in folders:
        if folder.resolve().is_relative_to(out):
            raise UserError(f"--out {out}: holds the study {folder} (allowed: a folder outside it)")
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"--out {out}: a file (allowed: a new folder, or a report's)")
    found = {path.name for path in out.iterdir()}
    if not found:
        return
    if not _is_ours(out / MARKER):
        raise UserError(f"--out {out}: not a report (allowed: a new folder, or a report's)")
    if foreign := sorted(found - PARTS):
        raise UserError(f"--out {out}: holds {foreign[0]}, which is not part of a report")


def _check_names(studies: Sequence[Study]) -> None:
    """Refuse two studies of one name: tables tell them apart by it.

    Raises:
        UserError: with the name and both folders.
    """
    seen: dict[str, Study] = {}
    for study in studies:
        first = seen.setdefault(study.info.name, study)
        if first is not study:
            raise UserError(
                f"{study.folder}: named {study.info.name}, as {first.folder} is "
                "(allowed: one study per name in a report)"
            )


def _is_ours(marker: Path) -> bool:
    try:
        values = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.get("made_by") == MADE_BY


def _write(studies: Sequence[Study], with_text: bool, part: Path) -> tuple[int, int]:
    """Write a whole report to an empty folder; return its numbers of tables and pictures."""
    tables = report_tables(studies)
    pictures, left_out = draw_pictures(studies)
    (part / "tables").mkdir()
    (part / "pictures").mkdir()
    for table in tables:
        write_table(table, part / "tables")
    drawn = [(picture, write_picture(picture, part / "pictures")) for picture in pictures]
    page = render(
        Content(
            studies=studies,
            summary=summarise(studies, tables),
            tables=tables,
            pictures=drawn,
            left_out=left_out,
            with_text=with_text,
        )
    )
    write_atomically(part / "index.html", page)
    write_json(
        part / MARKER,
        {"made_by": MADE_BY, "studies": [study.info.name for study in studies]},
    )
    return len(tables), len(pictures)
