"""Records as examples: which column is what, by name or by `--columns`.

A table has `question` and `label`, and may have `id`, `group`, `context`, `split`, `choices` and
rationales: `rationale` (source `human`), `rationale.SOURCE`, or an object `rationales`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from r2d_ray.data.examples import Example
from r2d_ray.data.files import Parts, Record, Table, is_missing, notes_of
from r2d_ray.data.reading.cells import EVERY, find, members, text_of
from r2d_ray.data.reading.choices import options_of
from r2d_ray.data.reading.folders import SPLIT_ALIASES
from r2d_ray.data.reading.joined import ReadRow, with_answers, with_ids
from r2d_ray.data.reading.seen import TAG, ColumnCount
from r2d_ray.data.splits import SourceRows
from r2d_ray.errors import UserError, unknown
from r2d_ray.storage import printable

TARGETS = ("id", "group", "question", "context", "label", "split", "choices", "rationale")
RATIONALE = "rationale."
COLUMNS_SHOWN = 20
"""Columns of a table that an error names."""

DEFAULT_RATIONALES = (
    (f"{RATIONALE}human", "rationale"),
    (f"{RATIONALE}*", f"rationale{EVERY}"),
    (f"{RATIONALE}*", f"rationales{EVERY}"),
)
OUTER_COMMA = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')
"""A comma that no quotes enclose."""

SOURCE_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)


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


def check_source_name(name: str, where: str) -> None:
    """Raise UserError unless this can name a rationale source (it is shown and stored as a key)."""
    if not SOURCE_NAME.fullmatch(name):
        raise UserError(
            f"{where}: rationale source {name[:80]!r} (allowed: up to 64 letters, digits and _ . -)"
        )


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
    has_choices = any(
        not is_missing(find(record.values, columns.get("choices", "choices")))
        for table in tables.values()
        for record in table
    )
    reader = _RowReader(columns, required, has_choices)
    read: list[ReadRow] = []
    for part, table in tables.items():
        reader.check_columns(table)
        read += [
            reader.row(record, part, f"{part or 'row'}-{number}")
            for number, record in enumerate(table, start=1)
        ]
    rows, notes = with_answers(read)
    if any(one.split for one in read) and (free := sum(not one.split for one in read)):
        notes.append(
            f"rows that name no split: {free} (they go to the splits that are drawn, or to train)"
        )
    rows, more = with_ids(rows, read)
    assigned = {row.id: one.split for row, one in zip(rows, read, strict=True) if one.split}
    names = dict.fromkeys(name for table in tables.values() for name in table.columns)
    use = reader.count.use(len(rows), names, TARGETS)
    return SourceRows(tuple(rows), assigned, (*notes_of(parts), *notes, *more), use)


def _as_table(records: list[Record]) -> Table:
    return records if isinstance(records, Table) else Table(records, records[0].where)


def _check_named(tables: Mapping[str, Table], columns: Mapping[str, str]) -> None:
    records = [record for table in tables.values() for record in table]
    for target, column in columns.items():
        if not any(_has(record, column) for record in records):
            place = _no_column(next(iter(tables.values())), column)
            flag = "--keep-columns " if target.startswith(TAG) else f"--columns {target}="
            raise UserError(f"{flag}{column}: {place})")


def _no_column(table: Table, column: str) -> str:
    """Return the beginning of an error, up to what can be done."""
    known = printable(", ".join(table.columns[:COLUMNS_SHOWN]))
    return f"{table.header}: no column {column!r} (columns: {known}"


@dataclass(frozen=True, slots=True)
class _RowReader:
    columns: Mapping[str, str]
    required: tuple[str, ...]
    has_choices: bool
    count: ColumnCount = field(default_factory=ColumnCount)

    def column(self, target: str) -> str:
        return self.columns.get(target, target)

    def check_columns(self, table: Table) -> None:
        for target in self.required:
            column = self.column(target)
            if not any(_has(record, column) for record in table):
                remedy = f"name it with --columns {target}=COLUMN"
                raise UserError(f"{_no_column(table, column)}; {remedy})")

    def text(self, record: Record, target: str) -> str:
        column = self.column(target)
        value = find(record.values, column)
        if value is None:
            if target in self.required:
                known = printable(", ".join(list(record.values)[:COLUMNS_SHOWN]))
                missing = f"no column {column!r} (columns: {known})"
                empty = f"column {column!r} is empty"
                raise UserError(f"{record.where}: {empty if _has(record, column) else missing}")
            return ""
        text = text_of(value, record.where, column, target in ("id", "group", "label"))
        if text:
            self.count.add(target, column)
        elif target in self.required:
            raise UserError(f"{record.where}: column {column!r} is empty")
        return text

    def row(self, record: Record, part: str, default_id: str) -> ReadRow:
        options = None
        if self.has_choices:
            column = self.column("choices")
            options = options_of(find(record.values, column), record.where, column)
            self.count.add("choices", column)
        given = self.text(record, "id")
        row_id = given or default_id
        row = Example(
            id=row_id,
            group=self.text(record, "group") or row_id,
            question=self.text(record, "question"),
            context=self.text(record, "context"),
            label=self.text(record, "label"),
            rationales=dict(self.rationales(record)),
            choices=options.texts if options else None,
            tags=tuple(self.tags(record)),
        )
        split = part or self.split(record)
        return ReadRow(row, options, split, record.where, self.column("label"), bool(given))

    def tags(self, record: Record) -> Iterator[str]:
        for target, column in self.columns.items():
            value = find(record.values, column) if target.startswith(TAG) else None
            text = "" if value is None else text_of(value, record.where, column, is_key=True)
            if text:
                self.count.add(target, column)
                yield f"{column}={text}"

    def split(self, record: Record) -> str:
        text = self.text(record, "split").lower()
        if text and text not in SPLIT_ALIASES:
            raise UserError(
                f"{record.where}: column {self.column('split')!r} is {text!r} "
                f"(allowed: {', '.join(sorted(SPLIT_ALIASES))}, or empty: drawn)"
            )
        return SPLIT_ALIASES[text] if text else ""

    def rationales(self, record: Record) -> Iterator[tuple[str, str]]:
        named = [pair for pair in self.columns.items() if pair[0].startswith(RATIONALE)]
        for target, column in named or DEFAULT_RATIONALES:
            if target.endswith(EVERY):
                found = members(record.values, column.removesuffix(EVERY))
            else:
                found = {target.removeprefix(RATIONALE): find(record.values, column)}
            for source, value in found.items():
                if is_missing(value) or (not named and isinstance(value, Mapping)):
                    continue
                check_source_name(source, record.where)
                place = column.replace("*", source)
                self.count.add(f"{RATIONALE}{source}", place)
                yield source, text_of(value, record.where, place)


def _has(record: Record, column: str) -> bool:
    if column.endswith(EVERY):
        return bool(members(record.values, column.removesuffix(EVERY)))
    return column in record.values or find(record.values, column) is not None
