"""How rows become training, validation and test: by the source's own word, else by a seeded hash.

Nothing here reads files. Related rows (same group, same question) are kept together when splits
are drawn, and where a source's own splits share them, the earlier side loses the row.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from r2d_ray.data.examples import Example, normalised

Rows = tuple[Example, ...]
DRAWN_SHARE = 0.15
"""Share of the free rows that a split gets which the source does not name."""

CONSTANT_QUESTION_SHARE = 0.05
"""A question text that more rows than this share is a form, not a key: see `leak_keys`."""

CONSTANT_QUESTION_ROWS = 3
"""In a small set, so many repeats are still repeats and not a form."""

MAX_LABELS = 1000
"""Most labels of a fixed label set, every one of which is scored for every row; more are open."""

LABEL_ORDERS = (("yes", "no", "maybe"),)
"""Label sets with a customary order; any other set is sorted."""


@dataclass(frozen=True, slots=True)
class SourceRows:
    """What a reader hands over: the rows, the splits that the source itself names, what to note.

    `assigned` maps a row's id to `train`, `validation` or `test`; rows not in it are free.
    """

    rows: Rows
    assigned: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


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


def leak_keys(rows: Sequence[Example]) -> list[str]:
    """Return what must not recur in another split: the normalised question of every row.

    Where the most frequent question covers more than `CONSTANT_QUESTION_SHARE` of the rows (a
    triage note always asks the same), the key is the question with its context.
    """
    questions = [normalised(row.question) for row in rows]
    most = max(Counter(questions).values(), default=0)
    if most <= max(CONSTANT_QUESTION_ROWS, CONSTANT_QUESTION_SHARE * len(rows)):
        return questions
    return [f"{q}\n{normalised(row.context)}" for q, row in zip(questions, rows, strict=True)]


def stratum(row: Example) -> str:
    """Return what is kept in balance: the label, or nothing where rows bring their own choices."""
    return row.label if row.choices is None else ""


def split_rows(source: SourceRows, seed: int) -> tuple[Rows, Rows, Rows]:
    """Return train, validation and test.

    Rows go where the source puts them. A split that the source does not name is drawn from its
    training and free rows: stratified, whole groups, in the seeded hash order of the groups.

    Args:
        source: Rows and named splits.
        seed: Seed of the hash; another seed draws other rows.
    """
    named = set(source.assigned.values())
    missing = [name for name in ("test", "validation") if name not in named]
    free = [row for row in source.rows if source.assigned.get(row.id, "train") == "train"]
    drawn = dict(zip((row.id for row in free), draw(free, missing, seed), strict=True))
    parts: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for row in source.rows:
        parts[drawn.get(row.id) or source.assigned[row.id]].append(row)
    return tuple(parts["train"]), tuple(parts["validation"]), tuple(parts["test"])


def draw(rows: Sequence[Example], names: Sequence[str], seed: int) -> list[str]:
    """Return `train` or one of the names for every row; each name gets `DRAWN_SHARE` of a stratum.

    Rows that share a group or a leak key stay together. A stratum of fewer than three units stays
    in training; a unit that would overshoot a share by more than it fills goes to training too.
    """
    keys = leak_keys(rows)
    linked = [(f"g:{row.group}", f"k:{key}") for row, key in zip(rows, keys, strict=True)]
    units: dict[int, list[int]] = defaultdict(list)
    for place, unit in enumerate(components(linked)):
        units[unit].append(place)
    strata: dict[str, list[list[int]]] = defaultdict(list)
    ordered = sorted(units.values(), key=lambda u: hash_order(seed, min(rows[i].group for i in u)))
    for unit_rows in ordered:
        counts = Counter(sorted(stratum(rows[i]) for i in unit_rows))
        strata[counts.most_common(1)[0][0]].append(unit_rows)
    result = ["train"] * len(rows)
    for _, members in sorted(strata.items()):
        _fill(members, names, result)
    for name in names:
        if name not in result:  # every group is larger than a share: give the smallest one away
            spare = sorted((u for u in ordered if result[u[0]] == "train"), key=len)
            for i in spare[0] if len(spare) > 1 else []:
                result[i] = name
    return result


def _fill(units: Sequence[Sequence[int]], names: Sequence[str], result: list[str]) -> None:
    total = sum(map(len, units))
    quota = max(1, round(DRAWN_SHARE * total)) if len(units) >= 3 else 0
    left = dict.fromkeys(names, quota)
    for unit in units:
        for name in names:
            if len(unit) < 2 * left[name]:
                left[name] -= len(unit)
                for i in unit:
                    result[i] = name
                break


def remove_leaks(
    train: Rows, validation: Rows, test: Rows
) -> tuple[Rows, Rows, Rows, dict[str, int]]:
    """Return the splits without rows of an earlier split that recur in a later one, and counts.

    No leak key (see `leak_keys`) and no group lies in two of the splits returned. Test stays
    whole; validation gives way to test, training to both.
    """
    keys = leak_keys((*train, *validation, *test))
    later: list[tuple[str, set[str], set[str]]] = []
    dropped: Counter[str] = Counter()
    kept: dict[str, Rows] = {}
    end = len(keys)
    for name, rows in (("test", test), ("validation", validation), ("train", train)):
        own_keys = keys[end - len(rows) : end]
        end -= len(rows)
        reasons = [_reason(row, key, later) for row, key in zip(rows, own_keys, strict=True)]
        dropped.update(f"{name} row: {reason}" for reason in reasons if reason)
        kept[name] = tuple(row for row, why in zip(rows, reasons, strict=True) if not why)
        kept_keys = {key for key, why in zip(own_keys, reasons, strict=True) if not why}
        later.append((name, kept_keys, {row.group for row in kept[name]}))
    return kept["train"], kept["validation"], kept["test"], dict(dropped)


def _reason(row: Example, key: str, later: Sequence[tuple[str, set[str], set[str]]]) -> str:
    for name, keys, groups in later:
        if key in keys:
            return f"its question is in {name}"
        if row.group in groups:
            return f"its group is in {name}"
    return ""


def limit_rows(rows: Rows, limit: int, seed: int) -> Rows:
    """Return at most `limit` rows in their old order, chosen by seeded hash, labels in proportion.

    Every label keeps a row while there is room for one each.
    """
    members: dict[str, list[Example]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: hash_order(seed, row.id)):
        members[stratum(row)].append(row)
    # Within a stratum of n rows the i-th stands at (i + 1/2) / n of it: the smallest places over
    # all strata are a proportional choice.
    places = {
        row.id: (0.0 if i == 0 else (i + 0.5) / len(stratum_rows), hash_order(seed, row.id))
        for stratum_rows in members.values()
        for i, row in enumerate(stratum_rows)
    }
    chosen = set(sorted(places, key=places.__getitem__)[:limit])
    return tuple(row for row in rows if row.id in chosen)


def limit_rationales(rows: Rows, limit: int, seed: int) -> Rows:
    """Return the rows with the rationales of all but `limit` taken away, chosen as `limit_rows`."""
    kept = {row.id for row in limit_rows(tuple(r for r in rows if r.rationales), limit, seed)}
    return tuple(row if row.id in kept else replace(row, rationales={}) for row in rows)


def fixed_labels(rows: Sequence[Example]) -> tuple[str, ...]:
    """Return the closed label set of these rows.

    Empty where rows bring their own choices, and where labels are open: more than `MAX_LABELS`.
    """
    if any(row.choices is not None for row in rows):
        return ()
    labels = {row.label for row in rows}
    if len(labels) > MAX_LABELS:
        return ()
    for order in LABEL_ORDERS:
        if labels <= set(order):
            return tuple(label for label in order if label in labels)
    return tuple(sorted(labels))
