"""What notebooks call: a study read once, its tables, pictures and errors, ready to be shown."""

from __future__ import annotations

import base64
import html
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from matplotlib import rc_context
from tqdm import TqdmWarning

with warnings.catch_warnings():
    warnings.simplefilter("ignore", TqdmWarning)  # of a widget that nothing here draws
    import tqdm.auto  # noqa: F401

from analysis import frames
from analysis.page.findings import summarise
from analysis.pictures.captions import CAPTIONS
from analysis.pictures.every_picture import draw_pictures
from analysis.pictures.style import PRINT, Picture
from analysis.runs import Run, runs_in
from analysis.studies import Study
from analysis.surest import SurestError, surest_errors
from analysis.tables.every_table import report_tables
from analysis.tables.formats import to_html
from analysis.tables.table import Column, Table
from r2d_ray.errors import UserError, unknown

if TYPE_CHECKING:
    import pandas as pd

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

    def show(self, *names: str) -> Shown:
        """Return what a notebook shows under these names, or why there is nothing.

        Args:
            *names: Of tables and pictures of the report, where one name has both, both; or
                `trials`, `runs`, `scores`, `predictions`, `errors` and `surest_errors`, made by
                the methods of these names.

        Raises:
            UserError: for a name of nothing.
        """
        return Shown("\n".join(map(self._part, names)))

    def _part(self, name: str) -> str:
        made: dict[str, Callable[[], pd.DataFrame | Table]] = {
            "trials": self.trials,
            "runs": self.runs,
            "scores": self.scores,
            "predictions": self.predictions,
            "errors": self.errors,
            "surest_errors": self.surest_errors,
        }
        if name in made:
            try:
                found = made[name]()
            except UserError as error:
                return f"<p>{html.escape(str(error))}</p>"
            return to_html(found) if isinstance(found, Table) else frames.short_html(found)
        tables = {table.name: table for table in self.tables}
        drawn = {picture.name: picture for picture in self.pictures}
        if name not in {*tables, *CAPTIONS, *drawn}:
            raise unknown("table, picture or frame", name, {*tables, *CAPTIONS, *made})
        parts = [_picture(drawn[name])] if name in drawn else []
        parts += [to_html(tables[name])] if name in tables else []
        return "\n".join(parts) or f"<p>{html.escape(self._why_without(name))}</p>"

    def _why_without(self, picture: str) -> str:
        kind = "comparison" if self.study.is_comparison else "search"
        reasons = [said for said in self.left_out if said.startswith(f"{picture}:")]
        return reasons[0] if reasons else f"{picture}: a {kind} has no such picture"

    def errors(self, run: str | None = None, count: int = 5) -> Table:
        """Return wrong test predictions of a run with its rationales, the surest first.

        Args:
            run: A run's name, or a method's for its first run; by default the first run.
            count: At most so many.

        Raises:
            UserError: for a run that is not there, or without stored predictions.
        """
        runs = runs_in(self.study)
        first = {one.record.method: one.name for one in reversed(runs) if one.record is not None}
        chosen = first.get(run, run) if run is not None and run not in _names(runs) else run
        name = chosen or (runs[0].name if runs else "")
        rows = frames.predictions_frame(self.study, chosen).reset_index()
        wrong = rows[~rows["right"]].sort_values("probability", ascending=False, kind="stable")
        names = ("id", "gold_label", "label", "probability", "rationale", "reference")
        shown = wrong[list(names)].head(count).astype(object)
        shown = shown.where(shown.notna(), None)
        return Table(
            "errors",
            _first(len(shown), len(wrong), len(rows), name),
            tuple(Column(name, name.replace("_", " ")) for name in names),
            tuple({name: row[name] for name in names} for row in shown.to_dict("records")),
        )

    def surest_errors(self, count: int = 20) -> pd.DataFrame:
        """Return the rows that trained runs got wrong with most confidence, each row once, by id.

        `wrong` of `runs` gave the row another label than gold; the rest is the surest one's answer.

        Raises:
            UserError: for a line that is no prediction, with file and line.
        """
        import pandas as pd

        rows = [asdict(error) for error in surest_errors(self.study, count)]
        return pd.DataFrame(rows, columns=[f.name for f in fields(SurestError)]).set_index("id")

    def trials(self) -> pd.DataFrame:
        """Return one row a trial: how it ended, its scores, every setting (`trials_frame`)."""
        return frames.trials_frame(self.study)

    def runs(self) -> pd.DataFrame:
        """Return one row a run that answered the test rows (`runs_frame`)."""
        return frames.runs_frame(self.study)

    def scores(self) -> pd.DataFrame:
        """Return the test scores, one row a run (`scores_frame`)."""
        return frames.scores_frame(self.study)

    def predictions(self, run: str | None = None) -> pd.DataFrame:
        """Return what a run answered, one row a test row (`predictions_frame`)."""
        return frames.predictions_frame(self.study, run)

    def report(self, out: Path | str, *, with_text: bool = True) -> Path:
        """Write the report to a folder, replacing a report there; return its page.

        Raises:
            UserError: one line; nothing was written.
        """
        from analysis.report import write_report

        return write_report([self.study.folder], Path(out), with_text=with_text).page


def _names(runs: Sequence[Run]) -> set[str]:
    return {run.name for run in runs}


def _first(shown: int, wrong: int, rows: int, run: str) -> str:
    if not wrong:
        return f"None of {rows} predictions of {run} is wrong"
    return f"The first {shown} of {wrong} wrong predictions of {run}, of {rows} test rows"


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
