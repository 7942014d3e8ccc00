"""Records as examples: which column is what, by name or by `--columns`.

A table has `question` and `label`, and may have `id`, `group`, `context`, `split`, `choices` and
rationales: `rationale` (source `human`), `rationale.SOURCE`, or an object `rationales`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from r2d_ray.data.files import Parts, Record, Table, is_missing, notes_of
from r2d_ray.data.reading.cells import EVERY, find
from r2d_ray.data.reading.columnwise import ColumnReader, has_column, may_have, no_column
from r2d_ray.data.reading.seen import TAG
from r2d_ray.data.reading.targets import RATIONALE, TARGETS, check_source_name
from r2d_ray.data.rows.class_numbers import (
    check_class_numbers,
    check_other_columns,
    numbers_taken_as_names,
)
from r2d_ray.data.rows.joined import with_answers, with_ids
from r2d_ray.data.rows.uneven import uneven_warnings
from r2d_ray.data.splits import SourceRows
from r2d_ray.errors import UserError, unknown

OUTER_COMMA = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')
"""A comma that no quotes enclose."""


def parse_columns(text: str) -> dict[str, str]:
    """Return what `--columns question=q,rationale.human=why,choices=options` names.

    A column inside an object is written with dots (`rationale.human=rationales.human`);
    `rationale.*=rationales.*` takes every member. Keys: `TARGETS`, with `rationale` spelt out as
    `rationale.human`. A column whose name has a comma is quoted: `context="note, free text"`.

    Raises:
        UserError: for an unknown or repeated target or a pair that is not `target=column`.
    """
    columns: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in OUTER_COMMA.split(text))):
        target, equals, column = (part.strip() for part in pair.partition("="))
        if len(column) > 2 and column[0] == column[-1] == '"':
            column = column[1:-1]
        if not (target and equals and column):
            raise UserError(f"--columns {pair!r}: expected target=column")
        target = f"{RATIONALE}human" if target == "rationale" else target
        if target.startswith(RATIONALE):
            if target.endswith(EVERY) != column.endswith(EVERY):
                raise UserError(f"--columns {pair!r}: rationale.* needs COLUMN.*, and the reverse")
            if not target.endswith(EVERY):
                check_source_name(target.removeprefix(RATIONALE), "--columns")
        elif target not in TARGETS:
            raise unknown("--columns target", target, [*TARGETS, f"{RATIONALE}SOURCE"])
        if target in columns:
            raise UserError(f"--columns {pair!r}: {target} is given twice")
        columns[target] = column
    return columns


def table_rows(parts: Parts, columns: Mapping[str, str], labelled: bool = True) -> SourceRows:
    """Return the examples of these records, and which column became what.

    Args:
        parts: Records by split.
        columns: Target to source column, as `parse_columns` returns it.
        labelled: Whether every row must have a label; without, it may be missing or empty.

    Raises:
        UserError: naming file, line and column, for a missing column, an empty question or
            label, a wrong type, a repeated id, or a label that is not among the row's choices.
    """
    tables = {part: _as_table(records) for part, records in parts.items() if records}
    if not tables:
        raise UserError("no rows (allowed: at least one row with a value)")
    _check_named(tables, columns)
    required = ("question", "label") if labelled else ("question",)
    choices = columns.get("choices", "choices")
    has_choices = any(
        not is_missing(find(record.values, choices))
        for table in tables.values()
        if may_have(table, choices)
        for record in table
    )
    reader = ColumnReader(columns, required, has_choices)
    read = [row for part, table in tables.items() for row in reader.rows(table, part)]
    warnings: tuple[str, ...] = ()
    if not has_choices:
        label_column = reader.column("label")
        labels = [(one.piece, one.row.label) for one in read]
        check_class_numbers(labels, label_column)
        warnings = numbers_taken_as_names(labels, label_column)
    check_other_columns(read, reader.count.columns)
    rows, notes = with_answers(read)
    if any(one.split for one in read) and (free := sum(not one.split for one in read)):
        notes.append(
            f"rows that name no split: {free} (they go to the splits that are drawn, or to train)"
        )
    rows, more = with_ids(rows, read)
    assigned = {row.id: one.split for row, one in zip(rows, read, strict=True) if one.split}
    names = dict.fromkeys(name for table in tables.values() for name in table.columns)
    use = reader.count.use(len(rows), names, TARGETS)
    warnings += uneven_warnings(read, use.columns)
    return SourceRows(tuple(rows), assigned, (*notes_of(parts), *notes, *more), use, warnings)


def _as_table(records: list[Record]) -> Table:
    return records if isinstance(records, Table) else Table(records, records[0].where)


def _check_named(tables: Mapping[str, Table], columns: Mapping[str, str]) -> None:
    records = [record for table in tables.values() for record in table]
    for target, column in columns.items():
        if not any(has_column(record, column) for record in records):
            place = no_column(next(iter(tables.values())), column)
            flag = "--keep-columns " if target.startswith(TAG) else f"--columns {target}="
            raise UserError(f"{flag}{column}: {place})")
