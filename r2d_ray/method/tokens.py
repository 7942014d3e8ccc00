"""Texts as token ids, and labels as targets and prompt prefixes, for each kind of label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_ray.errors import UserError
from r2d_ray.method.prompts import choice_letter, explain_given_label_prefix

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
from typing import Literal, cast

LabelKind = Literal["fixed", "choices", "open"]
"""One set for all rows; options that each row brings; any text."""


@dataclass(frozen=True, slots=True)
class LabelTokens:
    """The labels of a data set as token ids, or those of one row that brings its own.

    `targets[i]` are label i's ids with the end-of-sequence id; `explain_prefixes[i]` those of the
    rationale prompt that shows it. Without a fixed set all three are empty for the data set.
    `room` is how many ids the prefix may have that shows a label which the model wrote freely
    (0: the row's own longest prefix); `letters` name the places of options, for scores.
    """

    labels: tuple[str, ...]
    targets: tuple[tuple[int, ...], ...]
    explain_prefixes: tuple[tuple[int, ...], ...]
    kind: LabelKind = "fixed"
    room: int = 0
    letters: tuple[str, ...] = ()

    @property
    def first_tokens_differ(self) -> bool:
        """Whether the first target token identifies the label."""
        return len({target[0] for target in self.targets}) == len(self.targets)

    @property
    def classes(self) -> tuple[str, ...]:
        """What scores are over: labels, letters of options; empty where labels are open."""
        return self.labels or self.letters


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the ids of a text without special tokens."""
    return cast(list[int], tokenizer(text, add_special_tokens=False)["input_ids"])


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Return the text of these ids without special tokens, stripped."""
    return cast(str, tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


def text_tokens(tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]) -> LabelTokens:
    """Return the ids of these labels, at least one, as targets and in the prompt's prefix."""

    def ids(texts: Sequence[str]) -> list[list[int]]:
        return cast(list[list[int]], tokenizer(list(texts), add_special_tokens=False)["input_ids"])

    eos = cast(int, tokenizer.eos_token_id)
    targets = tuple((*target, eos) for target in ids(labels))
    prefixes = tuple(map(tuple, ids([explain_given_label_prefix(label) for label in labels])))
    return LabelTokens(tuple(labels), targets, prefixes, room=max(map(len, prefixes)))


def label_tokens(tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]) -> LabelTokens:
    """Return the ids of a fixed label set.

    Raises:
        UserError: if two labels have the same ids, so that the model could not tell them apart.
    """
    tokens = text_tokens(tokenizer, labels)
    for later, target in enumerate(tokens.targets):
        if target in tokens.targets[:later]:
            twin = labels[tokens.targets.index(target)]
            raise UserError(f"labels {twin!r} and {labels[later]!r} have the same token ids")
    return tokens


def tokens_of_kind(
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    kind: LabelKind,
    max_label_length: int,
    most_options: int,
) -> LabelTokens:
    """Return a data set's label tokens: the fixed set's ids, or what stands for none.

    Args:
        tokenizer: Of the model.
        labels: The fixed set, empty for the other kinds.
        kind: Of the data set.
        max_label_length: Ids of an open label, its end id included.
        most_options: The largest number of options of a row.

    Raises:
        UserError: as `label_tokens`.
    """
    if kind == "fixed":
        return label_tokens(tokenizer, labels)
    if kind == "choices":
        letters = tuple(choice_letter(place) for place in range(most_options))
        return LabelTokens((), (), (), kind, letters=letters)
    room = len(encode(tokenizer, explain_given_label_prefix(""))) + max_label_length
    return LabelTokens((), (), (), kind, room=room)


def option_tokens(tokenizer: PreTrainedTokenizerBase, choices: Sequence[str]) -> LabelTokens:
    """Return the ids of a row's different options, in order.

    Options with the same ids (a repeated text; texts that the tokenizer does not tell apart) are
    one option to the model: the first stands for all of them.
    """
    tokens = text_tokens(tokenizer, choices)
    first = [i for i, target in enumerate(tokens.targets) if target not in tokens.targets[:i]]
    return LabelTokens(
        tuple(tokens.labels[i] for i in first),
        tuple(tokens.targets[i] for i in first),
        tuple(tokens.explain_prefixes[i] for i in first),
        "choices",
        tokens.room,
    )


def open_label_tokens(
    tokenizer: PreTrainedTokenizerBase, label: str, limit: int, room: int
) -> LabelTokens:
    """Return the ids of an open label, the one option of its row.

    The target is cut to `limit` ids, its end id included, and the label that the prompt shows to
    `room` ids of prefix: as a label that the model writes would be.
    """
    ids = encode(tokenizer, label)[: limit - 1]
    written = decode(tokenizer, ids)
    shown = fitting_label(tokenizer, written, room)
    prefix = encode(tokenizer, explain_given_label_prefix(shown))
    eos = cast(int, tokenizer.eos_token_id)
    return LabelTokens((shown,), ((*ids, eos),), (tuple(prefix),), "open")


def fitting_label(tokenizer: PreTrainedTokenizerBase, text: str, room: int) -> str:
    """Return the text, or a beginning of it whose rationale prefix has at most `room` ids.

    Empty where even the prefix without a label has more.
    """
    ids = encode(tokenizer, text)
    while (over := len(encode(tokenizer, explain_given_label_prefix(text))) - room) > 0 and ids:
        ids = ids[: max(0, len(ids) - over)]
        text = decode(tokenizer, ids)
    return text
