"""The row that a plan shows is the row that training reads."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import tiny_config, toy_splits

from r2d_ray.data.inputs.shown import shown_row


def test_every_prompt_is_shown_with_its_target() -> None:
    first = toy_splits().train[0]
    body = f"{first.question} {first.context.strip()}</s>"
    why = f"{first.rationales['human']}</s>"
    lines = [line.partition(": ")[2] for line in shown_row(toy_splits(), tiny_config())]
    assert lines == [
        "nothing is cut",
        f"explain: {body}",
        why,
        f"predict: {body}",
        f"{first.label}</s>",
        f"given label: {first.label}, explain: {body}",
        why,
    ]


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({"stage1_max_steps": 0}, ["stage 2, label", "stage 2, rationale"]),
        ({"label_loss_weight": 1.0}, ["stage 1, rationale", "stage 2, label"]),
    ],
)
def test_only_what_is_trained_is_shown(change: dict[str, float], kinds: list[str]) -> None:
    lines = shown_row(toy_splits(), tiny_config(**change))
    assert [",".join(line.split(",")[:2]).strip() for line in lines[1::2]] == kinds


def test_the_first_row_with_a_rationale_is_taken_and_what_is_cut_is_said() -> None:
    first, second, *others = toy_splits().train
    long = replace(second, question=f"{'The trial failed. ' * 40}Is it gout?")
    splits = replace(toy_splits(), train=(replace(first, rationales={}), long, *others))
    said, prompt, *_ = shown_row(splits, tiny_config())
    assert said.startswith(f"training row {second.id}: cut: ")
    assert prompt.endswith("Is it gout?</s>")


def test_options_and_their_given_label_are_shown() -> None:
    rows = {
        name: tuple(replace(row, choices=("yes", "no")) for row in part)
        for name, part in toy_splits().items()
    }
    splits = replace(toy_splits(), labels=()).with_rows(rows)
    lines = shown_row(splits, tiny_config())
    assert "Answer choices: (A) yes (B) no" in lines[1]
    assert f"given label: {splits.train[0].label}, explain:" in lines[5]
