"""A settings class in words, for documents and `--list-fields`: types, bounds, values, sections."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from inspect import cleandoc, getsource
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥"}


def type_words(annotation: Any) -> str:
    """Return a type in words."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return " ".join(filter(None, (type_words(arguments[0]), bounds_of(arguments[1:]))))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_words(part) for part in arguments)
    if origin in (dict, typing.Mapping):
        return "mapping"
    if origin in (tuple, list):
        parts = [part for part in arguments if part is not Ellipsis]
        same = f" of {type_words(parts[0])}" if len(set(parts)) == 1 and parts[0] is not Any else ""
        return f"list{same}" if Ellipsis in arguments or not parts else f"{len(parts)} values{same}"
    names = {str: "text", bool: "true or false", int: "whole number", float: "number"}
    return names.get(annotation, "none" if annotation is types.NoneType else annotation.__name__)


def bounds_of(metadata: Any) -> str:
    """Return the bounds among what pydantic keeps of a field."""
    found = []
    for one in metadata:
        constraints = getattr(one, "metadata", [one]) if isinstance(one, FieldInfo) else [one]
        for constraint in constraints:
            for name, sign in SIGNS.items():
                if getattr(constraint, name, None) is not None:
                    found.append(f"{sign} {number(getattr(constraint, name))}")
    return ", ".join(found)


def number(value: Any) -> str:
    """Return a bound as a reader writes it."""
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def value_of(value: Any) -> str:
    """Return a default as YAML would have it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if value in ((), {}):
        return "empty"
    return f"`{value}`" if isinstance(value, str) else str(value)


def kind_words(field: FieldInfo) -> str:
    """Return a field's type and bounds."""
    kind = " ".join(filter(None, (type_words(field.annotation), bounds_of(field.metadata))))
    return kind.replace(" length", ", length")


def text_of(field: FieldInfo) -> str:
    """Return a field's docstring on one line."""
    return " ".join(cleandoc(field.description or "").split())


def sections(model: type[BaseModel]) -> Iterator[tuple[str, list[str]]]:
    """Yield the fields of a class below the comments that stand over them."""
    heading, names = "", list[str]()
    for line in getsource(model).splitlines():
        comment = re.fullmatch(r" {4}# (.+)", line)
        field = re.match(r" {4}(\w+): ", line)
        if comment:
            if names:
                yield heading, names
            heading, names = comment[1], []
        elif field and field[1] in model.model_fields:
            names.append(field[1])
    yield heading, names
