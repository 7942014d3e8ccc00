"""TrainConfig values from the command line: fields with a flag of their own, and `--set`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from r2d_ray.config import TrainConfig
from r2d_ray.errors import UserError, unknown
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
        name = name.strip().replace("-", "_")
        if not equals:
            raise UserError(f"--set {item} (allowed: FIELD=VALUE)")
        if name not in TrainConfig.model_fields and name != "fp16":
            raise unknown("field", name, TrainConfig.model_fields)
        values[name] = parse_value(text)
    return values


def parse_value(text: str) -> Any:
    """Return a flag's text as a plain YAML value: number, truth value, null or text."""
    try:
        return plain_yaml(text, "")
    except UserError:
        return text


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
