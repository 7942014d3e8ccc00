"""K folds over all rows of a set: every row is tested once, whole groups, labels in proportion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from sklearn.model_selection import StratifiedGroupKFold

from r2d_ray.data.examples import Example, Splits, check_splits
from r2d_ray.data.rows.draw import Unit, draw, stratum, units_of
from r2d_ray.errors import UserError


def folded(splits: Splits, count: int, seed: int) -> tuple[Splits, ...]:
    """Return the splits of every fold: its test rows, validation drawn from the others, the rest.

    Args:
        splits: The set; which of its splits a row is in does not matter, nor does the order.
        count: Number of folds, 2 or more.
        seed: Of the hash that orders what stays together.

    Raises:
        UserError: if a label, or all rows, stand in fewer units than folds, or a fold cannot be
            trained.
    """
    rows = [row for _, part in splits.items() for row in part]
    units = units_of(rows, seed)
    check_count(rows, units, splits.labels, count)
    numbers = fold_numbers(rows, units, count, bool(splits.labels))
    note = (
        f"{count} folds over all {len(rows)} rows, stratified, groups whole: each row is tested "
        "once; what the source says of splits is not used; numbers by split are fold 1's"
    )
    origin = replace(splits.provenance, notes=(*splits.provenance.notes, note))
    found = []
    for fold in range(count):
        inner = [unit for unit in units if numbers[unit[0]] != fold]
        taken = set(validation_places(rows, inner, seed))
        parts = {
            "train": tuple(rows[i] for unit in inner for i in unit if i not in taken),
            "validation": tuple(rows[i] for unit in inner for i in unit if i in taken),
            "test": tuple(row for row, number in zip(rows, numbers, strict=True) if number == fold),
        }
        made = replace(splits.with_rows(parts), provenance=origin)
        try:
            check_splits(made)
        except UserError as error:
            raise UserError(f"--folds {count}: fold {fold + 1}: {error}") from None
        found.append(made)
    return tuple(found)


def fold_numbers(
    rows: Sequence[Example], units: Sequence[Unit], count: int, labelled: bool
) -> list[int]:
    """Return the fold of every row, from 0: units whole, strata in proportion where `labelled`.

    Units are handed to scikit-learn in their seeded order, so that neither the order of the rows
    nor its random numbers matter.
    """
    order = [i for unit in units for i in unit]
    groups = [number for number, unit in enumerate(units) for _ in unit]
    strata = [stratum(rows[i]) if labelled else "" for i in order]
    numbers = [0] * len(rows)
    splitter = StratifiedGroupKFold(n_splits=count)
    for fold, (_, test) in enumerate(splitter.split(order, strata, groups)):
        for place in test:
            numbers[order[place]] = fold
    return numbers


def validation_places(rows: Sequence[Example], units: Sequence[Unit], seed: int) -> list[int]:
    """Return the places of the validation rows, drawn from these units as from a set of its own."""
    places = [i for unit in units for i in unit]
    at = {place: number for number, place in enumerate(places)}
    inner = [[at[i] for i in unit] for unit in units]
    drawn = draw([rows[i] for i in places], ["validation"], seed, inner)
    return [place for place, name in zip(places, drawn, strict=True) if name == "validation"]


def check_count(
    rows: Sequence[Example], units: Sequence[Unit], labels: Sequence[str], count: int
) -> None:
    """Raise UserError where there are more folds than units, of all rows or of a label's."""
    held = Counter(label for unit in units for label in {rows[i].label for i in unit})
    rarest = min(labels, key=lambda label: held[label], default=None)
    most, what = len(units), "the rows make"
    if rarest is not None and held[rarest] < most:
        most, what = held[rarest], f"label {rarest!r} stands in"
    if count > most:
        allowed = f"2 to {most}" if most > 1 else "no --folds"
        raise UserError(
            f"--folds {count}: {what} {most} groups of rows that stay together (allowed: {allowed})"
        )
