"""What of a row a prompt holds: the rule that cuts long texts, the same for every reader."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from conftest import tiny_config, toy_splits
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from r2d_ray.data.encode import text_table, tokenizer_texts
from r2d_ray.data.examples import Example
from r2d_ray.data.inputs.bodies import Body, body_ids, last_sentence
from r2d_ray.data.prepare import open_prepared, prepare
from r2d_ray.errors import UserError
from r2d_ray.method.tokens import encode
from r2d_ray.model.scratch import train_tokenizer


@cache
def scratch() -> PreTrainedTokenizerBase:
    return train_tokenizer(tokenizer_texts(toy_splits()))


def row_of(question: str, context: str = "", choices: tuple[str, ...] | None = None) -> Example:
    return Example("r", "r", question, context, "yes", choices=choices)


def ids(text: str) -> list[int]:
    return encode(scratch(), text)


words = st.lists(st.sampled_from(["alpren", "failed", "The", "trial", "gout", "zyx"]), min_size=1)
sentences = st.lists(words.map(lambda ws: f"{' '.join(ws)}."), min_size=1, max_size=4)
options = st.none() | st.lists(words.map(" ".join), min_size=2, max_size=4).map(tuple)
rows = st.builds(
    row_of, sentences.map(" ".join), st.just("") | sentences.map(" ".join), choices=options
)


@given(row=rows, budget=st.integers(1, 120))
@settings(deadline=None)
def test_the_context_gives_way_first_then_the_middle_of_the_question_and_never_an_option(
    row: Example, budget: int
) -> None:
    question, context = ids(row.question), ids(row.context) if row.context else []
    letters = " ".join(f"({c}) {o}" for c, o in zip("ABCD", row.choices or (), strict=False))
    options = ids(f"Answer choices: {letters}") if row.choices else []
    if len(options) >= budget:
        with pytest.raises(UserError, match=r"row 'r': .*a larger one when training"):
            body_ids(scratch(), row, budget)
        return
    body, context_cut, question_cut = body_ids(scratch(), row, budget)
    whole = len(question) + len(options) + len(context)
    assert len(body) == min(budget, whole)
    assert context_cut + question_cut == whole - len(body)
    if not question_cut:
        assert body == (question + options + context)[: len(body)]
        return
    assert context_cut == len(context)
    assert body[len(body) - len(options) :] == options
    kept = body[: len(body) - len(options)]
    last = ids(last_sentence(row.question))
    if len(last) < len(kept):
        beginning = len(kept) - len(last)
        assert kept == question[:beginning] + last
    else:
        assert kept == last[-len(kept) :]


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("One sentence", "One sentence"),
        ("Seen today. Is it gout?", "Is it gout?"),
        ("Seen today.  Is it gout? ", "Is it gout?"),
        ("A fall\nTriage level:", "Triage level:"),
        ("Dose 2.5 mg given! Why", "Why"),
        ("今日は。痛いですか？", "痛いですか？"),  # noqa: RUF001
    ],
)
def test_where_the_last_sentence_begins(text: str, last: str) -> None:
    assert last_sentence(text) == last


def test_a_long_question_cut_by_hand() -> None:
    question, ask = "The trial failed. " * 8, "Is it gout?"
    room = len(ids("The trial failed.")) * 2 + len(ids(ask))
    found = body_ids(scratch(), row_of(question + ask, "Context."), room)
    assert found.ids == ids(f"The trial failed. The trial failed. {ask}")
    assert found == Body(found.ids, len(ids("Context.")), len(ids("The trial failed. " * 6)))


def long_rows(count: int) -> tuple[Example, ...]:
    question = "The trial says that gout failed twice. " * 6 + "Is it gout?"
    rows = toy_splits().train[:count]
    return tuple(replace(r, question=question) if i % 2 else r for i, r in enumerate(rows))


def test_training_evaluation_and_prediction_read_the_same_bodies(tmp_path: Path) -> None:
    rows = long_rows(8)
    as_test = tuple(replace(row, id=f"t-{row.id}") for row in rows)
    splits = replace(toy_splits(), train=rows, test=as_test)
    config = tiny_config(max_input_length=48)
    prepared = open_prepared(prepare(splits, config, tmp_path))
    trained = prepared.tables["train"]
    tested = prepared.tables["test"]
    read = text_table(rows, prepared.tokenizer, splits.labels, config)
    assert trained["body_ids"] == tested["body_ids"] == read["body_ids"]
    assert trained["cut_tokens"] == read["cut_tokens"]
    assert [cut > 0 for cut in trained["question_cut_tokens"]] == [False, True] * 4
    assert len(tested) == len(as_test)  # no row is dropped
    assert prepared.info["tokens"]["train"]["share_question_cut"] == 0.5
