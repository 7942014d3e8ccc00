"""What tables of scores share: who a row is, its columns, and why a table is empty."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from analysis.groups import Group, Score, notes_on, over_seeds
from analysis.runs import WITHOUT_CONTEXT, runs_in
from analysis.studies import Study
from analysis.tables.table import Cell, Column, Number, Table
from r2d_ray.errors import UserError

Row = dict[str, Cell | Number]


def nothing(name: str, title: str, reason: str) -> Table:
    """Return the table that has nothing to show, with the reason why."""
    return Table(name, title, (), (), (reason,))


def who_columns(groups: Sequence[Group]) -> tuple[Column, ...]:
    """Return the columns that name a group among these."""
    names = {"dataset": "Data", "model": "Model", "method": "Method"}
    names |= {"setting": "Setting"} if any(group.setting for group in groups) else {}
    names |= {"source": "Rationales"} if any(group.source for group in groups) else {}
    names |= {"study": "Study"} if len({group.study.folder for group in groups}) > 1 else {}
    return tuple(Column(key, heading) for key, heading in names.items())


def who(group: Group) -> Row:
    """Return the cells that name a group."""
    return {
        "dataset": group.study.info.dataset,
        "model": group.model,
        "method": group.method,
        "setting": group.setting or "default",
        "source": group.source or "first",
        "study": group.study.info.name,
        "seeds": len(group.done),
    }


SEEDS = Column("seeds", "Seeds")


def columns_of(scores: Iterable[Score]) -> tuple[Column, ...]:
    """Return a column per score."""
    return tuple(Column(score.key, score.heading) for score in scores)


def control_rows(study: Study, scores: Sequence[Score]) -> list[Row]:
    """Return a line per control of a study; a score that it does not have is not in its line.

    Raises:
        UserError: for a score that is no finite number.
    """
    rows: list[Row] = []
    for run in runs_in(study):
        if run.kind != "control":
            continue
        name = f"{study.info.method}, {run.name}" if run.name == WITHOUT_CONTEXT else run.name
        row: Row = {"dataset": study.info.dataset, "method": name, "study": study.info.name}
        for score in scores:
            value = run.scores.get(score.key)
            if value is None:
                continue
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise UserError(
                    f"{study.folder / 'result.json'}: {run.name}: {score.key} = {value!r} "
                    "(allowed: a finite number)"
                )
            row[score.key] = Number(float(value), factor=score.factor, digits=score.digits)
        rows.append(row)
    return rows


def score_table(
    name: str,
    title: str,
    groups: Sequence[Group],
    scores: Sequence[Score],
    reason: str,
    more: Sequence[Row] = (),
) -> Table:
    """Return a table of test scores over seeds, with `more` rows below; absent scores left out."""
    there = [
        score
        for score in scores
        if any(group.values(score.key) for group in groups) or any(score.key in row for row in more)
    ]
    if not there:
        return nothing(name, title, reason)
    rows = [who(g) | {score.key: over_seeds(g, score) for score in there} for g in groups]
    columns = (*who_columns(groups), SEEDS, *columns_of(there))
    return Table(name, title, columns, (*rows, *more), notes_on(groups, there))


def no_interval(rows: Sequence[Row], key: str) -> tuple[str, ...]:
    """Return a note on rows that have a mean but no interval."""
    bare = [
        str(row["method"])
        for row in rows
        if isinstance(number := row.get(key), Number) and number.low is None
    ]
    said = "no interval, for lack of stored predictions or a second group of rows: "
    return (said + ", ".join(bare),) if bare else ()
