"""Tables of Arrow: Parquet files, data sets that `datasets` saved, and sets of the hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_ray.data.files import Table
from r2d_ray.data.reading.arrow_columns import (
    Choose,
    Columns,
    check_once,
    every_column,
    first_line,
    rows_of,
)
from r2d_ray.errors import UserError

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

SAVED = ("state.json", "dataset_info.json")
"""Files by which a folder is one data set of `save_to_disk`."""

SAVED_DICT = "dataset_dict.json"


def read_parquet(path: Path, choose: Choose = every_column) -> Table:
    """Return the rows of a Parquet file; class names in its metadata are its values.

    Raises:
        UserError: if it is not a Parquet file, has a column twice, or no row.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        # ParquetFile, because read_table would take folder names such as `a=b` for columns.
        with pyarrow.parquet.ParquetFile(path) as file:
            columns = Columns(file.schema_arrow.names, file.read)
            return rows_of(columns, str(path), f"{path}: row", choose)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _not_parquet(path, error) from None


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
    return UserError(f"{path}: not a Parquet file: {first_line(error)}")


def read_arrow(path: Path, choose: Choose = every_column) -> Table:
    """Return the rows of an Arrow file as `datasets` writes it.

    Raises:
        UserError: if it cannot be read or has no row.
    """
    return dataset_rows(open_arrow(path), str(path), f"{path}: row", choose)


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
        raise UserError(f"{path}: not an Arrow file of datasets: {first_line(error)}") from None


def is_saved(folder: Path) -> bool:
    """Return whether `save_to_disk` wrote this folder."""
    one = all((folder / name).is_file() for name in SAVED)
    return one or (folder / SAVED_DICT).is_file()


def read_saved(folder: Path, choose: Choose = every_column) -> dict[str, Table]:
    """Return the rows of a saved data set by split; "" where it has none.

    Raises:
        UserError: if the folder is not whole.
    """
    return {
        name: dataset_rows(table, str(folder), saved_row(folder, name), choose)
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
            f"{folder}: a saved data set that cannot be loaded: {first_line(error)}"
        ) from None
    return {"": loaded} if isinstance(loaded, datasets.Dataset) else dict(loaded.items())


def saved_row(folder: Path, split: str) -> str:
    """Return what stands before the number of a row of a saved data set."""
    return f"{folder}: {split} row" if split else f"{folder}: row"


def dataset_rows(dataset: Dataset, header: str, where: str, choose: Choose = every_column) -> Table:
    """Return the rows of a data set; `where` stands before a row's number.

    Raises:
        UserError: as `rows_of`.
    """

    def read(names: list[str]) -> pyarrow.Table:
        return dataset.select_columns(names).with_format("arrow")[:]

    columns = Columns(dataset.column_names, read, dataset.features)
    return rows_of(columns, header, where, choose)
