"""The commands, the flags of each, and how flags become values.

Flags are kebab-case, `_` is accepted; TrainConfig fields are set by their own flag or `--set`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from r2d_ray import __version__
from r2d_ray.cli.flags import Parser, add_field, add_value, help_text, kind_of
from r2d_ray.cli.outputs import (
    CompareOutput,
    ExportSettings,
    Output,
    PredictSettings,
    StudyOutput,
)
from r2d_ray.cli.overrides import CONFIG_FLAGS
from r2d_ray.config import PROFILES, TrainConfig
from r2d_ray.errors import OTHER_WORDS, UserError, meaning, meant
from r2d_ray.study.asked import (
    CLUSTER,
    COMPARISON,
    DATA,
    SEARCH,
    STUDY,
    TRAINING,
    Asked,
    Flag,
    flag_in,
    flag_of,
)
from r2d_ray.study.settings import CompareSettings, SearchSettings, TrainSettings

SET_HELP = (
    "Any field of a run (--list-fields shows them), e.g. --set learning_rate=1e-4 max_steps=500; "
    "may be repeated, the last one wins; default: by profile"
)
CONFIG_HELP = (
    "A YAML file with flags as keys (num_samples: 4), set and columns as mappings; flags that are "
    "given here win; paths are relative to the working folder; default: none"
)
SHOW_CONFIG_HELP = "Print that file for what is asked here, and exit"
LIST_HELP = "Print every field that --set takes, with type, bounds, default and unit, and exit"
FORMER_FLAGS = {"--study": "--tuned-from"}
GROUPS = (
    "files",
    "answers",
    DATA,
    COMPARISON,
    TRAINING,
    SEARCH,
    STUDY,
    CLUSTER,
    "device",
    "output",
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command: what it does, what it can be asked for, what it shows."""

    description: str
    settings: type[Asked]
    output: type[Output]


COMMANDS = {
    "tune": Command(
        "Search, train and deliver a two-stage T5. Only --dataset is needed: a named set (bioasq), "
        "or a table with --columns. --dry-run shows the plan, with hours and disk, and starts "
        "nothing; the same command resumes.",
        SearchSettings,
        StudyOutput,
    ),
    "compare": Command(
        "Compare methods over seeds, measured the same way. --list describes the methods, "
        "--dry-run shows the plan and starts nothing; the same command resumes.",
        CompareSettings,
        CompareOutput,
    ),
    "train": Command(
        "Train one setting, both stages: a search of one trial. --dry-run shows the plan and "
        "starts nothing; the same command resumes.",
        TrainSettings,
        StudyOutput,
    ),
    "predict": Command(
        "Label and explain rows with the model of a study; the same command resumes.",
        PredictSettings,
        Output,
    ),
    "export": Command("Give a study's best model to others.", ExportSettings, Output),
}


def parser_for(command: str) -> Parser:
    """Return a command's parser: flags of its settings' fields, of `overrides` and its output."""
    made = COMMANDS[command]
    fields = made.settings.model_fields
    said = {name: flag_in(made.settings, name) for name in fields if fields[name].is_required()}
    needed = [
        str(one.metavar) if one.positional else f"{flag_of(name)} {one.metavar}"
        for name, one in said.items()
    ]
    parser = Parser(
        unknown_flag=lambda flag: unknown_flag(command, flag),
        prog=f"python -m r2d_ray.{command}",
        usage=" ".join(["%(prog)s", *needed, "[flags]"]),
        description=made.description,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--config", action="append", metavar="FILE", help=CONFIG_HELP)
    parser.add_argument("--show-config", action="store_true", help=SHOW_CONFIG_HELP)
    if "overrides" in fields:
        parser.add_argument("--list-fields", action="store_true", help=LIST_HELP)
    for name in (name for name in GROUPS if name in groups_of(made)):
        parser.group(name)
    for name in fields:
        if name != "overrides":
            add_field(parser, made.settings, name)
    if "overrides" in fields:
        add_config_flags(parser)
    for name, field in made.output.model_fields.items():
        add_field(parser, made.output, name, field.default)
    return parser


def groups_of(command: Command) -> set[str]:
    """Return the headings under which a command's flags stand."""
    fields = {**command.settings.model_fields, **command.output.model_fields}.values()
    return {said.group for f in fields for said in f.metadata if isinstance(said, Flag)}


def add_config_flags(parser: Parser) -> None:
    """Add `--set` and the TrainConfig fields that have a flag of their own."""
    for name, (group, metavar) in CONFIG_FLAGS.items():
        field = TrainConfig.model_fields[name]
        kind = kind_of(field.annotation)
        if name == "deepspeed_config":
            kind = kind._replace(type=str)  # a file
        text = help_text(field)
        if "default" not in text:
            profiles = any(name in values for values in PROFILES.values())
            text += f" (default: {'by profile' if profiles else field.default})"
        add_value(parser.group(group), flag_of(name), name, kind, metavar, text)
    parser.group(TRAINING).add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="FIELD=VALUE", help=SET_HELP
    )


def unknown_flag(command: str, flag: str) -> UserError:
    """Return the error for a flag that a command does not have: whose it is, or what is near it."""
    mine = parser_for(command).flags()
    if FORMER_FLAGS.get(flag) in mine:
        return UserError(f"unknown flag {flag} (now {FORMER_FLAGS[flag]})")
    others = [other for other in COMMANDS if other != command]
    owners = [f"python -m r2d_ray.{o}" for o in others if flag in parser_for(o).flags()]
    if owners and flag.removeprefix("--").replace("-", "_") not in OTHER_WORDS:
        return UserError(f"{flag} belongs to {', '.join(owners)} (see --help)")
    near = near_flags(flag, mine, "--set {}=VALUE")
    hint = f"did you mean {' or '.join(near)}{differs(flag)}?" if near else "see --help"
    return UserError(f"unknown flag {flag} ({hint})")


def unknown_key(command: str, key: str) -> UserError:
    """Return the error for a key of a file that a command has no flag for."""
    flag = flag_of(key)
    mine = parser_for(command).flags()
    if flag in mine:
        return UserError(f"{key} stands on the command line only (allowed: names of other flags)")
    others = [other for other in COMMANDS if other != command]
    owners = [f"python -m r2d_ray.{o}" for o in others if flag in parser_for(o).flags()]
    if owners and key.replace("-", "_") not in OTHER_WORDS:
        return UserError(f"key {key!r} belongs to {', '.join(owners)} (see --help)")
    near = [name.removeprefix("--") for name in near_flags(flag, mine, "{} below set")]
    allowed = "allowed: the flags of --help"
    hint = f"did you mean {' or '.join(near)}{differs(flag)}?" if near else allowed
    return UserError(f"unknown key {key!r} ({hint})")


def differs(flag: str) -> str:
    """Return ` (what differs)` of the fields that others call so."""
    return meaning(flag, meant(flag.strip("-").replace("-", "_"), TrainConfig.model_fields))


def near_flags(flag: str, mine: Mapping[str, argparse.Action], as_field: str) -> list[str]:
    """Return what someone who wrote this flag may have meant: flags, or fields `as_field`."""
    names = {
        name.removeprefix("--").replace("-", "_"): name
        for name, action in mine.items()
        if action.help != argparse.SUPPRESS
    }
    if "--set" in mine:
        names = {name: as_field.format(name) for name in TrainConfig.model_fields} | names
    return [names[name] for name in meant(flag.strip("-").replace("-", "_"), names)]


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
            raise UserError(f"{flag or before} {value!r}: no value (allowed: a value, or no flag)")
        if word != word.encode(errors="replace").decode():  # study.json could not hold it
            raise UserError(f"{word!r} is not UTF-8 (allowed: text and file names in UTF-8)")
        words.append(flag.replace("_", "-") + word.removeprefix(flag))
    return words
