"""Records as examples: which column is what, by name or by `--columns`.

A table has `question` and `label`, and may have `id`, `group`, `context`, `split`, `choices` and
rationales: `rationale` (source `human`), `rationale.SOURCE`, or an object `rationales`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from r2d_ray.data.examples import Example, check_label
from r2d_ray.data.files import Record, parse_json
from r2d_ray.data.splits import SourceRows
from r2d_ray.errors import UserError, unknown
from r2d_ray.storage import printable

Parts = dict[str, list[Record]]
"""Records by the split that their file or hub set names; "" where none is named."""

TARGETS = ("id", "group", "question", "context", "label", "split", "choices", "rationale")
RATIONALE = "rationale."
EVERY = ".*"
DEFAULT_RATIONALES = (
    (f"{RATIONALE}human", "rationale"),
    (f"{RATIONALE}*", f"rationale{EVERY}"),
    (f"{RATIONALE}*", f"rationales{EVERY}"),
)
SPLIT_ALIASES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
SOURCE_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)


def parse_columns(text: str) -> dict[str, str]:
    """Return what `--columns question=q,rationale.human=why,choices=options` names.

    A column inside an object is written with dots (`rationale.human=rationales.human`);
    `rationale.*=rationales.*` takes every member. Keys: `TARGETS`, with `rationale` spelt out as
    `rationale.human`.

    Raises:
        UserError: for an unknown or repeated target or a pair that is not `target=column`.
    """
    columns: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        target, equals, column = (part.strip() for part in pair.partition("="))
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
    """Return the examples of these records.

    Args:
        parts: Records by split.
        columns: Target to source column, as `parse_columns` returns it.
        labelled: Whether every row must have a label; without, it may be missing or empty.

    Raises:
        UserError: naming file, line and column, for a missing column, an empty question or
            label, a wrong type, a repeated id, or a label that is not among the row's choices.
    """
    records = [record for part in parts.values() for record in part]
    for target, column in columns.items():
        if not any(_has(record, column) for record in records):
            raise UserError(
                f"--columns {target}={column}: {_place(records[0], column)}, nor does any later row"
            )
    reader = _RowReader(
        columns,
        ("question", "label") if labelled else ("question",),
        any(_has(record, columns.get("choices", "choices")) for record in records),
    )
    rows: list[Example] = []
    assigned: dict[str, str] = {}
    seen: dict[str, str] = {}
    for part, members in parts.items():
        for number, record in enumerate(members, start=1):
            row = reader.example(record, f"{part or 'row'}-{number}")
            if row.id in seen:
                raise UserError(f"{record.where}: id {row.id!r} was already used at {seen[row.id]}")
            seen[row.id] = record.where
            rows.append(row)
            split = part or _split(record, columns)
            if split:
                assigned[row.id] = split
    return SourceRows(tuple(rows), assigned)


@dataclass(frozen=True, slots=True)
class _RowReader:
    columns: Mapping[str, str]
    required: tuple[str, ...]
    has_choices: bool

    def column(self, target: str) -> str:
        return self.columns.get(target, target)

    def text(self, record: Record, target: str) -> str:
        column = self.column(target)
        value = find(record.values, column)
        if value is None and target not in self.required:
            return ""
        return text_of(value, record.where, column, target in ("id", "group", "label"))

    def example(self, record: Record, default_id: str) -> Example:
        for target in self.required:
            column = self.column(target)
            if not _has(record, column):
                raise UserError(_place(record, column))
            if not self.text(record, target):
                raise UserError(f"{record.where}: column {column!r} is empty")
        choices = _choices(record, self.column("choices")) if self.has_choices else None
        row_id = self.text(record, "id") or default_id
        row = Example(
            id=row_id,
            group=self.text(record, "group") or row_id,
            question=self.text(record, "question"),
            context=self.text(record, "context"),
            label=self.text(record, "label"),
            rationales=dict(_rationales(record, self.columns)),
            choices=choices,
        )
        if row.label:
            check_label(row, (), f"{record.where}: column {self.column('label')!r}")
        return row


def _place(record: Record, column: str) -> str:
    known = printable(", ".join(list(record.values)[:20]))
    return f"{record.where} has no column {column!r} (columns: {known})"


def find(values: Mapping[str, Any], column: str) -> Any:
    """Return the value of a column, or of a member written with dots; None where there is none."""
    if column in values:
        return values[column]
    head, dot, rest = column.partition(".")
    inner = values.get(head)
    return find(inner, rest) if dot and isinstance(inner, Mapping) else None


def _has(record: Record, column: str) -> bool:
    if column.endswith(EVERY):
        return bool(_members(record.values, column.removesuffix(EVERY)))
    return column in record.values or find(record.values, column) is not None


def text_of(value: Any, where: str, column: str, is_key: bool = False) -> str:
    """Return a cell as text without outer spaces.

    Args:
        value: The cell.
        where: File and line, for the error.
        column: Its column, for the error.
        is_key: For ids, labels and options: whole numbers and truth values are taken too, and
            inner spaces count as one.
    """
    if isinstance(value, str):
        return " ".join(value.split()) if is_key else value.strip()
    if is_key and isinstance(value, int):
        return str(value).lower() if isinstance(value, bool) else str(value)
    kind = "empty" if value is None else f"of type {type(value).__name__}"
    raise UserError(f"{where}: column {column!r} is {kind}, expected text")


def _rationales(record: Record, columns: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    named = [pair for pair in columns.items() if pair[0].startswith(RATIONALE)]
    for target, column in named or DEFAULT_RATIONALES:
        if target.endswith(EVERY):
            members = _members(record.values, column.removesuffix(EVERY))
        else:
            members = {target.removeprefix(RATIONALE): find(record.values, column)}
        for source, value in members.items():
            if value is None or (not named and isinstance(value, Mapping)):
                continue
            check_source_name(source, record.where)
            text = text_of(value, record.where, column.replace("*", source))
            if text:
                yield source, text


def _members(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    inner = find(values, prefix)
    if isinstance(inner, Mapping):
        return dict(inner)
    dotted = f"{prefix}."
    return {name.removeprefix(dotted): v for name, v in values.items() if name.startswith(dotted)}


def _choices(record: Record, column: str) -> tuple[str, ...]:
    value = find(record.values, column)
    if isinstance(value, str):
        text = value.strip()
        value = parse_json(text, record.where) if text.startswith("[") else text.split("|")
    if not isinstance(value, list) or len(value) < 2:
        raise UserError(
            f"{record.where}: column {column!r} needs at least two options, as a list or as a|b|c"
        )
    options = tuple(text_of(option, record.where, column, is_key=True) for option in value)
    if not all(options):
        raise UserError(f"{record.where}: column {column!r} has an empty option")
    return options


def _split(record: Record, columns: Mapping[str, str]) -> str:
    column = columns.get("split", "split")
    value = find(record.values, column)
    if value is None and "split" not in columns:
        return ""
    text = text_of(value, record.where, column).lower()
    if text not in SPLIT_ALIASES:
        raise UserError(
            f"{record.where}: column {column!r} is {text!r} "
            f"(allowed: {', '.join(sorted(SPLIT_ALIASES))})"
        )
    return SPLIT_ALIASES[text]
