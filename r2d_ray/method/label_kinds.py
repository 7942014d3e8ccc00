"""The kinds of label: one set for all rows (the paper's), options that each row brings, any text.

Exam questions bring options, and a diagnosis may be any text. All that differs between the kinds
is asked of one of these classes: another kind is another class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from r2d_ray.errors import UserError
from r2d_ray.method.prompts import choice_letter, explain_given_label_prefix
from r2d_ray.method.tokens import (
    LabelTokens,
    RowLabel,
    decode,
    encode,
    fitting_label,
    prefix_ids,
    target_ids,
)

if TYPE_CHECKING:  # which kind a data set has is asked where no model library is loaded
    from transformers import PreTrainedTokenizerBase as Tokenizer

Texts = Sequence[str]


class LabelKind(ABC):
    """What the labels of a data set are."""

    word: ClassVar[str]
    """Stands for the kind in study.json and prepared.json."""

    by_row: ClassVar[bool]
    """Targets and prompts come with each row (and its batch), not once for the data set."""

    listed: ClassVar[bool]
    """A row's question lists its options, which have letters; scores are over the letters."""

    closed: ClassVar[bool]
    """A row's label is one of a known list. Each of them can be scored, so there are
    probabilities, and there is another one to show in its place."""

    @abstractmethod
    def classes(self, labels: Texts, most: int) -> tuple[str, ...]:
        """Return what scores are over: see `set_tokens` for what is given."""

    @abstractmethod
    def set_tokens(self, tokenizer: Tokenizer, labels: Texts, limit: int, most: int) -> LabelTokens:
        """Return the label tokens of a data set.

        Args:
            tokenizer: Of the model.
            labels: The fixed set; empty for the other kinds.
            limit: Ids of an open label, its end id included (`max_label_length`).
            most: The largest number of options of a row.

        Raises:
            UserError: if two labels of a fixed set have the same ids.
        """

    @abstractmethod
    def row_label(
        self, tokenizer: Tokenizer, tokens: LabelTokens, label: str, choices: Texts, limit: int
    ) -> RowLabel:
        """Return a row's label and what labels it brings.

        Args:
            tokenizer: Of the model.
            tokens: Of the data set.
            label: Gold; empty if unknown.
            choices: The options that the row's question lists.
            limit: As for `set_tokens`.
        """

    @abstractmethod
    def described(self, labels: Texts) -> str:
        """Return in words what a model's label is."""


@dataclass(frozen=True)
class FixedSet(LabelKind):
    """One set for all rows, as in the paper."""

    word = "fixed"
    by_row = False
    listed = False
    closed = True

    def classes(self, labels: Texts, most: int) -> tuple[str, ...]:
        """Return the labels."""
        return tuple(labels)

    def set_tokens(
        self, tokenizer: Tokenizer, labels: Texts, limit: int = 0, most: int = 0
    ) -> LabelTokens:
        """Return the ids of every label; raises UserError if two have the same."""
        targets, prefixes = target_ids(tokenizer, labels), prefix_ids(tokenizer, labels)
        for later, target in enumerate(targets):
            if target in targets[:later]:
                twin = labels[targets.index(target)]
                raise UserError(f"labels {twin!r} and {labels[later]!r} have the same token ids")
        return LabelTokens(self, tuple(labels), targets, prefixes, room=max(map(len, prefixes)))

    def row_label(
        self, tokenizer: Tokenizer, tokens: LabelTokens, label: str, choices: Texts, limit: int
    ) -> RowLabel:
        """Return the label's place in the set."""
        place = tokens.labels.index(label) if label in tokens.labels else -1
        return RowLabel(LabelTokens(self), place, label or None)

    def described(self, labels: Texts) -> str:
        """Return the labels' names."""
        return "one of " + ", ".join(f"`{label}`" for label in labels)


@dataclass(frozen=True)
class RowOptions(LabelKind):
    """Options that each row brings.

    Options with the same ids (a repeated text; texts that the tokenizer does not tell apart) are
    one option to the model: the first stands for all of them.
    """

    word = "choices"
    by_row = True
    listed = True
    closed = True

    def classes(self, labels: Texts, most: int) -> tuple[str, ...]:
        """Return the letters of the places of options."""
        return tuple(choice_letter(place) for place in range(most))

    def set_tokens(self, tokenizer: Tokenizer, labels: Texts, limit: int, most: int) -> LabelTokens:
        """Return the letters; the ids come with the rows."""
        return LabelTokens(self, letters=self.classes(labels, most))

    def row_label(
        self, tokenizer: Tokenizer, tokens: LabelTokens, label: str, choices: Texts, limit: int
    ) -> RowLabel:
        """Return the options that the model can tell apart and which of them is gold."""
        targets, prefixes = target_ids(tokenizer, choices), prefix_ids(tokenizer, choices)
        first = [i for i, target in enumerate(targets) if target not in targets[:i]]
        own = LabelTokens(
            self,
            tuple(choices[i] for i in first),
            tuple(targets[i] for i in first),
            tuple(prefixes[i] for i in first),
            room=max(map(len, prefixes)),
        )
        if not label:
            return RowLabel(own, -1, None)
        if label in own.labels:
            place = own.labels.index(label)
        else:  # another text with the same ids: the first of them stands for it
            [target] = target_ids(tokenizer, [label])
            place = own.targets.index(target)
        return RowLabel(own, place, own.labels[place])

    def described(self, labels: Texts) -> str:
        """Return where the label comes from."""
        return "one of the row's own options"


@dataclass(frozen=True)
class OpenLabels(LabelKind):
    """Any text. A row has one label of its own, gold: a target and a prompt, no alternatives.

    The target is cut to `limit` ids, its end id included, and the label that the prompt shows to
    the set's `room` of prefix ids: as a label that the model writes would be.
    """

    word = "open"
    by_row = True
    listed = False
    closed = False

    def classes(self, labels: Texts, most: int) -> tuple[str, ...]:
        """Return none."""
        return ()

    def set_tokens(self, tokenizer: Tokenizer, labels: Texts, limit: int, most: int) -> LabelTokens:
        """Return the room that a prompt leaves for a label of `limit` ids."""
        return LabelTokens(
            self, room=len(encode(tokenizer, explain_given_label_prefix(""))) + limit
        )

    def row_label(
        self, tokenizer: Tokenizer, tokens: LabelTokens, label: str, choices: Texts, limit: int
    ) -> RowLabel:
        """Return gold alone, as far as the model could write it."""
        if not label:
            return RowLabel(LabelTokens(self), -1, None)
        ids = encode(tokenizer, label)[: limit - 1]
        shown = fitting_label(tokenizer, decode(tokenizer, ids), tokens.room)
        target = (*ids, cast(int, tokenizer.eos_token_id))
        own = LabelTokens(self, (shown,), (target,), prefix_ids(tokenizer, [shown]))
        return RowLabel(own, 0, label)

    def described(self, labels: Texts) -> str:
        """Return what the label is."""
        return "a free text"


FIXED, CHOICES, OPEN = FixedSet(), RowOptions(), OpenLabels()
KINDS: dict[str, LabelKind] = {kind.word: kind for kind in (FIXED, CHOICES, OPEN)}


def kind_of(labels: Texts, with_options: bool) -> LabelKind:
    """Return the kind of a data set with this fixed set, or without one: are there options?"""
    if labels:
        return FIXED
    return CHOICES if with_options else OPEN
