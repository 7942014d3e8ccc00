"""Which columns of an input a model reads: those of its training, unless others are named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from r2d_ray.data.examples import Example
from r2d_ray.data.files import Record, is_missing
from r2d_ray.data.reading.cells import find, text_of
from r2d_ray.data.reading.choices import options_of
from r2d_ray.data.reading.columnwise import COLUMNS_SHOWN
from r2d_ray.data.reading.streams import RowStream
from r2d_ray.errors import UserError
from r2d_ray.method.label_kinds import CHOICES, FIXED
from r2d_ray.storage import printable
from r2d_ray.study.model_file import ModelFile

QUESTION, CONTEXT, OPTIONS = "question", "context", "choices"

RESOLVED_ROWS = 1024
"""Rows that are read at once to find which columns have values."""


@dataclass(frozen=True, slots=True)
class Need:
    """A target that a model reads, and the columns that may hold it, the best first.

    `named` says that `--columns` names the column; `required` that there is no prediction without.
    """

    target: str
    candidates: tuple[str, ...]
    named: bool
    required: bool


def needs(model: ModelFile, named: Mapping[str, str]) -> list[Need]:
    """Return what a model reads of its rows.

    Args:
        model: What its folder says.
        named: Target to column, as `--columns` says it.

    Raises:
        UserError: for a column that is named for what the model never saw.
    """
    kind = model.label_kind or (FIXED.word if model.labels else None)
    # Models of version 0.2 and before do not say: what there is of context and options is read.
    wanted = {
        QUESTION: True,
        CONTEXT: model.context,
        OPTIONS: kind == CHOICES.word
        or (None if kind is None and model.config.label_choice == "generate" else kind is None),
    }
    found = []
    for target, required in wanted.items():
        if required is False:
            if target in named and target == CONTEXT:
                raise UserError(
                    f"--columns context={named[target]}: this model was trained without contexts "
                    "(allowed: no context column)"
                )
            continue
        kept = (model.columns or {}).get(target, target)
        candidates = (named[target],) if target in named else tuple(dict.fromkeys((kept, target)))
        found.append(Need(target, candidates, target in named, bool(required)))
    return found


def resolve(stream: RowStream, wanted: list[Need]) -> dict[str, str]:
    """Return target to column for what the input has: of the candidates the first with a value.

    Rows are read until every target's best candidate has a value, at most to the end.

    Raises:
        UserError: for a required target without a column, or a named column that is not there.
    """
    filled: set[str] = set()
    there: dict[str, None] = {}
    best = {need.candidates[0] for need in wanted}
    every = {column for need in wanted for column in need.candidates}
    rows = 0
    for chunk in stream.chunks(RESOLVED_ROWS):
        rows += len(chunk.records)
        for record in chunk.records:
            there.update(dict.fromkeys(record.values))
            filled |= {c for c in every - filled if not is_missing(find(record.values, c))}
        if best <= filled:
            break
    if not rows:
        raise UserError(f"{stream.name}: no row has a value (allowed: at least one row)")
    columns = {}
    for need in wanted:
        column = next((c for c in need.candidates if c in filled), None)
        if column is None:
            column = _without_value(need, there, stream.name)
        if column is not None:
            columns[need.target] = column
    return columns


def _without_value(need: Need, there: Mapping[str, None], name: str) -> str | None:
    """Return the column of a target that no row fills, if rows can be read so.

    Raises:
        UserError: if they cannot.
    """
    listed = printable(", ".join(list(there)[:COLUMNS_SHOWN]))
    if need.named and need.candidates[0] not in there:
        [column] = need.candidates
        raise UserError(
            f"--columns {need.target}={column}: {name}: no column {column!r} (columns: {listed})"
        )
    if not need.required:
        return None
    known = next((column for column in need.candidates if column in there), None)
    lacking = f"column {known!r} is empty" if known else f"no column {_either(need.candidates)}"
    why = ", and this model was trained with contexts" if need.target == CONTEXT else ""
    if need.target == OPTIONS:
        why = ", and this model chooses among a row's options"
    raise UserError(
        f"{name}: {lacking}{why} (columns: {listed}; name it with --columns {need.target}=COLUMN)"
    )


def _either(columns: tuple[str, ...]) -> str:
    return " or ".join(map(repr, columns))


def example_of(record: Record, columns: Mapping[str, str]) -> Example:
    """Return a row as a model reads it; its id is its place, and it has no label.

    Raises:
        UserError: naming file, line and column, for an empty question, a question or context that
            is no text, and options that are none.
    """
    options = None
    if OPTIONS in columns:
        options = options_of(
            find(record.values, columns[OPTIONS]), record.where, columns[OPTIONS]
        ).texts
    question = text_of(find(record.values, columns[QUESTION]), record.where, columns[QUESTION])
    if not question:
        raise UserError(f"{record.where}: column {columns[QUESTION]!r} is empty")
    context = find(record.values, columns[CONTEXT]) if CONTEXT in columns else None
    return Example(
        id=record.where,
        group=record.where,
        question=question,
        context="" if context is None else text_of(context, record.where, columns[CONTEXT]),
        label="",
        choices=options,
    )
