"""Writes docs/settings.md from the classes of the settings: `python docs/generate_settings.py`.

A test holds the page equal to what this prints; a new field has a place there by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from r2d_ray.cli.config_file.described import kind_words, sections, text_of, value_of
from r2d_ray.config import PROFILES, SELECTION_METRICS, TrainConfig
from r2d_ray.search.space import DEFAULT, Domain, SearchSpace
from r2d_ray.study import settings

PAGE = Path(__file__).with_name("settings.md")
ABOUT_SPACES = {
    "metric": "Validation score that is searched and that picks the checkpoint: "
    f"{', '.join(f'`{name}`' for name in SELECTION_METRICS)}.",
    "mode": "Direction of `metric`.",
    "fixed": "Values for every trial. A field may not be fixed and searched.",
    "search": "Searched fields, each with its domain. A range contains trial 0's value.",
    "type": "Kind of domain. A field of whole numbers takes `int`, others `float`.",
    "low": "Lowest value, included.",
    "high": "Highest value, included.",
    "log": "Drawn evenly in the logarithm; `low` above 0.",
    "choices": f"The values; the word `{DEFAULT}` stands for trial 0's value.",
}
HEAD = """
# Settings

<!-- Written by docs/generate_settings.py: change the docstring of the field instead. -->

Every setting, with its bounds, its default and where the default comes from. A name is the same in
YAML, in code, in records and in tables. Later layers win: defaults, profile, the space's `fixed`,
method, `--config`, flags. `--dry-run` prints what comes of them and starts nothing.

A command can stand in a file: `--config study.yaml` has flags as keys, fields below `set`, columns
below `columns`; flags beside it win. `--show-config` prints the file that asks for the same as a
command line, with the defaults in force as comments. `examples/` holds three.

`--list-fields` of `tune`, `compare` and `train` prints the fields of a run on a terminal.
"""

ABOUT_RUNS = """
Fields of `TrainConfig`, set by a flag where there is one, by `--set FIELD=VALUE`, by a keyword in
Python, or in a search space. *Authors* are those of Reason2Decide, by their public code. A ratio is
a share of the stage's optimiser steps.
"""


def default_of(field: FieldInfo) -> str:
    """Return a field's default: required, computed, or its value."""
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        made = field.default_factory
        return "empty" if made in (dict, list, tuple) else "computed"
    return value_of(field.default)


def in_cell(field: FieldInfo) -> str:
    """Return a field's docstring as a cell of a table."""
    return text_of(field).replace("|", "\\|")


def row(name: str, field: FieldInfo, *cells: str) -> str:
    """Return a line of a table."""
    return f"| `{name}` | {kind_words(field)} | {' | '.join((default_of(field), *cells))} |"


def table(*headings: str) -> list[str]:
    """Return the first two lines of a table."""
    return [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]


def run_lines() -> Iterator[str]:
    """Yield the part about the numbers of a run."""
    yield from ("## A run", "", ABOUT_RUNS.strip())
    for heading, names in sections(TrainConfig):
        yield from ("", f"### {heading.partition(' (')[0]}", "")
        yield from table("field", "type and bounds", "default", *PROFILES, "what, and source")
        for name in names:
            field = TrainConfig.model_fields[name]
            by_profile = [
                value_of(values[name]) if name in values else "" for values in PROFILES.values()
            ]
            yield row(name, field, *by_profile, in_cell(field))


def study_lines() -> Iterator[str]:
    """Yield the part about what a study is asked to do."""
    yield from ("", "## A study", "", "What a command is asked, beside the numbers of a run.")
    for kind in vars(settings).values():
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            continue
        own = [name for name in kind.model_fields if name in kind.__annotations__]
        if kind.__module__ != settings.__name__ or not own:
            continue
        first = cleandoc(kind.__doc__ or "").partition("\n")[0]
        yield from ("", f"### {kind.__name__}", "", first, "")
        yield from table("setting", "type and bounds", "default", "what")
        for name in own:
            yield row(name, kind.model_fields[name], in_cell(kind.model_fields[name]))


def space_lines() -> Iterator[str]:
    """Yield the part about a search space's YAML."""
    yield from ("", "## A search space", "", "A YAML file: no tags, no anchors, no key twice.", "")
    yield from table("key", "type and bounds", "default", "what")
    for name, field in SearchSpace.model_fields.items():
        if name != "name":  # the file's
            yield row(name, field, ABOUT_SPACES[name])
    yield from ("", "A domain, below the name of a field in `search`:", "")
    yield from table("key", "type and bounds", "default", "what")
    for name, field in Domain.model_fields.items():
        yield row(name, field, ABOUT_SPACES[name])


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD.strip(), "", *run_lines(), *study_lines(), *space_lines(), ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
