"""The input of a prediction: which rows it has, read twice before a model is loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r2d_ray.data.examples import Example
from r2d_ray.data.files import Record
from r2d_ray.data.official.layout import TITLES
from r2d_ray.data.official.readers import SAMPLE, layout_of, table_layout, unlabelled_rows
from r2d_ray.data.reading.cells import find
from r2d_ray.data.reading.streams import RowStream, open_stream, stream_of
from r2d_ray.prediction.columns import CONTEXT, OPTIONS, QUESTION, example_of, needs, resolve
from r2d_ray.prediction.writers import Writer
from r2d_ray.storage import counted
from r2d_ray.study.model_file import ModelFile

SNIFFED_ROWS = 1
"""Rows by which the layout of a table is told."""


@dataclass(frozen=True, slots=True)
class Input:
    """Rows that a model can read: where they come from, and which column is what.

    `notes` are what the user should know of them.
    """

    stream: RowStream
    columns: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Counted:
    """What a whole input has: rows, chunks, rows without a value, rows without a context."""

    rows: int = 0
    chunks: int = 0
    without_value: int = 0
    without_context: int = 0


def open_input(path: Path, model: ModelFile, named: Mapping[str, str]) -> Input:
    """Return the rows of a path as a model reads them.

    Args:
        path: A table file, a folder of them, a saved data set, or files in the official layout of
            a named set.
        model: What its folder says.
        named: Target to column (`--columns`): the input is then a table.

    Raises:
        UserError: for what cannot be read, and for columns that the model needs and are not there.
    """
    stream = None if named else official_stream(path, model)
    return stream_input(stream or open_stream(path), model, named)


def stream_input(stream: RowStream, model: ModelFile, named: Mapping[str, str]) -> Input:
    """Return rows as a model reads them; raises as `open_input`."""
    columns = resolve(stream, needs(model, named))
    notes = list(stream.notes)
    if model.columns is None:
        notes.append(
            "this model is of version 0.2 or before and does not say which columns it was trained "
            "on; --columns names others"
        )
    return Input(stream, columns, tuple(notes))


def official_stream(path: Path, model: ModelFile) -> RowStream | None:
    """Return the rows of files in the official layout of a set, None of an ordinary table.

    A set is told by the keys of its files, whatever the model was trained on. A table that has the
    columns of training is read as in training.

    Raises:
        UserError: naming file and entry for what is no row of its layout.
    """
    trained = model.dataset.removesuffix(SAMPLE)
    named = layout_of(path, trained) or _layout_of_table(path, model)
    if named is None:
        return None
    source = unlabelled_rows(path, named)
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    records = (Record(f"{path}: {row.id}", _values(row)) for row in source.rows)
    found = stream_of(records, f"{path} (layout of {TITLES[named]})", files)
    said = f"{path.name} has the layout of {TITLES[named]}, on which this model was not trained"
    notes = source.notes if named == trained else (said, *source.notes)
    return RowStream(found.name, found.parts, found.files, notes)


def _layout_of_table(path: Path, model: ModelFile) -> str | None:
    chunk = next(open_stream(path).chunks(SNIFFED_ROWS), None)
    if chunk is None or not chunk.records:
        return None
    kept = model.columns or {}
    own = [kept[target] for target in (QUESTION, CONTEXT, OPTIONS) if target in kept]
    values = chunk.records[0].values
    as_trained = bool(own) and all(find(values, column) is not None for column in own)
    return None if as_trained else table_layout({"": chunk.records})


def _values(row: Example) -> dict[str, Any]:
    values: dict[str, Any] = {"id": row.id, "question": row.question, "context": row.context}
    return values if row.choices is None else {**values, "choices": list(row.choices)}


def count(found: Input, writer: Writer, size: int) -> Counted:
    """Read the whole input once: check every row, and let the writer learn the columns.

    Raises:
        UserError: naming file, line and column of a row that cannot be read.
    """
    seen = Counted()
    for chunk in found.stream.chunks(size):
        seen.chunks += 1
        seen.rows += len(chunk.records)
        seen.without_value += chunk.without_value
        writer.learn(chunk)
        for record in chunk.records:
            seen.without_context += not example_of(record, found.columns).context
    return seen


def input_lines(
    found: Input, seen: Counted, names: Collection[str], model: ModelFile
) -> Iterator[str]:
    """Yield what a user should know of an input with these columns, a line each."""
    yield from found.notes
    used = ", ".join(f"{target} <- {column}" for target, column in found.columns.items())
    yield f"{counted(seen.rows, 'row')} of {found.stream.name}; columns: {used}"
    if seen.without_value:
        verb = "is" if seen.without_value == 1 else "are"
        yield f"{counted(seen.without_value, 'row')} without a value {verb} left out"
    if CONTEXT in found.columns and seen.without_context:
        verb = "has" if seen.without_context == 1 else "have"
        yield f"{seen.without_context} of {counted(seen.rows, 'row')} {verb} no context"
    if model.context is False and CONTEXT in names:
        yield "column 'context' is not used: this model was trained without contexts"
