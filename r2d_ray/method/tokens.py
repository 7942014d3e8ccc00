"""Texts as ids and back, labels as targets and prompt prefixes (`preprocess_function`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from r2d_ray.method.prompts import explain_given_label_prefix

if TYPE_CHECKING:  # data sets are planned without loading a model library
    from transformers import PreTrainedTokenizerBase

    from r2d_ray.method.label_kinds import LabelKind

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LabelTokens:
    """Labels as token ids: those of a data set, or those of one row that brings its own.

    `targets[i]` are label i's ids with the end-of-sequence id; `explain_prefixes[i]` those of the
    rationale prompt that shows it. All three are empty for a data set whose rows bring their own.
    `room` is how many ids the prefix may have that shows a label which the model wrote freely
    (0: the row's own longest prefix); `letters` name the places of options, for scores.
    """

    kind: LabelKind
    labels: tuple[str, ...] = ()
    targets: tuple[Ids, ...] = ()
    explain_prefixes: tuple[Ids, ...] = ()
    room: int = 0
    letters: tuple[str, ...] = ()

    @property
    def first_tokens_differ(self) -> bool:
        """Whether there are labels and the first target token tells which."""
        firsts = {target[0] for target in self.targets}
        return bool(firsts) and len(firsts) == len(self.targets)

    @property
    def classes(self) -> tuple[str, ...]:
        """What scores are over: labels, letters of options; empty where labels are open."""
        return self.labels or self.letters


@dataclass(frozen=True, slots=True)
class RowLabel:
    """A row's gold label and the labels that the row brings (none under a fixed set).

    `place` is gold's place in the fixed set or among the row's own, -1 if it has none; `text` is
    gold as the table states it, None if it has none.
    """

    own: LabelTokens
    place: int
    text: str | None


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the ids of a text without special tokens."""
    return cast(list[int], tokenizer(text, add_special_tokens=False)["input_ids"])


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Return the text of these ids without special tokens, stripped."""
    return cast(str, tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


def target_ids(tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]) -> tuple[Ids, ...]:
    """Return the ids of these labels as targets, each with the end-of-sequence id."""
    end = cast(int, tokenizer.eos_token_id)
    return tuple((*ids, end) for ids in _all_ids(tokenizer, labels))


def prefix_ids(tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]) -> tuple[Ids, ...]:
    """Return the ids of the rationale prompt's prefix that shows each of these labels."""
    prefixes = [explain_given_label_prefix(label) for label in labels]
    return tuple(map(tuple, _all_ids(tokenizer, prefixes)))


def _all_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    return cast(list[list[int]], tokenizer(list(texts), add_special_tokens=False)["input_ids"])


def fitting_label(tokenizer: PreTrainedTokenizerBase, text: str, room: int) -> str:
    """Return the text, or a beginning of it whose rationale prefix has at most `room` ids.

    Empty where even the prefix without a label has more.
    """
    ids = encode(tokenizer, text)
    while (over := len(encode(tokenizer, explain_given_label_prefix(text))) - room) > 0 and ids:
        ids = ids[: max(0, len(ids) - over)]
        text = decode(tokenizer, ids)
    return text
