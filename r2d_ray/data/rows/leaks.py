"""What must not stand in two splits: questions and groups, and the contexts that rows share.

Where a source's own splits share a question or a group, the earlier side loses the row.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from r2d_ray.data.examples import Example, Splits, normalised
from r2d_ray.errors import UserError

Rows = tuple[Example, ...]
CONSTANT_QUESTION_SHARE = 0.05
"""A question text that more rows than this share is a form, not a key: see `leak_keys`."""

CONSTANT_QUESTION_ROWS = 3
"""In a small set, so many repeats are still repeats and not a form."""

LONG_TEXT_WORDS = 8
"""A text of so many words tells of one thing: a premise, an abstract, a note."""


def leak_keys(rows: Sequence[Example]) -> list[str]:
    """Return what must not recur in another split: the normalised question of every row.

    Where the most frequent question covers more than `CONSTANT_QUESTION_SHARE` of the rows (a
    triage note always asks the same), the key is the question with a digest of its context.
    """
    asked = functools.lru_cache(normalised)  # a form is asked in every row, and kept once
    questions = [asked(row.question) for row in rows]
    most = max(Counter(questions).values(), default=0)
    if most <= most_repeats(len(rows)):
        return questions
    contexts = (digest(normalised(row.context)).hex() for row in rows)
    return [f"{q}\n{context}" for q, context in zip(questions, contexts, strict=True)]


def most_repeats(rows: int) -> float:
    """Return how many of so many rows may share a text that is not a form."""
    return max(CONSTANT_QUESTION_ROWS, CONSTANT_QUESTION_SHARE * rows)


def has_groups(rows: Sequence[Example]) -> bool:
    """Return whether the rows name groups; without, each is its own."""
    return any(row.group != row.id for row in rows)


def shared_contexts(rows: Sequence[Example]) -> dict[int, str]:
    """Return digests of the long contexts that several rows share, by the rows' places.

    None where rows name groups, which then say what belongs together, and none that is a form.
    """
    if has_groups(rows):
        return {}
    texts = ((i, normalised(row.context)) for i, row in enumerate(rows) if row.context)
    found = {i: digest(text).hex() for i, text in texts if is_long(text)}
    counts = Counter(found.values())
    most = most_repeats(len(rows))
    return {i: text for i, text in found.items() if 1 < counts[text] <= most}


def is_long(text: str) -> bool:
    """Return whether a normalised text has `LONG_TEXT_WORDS` or more words."""
    return text.count(" ") >= LONG_TEXT_WORDS - 1


def digest(text: str) -> bytes:
    """Return 16 bytes that stand for a text: the texts of a large table would fill the memory."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


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


def without_leaks(splits: Splits) -> Splits:
    """Return the splits without leaks (`remove_leaks`), what was dropped counted.

    Raises:
        UserError: if that leaves nothing of a split that had rows.
    """
    before = dict(splits.items())
    train, validation, test, dropped = remove_leaks(**before)
    after = {"train": train, "validation": validation, "test": test}
    check_left(before, after, splits.name)
    return replace(splits.with_rows(after), dropped={**splits.dropped, **dropped})


def check_left(before: Mapping[str, Rows], after: Mapping[str, Rows], name: str) -> None:
    """Raise UserError where the leak rule left nothing of a split that had rows."""
    for split, others in (("train", ("test", "validation")), ("validation", ("test",))):
        rows = before[split]
        if not rows or after[split]:
            continue
        keys = leak_keys([row for part in before.values() for row in part])
        sizes = [len(part) for part in before.values()]
        by_part = dict(zip(before, _parted(keys, sizes), strict=True))
        found = [o for o in others if set(by_part[o]) & set(by_part[split])]
        asked = set(by_part[split]) <= {key for o in found for key in by_part[o]}
        raise UserError(
            f"{name}: the leak rule leaves no {split} row: {_why(rows, asked)} of the "
            f"{' or '.join(found or others)} split ({_remedy(before, asked)})"
        )


def _parted(keys: Sequence[str], sizes: Sequence[int]) -> list[Sequence[str]]:
    ends = list(accumulate(sizes))
    return [keys[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _why(rows: Rows, asked: bool) -> str:
    return f"each of its {len(rows)} asks a question" + ("" if asked else " or is in a group")


def _remedy(parts: Mapping[str, Rows], asked: bool) -> str:
    if not asked:
        return "another column may be the group: --columns group=COLUMN"
    if any(row.context for rows in parts.values() for row in rows):
        return "the same rows stand in both: leave them out of one"
    return "if the note is another column, name it: --columns context=COLUMN"
