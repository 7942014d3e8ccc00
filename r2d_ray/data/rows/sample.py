"""A fixed draw of a split's rows, where all of them would cost more than they tell."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence

from r2d_ray.data.examples import Example
from r2d_ray.data.rows.draw import hash_order


def sampled(rows: Sequence[Example], most: int) -> Sequence[Example]:
    """Return the rows, or `most` of them in the order of a hash of their ids."""
    if len(rows) <= most:
        return rows
    return heapq.nsmallest(most, rows, key=lambda row: hash_order(0, row.id))


def sampled_places(rows: Sequence[Example], most: int) -> Collection[int]:
    """Return the places of the rows that `sampled` takes."""
    if len(rows) <= most:
        return range(len(rows))
    return set(
        heapq.nsmallest(most, range(len(rows)), key=lambda place: hash_order(0, rows[place].id))
    )
