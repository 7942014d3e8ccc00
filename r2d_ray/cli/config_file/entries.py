"""A command's YAML file as entries: a key, its line, and its value as the user spelt it.

Values stay texts, as words of a command line are: what a flag makes of `no`, `007`, `1e-3` or a
date is the flag's business, not YAML's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from r2d_ray.errors import UserError
from r2d_ray.storage import counted, plain_nodes

NULLS = ("", "~", "null", "Null", "NULL")  # unquoted: the flag is not given
TRUTHS = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}
KINDS = {yaml.SequenceNode: "a list", yaml.MappingNode: "a mapping", yaml.ScalarNode: "one value"}


class Entry(NamedTuple):
    """A key of a mapping; `place` is its file and line."""

    key: str
    place: str
    node: yaml.Node

    @property
    def is_null(self) -> bool:
        """Whether it has no value."""
        plain = isinstance(self.node, yaml.ScalarNode) and self.node.style is None
        return plain and self.node.value in NULLS

    def refused(self, said: str) -> UserError:
        """Return the error for this entry."""
        return UserError(f"{self.place}: {self.key}: {said}")

    def texts(self, count: str | int | None) -> list[str]:
        """Return one text, or those of a list where `count` allows several.

        Args:
            count: None for one, a number for so many, `+` for one or more (argparse's nargs).

        Raises:
            UserError: for another shape or an empty text.
        """
        if isinstance(self.node, yaml.SequenceNode):
            if count is None:
                raise self.refused(f"a list (allowed: {KINDS[yaml.ScalarNode]})")
            items = list(self.node.value)
        else:
            items = [self.node]
        for item in items:
            if not isinstance(item, yaml.ScalarNode):
                raise self.refused(f"{KINDS[type(item)]} (allowed: {wanted(count)})")
            if item.value == "":
                raise self.refused("an empty value (allowed: a value, or no key)")
        if not items or (isinstance(count, int) and len(items) != count):
            raise self.refused(f"{counted(len(items), 'value')} (allowed: {wanted(count)})")
        return [item.value for item in items]

    def truth(self) -> bool:
        """Return true or false; raises UserError for anything else."""
        (text,) = self.texts(None)
        if text.lower() not in TRUTHS:
            raise self.refused(f"{text!r} is neither true nor false (allowed: one of them)")
        return TRUTHS[text.lower()]

    def members(self, *, exact: bool = False) -> list[Entry]:
        """Return the entries of a mapping; `exact` tells `a-b` from `a_b`.

        Raises:
            UserError: if it is none, or has a key twice.
        """
        if not isinstance(self.node, yaml.MappingNode):
            raise self.refused(f"{KINDS[type(self.node)]} (allowed: a mapping, NAME: VALUE)")
        return list(entries_of(self.node, self.place.rpartition(":")[0], exact=exact))


def wanted(count: str | int | None) -> str:
    """Return how many values are allowed, in words."""
    if count is None:
        return KINDS[yaml.ScalarNode]
    return f"{count} values" if isinstance(count, int) else "a list of values"


def read_entries(path: Path) -> list[Entry]:
    """Return the entries of a file in their order.

    Raises:
        UserError: for a file that cannot be read, is empty or no mapping, or has a key twice; with
            the line.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror} (allowed: a readable YAML file)") from None
    node = plain_nodes(text, str(path))
    if node is None:
        raise UserError(f"{path}: no value in it (allowed: a mapping, FLAG: VALUE)")
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1
        raise UserError(f"{path}:{line}: {KINDS[type(node)]} (allowed: a mapping, FLAG: VALUE)")
    return list(entries_of(node, str(path)))


def entries_of(node: yaml.MappingNode, file: str, *, exact: bool = False) -> Iterator[Entry]:
    """Yield the entries of a mapping; raises UserError for a key that is no name or is there twice.

    Unless `exact`, `num-samples` and `num_samples` are the same key.
    """
    seen: dict[str, str] = {}
    for key, value in node.value:
        place = f"{file}:{key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise UserError(f"{place}: {KINDS[type(key)]} as a key (allowed: a name)")
        name = key.value if exact else key.value.replace("-", "_")
        if name in seen:
            before = "" if seen[name] == key.value else f", as {seen[name]!r} before"
            raise UserError(f"{place}: key {key.value!r} appears twice{before} (allowed: once)")
        seen[name] = key.value
        yield Entry(key.value, place, value)
