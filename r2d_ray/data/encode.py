"""Rows as ids: the body of a prompt, the options of a row, and both as columns of a table.

An option is what the model can tell apart, so options of a row with the same ids are one. A row
with an open label has one option, its gold label: a target and a prompt, but nothing to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from datasets import Dataset, Features, List, Value
from transformers import PreTrainedTokenizerBase

from r2d_ray.config import TOKENIZER_ROWS, TrainConfig
from r2d_ray.data.examples import Example, Splits, label_kind
from r2d_ray.data.inputs.bodies import prompt_bodies
from r2d_ray.data.rows.sample import sampled
from r2d_ray.method.prompts import PREDICT_PREFIX, explain_given_label_prefix, question_text
from r2d_ray.method.tokens import LabelTokens, RowLabel, encode

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
    return label_kind(labels, rows).set_tokens(tokenizer, labels, config.max_label_length, most)


def row_labels(
    rows: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    tokens: LabelTokens,
    max_label_length: int,
) -> list[RowLabel]:
    """Return every row's gold label and the labels that it brings."""
    return [
        tokens.kind.row_label(tokenizer, tokens, row.label, row.choices or (), max_label_length)
        for row in rows
    ]


def label_columns(rows: Sequence[Example], labels: Sequence[RowLabel]) -> dict[str, list[Any]]:
    """Return the table columns of the rows' labels: text, place and the options of their own.

    The label of a row with options is the text of the option that stands for it.
    """
    own = [label.own for label in labels]
    return {
        "label": [label.text for label in labels],
        "label_index": [label.place for label in labels],
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
        "question_cut_tokens": Value("int64"),
        "rationale_ids": List(Value("int64")),
        "stage1_rationale_ids": List(Value("int64")),
        "reference": Value("string"),
        "relabelled_places": List(Value("int64")),
        "relabelled_ids": List(List(Value("int64"))),
    }
)


def tokenizer_texts(splits: Splits) -> Iterator[str]:
    """Yield what a tokenizer of this training split should know: bodies, targets and prefixes.

    Of a split with more than `TOKENIZER_ROWS` rows a fixed draw of that many, and every label.
    """
    picked = sampled(splits.train, TOKENIZER_ROWS)
    if len(picked) < len(splits.train):
        for label in dict.fromkeys(row.label for row in splits.train):
            yield label
            yield explain_given_label_prefix(label)
    for row in picked:
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

    Columns: id, group, tags, what `label_columns` says of the label, body_ids, what was cut, and
    per use of a rationale its ids and its text (`reference`).
    """
    eos = cast(int, tokenizer.eos_token_id)

    def ids(text: str) -> list[int]:
        return [*encode(tokenizer, text)[: config.max_rationale_length - 1], eos] if text else []

    def target(row: Example, use: str) -> list[int]:
        return ids(row.rationales.get(sources[use] or "", ""))

    labelled = row_labels(rows, tokenizer, tokens, config.max_label_length)
    found = prompt_bodies(rows, labelled, tokenizer, tokens, config.max_input_length)
    return Dataset.from_dict(
        {
            "id": [row.id for row in rows],
            "group": [row.group for row in rows],
            "tags": [list(row.tags) for row in rows],
            **label_columns(rows, labelled),
            "body_ids": [body.ids for body in found],
            "cut_tokens": [body.cut for body in found],
            "question_cut_tokens": [body.question_cut for body in found],
            "rationale_ids": [target(row, "rationale") for row in rows],
            "stage1_rationale_ids": [target(row, "stage1_rationale") for row in rows],
            "reference": [row.rationales.get(sources["rationale"] or "", "") for row in rows],
            **relabelled_columns(rows, labelled, tokens.labels, sources["rationale"], ids),
        },
        features=COLUMNS,
    )


def relabelled_columns(
    rows: Sequence[Example],
    labels: Sequence[RowLabel],
    fixed: Sequence[str],
    source: str | None,
    ids: Callable[[str], list[int]],
) -> dict[str, list[Any]]:
    """Return the table columns of a source's rationales for other labels: places and targets.

    Args:
        rows: The rows.
        labels: What each brings of labels.
        fixed: The fixed label set, empty where rows bring their own.
        source: The rationale source that is trained on.
        ids: A text's target.
    """
    places, targets = [], []
    for row, label in zip(rows, labels, strict=True):
        own = list(fixed or label.own.labels)
        found = row.relabelled.get(source or "", {})
        known = [other for other in found if other in own and found[other]]
        places.append([own.index(other) for other in known])
        targets.append([ids(found[other]) for other in known])
    return {"relabelled_places": places, "relabelled_ids": targets}


def text_table(
    rows: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    config: TrainConfig,
) -> Dataset:
    """Return rows without rationales as the table of ids that an evaluator reads.

    Rows are read under the fixed set `labels`, or without one over the options that they bring.

    Raises:
        UserError: if options do not fit.
    """
    tokens = set_tokens(tokenizer, labels, rows, config)
    labelled = row_labels(rows, tokenizer, tokens, config.max_label_length)
    found = prompt_bodies(rows, labelled, tokenizer, tokens, config.max_input_length)
    columns: dict[str, list[Any]] = {
        "id": [row.id for row in rows],
        "group": [row.group for row in rows],
        **label_columns(rows, labelled),
        "reference": [""] * len(rows),
        "tags": [[] for _ in rows],
        "body_ids": [body.ids for body in found],
        "cut_tokens": [body.cut for body in found],
        "question_cut_tokens": [body.question_cut for body in found],
    }
    return Dataset.from_dict(columns, features=Features({n: COLUMNS[n] for n in columns}))
