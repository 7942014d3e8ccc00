"""The body of a prompt as ids: question, options and context, and what of them is cut.

A body that exceeds its budget loses the end of its context first. A question that alone is too
long is cut in its middle: its beginning and its last sentence stay, which is where an exam or a
vignette asks. Options and prefixes are never cut.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from r2d_ray.data.examples import Example
from r2d_ray.errors import UserError
from r2d_ray.method.prompts import (
    EXPLAIN_PREFIX,
    PREDICT_PREFIX,
    options_text,
    question_text,
)
from r2d_ray.method.tokens import LabelTokens, RowLabel, encode
from r2d_ray.storage import counted

SENTENCE_END = re.compile(r"(?<=[.?!])\s+|(?<=[。？！])\s*|\s*\n\s*")  # noqa: RUF001
"""Where a sentence ends; a line break ends one too."""


class Body(NamedTuple):
    """A row's body within its budget, and how many ids of context and question were cut."""

    ids: list[int]
    context_cut: int
    question_cut: int

    @property
    def cut(self) -> int:
        """Ids that were cut altogether."""
        return self.context_cut + self.question_cut


def body_budget(tokenizer: PreTrainedTokenizerBase, tokens: LabelTokens, limit: int) -> int:
    """Return how many ids a body may have: the limit less the longest prefix and the end id.

    A row that brings options with longer prefixes leaves its own body less.
    """
    tasks = [len(encode(tokenizer, prefix)) for prefix in (PREDICT_PREFIX, EXPLAIN_PREFIX)]
    return limit - max(*tasks, tokens.room) - 1


def last_sentence(text: str) -> str:
    """Return the last sentence of a text; a text without an end of sentence is one."""
    return [part for part in SENTENCE_END.split(text.strip()) if part.strip()][-1]


def body_ids(tokenizer: PreTrainedTokenizerBase, row: Example, budget: int) -> Body:
    """Return a row's body within the budget.

    Raises:
        UserError: if the budget has no room for the options and one id of the question.
    """
    asked = encode(tokenizer, question_text(row.question, row.choices))
    context = encode(tokenizer, row.context) if row.context else []
    if len(asked) <= budget:
        kept = context[: budget - len(asked)]
        return Body(asked + kept, len(context) - len(kept), 0)
    options = encode(tokenizer, options_text(row.choices)) if row.choices else []
    question = asked[: len(asked) - len(options)]  # tokenizers split at white space: check_join
    room = budget - len(options)
    if room < 1:
        held = f"prefix and options ({counted(len(options), 'token')})" if options else "the prefix"
        raise UserError(
            f"row {row.id!r}: {held} alone are {counted(1 - room, 'token')} too long for "
            "max_input_length, which must leave the question room (allowed: shorter options, or a "
            "larger one when training)"
        )
    end = min(len(encode(tokenizer, last_sentence(row.question))), room)
    kept = question[: room - end] + question[len(question) - end :]
    return Body(kept + options, len(context), len(question) - len(kept))


def row_budgets(
    labels: Sequence[RowLabel], tokenizer: PreTrainedTokenizerBase, tokens: LabelTokens, limit: int
) -> list[int]:
    """Return every row's budget: what the longest of its prefixes leaves."""
    shared = body_budget(tokenizer, tokens, limit)
    return [min(shared, limit - label.own.room - 1) for label in labels]


def prompt_bodies(
    rows: Sequence[Example],
    labels: Sequence[RowLabel],
    tokenizer: PreTrainedTokenizerBase,
    tokens: LabelTokens,
    limit: int,
) -> list[Body]:
    """Return every row's body, cut to what the longest of its prefixes leaves."""
    budgets = row_budgets(labels, tokenizer, tokens, limit)
    return [body_ids(tokenizer, row, b) for row, b in zip(rows, budgets, strict=True)]
