"""The report of studies: tables, pictures and the page, written into one folder or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from analysis.page.findings import summarise
from analysis.page.render import Content, render
from analysis.paper.paper import FILES, write_paper
from analysis.pictures.every_picture import draw_pictures, write_picture
from analysis.place import MADE_BY, Kind, check_place
from analysis.studies import Study, open_studies
from analysis.tables.every_table import report_tables
from analysis.tables.formats import write_table
from r2d_ray.errors import UserError
from r2d_ray.storage import whole_folder, write_atomically, write_json

REPORT = Kind(
    "--out",
    "a report",
    "report.json",
    frozenset({"index.html", "report.json", "tables", "pictures"}),
)
PAPER = Kind(
    "--paper",
    "a paper",
    "paper.json",
    frozenset({*FILES, "paper.json", "tables", "pictures"}),
)


@dataclass(frozen=True, slots=True)
class Report:
    """A written report: its page, and how many tables and pictures stand beside it.

    `paper_tables` are the tables for a paper, more where one had to be parted; 0 without a paper.
    """

    page: Path
    tables: int
    pictures: int
    paper_tables: int = 0


def write_report(
    folders: Sequence[Path],
    out: Path,
    *,
    with_text: bool = True,
    static: bool = False,
    paper: Path | None = None,
) -> Report:
    """Write the report of these studies to `out`, replacing a report that is there.

    Args:
        folders: Study folders.
        out: The report's folder; it appears when everything in it is written.
        with_text: Whether the page shows what the rows ask (a clinical note, say).
        static: Whether the page does without Plotly: pictures stand still, below 1.5 MB in all.
        paper: A folder for LaTeX tables and pictures that fit a paper, if they are wanted.

    Raises:
        UserError: one line; nothing was written.
    """
    places = {REPORT: out.resolve()} | ({PAPER: paper.resolve()} if paper else {})
    for kind, place in places.items():
        check_place(kind, place, folders)
    if PAPER in places and _within(places[PAPER], places[REPORT]):
        raise UserError(f"--paper {paper}: within --out {out}, or around it (allowed: beside it)")
    studies = open_studies(folders)
    parts = []
    with ExitStack() as stack:
        for kind, place in places.items():
            try:
                parts.append(stack.enter_context(whole_folder(place)))
            except OSError as error:
                raise UserError(f"{kind.flag} {place}: {error.strerror or error}") from None
        return Report(places[REPORT] / "index.html", *_write(studies, with_text, static, *parts))


def _within(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _write(
    studies: Sequence[Study], with_text: bool, static: bool, part: Path, paper: Path | None = None
) -> tuple[int, int, int]:
    """Write to empty folders; return how many tables and pictures, and a paper's tables."""
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
            static=static,
        )
    )
    write_atomically(part / "index.html", page)
    _mark(part / REPORT.marker, studies)
    if paper is None:
        return len(tables), len(pictures), 0
    sheets = write_paper(studies, tables, pictures, left_out, paper)
    _mark(paper / PAPER.marker, studies)
    return len(tables), len(pictures), sheets


def _mark(marker: Path, studies: Sequence[Study]) -> None:
    names = [study.info.name for study in studies]
    write_json(marker, {"made_by": MADE_BY, "studies": names})
