"""What the summary says of a bag of words: first where no trained model beats it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.page.words import Finding


@dataclass(frozen=True, slots=True)
class BagOfWords:
    """What a study's result says of its bag of words.

    `gain` is the best model minus the control on test, None where nothing can be paired.
    """

    dataset: str
    says: str
    beaten: bool
    gain: Finding | None


def with_bag_of_words(found: BagOfWords | None, words: Sequence[str]) -> list[str]:
    """Return a study's paragraphs with the one on its bag of words, None where none was scored."""
    if found is None:
        return list(words)
    if not found.beaten:
        such = " Differences between trained models say little here."
        return [f"On {found.dataset}: {found.says}{_gain(found.gain)}{such}", *words]
    return [*words, f"On {found.dataset}, {found.says}{_gain(found.gain)}"]


def _gain(gain: Finding | None) -> str:
    """Return the difference with its interval, and whether that includes 0."""
    if gain is None:
        return ""
    low, high = 100 * gain.low, 100 * gain.high
    open_ = "" if gain.leaves_out_0 else ", which includes 0"
    return (
        f" The difference on test is {100 * gain.estimate:+.1f} points "
        f"(95 % interval {low:+.1f} to {high:+.1f}{open_})."
    )
