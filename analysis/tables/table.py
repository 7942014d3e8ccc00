"""Table: what a report's tables are before they become Markdown, HTML, CSV, Parquet or LaTeX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Cell = str | int | float | None
"""A text as it is, a count, a number to be rounded, or None for what does not exist (n/a)."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number with its spread: `mean` ± `sd` or `mean` [`low`, `high`]; None where there is none.

    `factor` and `digits` are for people (100 and 1 make percent); tidy files hold the raw values.
    """

    mean: float | None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    factor: float = 1.0
    digits: int = 3


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its key in tidy files, its heading, and whether its values are published ones."""

    key: str
    heading: str
    published: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table: `name` is its file's name, `notes` stand below it; rows hold cells by column key."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Cell | Number], ...]
    notes: tuple[str, ...] = ()
