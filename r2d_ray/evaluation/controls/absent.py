"""What a result has no score of, and why: absent, which is neither empty nor 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r2d_ray.data.examples import Example, Splits, has_context

NO_CONTEXT = "no test row has a context"


def absent(splits: Splits, test: Sequence[Example], of_contexts: Sequence[str]) -> dict[str, Any]:
    """Return what result.json says of scores that this data cannot have; nothing where all can.

    Args:
        splits: The data.
        test: The rows that are scored.
        of_contexts: What is scored only where rows have contexts.

    Returns:
        `not_applicable`, reasons by name, and `tags_without_test_rows`, the sub-populations of
        other splits that no test row belongs to.
    """
    found: dict[str, Any] = {}
    if of_contexts and not has_context(test):
        found["not_applicable"] = dict.fromkeys(of_contexts, NO_CONTEXT)
    tags = {tag for _, rows in splits.items() for row in rows for tag in row.tags}
    if missing := sorted(tags - {tag for row in test for tag in row.tags}):
        found["tags_without_test_rows"] = missing
    return found
