"""The cost matrix of `--costs FILE`: what each error costs, by label names.

gold,emergency,home          emergency: {emergency: 0, home: 10}
emergency,0,10               home: {emergency: 1, home: 0}
home,1,0
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from r2d_ray.config import TrainConfig
from r2d_ray.data.examples import Splits
from r2d_ray.data.reading.delimited import separator_of
from r2d_ray.errors import UserError, unknown
from r2d_ray.method.label_kinds import FIXED
from r2d_ray.records import StudyInfo
from r2d_ray.storage import read_yaml_texts

Table = dict[str, dict[str, float]]
Costs = tuple[tuple[float, ...], ...]
"""The same in the order of the label set: rows gold, columns decided."""


def read_costs(path: Path, labels: Sequence[str]) -> Table:
    """Return the cost of deciding a label where another is gold: `costs[gold][decided]`.

    Args:
        path: CSV (a header of decided labels, a line for each gold one; commas, or semicolons and
            decimal commas, or tabs) or YAML (a mapping of gold to a mapping of decided to cost).
        labels: The fixed label set.

    Raises:
        UserError: for a file that cannot be read, a label that is missing or unknown, a cost that
            is no finite number of at least 0, a right decision that costs more than a wrong one,
            or no wrong one that costs more than the right one.
    """
    if path.suffix.lower() in (".yaml", ".yml"):
        found = read_yaml_texts(path)  # `no` and `007` are labels, not a truth value and a 7
    elif path.suffix.lower() == ".csv":
        found = _read_csv(path)
    else:
        raise UserError(f"--costs {path}: the ending is not known (allowed: .csv, .yaml)")
    if not isinstance(found, Mapping):
        raise UserError(f"--costs {path}: not a table (allowed: gold label to decided to cost)")
    rows = _by_label(found, labels, f"--costs {path}")
    costs = {}
    for gold, row in rows.items():
        where = f"--costs {path}: gold {gold!r}"
        if not isinstance(row, Mapping):
            raise UserError(f"{where}: {row!r} (allowed: a cost for each decided label)")
        costs[gold] = {
            decided: _cost(value, f"{where}, decided {decided!r}")
            for decided, value in _by_label(row, labels, where).items()
        }
        least = min(costs[gold], key=lambda decided: costs[gold][decided])
        if costs[gold][least] < costs[gold][gold]:
            raise UserError(
                f"{where}: deciding it costs {costs[gold][gold]:g}, more than deciding {least!r} "
                f"({costs[gold][least]:g}) (allowed: rows gold, columns decided, least where right)"
            )
    if not any(dearer_errors(costs)):
        raise UserError(
            f"--costs {path}: no error costs more than the right label, so that any label could be "
            "decided (allowed: an error that costs more)"
        )
    return costs


def dearer_errors(costs: Table) -> list[float]:
    """Return by how much each error costs more than the right label; decisions depend on these."""
    return [
        cost - row[gold]
        for gold, row in costs.items()
        for said, cost in row.items()
        if said != gold
    ]


def cost_lines(info: StudyInfo) -> list[str]:
    """Return that a study's costs decide as no costs would, where they do."""
    named = info.study.get("costs")
    if not named or len(set(dearer_errors(named))) > 1:
        return []
    return ["costs: every error costs the same, so that the most probable label is decided"]


def _read_csv(path: Path) -> dict[str, dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            separator = separator_of(file.readline())
            file.seek(0)
            reader = csv.reader(file, delimiter=separator)
            lines = [(reader.line_num, line) for line in reader if any(line)]
    except OSError as error:
        raise UserError(f"--costs {path}: cannot be read ({error.strerror})") from None
    except (UnicodeError, csv.Error) as error:
        raise UserError(f"--costs {path}: cannot be read ({error})") from None
    if not lines:
        raise UserError(f"--costs {path}: empty (allowed: a header of labels and a line for each)")
    (first, head), *rest = lines
    for name in head[1:]:
        if head[1:].count(name) > 1:
            raise UserError(f"--costs {path}:{first}: {name!r}: twice")
    found: dict[str, dict[str, str]] = {}
    for number, line in rest:
        if len(line) != len(head) or line[0] in found:
            said = f"{len(line)} cells, not {len(head)}" if len(line) != len(head) else "twice"
            raise UserError(f"--costs {path}:{number}: {line[0]!r}: {said}")
        costs = [cell.replace(",", ".") if separator == ";" else cell for cell in line[1:]]
        found[line[0]] = dict(zip(head[1:], costs, strict=True))
    return found


def _by_label(found: Mapping[Any, Any], labels: Sequence[str], where: str) -> dict[str, Any]:
    """Return the values in the order of the labels, which must be those that are there."""
    named = {str(name).strip(): value for name, value in found.items()}
    if len(named) < len(found):
        raise UserError(f"{where}: a label appears twice, with spaces and without")
    for name in named:
        if name not in labels:
            raise UserError(f"{where}: {unknown('label', name, labels)}")
    for label in labels:
        if label not in named:
            raise UserError(f"{where}: label {label!r} is missing (allowed: {', '.join(labels)})")
    return {label: named[label] for label in labels}


def _cost(value: Any, where: str) -> float:
    try:
        cost = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        cost = math.nan
    if not (math.isfinite(cost) and cost >= 0):
        raise UserError(f"{where}: {value!r} (allowed: a number of at least 0)")
    return cost


def with_costs(
    info: StudyInfo, file: str | None, splits: Splits, configs: Iterable[TrainConfig]
) -> StudyInfo:
    """Return the study.json that keeps the costs themselves: their file may change or go.

    Raises:
        UserError: for a file that `read_costs` refuses, or runs whose labels cannot be decided.
    """
    if file is None:
        return info
    if splits.label_kind is not FIXED:
        raise UserError(
            f"--costs {file}: {splits.name} has no fixed label set whose errors could "
            "have costs (allowed: without --costs)"
        )
    if any(config.label_choice == "generate" for config in configs):
        raise UserError(
            f"--costs {file}: labels that are generated have no probabilities to decide "
            "by (allowed: --set label_choice=scored)"
        )
    costs = read_costs(Path(file), splits.labels)
    return info.model_copy(update={"study": {**info.study, "costs": costs}})


def costs_of(info: StudyInfo) -> Costs | None:
    """Return a study's costs in the order of its label set, None where it has none."""
    named = info.study.get("costs")
    if not named:
        return None
    labels = info.data_card["labels"]
    return tuple(tuple(float(named[gold][said]) for said in labels) for gold in labels)
