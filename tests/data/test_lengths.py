"""Token lengths before anything is prepared: what the plan measures is what is prepared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import tiny_config, toy_splits
from transformers import PreTrainedTokenizerBase

from r2d_ray.data import lengths as module
from r2d_ray.data.examples import Example, Splits
from r2d_ray.data.lengths import (
    check_lengths,
    length_warnings,
    measured_bodies,
    measured_rows,
    plan_tokenizer,
    token_lengths,
)
from r2d_ray.data.prepare import open_prepared, prepare
from r2d_ray.errors import UserError
from r2d_ray.method.prompts import question_text
from r2d_ray.method.tokens import encode
from r2d_ray.search.budget import fitted_values
from r2d_ray.study.settings import build_settings


def with_options(splits: Splits) -> Splits:
    def listed(row: Example) -> Example:
        other = "the trial says that gout failed" * (1 + int(row.id[-1], 36) % 3)
        return replace(row, choices=(row.label, other))

    return replace(
        splits,
        labels=(),
        **{name: tuple(map(listed, rows)) for name, rows in splits.items()},
    )


SETS = {"fixed": toy_splits, "options": lambda: with_options(toy_splits())}


@pytest.mark.parametrize("limit", [54, 64, 400])
@pytest.mark.parametrize("kind", SETS)
def test_the_plan_measures_what_preparing_cuts(tmp_path: Path, kind: str, limit: int) -> None:
    splits, config = SETS[kind](), tiny_config(max_input_length=limit)
    planned = token_lengths(splits, config)
    prepared = open_prepared(prepare(splits, config, tmp_path)).info["tokens"]
    for name, measured in planned.items():
        assert {key: measured[key] for key in prepared[name]} == prepared[name]


def test_the_advised_length_takes_all_but_a_twentieth() -> None:
    splits, config = toy_splits(), tiny_config(max_input_length=40)
    before = token_lengths(splits, config)["train"]
    assert before["share_cut"] > 0.05
    fitting = int(before["fitting_length"])
    after = token_lengths(splits, tiny_config(max_input_length=fitting))["train"]
    assert after["share_cut"] <= 0.05
    shorter = token_lengths(splits, tiny_config(max_input_length=fitting - 1))["train"]
    assert shorter["share_cut"] > after["share_cut"]


@pytest.mark.parametrize("kind", SETS)
def test_too_long_questions_are_refused_on_request_with_the_length_that_takes_them(
    kind: str,
) -> None:
    splits = SETS[kind]()
    first, *others = splits.train
    long = replace(first, question=f"{'The trial failed. ' * 60}Is it gout?")
    splits = replace(splits, train=(long, *others))
    check_lengths(splits, tiny_config(max_input_length=128), refuse=False)
    with pytest.raises(UserError, match=r"max_input_length 128: 1 in train \(") as refused:
        check_lengths(splits, tiny_config(max_input_length=128), refuse=True)
    needed = int(str(refused.value).partition("max_input_length=")[2].partition(",")[0])
    check_lengths(splits, tiny_config(max_input_length=needed), refuse=True)
    with pytest.raises(UserError, match="1 in train"):
        check_lengths(splits, tiny_config(max_input_length=needed - 1), refuse=True)


def test_options_that_leave_no_room_are_refused_by_the_plan_with_the_row() -> None:
    splits = with_options(toy_splits())
    first, *others = splits.train
    wide = replace(first, choices=(first.label, "the trial says that gout failed " * 9))
    with pytest.raises(UserError, match=f"row '{first.id}': prefix and options"):
        check_lengths(replace(splits, train=(wide, *others)), tiny_config(), refuse=False)


def test_lengths_are_counted_row_by_row() -> None:
    splits = with_options(toy_splits())
    tokenizer = plan_tokenizer(splits, tiny_config())
    by_row = [
        len(encode(tokenizer, question_text(row.question, row.choices)))
        + len(encode(tokenizer, row.context))
        for row in splits.train
    ]
    assert measured_bodies(splits, "train", tiny_config()).lengths.tolist() == by_row


def test_of_many_rows_a_fixed_draw_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEASURED_ROWS", 7)
    monkeypatch.setattr(module, "_counted", {})
    rows = toy_splits().train
    picked = measured_rows(rows)
    assert len(picked) == 7
    assert set(r.id for r in measured_rows(rows[::-1])) == set(r.id for r in picked)
    assert token_lengths(toy_splits(), tiny_config())["train"]["measured"] == 7


@pytest.mark.parametrize(("share", "warned"), [(0.0, 0), (0.049, 0), (0.05, 1), (1.0, 1)])
def test_from_a_twentieth_cut_on_the_card_warns(share: float, warned: int) -> None:
    said = length_warnings({"train": {"share_cut": share, "fitting_length": 312}}, 192)
    assert len(said) == warned
    if warned:
        assert f"max_input_length 192 and are cut: {share:.1%} of train;" in said[0]
        assert "--set max_input_length=312" in said[0]


def test_the_length_that_is_advised_does_for_every_split() -> None:
    cut = {"share_cut": 0.5}
    tokens = {"train": {**cut, "fitting_length": 312}, "test": {**cut, "fitting_length": 314}}
    (said,) = length_warnings(tokens, 192)
    assert "50.0% of train, 50.0% of test; --set max_input_length=314 takes 95% of each" in said


def test_a_scratch_tokenizer_is_trained_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan_tokenizer(toy_splits(), tiny_config())
    monkeypatch.setattr(module, "tokenizer_texts", None)  # would fail if it were called
    assert plan_tokenizer(toy_splits(), tiny_config()) is first


def test_bodies_are_counted_once_and_anew_for_other_rows_or_another_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_counted", {})
    splits, config = toy_splits(), tiny_config()
    given = {"model": config.model, "profile": "finetune"}
    settings = build_settings({"dataset": "toy", "profile": "finetune"})
    counted: list[str] = []
    count = module.text_lengths

    def told(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
        counted.extend(texts)
        return count(texts, tokenizer)

    monkeypatch.setattr(module, "text_lengths", told)
    fitted_values(settings, config, splits, given)
    token_lengths(splits, config)
    contexts = [row.context for _, rows in splits.items() for row in rows]
    assert {text: counted.count(text) for text in contexts} == Counter(contexts)
    first, *others = splits.train
    other = replace(splits, train=(replace(first, context="gout"), *others))
    assert measured_bodies(other, "train", config).lengths.tolist() != (
        measured_bodies(splits, "train", config).lengths.tolist()
    )
