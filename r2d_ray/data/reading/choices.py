"""The options of a row, in the forms of the usual sets, and which of them its answer names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from r2d_ray.data.files import is_missing, parse_json
from r2d_ray.data.reading.cells import text_of
from r2d_ray.errors import UserError
from r2d_ray.storage import counted


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a row in order, and the key of each: its own, else A, B, C and so on."""

    texts: tuple[str, ...]
    keys: tuple[str, ...]


def options_of(value: Any, where: str, column: str) -> Options:
    """Return the options of a cell.

    Read are a list, `a|b|c`, an object of key to option (MedQA), a list of such pairs as objects
    `key` and `value`, an object of the lists `text` and `label` (ARC), and the JSON text of a list
    or object. An object's missing members are no options.

    Raises:
        UserError: for fewer than two options, an empty one, or another form.
    """
    if isinstance(value, str):
        text = value.strip()
        is_json = text.startswith(("[", "{"))
        value = parse_json(text, f"{where}: column {column!r}") if is_json else text.split("|")
    keys: Sequence[Any] = ascii_uppercase
    if isinstance(value, list) and all(_is_pair(option) for option in value):
        value = {option["key"]: option["value"] for option in value}
    if isinstance(value, Mapping):
        if isinstance(value.get("text"), list) and isinstance(value.get("label"), list):
            keys, value = value["label"], value["text"]
            if len(keys) != len(value):
                raise UserError(
                    f"{where}: column {column!r} has {counted(len(value), 'text')} "
                    f"and {counted(len(keys), 'label')}"
                )
        else:
            filled = {key: option for key, option in value.items() if not is_missing(option)}
            keys, value = list(filled), list(filled.values())
    if not isinstance(value, list) or len(value) < 2:
        raise UserError(
            f"{where}: column {column!r} needs at least two options, as a list, as a|b|c or as an "
            "object"
        )
    if any(map(is_missing, value)):
        raise UserError(f"{where}: column {column!r} has an empty option")
    texts = tuple(text_of(option, where, column, is_key=True) for option in value)
    named = tuple(text_of(key, where, column, is_key=True) for key in keys[: len(texts)])
    return Options(texts, named)


def _is_pair(option: Any) -> bool:
    return isinstance(option, Mapping) and option.keys() == {"key", "value"}


def by_text(label: str, options: Options) -> str | None:
    """Return the option that is this text."""
    return label if label in options.texts else None


def by_key(label: str, options: Options) -> str | None:
    """Return the option that has this key, of either case."""
    for key, text in zip(options.keys, options.texts, strict=False):
        if key.casefold() == label.casefold():
            return text
    return None


def by_position(label: str, options: Options) -> str | None:
    """Return the option at this position, counted from 0."""
    place = int(label) if re.fullmatch(r"[0-9]{1,3}", label) else len(options.texts)
    return options.texts[place] if place < len(options.texts) else None


ANSWERS = (
    (by_text, ""),
    (by_key, "labels are the keys of options (A, B, …): each stands for its option's text"),
    (by_position, "labels are positions, counted from 0: each stands for its option's text"),
)
"""What a label may be, in the order that is tried; the first that holds for all rows is taken."""


def answers(pairs: Iterable[tuple[str, Options]]) -> tuple[list[str], str]:
    """Return every row's label as the text of its option, and a note where it was not.

    The rows decide together, so that an option that happens to read `2` or `B` decides nothing.
    Labels are returned as they are where no reading holds for all rows.
    """
    rows = list(pairs)
    for find_option, note in ANSWERS:
        found = [find_option(label, options) if label else "" for label, options in rows]
        if all(text is not None for text in found):
            return [text or "" for text in found], note
    return [label for label, _ in rows], ""
