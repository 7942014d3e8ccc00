"""The rows of all splits as one set: answers become texts of options, ids become unique."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from r2d_ray.data.examples import Example, check_label
from r2d_ray.data.files import Piece
from r2d_ray.data.reading.choices import Options, answers
from r2d_ray.errors import UserError


@dataclass(slots=True)  # not frozen: made for every row, and four times as fast
class ReadRow:
    """A row as it is read: its answer may be a key still, its id that of its own split's file."""

    row: Example
    options: Options | None
    split: str
    piece: Piece
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
    """Return the rows with ids that are unique, and a note where they had to be made so.

    Ids that restart in several splits get their split's name before them; ids that restart in the
    files of one split the file's number, too.

    Raises:
        UserError: for an id that is there twice in one file of a split, or with the same text.
    """
    given = {row.id for row, one in zip(rows, read, strict=True) if one.has_id}
    rows = [
        row if one.has_id or row.id not in given else _renamed(row, f"{row.id}-without-id")
        for row, one in zip(rows, read, strict=True)
    ]
    in_files = _restarting(rows, read)
    splits = {(one.split, row.id) for row, one in zip(rows, read, strict=True)}
    in_splits = sum(n > 1 for n in Counter(row_id for _, row_id in splits).values())
    if not in_files and not in_splits:
        return rows, ()
    counts: Counter[str] = Counter()
    places = {}
    for split, piece in dict.fromkeys((one.split, one.piece) for one in read):
        counts[split] += 1
        places[split, piece] = f"{counts[split]}-" if in_files else ""
    named = [
        _renamed(row, f"{one.split or 'free'}-{places[one.split, one.piece]}{row.id}")
        for row, one in zip(rows, read, strict=True)
    ]
    if in_files:
        return named, (
            f"ids in several files of one split: {in_files} (every id has its split's name and its "
            "file's number before it)",
        )
    return named, (f"ids in several splits: {in_splits} (every id has its split's name before it)",)


def _restarting(rows: Sequence[Example], read: Sequence[ReadRow]) -> int:
    """Return how many ids stand in several files of one split.

    Raises:
        UserError: for an id that is there twice in one file, or in two with the same text.
    """
    seen: dict[tuple[str, str], int] = {}
    again = set()
    for place, (row, one) in enumerate(zip(rows, read, strict=True)):
        before = seen.get((one.split, row.id))
        seen[one.split, row.id] = place
        if before is None:
            continue
        same = _text(row) == _text(rows[before])
        if same or read[before].piece == one.piece:
            said = " with the same text (leave one of the two out)"
            other = " (an id names one row; of a patient or document: --columns group=id)"
            raise UserError(
                f"{one.where}: id {row.id!r} was already used at {read[before].where}"
                f"{said if same else other}"
            )
        again.add((one.split, row.id))
    return len(again)


def _text(row: Example) -> tuple[str, str]:
    return row.question, row.context


def _renamed(row: Example, row_id: str) -> Example:
    return replace(row, id=row_id, group=row_id if row.group == row.id else row.group)
