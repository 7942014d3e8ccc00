"""How rows become training, validation and test: by the source's own word, else drawn; and fewer.

Nothing here reads files.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from r2d_ray.config import FEW_TEST_ROWS
from r2d_ray.data.examples import Example, Splits
from r2d_ray.data.reading.seen import ColumnUse
from r2d_ray.data.rows.draw import (
    DRAWN_SHARE,
    MAX_LABELS,
    draw,
    hash_order,
    off_shares,
    stratum,
)
from r2d_ray.data.rows.leaks import LONG_TEXT_WORDS, shared_contexts
from r2d_ray.data.rows.leaks import Rows as Rows
from r2d_ray.errors import UserError
from r2d_ray.storage import counted

FEW_SHOWN = 8
"""Labels that the warning of few rows names."""

LABEL_ORDERS = (("yes", "no", "maybe"),)
"""Label sets with a customary order; any other set is sorted."""


@dataclass(frozen=True, slots=True)
class SourceRows:
    """What a reader hands over: the rows, the splits that the source itself names, what to say.

    `assigned` maps a row's id to `train`, `validation` or `test`; rows not in it are free. `use`
    is which column of a table became what; `notes` and `warnings` are for the card.
    """

    rows: Rows
    assigned: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    use: ColumnUse | None = None
    warnings: tuple[str, ...] = ()


def split_rows(source: SourceRows, seed: int) -> tuple[Rows, Rows, Rows]:
    """Return train, validation and test.

    Rows go where the source puts them. A split that the source does not name is drawn from its
    training and free rows: stratified, whole groups, in the seeded hash order of the groups.

    Args:
        source: Rows and named splits.
        seed: Seed of the hash; another seed draws other rows.
    """
    missing, free = free_rows(source)
    drawn = dict(zip((row.id for row in free), draw(free, missing, seed), strict=True))
    parts: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for row in source.rows:
        parts[drawn.get(row.id) or source.assigned[row.id]].append(row)
    return tuple(parts["train"]), tuple(parts["validation"]), tuple(parts["test"])


def free_rows(source: SourceRows) -> tuple[list[str], list[Example]]:
    """Return the splits that the source does not name and the rows from which they are drawn."""
    named = set(source.assigned.values())
    missing = [name for name in ("test", "validation") if name not in named]
    return missing, [r for r in source.rows if source.assigned.get(r.id, "train") == "train"]


def drawing_notes(source: SourceRows) -> tuple[str, ...]:
    """Return what the draw does beside groups and questions that a user should know."""
    missing, free = free_rows(source)
    shared = set(shared_contexts(free).values()) if missing else set()
    if not shared:
        return ()
    return (
        f"rows with the same context of {LONG_TEXT_WORDS} or more words are kept in one split: "
        f"{counted(len(shared), 'context')} of several rows (--columns group=COLUMN "
        "groups them otherwise)",
    )


def check_drawn(source: SourceRows, parts: Mapping[str, Sequence[Example]], name: str) -> None:
    """Raise UserError where a split that must be drawn is empty: too much stays together."""
    missing, free = free_rows(source)
    empty = [split for split in missing if not parts[split]]
    if not empty or len(free) < len(missing) + 1:
        return
    bare = not any(row.context for row in free)
    hint = "if the note is another column, name it: --columns context=COLUMN; or " if bare else ""
    raise UserError(
        f"{name}: no {empty[0]} split can be drawn: all {len(free)} rows share a question or a "
        f"group with others ({hint}name the splits in a column split)"
    )


def share_warnings(source: SourceRows, parts: Mapping[str, Sequence[Example]]) -> list[str]:
    """Return a warning for every drawn split that is far from its share of the free rows."""
    missing, free = free_rows(source)
    counts = Counter({name: len(rows) for name, rows in parts.items()})
    return [
        f"the {name} split has {counts[name]} of {len(free)} rows, not about {DRAWN_SHARE:.0%}: "
        "groups are too large or labels too rare to draw it (a column split names one)"
        for name in off_shares(counts, len(free), missing)
    ]


def few_rows_warnings(splits: Splits) -> list[str]:
    """Return a warning of labels with fewer than `FEW_TEST_ROWS` rows in test."""
    counts = Counter(row.label for row in splits.test)
    few = [f"{label} {counts[label]}" for label in splits.labels if counts[label] < FEW_TEST_ROWS]
    if not few:
        return []
    more = [f"{counted(len(few) - FEW_SHOWN, 'more label')}"] if len(few) > FEW_SHOWN else []
    shown = ", ".join([*few[:FEW_SHOWN], *more])
    return [
        f"labels with fewer than {FEW_TEST_ROWS} test rows: {shown}; each of these rows moves "
        "macro-F1, and the score of such a label says little"
    ]


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
