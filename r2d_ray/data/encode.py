"""Rows as ids: the body of a prompt, the options of a row, and both as columns of a table.

A body is question and options whole, and as much context as fits. An option is what the model can
tell apart, so options of a row with the same ids are one. A row with an open label has one option,
its gold label: a target and a prompt, but nothing to choose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from datasets import Dataset, Features, List, Value
from transformers import PreTrainedTokenizerBase

from r2d_ray.config import TrainConfig
from r2d_ray.data.examples import Example, Splits
from r2d_ray.data.splits import label_kind
from r2d_ray.errors import UserError
from r2d_ray.method.prompts import (
    EXPLAIN_PREFIX,
    PREDICT_PREFIX,
    explain_given_label_prefix,
    question_text,
)
from r2d_ray.method.tokens import (
    LabelTokens,
    encode,
    open_label_tokens,
    option_tokens,
    tokens_of_kind,
)


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


OPTION_FEATURES = {
    "choices": List(Value("string")),  # as the row has them, repeated ones too
    "options": List(Value("string")),  # those that the model can tell apart
    "option_ids": List(List(Value("int64"))),
    "option_prefixes": List(List(Value("int64"))),
}


def set_tokens(
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    rows: Sequence[Example],
    config: TrainConfig,
) -> LabelTokens:
    """Return the label tokens of a data set of these rows, `labels` being its fixed set if any."""
    most = max((len(row.choices or ()) for row in rows), default=0)
    kind = label_kind(labels, rows)
    return tokens_of_kind(tokenizer, labels, kind, config.max_label_length, most)


def row_tokens(
    row: Example, tokenizer: PreTrainedTokenizerBase, tokens: LabelTokens, max_label_length: int
) -> LabelTokens:
    """Return the labels that a row brings under its data set's kind of label; none if fixed."""
    if tokens.kind == "choices":
        return option_tokens(tokenizer, row.choices or ())
    if tokens.kind == "open" and row.label:
        return open_label_tokens(tokenizer, row.label, max_label_length, tokens.room)
    return LabelTokens((), (), (), tokens.kind)


def gold_place(
    row: Example, tokenizer: PreTrainedTokenizerBase, tokens: LabelTokens, own: LabelTokens
) -> int:
    """Return the place of a row's label in the fixed set or among its own options, -1 if none."""
    if tokens.kind == "open":
        return len(own.labels) - 1
    labels = own.labels if tokens.kind == "choices" else tokens.labels
    if row.label in labels or not row.label or tokens.kind == "fixed":
        return labels.index(row.label) if row.label in labels else -1
    # Another text with the same ids: the first of them stands for it.
    return [target[:-1] for target in own.targets].index(tuple(encode(tokenizer, row.label)))


def option_columns(
    rows: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    tokens: LabelTokens,
    own: Sequence[LabelTokens],
) -> dict[str, list[Any]]:
    """Return the table columns of the rows' labels: text, place and the options of their own.

    The label of a row with options is the text of the option that stands for it.
    """
    places = [gold_place(row, tokenizer, tokens, mine) for row, mine in zip(rows, own, strict=True)]
    texts = [
        mine.labels[place] if tokens.kind == "choices" and place >= 0 else row.label or None
        for row, mine, place in zip(rows, own, places, strict=True)
    ]
    return {
        "label": texts,
        "label_index": places,
        "choices": [list(row.choices or ()) for row in rows],
        "options": [list(mine.labels) for mine in own],
        "option_ids": [list(map(list, mine.targets)) for mine in own],
        "option_prefixes": [list(map(list, mine.explain_prefixes)) for mine in own],
    }


COLUMNS = Features(  # named, because a column of empty lists would have no type of its own
    {
        "id": Value("string"),
        "group": Value("string"),
        "tags": List(Value("string")),
        "label": Value("string"),
        "label_index": Value("int64"),
        **OPTION_FEATURES,
        "body_ids": List(Value("int64")),
        "cut_tokens": Value("int64"),
        "rationale_ids": List(Value("int64")),
        "stage1_rationale_ids": List(Value("int64")),
        "reference": Value("string"),
    }
)


def tokenizer_texts(splits: Splits) -> Iterator[str]:
    """Yield what a tokenizer of this training split should know: bodies, targets and prefixes."""
    for row in splits.train:
        yield question_text(row.question, row.choices)
        yield row.context
        yield from row.rationales.values()
        yield row.label
        yield PREDICT_PREFIX
        yield explain_given_label_prefix(row.label)


def tabulate(
    rows: Sequence[Example],
    tokens: LabelTokens,
    tokenizer: PreTrainedTokenizerBase,
    config: TrainConfig,
    sources: Mapping[str, str | None],
) -> Dataset:
    """Return one split as a table of ids; a row without a rationale has an empty target.

    Columns: id, group, tags, what `option_columns` says of the label, body_ids, cut_tokens, and
    per use of a rationale its ids and its text (`reference`).
    """
    eos = cast(int, tokenizer.eos_token_id)

    def target(row: Example, use: str) -> list[int]:
        text = row.rationales.get(sources[use] or "", "")
        return [*encode(tokenizer, text)[: config.max_rationale_length - 1], eos] if text else []

    own = [row_tokens(row, tokenizer, tokens, config.max_label_length) for row in rows]
    found = prompt_bodies(rows, own, tokenizer, tokens, config.max_input_length)
    return Dataset.from_dict(
        {
            "id": [row.id for row in rows],
            "group": [row.group for row in rows],
            "tags": [list(row.tags) for row in rows],
            **option_columns(rows, tokenizer, tokens, own),
            "body_ids": [ids for ids, _ in found],
            "cut_tokens": [cut for _, cut in found],
            "rationale_ids": [target(row, "rationale") for row in rows],
            "stage1_rationale_ids": [target(row, "stage1_rationale") for row in rows],
            "reference": [row.rationales.get(sources["rationale"] or "", "") for row in rows],
        },
        features=COLUMNS,
    )


def text_table(
    rows: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    config: TrainConfig,
) -> Dataset:
    """Return rows without rationales as the table of ids that an evaluator reads.

    Rows are read under the fixed set `labels`, or without one over the options that they bring.

    Raises:
        UserError: if a question does not fit.
    """
    tokens = set_tokens(tokenizer, labels, rows, config)
    own = [row_tokens(row, tokenizer, tokens, config.max_label_length) for row in rows]
    found = prompt_bodies(rows, own, tokenizer, tokens, config.max_input_length)
    columns: dict[str, list[Any]] = {
        "id": [row.id for row in rows],
        "group": [row.group for row in rows],
        **option_columns(rows, tokenizer, tokens, own),
        "reference": [""] * len(rows),
        "tags": [[] for _ in rows],
        "body_ids": [ids for ids, _ in found],
    }
    return Dataset.from_dict(columns, features=Features({n: COLUMNS[n] for n in columns}))
