"""The command line's words: flags, their help, and how they become settings.

Flags are kebab-case, `_` is accepted; TrainConfig fields are set by their own flag or `--set`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from r2d_ray import __version__
from r2d_ray.config import TrainConfig
from r2d_ray.errors import UserError, unknown
from r2d_ray.storage import plain_yaml

FIELD_FLAGS = (  # TrainConfig fields with a flag of their own
    "model",
    "model_revision",
    "num_workers",
    "gpus_per_worker",
    "zero_stage",
    "rationale_source",
    "stage1_rationale_source",
    "seed",
)
SMOKE_SAMPLES = 2
SMOKE_LIMIT = 64


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are UserErrors: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Raise the message as a UserError."""
        raise UserError(f"{message} (see --help)")


def normalise(argv: Sequence[str]) -> list[str]:
    """Return the arguments with `_` as `-` in the names of long flags.

    Raises:
        UserError: for an empty value, mostly of a shell variable that is not set, or one that is
            not UTF-8.
    """
    words = []
    for place, word in enumerate(argv):
        flag, equals, value = word.partition("=") if word.startswith("--") else ("", "=", word)
        if equals and value in ("", "--"):  # of `--name=--` argparse would make a list
            before = argv[place - 1] if place else "the first argument"
            raise UserError(f"{flag or before} {value!r}: no value (allowed: one, or no such flag)")
        if word != word.encode(errors="replace").decode():  # study.json could not hold it
            raise UserError(f"{word!r} is not UTF-8 (allowed: UTF-8 texts and file names)")
        words.append(flag.replace("_", "-") + word.removeprefix(flag))
    return words


def study_parser(command: str, description: str) -> Parser:
    """Return the parser of a command that runs a study."""
    parser = Parser(prog=f"python -m r2d_ray.{command}", description=description)
    add = parser.add_argument
    add("--version", action="version", version=__version__)
    data = parser.add_argument_group("data")
    data.add_argument("--dataset", help="named set, FILE or hub:NAME@REV")
    data.add_argument("--data", help="where a named set lies (default: $R2D_DATA/<dataset>)")
    data.add_argument("--columns", help="question=q,rationale.human=why,choices=options")
    data.add_argument("--limit", type=int, help="most rows of each split")
    data.add_argument(
        "--sample-rows",
        nargs=3,
        type=int,
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="rows of an embedded sample (default: 1400 300 300)",
    )
    data.add_argument("--rationale-rows", type=int, help="most training rows with rationales")
    data.add_argument("--rationale-source", help="which rationale stage 2 trains on")
    data.add_argument("--stage1-rationale-source", help="which rationale stage 1 trains on")
    model = parser.add_argument_group("model and training")
    model.add_argument("--method", default="r2d", help="r2d or sft")
    model.add_argument("--model", help="scratch-tiny, scratch-small, a T5 folder or hub name")
    model.add_argument("--model-revision", help="hub revision")
    model.add_argument("--num-workers", type=int, help="Ray Train workers of one trial")
    model.add_argument("--gpus-per-worker", type=float, help="0 trains on the CPU")
    model.add_argument("--zero-stage", type=int, help="DeepSpeed ZeRO stage, 0 to 3")
    model.add_argument("--deepspeed-config", help="JSON merged over the DeepSpeed configuration")
    model.add_argument("--profile", choices=("embedded", "paper"), help="default: by GPUs")
    model.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    model.add_argument("--seed", type=int, help="default: 42")
    search = parser.add_argument_group("search")
    search.add_argument("--space", help="name in search_spaces/ or a YAML file")
    search.add_argument("--num-samples", type=int, help="trials, trial 0 included")
    search.add_argument("--max-concurrent-trials", type=int)
    search.add_argument("--scheduler", choices=("asha", "none"), default="asha")
    search.add_argument("--sampler", default="tpe", help="tpe, random, gp, qmc or grid")
    search.add_argument("--time-budget", type=float, metavar="S", help="seconds")
    study = parser.add_argument_group("study")
    study.add_argument("--storage-path", default="./studies", help="folder that every node sees")
    study.add_argument("--name", help="default: <dataset>-<method>-<model>")
    study.add_argument("--resume", choices=("auto", "never", "must"), default="auto")
    study.add_argument("--extend", type=int, metavar="N", help="N more trials")
    study.add_argument("--warm-start", metavar="STUDY", help="learn from another study's trials")
    study.add_argument("--address", default="auto", help="auto, local or a Ray address")
    study.add_argument("--cluster-gpus", type=gpus, help="GPUs the cluster can grow to")
    study.add_argument("--dry-run", action="store_true", help="print the plan, start nothing")
    study.add_argument("--smoke-test", action="store_true", help="the smallest whole run")
    study.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    study.add_argument("--verbosity", choices=("quiet", "normal", "debug"), default="normal")
    return parser


def compare_parser() -> Parser:
    """Return the parser of `python -m r2d_ray.compare`: a study's flags and the grid's."""
    parser = study_parser("compare", "Compare methods over seeds, measured the same way.")
    grid = parser.add_argument_group("comparison")
    grid.add_argument("--methods", nargs="+", metavar="M", help="see --list; with --grid: r2d")
    grid.add_argument("--seeds", nargs="+", type=int, metavar="N", default=[1, 2, 3])
    grid.add_argument("--study", nargs="+", default=[], metavar="DIR", help="searches: tuned arms")
    grid.add_argument("--grid", metavar="SPACE", help="every point of a space: ablation, FILE")
    grid.add_argument("--rationale-sources", nargs="+", default=[], metavar="S")
    grid.add_argument(
        "--no-equal-steps",
        action="store_true",
        help="arms without stage 1 do not get its steps added",
    )
    grid.add_argument("--list", action="store_true", help="print every method and end")
    return parser


def predict_parser() -> Parser:
    """Return the parser of `python -m r2d_ray.predict`."""
    parser = Parser(prog="python -m r2d_ray.predict", description="Label and explain rows.")
    parser.add_argument("--model", required=True, help="the best/ folder of a study")
    parser.add_argument("--input", required=True, help="JSONL, CSV or Parquet with the questions")
    parser.add_argument("--output", required=True, help="JSONL to write")
    parser.add_argument("--columns", help="question=q,context=note,id=key")
    parser.add_argument("--batch-size", type=int, default=64, help="rows of one pass")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--verbosity", choices=("quiet", "normal", "debug"), default="normal")
    return parser


def field_overrides(args: argparse.Namespace) -> dict[str, Any]:
    """Return the TrainConfig values that flags and `--set` give, the latter last.

    Raises:
        UserError: for a field that does not exist or a file that cannot be read.
    """
    values = {name: getattr(args, name) for name in FIELD_FLAGS}
    values = {name: value for name, value in values.items() if value is not None}
    if args.deepspeed_config:
        values["deepspeed_config"] = read_json_file("--deepspeed-config", args.deepspeed_config)
    for item in args.set:
        name, equals, text = item.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise UserError(f"--set {item}: allowed is FIELD=VALUE")
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


def gpus(text: str) -> float:
    """Return a number of GPUs; ValueError, of which argparse makes bad usage, for what is none."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError
    return number


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
        raise UserError(f"{flag} {name}: allowed is a JSON object, not {type(value).__name__}")
    return value
