"""The body of a prompt as ids: question and options whole, and as much context as fits."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from r2d_ray.data.examples import Example
from r2d_ray.data.tokens import LabelTokens, encode
from r2d_ray.errors import UserError
from r2d_ray.prompts import EXPLAIN_PREFIX, PREDICT_PREFIX, question_text


def body_budget(tokenizer: PreTrainedTokenizerBase, tokens: LabelTokens, limit: int) -> int:
    """Return how many ids a body may have: the limit less the longest prefix and the end id.

    The prefixes of options that a row brings are not among them: see `prompt_bodies`.
    """
    tasks = [len(encode(tokenizer, prefix)) for prefix in (PREDICT_PREFIX, EXPLAIN_PREFIX)]
    return limit - max(*tasks, tokens.room) - 1


def body_ids(
    tokenizer: PreTrainedTokenizerBase, row: Example, budget: int
) -> tuple[list[int], int]:
    """Return a row's body ids within the budget and how many ids of its context were cut.

    Raises:
        UserError: if question and choices alone exceed the budget: they are never cut.
    """
    question = encode(tokenizer, question_text(row.question, row.choices))
    if len(question) > budget:
        raise UserError(
            f"row {row.id!r}: question and choices have {len(question)} tokens "
            f"(allowed: {budget}, what max_input_length leaves beside the longest prefix; only the "
            "context is ever cut: --set max_input_length=N)"
        )
    context = encode(tokenizer, row.context) if row.context else []
    kept = context[: budget - len(question)]
    return question + kept, len(context) - len(kept)


def prompt_bodies(
    rows: Sequence[Example],
    own: Sequence[LabelTokens],
    tokenizer: PreTrainedTokenizerBase,
    tokens: LabelTokens,
    limit: int,
) -> list[tuple[list[int], int]]:
    """Return `body_ids` of every row, within what the longest of its prefixes leaves."""
    shared = body_budget(tokenizer, tokens, limit)
    return [
        body_ids(tokenizer, row, min(shared, limit - mine.room - 1))
        for row, mine in zip(rows, own, strict=True)
    ]
