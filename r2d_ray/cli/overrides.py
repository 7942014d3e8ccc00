"""TrainConfig values from the command line: fields with a flag of their own, and `--set`."""

from __future__ import annotations

import argparse
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from r2d_ray.cli.flags import kind_of
from r2d_ray.config import TrainConfig
from r2d_ray.errors import UserError, unknown, whole_number
from r2d_ray.storage import plain_yaml
from r2d_ray.study.asked import DATA, TRAINING

CONFIG_FLAGS = {  # TrainConfig fields with a flag of their own: its group and metavar
    "rationale_source": (DATA, "SOURCE"),
    "stage1_rationale_source": (DATA, "SOURCE"),
    "model": (TRAINING, "NAME|DIR"),
    "model_revision": (TRAINING, "REV"),
    "num_workers": (TRAINING, None),
    "gpus_per_worker": (TRAINING, None),
    "zero_stage": (TRAINING, None),
    "deepspeed_config": (TRAINING, "FILE"),
}


def field_overrides(args: argparse.Namespace) -> dict[str, Any]:
    """Return the TrainConfig values that flags and `--set` give, the latter last.

    Raises:
        UserError: for a field that does not exist or a file that cannot be read.
    """
    values = {name: getattr(args, name, None) for name in (*CONFIG_FLAGS, "seed")}
    values = {name: value for name, value in values.items() if value is not None}
    if args.deepspeed_config:
        values["deepspeed_config"] = read_json_file("--deepspeed-config", args.deepspeed_config)
    for item in args.set:
        name, equals, text = item.partition("=")
        if not equals:
            raise UserError(f"--set {item} (allowed: FIELD=VALUE)")
        name = field_named(name)
        values[name] = parse_value(text, name)
    return values


def field_named(name: str) -> str:
    """Return a field's name from how it was written.

    Raises:
        UserError: for a field that does not exist, with those that may be meant.
    """
    name = name.strip().replace("-", "_")
    if name not in TrainConfig.model_fields and name != "fp16":
        raise unknown("field", name, TrainConfig.model_fields)
    return name


def parse_value(text: str, name: str) -> Any:
    """Return what a field is to be, of its text: a number, truth value, null, mapping or text.

    Numbers are read as Python reads them and texts as they are: YAML has other ideas of `1e-4`,
    `010`, `no` and dates.
    """
    field = TrainConfig.model_fields.get(name)
    kind = kind_of(field.annotation).type if field else bool
    with suppress(ValueError):
        if kind in (int, float) and math.isfinite(number := float(text)):
            return number if kind is float else int(whole_number(text))
    try:
        value = plain_yaml(text, "")
    except UserError:
        return text
    scalar = kind is str and value is not None and not isinstance(value, dict | list)
    return text.strip() if scalar else value


def read_json_file(flag: str, name: str) -> dict[str, Any]:
    """Return the JSON object of a file.

    Raises:
        UserError: if it cannot be read or is no object.
    """
    from r2d_ray.data.files import read_json

    try:
        value = read_json(Path(name))
    except UserError as error:
        raise UserError(f"{flag} {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{flag} {name}: a {type(value).__name__} (allowed: a JSON object)")
    return value
