"""Splits that a source does not name, drawn: whole groups, labels in proportion, seeded order."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from r2d_ray.data.examples import Example
from r2d_ray.data.rows.leaks import leak_keys, shared_contexts

DRAWN_SHARE = 0.15
"""Share of the free rows that a split gets which the source does not name."""

SHARE_TOLERANCE = 0.05
"""How far a drawn split may be from its share, as a share of the free rows; see `SPARE_ROWS`."""

SPARE_ROWS = 5
"""In a small set a drawn split may be so many rows from its share, whatever that is in per cent."""

SMALL_STRATUM = 7
"""A label of fewer units cannot give `DRAWN_SHARE` of them; such labels are drawn together."""

MAX_LABELS = 1000
"""Most labels of a fixed label set, every one of which is scored for every row; more are open."""

Unit = list[int]
"""Places of rows that stay together."""


def hash_order(seed: int, text: str) -> str:
    """Return the place of a text in the seeded order: the same in every process, for every set."""
    return hashlib.sha256(f"{seed}|{text}".encode()).hexdigest()


def components(keys: Sequence[Collection[str]]) -> list[int]:
    """Return a component number per row; rows that share a key, directly or by others, share it."""
    places = {key: place for place, key in enumerate(dict.fromkeys(k for ks in keys for k in ks))}
    ends = [(row, len(keys) + places[key]) for row, ks in enumerate(keys) for key in ks]
    edges = np.array(ends, dtype=np.int64).reshape(-1, 2)
    size = len(keys) + len(places)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(size, size))
    _, numbers = connected_components(graph, directed=False)
    return [int(number) for number in numbers[: len(keys)]]


def stratum(row: Example) -> str:
    """Return what is kept in balance: the label, or nothing where rows bring their own choices."""
    return row.label if row.choices is None else ""


def draw(
    rows: Sequence[Example],
    names: Sequence[str],
    seed: int,
    units: Sequence[Unit] | None = None,
) -> list[str]:
    """Return `train` or one of the names for every row; each name gets `DRAWN_SHARE` of a stratum.

    Rows that share a group, a leak key or (where no groups are given) a long context stay together.
    A stratum of fewer than three units stays in training; a unit that would overshoot a share by
    more than it fills goes to training too. Where many labels are so rare that the splits miss
    their shares, the rows of rare labels are drawn together. A label of a fixed set that training
    would lack gets its smallest unit there. `units` are what stays together, where that is known
    (`units_of` otherwise).
    """
    result = ["train"] * len(rows)
    if not names:
        return result
    ordered = units_of(rows, seed) if units is None else units
    strata: dict[str, list[Unit]] = defaultdict(list)
    for unit in ordered:
        counts = Counter(sorted(stratum(rows[i]) for i in unit))
        strata[counts.most_common(1)[0][0]].append(unit)
    for _, members in sorted(strata.items()):
        _fill(members, _quota(members), names, result)
    if off_shares(Counter(result), len(rows), names):
        _fill_rare(ordered, strata, names, result)
    if len(strata) <= MAX_LABELS:
        _train_every_label(rows, ordered, result)
    for name in names:
        if name not in result:  # every group is larger than a share: give the smallest one away
            spare = sorted((u for u in ordered if result[u[0]] == "train"), key=len)
            for i in spare[0] if len(spare) > 1 else []:
                result[i] = name
    return result


def off_shares(counts: Counter[str], total: int, names: Sequence[str]) -> list[str]:
    """Return the drawn splits whose number of rows is too far from `DRAWN_SHARE`."""
    room = max(SHARE_TOLERANCE * total, SPARE_ROWS)
    return [name for name in names if abs(counts[name] - DRAWN_SHARE * total) > room]


def units_of(rows: Sequence[Example], seed: int) -> list[Unit]:
    """Return the places of rows that stay together, in the seeded hash order of their groups."""
    contexts = shared_contexts(rows)
    linked = [
        (f"g:{row.group}", f"k:{key}", *([f"c:{contexts[i]}"] if i in contexts else []))
        for i, (row, key) in enumerate(zip(rows, leak_keys(rows), strict=True))
    ]
    units: dict[int, Unit] = defaultdict(list)
    for place, unit in enumerate(components(linked)):
        units[unit].append(place)
    return sorted(units.values(), key=lambda u: hash_order(seed, min(rows[i].group for i in u)))


def _quota(units: Sequence[Unit]) -> int:
    return max(1, round(DRAWN_SHARE * sum(map(len, units)))) if len(units) >= 3 else 0


def _fill(units: Sequence[Unit], quota: int, names: Sequence[str], result: list[str]) -> None:
    left = dict.fromkeys(names, quota)
    for unit in units:
        for name in names:
            if len(unit) < 2 * left[name]:
                left[name] -= len(unit)
                for i in unit:
                    result[i] = name
                break


def _fill_rare(
    ordered: Sequence[Unit],
    strata: dict[str, list[Unit]],
    names: Sequence[str],
    result: list[str],
) -> None:
    """Draw the units of small strata anew, together; a label of a fixed set stays in training."""
    rare = [members for members in strata.values() if len(members) < SMALL_STRATUM]
    kept = {unit[0] for members in rare for unit in members[-1:] if len(strata) <= MAX_LABELS}
    drawn = {unit[0] for members in rare for unit in members}
    total = sum(len(unit) for members in rare for unit in members)
    for unit in ordered:
        if unit[0] in drawn:
            for i in unit:
                result[i] = "train"
    pool = [unit for unit in ordered if unit[0] in drawn - kept]
    _fill(pool, max(1, round(DRAWN_SHARE * total)), names, result)


def _train_every_label(rows: Sequence[Example], ordered: Sequence[Unit], result: list[str]) -> None:
    """Give training the smallest unit of each label that it lacks: others share that unit."""
    places: dict[str, list[Unit]] = defaultdict(list)
    for unit in ordered:
        for label in {stratum(rows[i]) for i in unit}:
            places[label].append(unit)
    for _, units in sorted(places.items()):
        if all(result[unit[0]] != "train" for unit in units):
            for i in min(units, key=len):
                result[i] = "train"
