"""From a command's YAML file to the values of its flags, below those of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from r2d_ray.cli.config_file.entries import Entry, read_entries
from r2d_ray.errors import UserError

OWN = ("help", "version", "config", "show_config", "list_fields")
"""What a file cannot ask for: argparse's names of flags that act at once, and of the file's own."""

UNSET = object()


class Words(NamedTuple):
    """What a command says of names that a file has.

    Attributes:
        unknown_key: Returns the error for a key that no flag of the command has.
        field: Returns a field's name from its spelling below `set`; raises UserError for none.
    """

    unknown_key: Callable[[str], UserError]
    field: Callable[[str], str] | None = None


def keys_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return the keys that a file may have: names of flags, and of what stands without one."""
    found = {}
    for action in parser._actions:
        if action.dest not in OWN:
            for name in action.option_strings or [action.dest]:
                if name.startswith("--") or not action.option_strings:
                    found[name.removeprefix("--").replace("-", "_")] = action
    return found


def with_file(
    parser: argparse.ArgumentParser, argv: Sequence[str], args: argparse.Namespace, words: Words
) -> argparse.Namespace:
    """Return the arguments with what the file of `--config` says where no flag is given.

    `places` of the result tells which flag's value came from which line.

    Args:
        parser: The command's.
        argv: Its arguments.
        args: What they alone say; `config` names the file.
        words: What is said of unknown names.

    Raises:
        UserError: naming file and line, for a key or value that the flag would refuse too.
    """
    if len(args.config) > 1:
        raise UserError(f"--config: {len(args.config)} files (allowed: one)")
    keys = keys_of(parser)
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    taken: dict[str, Entry] = {}
    for entry in read_entries(Path(args.config[0])):
        action = keys.get(entry.key.replace("-", "_"))
        if action is None:
            raise UserError(f"{entry.place}: {words.unknown_key(entry.key)}")
        if entry.is_null:
            continue
        if action.dest in taken:
            raise entry.refused(f"{taken[action.dest].key} sets it too (allowed: one of them)")
        taken[action.dest] = entry
        value = fields_of(entry, words, args, taken) if action.dest == "set" else UNSET
        value = value_of(action, entry) if value is UNSET else value
        if value is not UNSET:
            values[action.dest] = value
            places |= dict.fromkeys(action.option_strings, entry.place)
    check_once(taken)
    made: argparse.Namespace = parser.parse_args(argv, argparse.Namespace(**values))
    made.places = {
        flag: place for flag, place in places.items() if not is_given(parser, args, flag)
    }
    return made


def is_given(parser: argparse.ArgumentParser, args: argparse.Namespace, flag: str) -> bool:
    """Return whether a flag stands on the command line."""
    action = next(action for action in parser._actions if flag in action.option_strings)
    return bool(getattr(args, action.dest) != action.default)


def check_once(taken: Mapping[str, Entry]) -> None:
    """Raise UserError for a field that stands below `set` and as a key of its own."""
    for member in taken["set"].members() if "set" in taken else ():
        other = taken.get(member.key.replace("-", "_"))
        if other is not None and other.key != "set":
            raise member.refused(f"it stands outside set too, at {other.place} (allowed: once)")


def value_of(action: argparse.Action, entry: Entry) -> Any:
    """Return what a flag makes of an entry; `UNSET` of a switch that is off."""
    if action.nargs == 0:
        return action.const if entry.truth() else UNSET
    if action.dest == "columns" and isinstance(entry.node, yaml.MappingNode):
        return columns_text({m.key: m.texts(None)[0] for m in entry.members(exact=True)})
    if action.dest == "keep_columns" and isinstance(entry.node, yaml.SequenceNode):
        return ",".join(kept_names(entry))
    if action.dest == "columns" and isinstance(entry.node, yaml.SequenceNode):
        raise entry.refused("a list (allowed: a mapping, TARGET: COLUMN)")
    several = action.nargs not in (None, "?")
    texts = entry.texts(action.nargs if several else None)
    convert: Any = action.type or str
    try:
        values = [convert(text) for text in texts]
    except UserError as error:
        raise UserError(f"{entry.place}: {error}") from None
    return values if several else values[0]


def kept_names(entry: Entry) -> list[str]:
    """Return the columns of a list; raises UserError for one that the flag could not name."""
    names = entry.texts("+")
    for name in names:
        if "," in name:
            raise entry.refused(f"{name!r} has a comma (allowed: columns without one)")
    return names


def columns_text(columns: Mapping[str, str]) -> str:
    """Return `question=q,context="note, free text"`, as the flag has it."""
    return ",".join(f"{target}={quoted(column)}" for target, column in columns.items())


def quoted(column: str) -> str:
    """Return a column's name in quotes where the flag would read it otherwise."""
    plain = "," not in column and column == column.strip() and column[:1] != '"'
    return column if plain else f'"{column}"'


def fields_of(
    entry: Entry, words: Words, args: argparse.Namespace, taken: Mapping[str, Entry]
) -> list[str]:
    """Return FIELD=VALUE of each member of `set`, but for those that have a flag on the line."""
    found = []
    for member in entry.members():
        try:
            name = words.field(member.key) if words.field else member.key
        except UserError as error:
            raise UserError(f"{member.place}: {error}") from None
        if getattr(args, name, None) is None:
            found.append(f"{name}={flow_text(member.node)}")
    return found


def flow_text(node: yaml.Node) -> str:
    """Return a value on one line: a text as it is, a list or mapping as YAML's flow."""
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    for inner in nodes_in(node):
        if isinstance(inner, yaml.CollectionNode):
            inner.flow_style = True
    text = yaml.serialize(node, Dumper=yaml.BaseDumper, allow_unicode=True, width=10**9)
    return str(text).strip()


def nodes_in(node: yaml.Node) -> list[yaml.Node]:
    """Return a node and all below it."""
    found = [node]
    for item in node.value if isinstance(node, yaml.CollectionNode) else ():
        for inner in item if isinstance(item, tuple) else (item,):
            found += nodes_in(inner)
    return found
