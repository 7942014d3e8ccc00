"""Flags made of a class's fields: name, type, choices, group and help of each."""

from __future__ import annotations

import argparse
import re
import types
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from r2d_ray.errors import NOT, UserError, unknown, whole_number
from r2d_ray.study.asked import Flag, flag_in, flag_of

HELP_WIDTH = 30  # columns of a flag, before its help begins


class Parser(argparse.ArgumentParser):
    """An argument parser without abbreviations, whose errors are UserErrors: one line, code 2."""

    def __init__(self, unknown_flag: Callable[[str], UserError], **words: Any) -> None:
        super().__init__(
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=HELP_WIDTH),
            **words,
        )
        self.unknown_flag = unknown_flag
        self.groups: dict[str, Any] = {}

    def group(self, name: str) -> Any:
        """Return the group of the help with this heading, which is made when first asked for."""
        if name not in self.groups:
            self.groups[name] = self.add_argument_group(name)
        return self.groups[name]

    def flags(self) -> dict[str, argparse.Action]:
        """Return every flag by its name, the names that the help does not show included."""
        return {name: action for action in self._actions for name in action.option_strings}

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the arguments; raise a UserError for one that this command does not have."""
        known, rest = self.parse_known_args(args, namespace)
        for word in [word for word in rest if word.startswith("-")] or rest:
            flag = word.partition("=")[0]
            if not flag.startswith("-"):
                raise UserError(f"{word!r} has no flag in front of it (see --help)")
            raise self.unknown_flag(flag)
        return known

    def error(self, message: str) -> NoReturn:
        """Raise the message as a UserError, which names the flag first."""
        said = re.fullmatch(r"argument (\S+): (.*)", message)
        if said is None:
            raise UserError(f"{message} (see --help)")
        flag, what = said.groups()
        if value := re.fullmatch(r"ignored explicit argument (.*)", what):
            raise UserError(f"{flag} {value[1]}: it takes no value (allowed: {flag} alone)")
        needed = what.removeprefix("expected ").replace("argument", "value")
        raise UserError(f"{flag}: no value (allowed: {needed})")


class Kind(NamedTuple):
    """What a field's type asks of its flag."""

    type: type  # of one value
    nargs: str | int | None
    choices: tuple[str, ...]


def kind_of(annotation: Any) -> Kind:
    """Return what a type asks of its flag; `| None` and bounds ask nothing."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(inner[0])
    if origin in (Union, types.UnionType):
        return kind_of(next(part for part in inner if part is not type(None)))
    if origin is tuple:
        count = "+" if inner[-1] is Ellipsis else len(inner)
        return kind_of(inner[0])._replace(nargs=count)
    if origin is Literal:
        return Kind(str, None, inner)
    return Kind(annotation if isinstance(annotation, type) else str, None, ())


def add_field(parser: Parser, owner: type[BaseModel], name: str, default: Any = None) -> None:
    """Add the flag of a field: absent, it leaves `default` in the namespace.

    Args:
        parser: Takes the flag.
        owner: The class that has the field, with a `Flag` among the field's annotations.
        name: The field's.
        default: What the namespace holds for a flag that is not given.
    """
    field, said = owner.model_fields[name], flag_in(owner, name)
    flag, kind, group = (
        flag_of(said.name or name),
        kind_of(field.annotation),
        parser.group(said.group),
    )
    text = help_text(field, said)
    if said.positional:
        group.add_argument(
            name, metavar=said.metavar, nargs="?", default=argparse.SUPPRESS, help=text
        )
        return
    if kind.type is bool:
        off = field.default is True
        flag = flag.replace("--", "--no-", 1) if off else flag
        group.add_argument(
            flag, dest=name, action="store_const", const=not off, default=default, help=text
        )
        return
    add_value(group, flag, name, kind, said.metavar, text, default)
    if said.former:
        former, choices = said.former
        add_value(group, flag_of(former), name, kind._replace(choices=choices), None, None, default)


def add_value(
    group: Any,
    flag: str,
    dest: str,
    kind: Kind,
    metavar: str | tuple[str, ...] | None,
    text: str | None,
    default: Any = None,
) -> None:
    """Add a flag with a value; without a text the help does not show it."""
    group.add_argument(
        flag,
        dest=dest,
        nargs=kind.nargs,
        type=reader_of(flag, kind),
        metavar=metavar or metavar_of(flag, kind),
        default=default,
        help=argparse.SUPPRESS if text is None else text,
    )


def reader_of(flag: str, kind: Kind) -> Callable[[str], Any]:
    """Return what makes a flag's value of its text, and raises a UserError for what is none."""
    if kind.choices:
        return one_of(flag, kind.choices)
    if kind.type not in (int, float):
        return kind.type

    def take(text: str) -> Any:
        try:
            return kind.type(whole_number(text) if kind.type is int else text)
        except ValueError:
            raise UserError(f"{flag} {text!r}: {NOT[kind.type.__name__]}") from None

    return take


def one_of(flag: str, choices: Sequence[str]) -> Callable[[str], str]:
    """Return what takes one of these values, and raises a UserError for any other."""

    def take(text: str) -> str:
        if text not in choices:
            raise unknown(flag, text, choices)
        return text

    return take


def metavar_of(flag: str, kind: Kind) -> str:
    """Return what stands for a value in the help."""
    if kind.choices:
        return "{" + ",".join(kind.choices) + "}"
    return {int: "N", float: "X"}.get(kind.type, flag.rpartition("-")[2].upper())


def help_text(field: FieldInfo, said: Flag | None = None) -> str:
    """Return a field's docstring as help, with the words that are allowed and the default."""
    text = " ".join((field.description or "").replace("`", "").split()).removesuffix(".")
    if said and said.words:
        text += f"; one of {', '.join(said.words)}"
    value = field.default
    if isinstance(value, tuple):
        value = " ".join(map(str, value))
    if said and "default" not in text and type(value) in (str, int, float) and value != "":
        text += f" (default: {value})"
    return text.replace("%", "%%")
