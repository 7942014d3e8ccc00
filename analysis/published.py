"""Values that others published, in percent, each with its source; never mixed with our own."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from r2d_ray.errors import UserError

PUBLISHED = Path(__file__).with_name("published.csv")
COLUMNS = ("method", "dataset", "metric", "value", "source")
METRICS = ("macro_f1", "accuracy", "bertscore", "bleu", "consistency", "sufficiency")


@dataclass(frozen=True, slots=True)
class PublishedValue:
    """A published value (0 to 100) and where it stands."""

    method: str
    dataset: str
    metric: str
    value: float
    source: str


def read_published(path: Path = PUBLISHED) -> tuple[PublishedValue, ...]:
    """Return the published values of a CSV file with the columns `COLUMNS`.

    Raises:
        UserError: one line with file and line: other columns, an empty cell (a source, above
            all), an unknown metric, a value that is no number from 0 to 100, a value twice.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, cells) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: {error} (allowed: a CSV file in UTF-8)") from None
    head = lines[0][1] if lines else []
    if tuple(head) != COLUMNS:
        raise UserError(f"{path}:1: columns {', '.join(head)} (allowed: {', '.join(COLUMNS)})")
    found: dict[tuple[str, str, str], PublishedValue] = {}
    for line, cells in lines[1:]:
        value = _value(f"{path}:{line}", cells)
        key = (value.method, value.dataset, value.metric)
        if key in found:
            raise UserError(f"{path}:{line}: {' '.join(key)} appears twice")
        found[key] = value
    return tuple(found.values())


def _value(where: str, cells: list[str]) -> PublishedValue:
    if len(cells) != len(COLUMNS):
        raise UserError(f"{where}: {len(cells)} cells (allowed: {len(COLUMNS)})")
    row = {name: cell.strip() for name, cell in zip(COLUMNS, cells, strict=True)}
    for name, cell in row.items():
        if not cell:
            raise UserError(f"{where}: {name} is empty (allowed: a source for every value)")
    if row["metric"] not in METRICS:
        raise UserError(f"{where}: metric {row['metric']!r} (allowed: {', '.join(METRICS)})")
    try:
        value = float(row["value"])
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise UserError(f"{where}: value {row['value']!r} (allowed: a number from 0 to 100)")
    return PublishedValue(row["method"], row["dataset"], row["metric"], value, row["source"])
