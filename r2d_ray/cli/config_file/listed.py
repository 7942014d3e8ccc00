"""Every field of a run with its type, bounds, default and meaning: `--list-fields`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from r2d_ray.cli.config_file.described import kind_words, sections, text_of, value_of
from r2d_ray.config import FITTED, PROFILES, SCRATCH_MODELS, TrainConfig

WIDTH = 100
NAME_WIDTH = 46  # columns of `name = default`, before its type


def profile_of(named: str | None, overrides: Mapping[str, Any]) -> str:
    """Return the profile whose defaults are listed: the named one, else as a machine without GPUs.

    What a cluster has is not asked: a list is read before there is one.
    """
    model = overrides.get("model")
    return named or ("embedded" if model is None or model in SCRATCH_MODELS else "finetune")


def field_lines(profile: str) -> Iterator[str]:
    """Yield the list, grouped as the class is; a line is at most `WIDTH` wide."""
    others = ", ".join(name for name in PROFILES if name != profile)
    yield f"Fields of a run, with the defaults of profile {profile} (--profile {others}: others)."
    yield "Set one by --set FIELD=VALUE, or below set in a file of --config; a space may search it."
    yield "A space or method may fix other values: --dry-run shows those of trial 0."
    for heading, names in sections(TrainConfig):
        yield from ("", heading.partition(" (")[0], "")
        for name in names:
            yield from one_field(name, profile)


def one_field(name: str, profile: str) -> Iterator[str]:
    """Yield name, default, type and bounds of a field, then what it is."""
    field = TrainConfig.model_fields[name]
    default = value_of(PROFILES[profile].get(name, field.default))
    if name in FITTED.get(profile, ()):
        default = "from the data"
    first = f"  {name} = {default}".replace("`", "").ljust(NAME_WIDTH)
    yield from wrapped(first + kind_words(field), NAME_WIDTH)
    yield from wrapped(f"      {text_of(field)}", 6)


def wrapped(text: str, indent: int) -> list[str]:
    """Return a text in lines without the signs of a document."""
    return textwrap.wrap(
        text.replace("`", ""),
        WIDTH,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
