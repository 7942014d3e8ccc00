"""Keyword settings as the settings of a command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from r2d_ray.config import TrainConfig
from r2d_ray.errors import unknown
from r2d_ray.study.asked import flag_in
from r2d_ray.study.settings import StudySettings, build_settings

S = TypeVar("S", bound=StudySettings)


def settings_of(dataset: str | Path, given: Mapping[str, Any], kind: type[S]) -> S:
    """Return the settings of these keywords; TrainConfig's fields become overrides.

    Raises:
        UserError: for a name that is no setting, or a value out of bounds.
    """
    given = {_today(name, kind): value for name, value in given.items()}
    asked = kind.model_fields.keys() - {"overrides"}
    fields = TrainConfig.model_fields
    for name in given:
        if name not in asked and name not in fields:
            raise unknown("setting", name, {*asked, *fields})
    values = {name: value for name, value in given.items() if name in asked and value is not None}
    if values.get("columns"):
        values["columns"] = column_text(values["columns"])
    values = {
        **{name: str(v) if isinstance(v, Path) else v for name, v in values.items()},
        "dataset": str(dataset),
        "overrides": {name: v for name, v in given.items() if name in fields},
    }
    return build_settings(values, kind)


def column_text(columns: Mapping[str, str] | str) -> str:
    """Return which column is which as `--columns` says it."""
    if isinstance(columns, str):
        return columns
    quoted = {t: f'"{column}"' if "," in column else column for t, column in columns.items()}
    return ",".join(f"{target}={column}" for target, column in quoted.items())


def _today(name: str, kind: type[StudySettings]) -> str:
    """Return the field that took the place of one of this name; `name` where none did."""
    flags = {field: flag_in(kind, field) for field in kind.model_fields}
    former = {said.former[0]: field for field, said in flags.items() if said.former}
    return name if name in kind.model_fields else former.get(name, name)
