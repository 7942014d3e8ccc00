"""A command as the YAML file that asks for the same: `--show-config`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import yaml

from r2d_ray.cli.config_file.taken import OWN, columns_text

SYNTAX = {f"tag:yaml.org,2002:{kind}" for kind in ("yaml", "value", "merge")}
"""What YAML takes a lone `!`, `&`, `*`, `=` or `<<` for, if it is not in quotes."""


class Plain(str):
    """A text that is written without quotes where YAML would read a number or truth value."""


class Dumper(yaml.SafeDumper):
    """Writes a list on one line and a `Plain` as it is spelt."""


def _plain(dumper: Dumper, text: Plain) -> yaml.Node:
    tag = dumper.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    if tag in SYNTAX:
        return _text(dumper, text)
    return dumper.represent_scalar(tag, str(text), style=_style(text))


def _text(dumper: Dumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))


def _style(text: str) -> str | None:
    """Return the style that escapes every kind of line break, where there is one to escape."""
    return '"' if f"{text}x".splitlines() != [f"{text}x"] else None


def _flow(dumper: Dumper, items: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)


Dumper.add_representer(Plain, _plain)
Dumper.add_representer(str, _text)
Dumper.add_representer(list, _flow)


def config_text(
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    defaults: Mapping[str, Any],
    columns: Mapping[str, str],
) -> str:
    """Return the file: what was asked, then the defaults in force as comments.

    Args:
        parser: The command's.
        args: Its arguments, a file's included.
        defaults: Defaults by argparse's names, of flags that were not given.
        columns: What `--columns` names.
    """
    asked: dict[str, Any] = {}
    left: dict[str, Any] = {}
    for action in parser._actions:
        key = (action.option_strings or [action.dest])[0].removeprefix("--").replace("-", "_")
        if action.dest in OWN or action.help == argparse.SUPPRESS:
            continue
        value = getattr(args, action.dest)
        if value != action.default:
            asked[key] = _shown(action.dest, value, columns)
        elif action.nargs != 0 and defaults.get(action.dest) is not None:
            left[key] = _value(defaults[action.dest])
    if "set" in asked:  # which comes last, so that a flag of the same field has no effect
        asked = {key: value for key, value in asked.items() if key not in asked["set"]}
    lines = [f"# {parser.prog} --config THIS_FILE", *_yaml(asked)]
    if left:
        lines += ["", "# defaults in force, of what can be asked for:"]
        lines += [f"# {line}" for line in _yaml(left)]
    return "\n".join(lines)


def _yaml(values: Mapping[str, Any]) -> list[str]:
    text: str = yaml.dump(
        dict(values), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10**9
    )
    return text.splitlines()


def _shown(name: str, value: Any, columns: Mapping[str, str]) -> Any:
    """Return a flag's value as the file has it: fields and columns as mappings."""
    if name == "set":
        pairs = (item.partition("=") for item in value)
        return {field.strip().replace("-", "_"): Plain(text) for field, _, text in pairs}
    if name == "columns" and columns_text(columns) == value:
        return dict(columns)
    return _value(value)


def _value(value: Any) -> Any:
    if isinstance(value, bool):
        return True
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    if isinstance(value, int | float):
        return Plain(repr(value))
    return str(value)
