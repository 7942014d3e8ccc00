"""What notebooks call: a study read once, its tables, pictures and errors, ready to be shown."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from matplotlib import rc_context

from analysis.page.findings import summarise
from analysis.pictures.every_picture import draw_pictures
from analysis.pictures.style import PRINT, Picture
from analysis.runs import runs_in
from analysis.studies import Study, open_studies
from analysis.tables.every_table import report_tables
from analysis.tables.formats import to_html
from analysis.tables.table import Column, Table
from r2d_ray.errors import UserError, unknown

PIXELS_PER_INCH = 110
Named = TypeVar("Named")


@dataclass(frozen=True, slots=True)
class Shown:
    """HTML that a notebook shows where a cell ends with it."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


@dataclass(frozen=True)
class Reading:
    """A study with what a report would hold of it, each part made when first asked for."""

    study: Study

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """Every table of the report."""
        return report_tables([self.study])

    @cached_property
    def _drawn(self) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
        return draw_pictures([self.study])

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Every picture of the report."""
        return self._drawn[0]

    @property
    def left_out(self) -> tuple[str, ...]:
        """Which pictures are left out, and why."""
        return self._drawn[1]

    @property
    def summary(self) -> Shown:
        """The summary in plain words, then what limits it."""
        words = "".join(f"<p>{html.escape(p)}</p>" for p in summarise([self.study], self.tables))
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.study.notes)
        return Shown(f"{words}<ul>{notes}</ul>" if notes else words)

    def table(self, name: str) -> Table:
        """Return a table by name.

        Raises:
            UserError: for a name that no table has.
        """
        return _by_name("table", name, {table.name: table for table in self.tables})

    def picture(self, name: str) -> Picture:
        """Return a picture by name.

        Raises:
            UserError: for a name that no picture has, or that is left out.
        """
        return _by_name("picture", name, {picture.name: picture for picture in self.pictures})

    def errors(self, method: str, count: int) -> Table:
        """Return the first wrong test predictions of a method's first run with its rationales.

        Raises:
            UserError: for a method without a finished run, or a run without stored predictions.
        """
        runs = {
            run.record.method: run
            for run in reversed(runs_in(self.study))
            if run.record is not None
        }
        run = _by_name("method", method, runs)
        rows = run.predictions()
        if rows is None:
            raise UserError(
                f"{self.study.folder}: predictions of {run.name} on test are missing "
                "(allowed: a run whose predictions are stored)"
            )
        wrong = [row for row in rows if row.label != row.gold_label]
        names = ("id", "gold_label", "label", "rationale", "reference")
        return Table(
            "errors",
            _first(min(count, len(wrong)), len(wrong), len(rows), run.name),
            tuple(Column(name, name.replace("_", " ")) for name in names),
            tuple({name: getattr(row, name) for name in names} for row in wrong[:count]),
        )


def _first(shown: int, wrong: int, rows: int, run: str) -> str:
    if not wrong:
        return f"None of {rows} predictions of {run} is wrong"
    return f"The first {shown} of {wrong} wrong predictions of {run}, of {rows} test rows"


def read(folder: Path | str) -> Reading:
    """Return a study, opened and checked.

    Raises:
        UserError: as `analysis.studies.open_study`.
    """
    (study,) = open_studies([Path(folder)])
    return Reading(study)


def show(*parts: Table | Picture) -> Shown:
    """Return tables and pictures as a notebook shows them."""
    return Shown("\n".join(to_html(p) if isinstance(p, Table) else _picture(p) for p in parts))


def _picture(picture: Picture) -> str:
    file = io.BytesIO()
    with rc_context(PRINT):
        picture.print_figure.savefig(file, format="png", dpi=PIXELS_PER_INCH)
    image = base64.b64encode(file.getvalue()).decode()
    words = html.escape(picture.description)
    return (
        f'<figure><img alt="{words}" src="data:image/png;base64,{image}">'
        f"<figcaption>{html.escape(picture.title)}</figcaption></figure>"
    )


def _by_name(kind: str, name: str, there: dict[str, Named]) -> Named:
    if name not in there:
        raise unknown(kind, name, there)
    return there[name]
