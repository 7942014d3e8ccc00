"""Tables of Arrow: Parquet files, data sets that `datasets` saved, and sets of the hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2d_ray.data.files import Record, Table, filled_rows
from r2d_ray.errors import UserError

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

SAVED = ("state.json", "dataset_info.json")
"""Files by which a folder is one data set of `save_to_disk`."""

SAVED_DICT = "dataset_dict.json"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A cell that Python has no value for, such as a duration of 146 million years."""

    reason: str


def read_parquet(path: Path) -> Table:
    """Return the rows of a Parquet file; class names in its metadata are its values.

    Raises:
        UserError: if it is not a Parquet file, has a column twice, or no row.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        # ParquetFile, because read_table would take folder names such as `a=b` for columns.
        table = pyarrow.parquet.ParquetFile(path).read()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _not_parquet(path, error) from None
    return rows_of(table, str(path), f"{path}: row")


def parquet_batches(path: Path, size: int) -> Iterator[pyarrow.Table]:
    """Yield a Parquet file's rows in tables of at most `size` rows.

    Raises:
        UserError: if it is not a Parquet file or has a column twice.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            check_once(file.schema_arrow.names, str(path))
            for batch in file.iter_batches(batch_size=size):
                yield pyarrow.Table.from_batches([batch], file.schema_arrow)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _not_parquet(path, error) from None


def _not_parquet(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: not a Parquet file: {_line(error)}")


def read_arrow(path: Path) -> Table:
    """Return the rows of an Arrow file as `datasets` writes it.

    Raises:
        UserError: if it cannot be read or has no row.
    """
    return dataset_rows(open_arrow(path), str(path), f"{path}: row")


def open_arrow(path: Path) -> Dataset:
    """Return an Arrow file of `datasets`, whose rows stay on the disk.

    Raises:
        UserError: if it cannot be read.
    """
    import datasets
    import pyarrow

    try:
        return datasets.Dataset.from_file(str(path))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path}: not an Arrow file of datasets: {_line(error)}") from None


def is_saved(folder: Path) -> bool:
    """Return whether `save_to_disk` wrote this folder."""
    one = all((folder / name).is_file() for name in SAVED)
    return one or (folder / SAVED_DICT).is_file()


def read_saved(folder: Path) -> dict[str, Table]:
    """Return the rows of a saved data set by split; "" where it has none.

    Raises:
        UserError: if the folder is not whole.
    """
    return {
        name: dataset_rows(table, str(folder), saved_row(folder, name))
        for name, table in open_saved(folder).items()
    }


def open_saved(folder: Path) -> dict[str, Dataset]:
    """Return a saved data set by split ("" where it has none); its rows stay on the disk.

    Raises:
        UserError: if the folder is not whole.
    """
    import datasets

    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # missing files, Arrow, JSON: the errors share no base class
        raise UserError(
            f"{folder}: a saved data set that cannot be loaded: {_line(error)}"
        ) from None
    return {"": loaded} if isinstance(loaded, datasets.Dataset) else dict(loaded.items())


def saved_row(folder: Path, split: str) -> str:
    """Return what stands before the number of a row of a saved data set."""
    return f"{folder}: {split} row" if split else f"{folder}: row"


def dataset_rows(dataset: Dataset, header: str, where: str) -> Table:
    """Return the rows of a data set; `where` stands before a row's number.

    Raises:
        UserError: as `rows_of`.
    """
    return rows_of(dataset.with_format("arrow")[:], header, where, dataset.features)


def check_once(names: Sequence[str], header: str) -> None:
    """Raise UserError for a column that is there twice: a row would keep the last one silently."""
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{header}: column name {name!r} appears twice")


def rows_of(
    table: pyarrow.Table, header: str, where: str, features: Mapping[str, Any] | None = None
) -> Table:
    """Return the rows of an Arrow table.

    Args:
        table: The table.
        header: What names its columns, for errors.
        where: What stands before a row's number.
        features: Its features; None takes them from its metadata, if it has class names.

    Raises:
        UserError: for a column that is there twice, and a table without rows.
    """
    names = table.column_names
    check_once(names, header)
    if not table.num_rows:
        raise UserError(f"{header}: no rows")
    return filled_rows(records_of(table, where, features=features), header, names)


def records_of(
    table: pyarrow.Table,
    where: str,
    *,
    start: int = 1,
    features: Mapping[str, Any] | None = None,
) -> Iterator[Record]:
    """Yield the rows of an Arrow table, or of a part of one whose first row is number `start`."""
    names = table.column_names
    classes = _classes(table, features)
    columns = [
        _named(_values(table.column(name)), classes[name])
        if name in classes
        else _values(table.column(name))
        for name in names
    ]
    rows = (dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True))
    return (Record(f"{where} {number}", row) for number, row in enumerate(rows, start=start))


def _classes(table: pyarrow.Table, features: Mapping[str, Any] | None) -> dict[str, Sequence[str]]:
    metadata = (table.schema.metadata or {}).get(b"huggingface", b"")
    if features is None and b"ClassLabel" not in metadata:
        return {}
    import datasets

    found = datasets.Features.from_arrow_schema(table.schema) if features is None else features
    return {
        name: feature.names
        for name, feature in found.items()
        if isinstance(feature, datasets.ClassLabel) and feature.names
    }


def _named(values: Sequence[Any], names: Sequence[str]) -> list[str | None]:
    # The hub writes -1 for a class that is not public.
    return [
        names[value] if isinstance(value, int) and 0 <= value < len(names) else None
        for value in values
    ]


def _values(column: pyarrow.ChunkedArray) -> list[Any]:
    """Return a column's values; what Python has no value for as text, or as `Unreadable`."""
    import pyarrow

    try:
        return list(column.to_pylist())
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:
        reason = _line(error)
    try:
        return list(column.cast(pyarrow.string()).to_pylist())
    except (pyarrow.ArrowException, ValueError, OverflowError):
        return [Unreadable(reason)] * len(column)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
