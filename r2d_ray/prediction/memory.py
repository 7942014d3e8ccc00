"""Rows that are in memory, with their answers: for `r2d_ray.predict_rows`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2d_ray.data.files import Record
from r2d_ray.data.reading.streams import has_value, stream_of
from r2d_ray.errors import UserError
from r2d_ray.prediction.answers import Answer
from r2d_ray.prediction.inputs import Input, open_input, stream_input
from r2d_ray.prediction.predictor import Predictor, pick_device
from r2d_ray.prediction.request import PredictRequest, check_asked, columns_for
from r2d_ray.prediction.run import answers_of
from r2d_ray.study.model_file import ModelFile, read_model_file

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Answered:
    """Rows and, of every row, the values of the `names` columns that answer it."""

    rows: list[dict[str, Any]]
    names: tuple[str, ...]
    cells: list[tuple[Any, ...]]

    def joined(self) -> list[dict[str, Any]]:
        """Return every row with its answer."""
        pairs = zip(self.rows, self.cells, strict=True)
        return [{**row, **dict(zip(self.names, cells, strict=True))} for row, cells in pairs]


def predict_in_memory(
    request: PredictRequest, rows: pd.DataFrame | Iterable[Mapping[str, Any]] | str | Path
) -> pd.DataFrame | list[dict[str, Any]]:
    """Return rows with their answers: a frame of a frame, else mappings.

    Raises:
        UserError: as `predict_file`, and for a row in which nothing has a value.
    """
    import pandas as pd

    if isinstance(rows, str | Path):
        return predict_path(request, Path(rows)).joined()
    if not isinstance(rows, pd.DataFrame):
        return predict_records(request, rows).joined()
    whole = rows.astype(object).where(rows.notna(), None)
    records = [{str(name): row[name] for name in row} for row in whole.to_dict("records")]
    found = predict_records(request, records)
    answers = pd.DataFrame(found.cells, index=rows.index, columns=list(found.names))
    return pd.concat([rows, answers], axis=1)


def predict_records(request: PredictRequest, rows: Iterable[Mapping[str, Any]]) -> Answered:
    """Return mappings with their answers.

    Raises:
        UserError: as `predict_file`, and for a row in which nothing has a value.
    """
    records = [Record(f"row {n}", dict(row)) for n, row in enumerate(rows, start=1)]
    empty = next((record for record in records if not has_value(record)), None)
    if empty is not None or not records:
        said = f"{empty.where} has no value" if empty else "no rows"
        raise UserError(f"{said} (allowed: at least one row, and a value in each)")
    model = read_model_file(request.model)
    found = stream_input(stream_of(records, "rows"), model, request.columns)
    return _answered(request, model, found)


def predict_path(request: PredictRequest, source: Path) -> Answered:
    """Return the rows of a file or folder with their answers, all in memory.

    Raises:
        UserError: as `predict_file`.
    """
    model = read_model_file(request.model)
    return _answered(request, model, open_input(source, model, request.columns))


def _answered(request: PredictRequest, model: ModelFile, found: Input) -> Answered:
    check_asked(request, model)
    predictor = Predictor(request.model, model, pick_device(request.device), request.batch_size)
    rows: list[dict[str, Any]] = []
    answers: list[Answer] = []
    for chunk in found.stream.chunks(request.chunk_rows):
        answers += answers_of(predictor, chunk, found.columns, request)
        rows += [record.values for record in chunk.records]
    taken = dict.fromkeys(name for row in rows for name in row)
    columns = columns_for(request, model, found.columns, taken)
    cells = [tuple(column.value(answer) for column in columns) for answer in answers]
    return Answered(rows, tuple(column.name for column in columns), cells)
