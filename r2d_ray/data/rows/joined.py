"""The rows of all splits as one set: answers become texts of options, ids become unique."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from r2d_ray.data.examples import Example, check_label
from r2d_ray.data.reading.choices import Options, answers
from r2d_ray.errors import UserError


@dataclass(slots=True)  # not frozen: made for every row, and four times as fast
class ReadRow:
    """A row as it is read: its answer may be a key still, its id that of its own split's file."""

    row: Example
    options: Options | None
    split: str
    where: str
    label_column: str
    has_id: bool


def with_answers(read: Sequence[ReadRow]) -> tuple[list[Example], list[str]]:
    """Return the rows with the text of an option as label where they have options, and notes."""
    rows = [one.row for one in read]
    notes: list[str] = []
    if any(one.options for one in read):
        labels, note = answers((one.row.label, one.options or Options((), ())) for one in read)
        if note:
            rows = [replace(row, label=label) for row, label in zip(rows, labels, strict=True)]
            notes.append(note)
    for row, one in zip(rows, read, strict=True):
        if row.label and one.options:
            check_label(row, (), f"{one.where}: column {one.label_column!r}")
    return rows, notes


def with_ids(
    rows: Sequence[Example], read: Sequence[ReadRow]
) -> tuple[list[Example], tuple[str, ...]]:
    """Return the rows with ids that are unique: ids of several splits get their split's name.

    Raises:
        UserError: for an id that is there twice in one split, or among rows of no split.
    """
    given = {row.id for row, one in zip(rows, read, strict=True) if one.has_id}
    rows = [
        row if one.has_id or row.id not in given else _renamed(row, f"{row.id}-without-id")
        for row, one in zip(rows, read, strict=True)
    ]
    seen: dict[tuple[str, str], str] = {}
    for row, one in zip(rows, read, strict=True):
        if (one.split, row.id) in seen:
            before = seen[one.split, row.id]
            raise UserError(f"{one.where}: id {row.id!r} was already used at {before}")
        seen[one.split, row.id] = one.where
    counts = Counter(row_id for _, row_id in seen)
    if len(counts) == len(rows):
        return rows, ()
    again = sum(count > 1 for count in counts.values())
    named = [
        _renamed(row, f"{one.split or 'free'}-{row.id}")
        for row, one in zip(rows, read, strict=True)
    ]
    return named, (f"ids in several splits: {again} (every id has its split's name before it)",)


def _renamed(row: Example, row_id: str) -> Example:
    return replace(row, id=row_id, group=row_id if row.group == row.id else row.group)
