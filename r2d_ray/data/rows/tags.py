"""Columns kept as tags: `--keep-columns site` scores the rows of each site apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from r2d_ray.data.examples import Example
from r2d_ray.data.reading.seen import TAG
from r2d_ray.errors import UserError

MOST_VALUES = 30
"""Most different values of a kept column: each is a group whose rows are scored apart."""


def parse_kept(text: str | None) -> dict[str, str]:
    """Return target to column of `--keep-columns site,age_band`.

    Raises:
        UserError: for a column that is named twice.
    """
    names = [name for part in (text or "").split(",") if (name := part.strip())]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--keep-columns {text}: {name!r} is given twice")
    return {f"{TAG}{name}": name for name in names}


def check_kept(rows: Sequence[Example], names: Iterable[str]) -> None:
    """Raise UserError for a kept column of more than `MOST_VALUES` values, such as an age."""
    for name in names:
        values = {tag for row in rows for tag in row.tags if tag.startswith(f"{name}=")}
        if len(values) > MOST_VALUES:
            raise UserError(
                f"--keep-columns {name}: {len(values)} different values (allowed: up to "
                f"{MOST_VALUES}; put numbers into bands, as age_band=60-69)"
            )
