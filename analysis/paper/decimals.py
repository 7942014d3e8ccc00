"""How many decimals a column of a paper has: as many as its spread can bear."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from analysis.tables.table import Cell, Number

RULE = (
    "Decimals: two significant digits of the column's median spread (standard deviation, else half "
    "the interval), but at least one decimal; without a spread one decimal of percentages, three "
    "significant digits of other values."
)
"""The rule in words, for whoever reads the tables."""

PERCENT = 100.0


def decimals(values: Sequence[Cell | Number]) -> int:
    """Return the decimals of a column of numbers: never more than the report's own."""
    numbers = [v for v in values if isinstance(v, Number) and v.mean is not None]
    if not numbers:
        return 0
    most = max(number.digits for number in numbers)
    spreads = [spread for number in numbers if (spread := _spread(number)) > 0]
    if spreads:
        return min(most, max(1, _places(median(spreads), 2)))
    if any(number.factor == PERCENT for number in numbers):
        return min(most, 1)
    values_shown = [size for n in numbers if (size := abs((n.mean or 0.0) * n.factor)) > 0]
    return min(most, max(0, _places(median(values_shown), 3))) if values_shown else most


def _places(value: float, digits: int) -> int:
    """Return the decimals that show so many significant digits of a value above 0."""
    return digits - 1 - math.floor(math.log10(value))


def _spread(number: Number) -> float:
    """Return a number's standard deviation, else half its interval, in the units shown."""
    if number.sd is not None:
        return number.sd * number.factor
    if number.low is not None and number.high is not None:
        return (number.high - number.low) / 2 * number.factor
    return 0.0
