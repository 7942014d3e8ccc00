"""A table's cells as texts, one column after the other, and its rows put together from them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from r2d_ray.data.examples import Example
from r2d_ray.data.files import Record, Table, is_missing
from r2d_ray.data.reading.cells import EVERY, find, member_names, members, text_of
from r2d_ray.data.reading.choices import Options, options_of
from r2d_ray.data.reading.folders import SPLIT_ALIASES
from r2d_ray.data.reading.seen import TAG, ColumnCount, without_tags
from r2d_ray.data.reading.targets import KEYS, RATIONALE, check_source_name, rationale_columns
from r2d_ray.data.rows.joined import ReadRow
from r2d_ray.errors import UserError
from r2d_ray.storage import counted, printable

DISTRACTOR = re.compile(r"distractors?[-_ ]?[0-9]*", re.IGNORECASE)
"""A column of wrong options alone, as SciQ has three of."""

COLUMNS_SHOWN = 20
"""Columns of a table that an error names."""


@dataclass(frozen=True, slots=True)
class ColumnReader:
    """Reads tables alike: which column is what, what a row must have, whether it has options."""

    columns: Mapping[str, str]
    required: tuple[str, ...]
    has_choices: bool
    count: ColumnCount = field(default_factory=ColumnCount)

    def column(self, target: str) -> str:
        """Return the column of a target: the one that is named, else that of its own name."""
        return self.columns.get(target, target)

    def rows(self, table: Table, part: str) -> list[ReadRow]:
        """Return a table's rows; `part` is the split that its file names, or "".

        Raises:
            UserError: naming file, line and column of the first fault of a column.
        """
        self._check_required(table)
        ids = self._ids(table)
        cells = [self._texts(table, t) for t in ("group", "question", "context", "label")]
        splits = [part] * len(table) if part else self._splits(table)
        pieces = (piece for piece in table.pieces for _ in range(piece.rows))
        label_column = self.column("label")
        cells_of_rows = zip(
            table,
            ids,
            *cells,
            self._rationales(table),
            self._options(table),
            self._tags(table),
            splits,
            pieces,
            strict=True,
        )
        read = []
        for number, cells_of_row in enumerate(cells_of_rows, start=1):
            record, given, group, question, context, label, *more, split, piece = cells_of_row
            why, options, tags = more
            row_id = given or f"{part or 'row'}-{number}"
            choices = options.texts if options else None
            row = Example(
                row_id, group or row_id, question, context, label, why, choices, tuple(tags)
            )
            where = record.where
            read.append(ReadRow(row, options, split, piece, where, label_column, bool(given)))
        return read

    def _check_required(self, table: Table) -> None:
        for target in self.required:
            column = self.column(target)
            if not any(has_column(record, column) for record in table):
                shown = shown_columns(table)
                like = [n for n in shown if n.strip().casefold() == column.casefold()]
                like += [n for n in shown if n.casefold().endswith(f".{column.casefold()}")]
                named = (like[0] if like[0] == like[0].strip() else f'"{like[0]}"') if like else ""
                remedy = f"name it with --columns {target}={named or 'COLUMN'}"
                raise UserError(f"{no_column(table, column)}; {remedy})")
        wrong = [name for name in table.columns if DISTRACTOR.match(name)]
        if wrong and not self.has_choices and "label" in self.required:
            raise UserError(
                f"{table.header}: {', '.join(wrong[:COLUMNS_SHOWN])} are wrong options (write all "
                "options of a row, the right one too, as a list in a column choices)"
            )

    def _ids(self, table: Table) -> list[str]:
        if "id" not in self.columns and "id" in without_tags(self.columns).values():
            return [""] * len(table)  # a patient's number, says --columns group=id, names no row
        return self._texts(table, "id")

    def _texts(self, table: Table, target: str) -> list[str]:
        column = self.column(target)
        if not may_have(table, column):
            return [""] * len(table)
        is_key = target in KEYS or target.startswith(TAG)
        texts = []
        for record in table:
            value = record.values.get(column)
            if value is None:
                value = find(record.values, column)
            if type(value) is str:  # nearly every cell of nearly every table
                texts.append(" ".join(value.split()) if is_key else value.strip())
            elif is_missing(value):
                texts.append("")
            else:
                texts.append(text_of(value, record.where, column, is_key))
        if "" in texts and target in self.required:
            raise UserError(_lacking(table, column, [i for i, t in enumerate(texts) if not t]))
        self.count.add(target, column, len(texts) - texts.count(""))
        return texts

    def _options(self, table: Table) -> list[Options | None]:
        if not self.has_choices:
            return [None] * len(table)
        column = self.column("choices")
        self.count.add("choices", column, len(table))
        return [options_of(find(one.values, column), one.where, column) for one in table]

    def _tags(self, table: Table) -> list[list[str]]:
        tags: list[list[str]] = [[] for _ in table]
        for target, column in self.columns.items():
            if target.startswith(TAG):
                for own, text in zip(tags, self._texts(table, target), strict=True):
                    if text:
                        own.append(f"{column}={text}")
        return tags

    def _splits(self, table: Table) -> list[str]:
        words = [text.lower() for text in self._texts(table, "split")]
        unknown = set(words) - SPLIT_ALIASES.keys() - {""}
        if unknown:
            record, word = next(
                (record, word) for record, word in zip(table, words, strict=True) if word in unknown
            )
            raise UserError(
                f"{record.where}: column {self.column('split')!r} is {word[:80]!r} "
                f"(allowed: {', '.join(sorted(SPLIT_ALIASES))}, or empty: drawn)"
            )
        return [SPLIT_ALIASES.get(word, "") for word in words]

    def _rationales(self, table: Table) -> list[dict[str, str]]:
        by_row: list[dict[str, str]] = [{} for _ in table]
        is_named = any(target.startswith(RATIONALE) for target in self.columns)
        for target, column in rationale_columns(self.columns):
            if target.endswith(EVERY):
                self._every_member(table, column, by_row, is_named)
            elif may_have(table, column):
                source = target.removeprefix(RATIONALE)
                found = [find(record.values, column) for record in table]
                for record, value, own in zip(table, found, by_row, strict=True):
                    if is_missing(value) or (not is_named and isinstance(value, Mapping)):
                        continue
                    own[source] = text_of(value, record.where, column)
                self.count.add(target, column, sum(source in own for own in by_row))
        return by_row

    def _every_member(
        self, table: Table, column: str, by_row: list[dict[str, str]], is_named: bool
    ) -> None:
        prefix = column.removesuffix(EVERY)
        flat = any(name.startswith(f"{prefix}.") for name in table.columns)
        if not flat and not may_have(table, prefix):
            return
        known: set[str] = set()
        for record, own in zip(table, by_row, strict=True):
            if not flat and not isinstance(find(record.values, prefix), Mapping):
                continue
            for source, value in members(record.values, prefix).items():
                if is_missing(value) or (not is_named and isinstance(value, Mapping)):
                    continue
                if source not in known:
                    check_source_name(source, record.where)
                    known.add(source)
                place = f"{prefix}.{source}"
                own[source] = text_of(value, record.where, place)
                self.count.add(f"{RATIONALE}{source}", place)


def may_have(table: Table, column: str) -> bool:
    """Return whether a column, or the object in which it would be a member, is in a table."""
    return column in table.columns or ("." in column and column.partition(".")[0] in table.columns)


def has_column(record: Record, column: str) -> bool:
    """Return whether a row has this column, filled or not, or a member that is written so."""
    if column.endswith(EVERY):
        return bool(members(record.values, column.removesuffix(EVERY)))
    return column in record.values or find(record.values, column) is not None


def no_column(table: Table, column: str) -> str:
    """Return the beginning of an error, up to what can be done."""
    known = printable(", ".join(shown_columns(table)[:COLUMNS_SHOWN]))
    return f"{table.header}: no column {column!r} (columns: {known}"


def shown_columns(table: Table) -> list[str]:
    """Return a table's columns as `--columns` names them, by the objects of its first row."""
    return list(member_names(table[0].values if table else {}, table.columns))


def _lacking(table: Table, column: str, empty: Sequence[int]) -> str:
    """Return the error of rows without a value: the first of them, and how many there are."""
    record = table[empty[0]]
    count = f"{len(empty)} of {counted(len(table), 'row')}"
    if has_column(record, column):
        return f"{record.where}: column {column!r} is empty, in {count} (fill it or leave them out)"
    known = printable(", ".join(list(record.values)[:COLUMNS_SHOWN]))
    return f"{record.where}: no column {column!r} (columns: {known}), in {count}"
