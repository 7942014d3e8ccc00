"""How far two or more raters agree: Cohen's kappa and Krippendorff's alpha, with intervals.

Both are functions of counts summed over units (rated texts), so `bca_interval` and the other
bootstraps of intervals.py take the `Statistics` of this file as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from analysis.stats.row_sums import Floats, Statistics

Weights = Literal["none", "linear", "quadratic"]
Level = Literal["nominal", "ordinal", "interval"]


def kappa_statistics(
    first: Sequence[str],
    second: Sequence[str],
    categories: Sequence[str],
    groups: Sequence[str],
    weights: Weights = "none",
) -> Statistics:
    """Return the statistics of Cohen's kappa between two raters.

    Args:
        first: A rating of each unit, one of `categories`.
        second: The other rater's.
        categories: All ratings that were possible, in order for weights other than `none`.
        groups: The group of each unit, drawn together in a bootstrap.
        weights: How much a disagreement counts with its distance in the order.

    Raises:
        ValueError: for a rating outside the categories, with its place.
    """
    places = np.array([_places(first, categories), _places(second, categories)])
    width = len(categories)
    values = np.eye(width**2)[places[0] * width + places[1]]
    return _statistics("kappa", values, groups, partial(_kappa, width=width, weights=weights))


def alpha_statistics(
    ratings: Sequence[Sequence[str | None]],
    categories: Sequence[str],
    groups: Sequence[str],
    level: Level = "nominal",
) -> Statistics:
    """Return the statistics of Krippendorff's alpha over any number of raters.

    Args:
        ratings: For each unit the rating of every rater, one of `categories`, None where missing.
            A unit with fewer than two ratings adds nothing.
        categories: All ratings that were possible, in order; equally far apart for `interval`.
        groups: The group of each unit, drawn together in a bootstrap.
        level: Scale of the ratings.

    Raises:
        ValueError: for a rating outside the categories, with its place.

    Source: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability (coincidence matrices).
    """
    width = len(categories)
    values = np.zeros((len(ratings), width, width))
    for unit, given in enumerate(ratings):
        counts = np.bincount(
            _places([rating for rating in given if rating is not None], categories),
            minlength=width,
        )
        if counts.sum() > 1:
            # Ordered pairs of two raters, each unit weighing as many ratings as it has.
            values[unit] = (np.outer(counts, counts) - np.diag(counts)) / (counts.sum() - 1)
    score = partial(_alpha, width=width, level=level)
    return _statistics("alpha", values.reshape(len(ratings), -1), groups, score)


def _statistics(
    name: str, values: Floats, groups: Sequence[str], score: partial[Floats]
) -> Statistics:
    ids = tuple(str(unit) for unit in range(len(values)))
    return Statistics(name, values, tuple(groups), ids, score)


def _places(ratings: Sequence[str], categories: Sequence[str]) -> list[int]:
    place = {category: i for i, category in enumerate(categories)}
    for unit, rating in enumerate(ratings):
        if rating not in place:
            raise ValueError(f"rating {unit}: {rating!r} (allowed: {', '.join(categories)})")
    return [place[rating] for rating in ratings]


def _kappa(sums: Floats, width: int, weights: Weights) -> Floats:
    """Return kappa of joint counts (..., width ** 2); 1 where only one category occurs."""
    table = sums.reshape(*sums.shape[:-1], width, width)
    steps = np.abs(np.subtract.outer(np.arange(width), np.arange(width)))
    cost = {"none": steps > 0, "linear": steps, "quadratic": steps**2}[weights].astype(np.float64)
    rows, columns, total = table.sum(-1), table.sum(-2), table.sum((-1, -2))
    found = (table * cost).sum((-1, -2))
    expected = np.einsum("...i,ij,...j->...", rows, cost, columns) / total
    return _one_minus(found, expected)


def _alpha(sums: Floats, width: int, level: Level) -> Floats:
    """Return alpha of coincidences (..., width ** 2); 1 where only one category occurs."""
    table = sums.reshape(*sums.shape[:-1], width, width)
    margin = table.sum(-1)
    if level == "ordinal":
        value = margin.cumsum(-1) - margin / 2  # the distance of ranks counts what lies between
    else:
        value = np.broadcast_to(np.arange(width, dtype=np.float64), margin.shape)
    gap = value[..., :, None] - value[..., None, :]
    cost = (gap != 0).astype(np.float64) if level == "nominal" else gap**2
    found = (table * cost).sum((-1, -2))
    expected = (margin[..., :, None] * margin[..., None, :] * cost).sum((-1, -2))
    return _one_minus(found, expected / np.maximum(margin.sum(-1) - 1, 1.0))


def _one_minus(found: Floats, expected: Floats) -> Floats:
    ratio = np.divide(found, expected, out=np.zeros(np.shape(found)), where=expected > 0)
    return np.asarray(1.0 - ratio)
