"""A command's file: read below its flags, and written from them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from r2d_ray.cli.arguments import COMMANDS, unknown_key
from r2d_ray.cli.config_file.shown import config_text
from r2d_ray.cli.config_file.taken import Words, with_file
from r2d_ray.cli.overrides import field_named
from r2d_ray.study.asked import Asked, flag_in


def with_config(
    command: str, parser: argparse.ArgumentParser, words: Sequence[str], args: argparse.Namespace
) -> argparse.Namespace:
    """Return a command's arguments with what the file of `--config` says, if one is named.

    Raises:
        UserError: naming file and line, for a key or value that the command does not have.
    """
    if not args.config:
        return args
    said = Words(lambda key: unknown_key(command, key), field_named)
    return with_file(parser, words, args, said)


def command_text(
    command: str, parser: argparse.ArgumentParser, args: argparse.Namespace, asked: Asked
) -> str:
    """Return the YAML file that asks a command for the same.

    Args:
        command: Its name.
        parser: Its parser.
        args: Its arguments.
        asked: The settings that they are.

    Raises:
        UserError: for columns that are no pairs.
    """
    kind, columns = COMMANDS[command].settings, {}
    for name in asked.model_fields_set:
        if flag_in(kind, name).former:  # its value in today's word
            setattr(args, name, getattr(asked, name))
    if getattr(args, "columns", None):
        from r2d_ray.data.columns import parse_columns

        columns = parse_columns(args.columns)
    defaults = {
        name: field.default
        for name, field in kind.model_fields.items()
        if field.default != () and "default" not in (field.description or "")
    }
    return config_text(parser, args, defaults, columns)
