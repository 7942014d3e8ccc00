"""Collapsed runs: one label or one text for all test rows, or the labels of another run.

Such runs test nothing: their differences are 0 whatever the method, and one text agrees with one
label in every row.
"""

from __future__ import annotations

from collections.abc import Sequence

from analysis.groups import Group
from r2d_ray.records import Prediction

NO_LABELS = "neither labels nor whether rationales fit them is tested"
NO_TEXTS = "such rationales say nothing of their rows"


def collapsed(groups: Sequence[Group]) -> tuple[str, ...]:
    """Return what must be said of groups with runs that gave all rows one label, or one text."""
    said: dict[str, list[str]] = {}
    for group in groups:
        runs = [rows for seed in group.done if len(rows := _rows(group, seed)) > 1]
        labels = [found for rows in runs if (found := _one([_label(row) for row in rows]))]
        texts = sum(_one([row.rationale for row in rows]) is not None for rows in runs)
        if labels:
            share, named = _share(len(labels), len(runs)), ", ".join(dict.fromkeys(labels))
            what = f"{share} gave every test row one label ({named}): {NO_LABELS}"
            said.setdefault(what, []).append(group.name)
        if texts:
            what = f"{_share(texts, len(runs))} wrote one text for every test row: {NO_TEXTS}"
            said.setdefault(what, []).append(group.name)
    return tuple(f"{', '.join(dict.fromkeys(names))}{what}" for what, names in said.items())


def same_labels(one: Group, other: Group) -> bool:
    """Return whether two groups gave each test row the same label, in each of their common seeds.

    Then their difference is 0 in every sample of rows, and no test says more.
    """
    common = [seed for seed in one.done if seed in other.done]
    pairs = [(_by_id(one, seed), _by_id(other, seed)) for seed in common]
    return bool(pairs) and all(ours and ours == theirs for ours, theirs in pairs)


def _rows(group: Group, seed: int) -> tuple[Prediction, ...]:
    return group.study.predictions(group.run(seed))


def _by_id(group: Group, seed: int) -> dict[str, str | None]:
    return {row.id: _label(row) for row in _rows(group, seed)}


def _label(row: Prediction) -> str | None:
    return row.class_of(row.label)


def _one(values: Sequence[str | None]) -> str | None:
    """Return the value that all of these are, None where they are several or there is none."""
    return values[0] if len(set(values)) == 1 else None


def _share(some: int, runs: int) -> str:
    return "" if some == runs else f" in {some} of {runs} seeds"
