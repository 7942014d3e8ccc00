"""Parquet with answers: the input's types where it has them, else those that hold all values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

from r2d_ray.data.reading.streams import Chunk
from r2d_ray.errors import UserError
from r2d_ray.prediction.answers import Answer, Column

if TYPE_CHECKING:
    import pyarrow

ROWS_OF_A_GROUP = 65536
"""Rows that are written together, and so the most that memory holds."""


class ParquetWriter:
    """Learns a schema that holds every chunk of the input, then writes them under it."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self._schema: pyarrow.Schema | None = None
        self._as_json: set[str] = set()
        self._waiting: list[pyarrow.Table] = []

    def learn(self, chunk: Chunk) -> None:
        """Take in the columns of a chunk and their types.

        Raises:
            UserError: for files that have a column in types that no type holds.
        """
        table = self._table(chunk)
        self.names.update(dict.fromkeys(table.column_names))
        self._schema = self._joined(self._schema, table.schema, chunk.table is not None)

    def begin(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        """Begin the file under the schema of everything that was learnt."""
        import pyarrow
        import pyarrow.parquet

        assert self._schema is not None
        self._columns = columns
        # A column of nothing but missing values has no type; text is what any reader takes.
        own = [
            field.with_type(pyarrow.string()) if pyarrow.types.is_null(field.type) else field
            for field in self._schema
        ]
        added = [pyarrow.field(column.name, column.kind) for column in columns]
        self._output = pyarrow.schema([*own, *added], _metadata(self._schema, added))
        self._file = pyarrow.parquet.ParquetWriter(file, self._output)

    def write(self, chunk: Chunk, answers: Sequence[Answer]) -> None:
        """Write the rows of a chunk, in order."""
        import pyarrow

        table = self._table(chunk)
        cells = {
            column.name: pyarrow.array([column.value(answer) for answer in answers], column.kind)
            for column in self._columns
        }
        arrays = [
            cells[field.name]
            if field.name in cells
            else table.column(field.name).cast(field.type)
            if field.name in table.column_names
            else pyarrow.nulls(len(answers), field.type)
            for field in self._output
        ]
        self._waiting.append(pyarrow.Table.from_arrays(arrays, schema=self._output))
        if sum(map(len, self._waiting)) >= ROWS_OF_A_GROUP:
            self._flush()

    def end(self) -> None:
        """Write the rows that wait, and the footer."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        import pyarrow

        if self._waiting:
            self._file.write_table(pyarrow.concat_tables(self._waiting))
            self._waiting = []

    def _table(self, chunk: Chunk) -> pyarrow.Table:
        """Return the rows of a chunk as Arrow; objects and mixed types become JSON text."""
        import pyarrow

        if chunk.table is not None:
            return chunk.table
        names = dict.fromkeys(name for record in chunk.records for name in record.values)
        return pyarrow.table({name: self._array(chunk, name) for name in names})

    def _array(self, chunk: Chunk, name: str) -> pyarrow.Array:
        import pyarrow

        values = [record.values.get(name) for record in chunk.records]
        if any(map(_is_object, values)):
            self._as_json.add(name)
        if name not in self._as_json:
            try:
                return pyarrow.array(values)
            except (pyarrow.ArrowException, OverflowError):
                self._as_json.add(name)
        return pyarrow.array([_text(value) for value in values], pyarrow.string())

    def _joined(
        self, one: pyarrow.Schema | None, other: pyarrow.Schema, typed: bool
    ) -> pyarrow.Schema:
        """Return a schema that holds both; columns whose types no type holds become JSON text."""
        import pyarrow

        if one is None or one.equals(other):
            return other
        fields = {field.name: field for field in one}
        for field in other:
            known = fields.get(field.name, field)
            try:
                [fields[field.name]] = pyarrow.unify_schemas(
                    [pyarrow.schema([known]), pyarrow.schema([field])],
                    promote_options="permissive",
                )
            except pyarrow.ArrowException:
                if typed:
                    raise UserError(
                        f"column {field.name!r} is of type {known.type} in one file and of type "
                        f"{field.type} in another (allowed: an --output of text, such as .csv)"
                    ) from None
                self._as_json.add(field.name)
                fields[field.name] = pyarrow.field(field.name, pyarrow.string())
        return pyarrow.schema(list(fields.values()), one.metadata)


def _metadata(schema: pyarrow.Schema, added: Sequence[Any]) -> dict[bytes, bytes] | None:
    """Return the metadata of a schema; what `datasets` wrote there must name every column."""
    import pyarrow

    found = dict(schema.metadata or {})
    if b"huggingface" not in found:
        return found or None
    import datasets

    features = datasets.Features.from_arrow_schema(schema)
    more = datasets.Features.from_arrow_schema(pyarrow.schema(list(added)))
    own = datasets.Features({**features, **more}).arrow_schema.metadata
    return {**found, **own}


def _is_object(value: Any) -> bool:
    """Return whether a value is an object or a list of them: each may have other members."""
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_is_object, value)))


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
