"""The gates: a model that learns and reads passes; one that does neither is named, in numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from test_comparison_run import settings

from r2d_ray.comparison.budgets import at_budget
from r2d_ray.comparison.gates import (
    Gates,
    accuracy,
    difference_interval,
    following_gate,
    judge,
    judged,
    own_verdicts,
)
from r2d_ray.comparison.plan import make_compare_plan
from r2d_ray.data.examples import Example, Splits
from r2d_ray.data.location import DataRequest
from r2d_ray.data.samples.triage_rationales import DISPOSITION_ADVICE
from r2d_ray.data.sources import load_splits
from r2d_ray.errors import UserError
from r2d_ray.evaluation.reading.verdicts import Read
from r2d_ray.records import Prediction
from r2d_ray.study.identity import differences

Model = Callable[[Example], str]


@pytest.fixture(scope="module")
def splits() -> Splits:
    """A triage sample, half of whose notes fit two labels: the ceiling is 75 %."""
    return load_splits(DataRequest("triage", sample_rows=(120, 40, 40), sample_ambiguous=0.5))


def following(label: str) -> str:
    """Return a rationale that argues for a label and names no fact."""
    return f"It is best {DISPOSITION_ADVICE[label]}."


def predicted(
    splits: Splits, model: Model, writes: Callable[[Example, str], str]
) -> list[Prediction]:
    """Return what a model of these labels and rationales predicts of the validation rows."""
    found = []
    for row in splits.validation:
        label = model(row)
        swap = splits.labels[(splits.labels.index(label) + 1) % len(splits.labels)]
        found.append(
            Prediction(
                id=row.id,
                group=row.group,
                gold_label=row.label,
                label=label,
                tags=row.tags,
                rationale=writes(row, label),
                given_gold=writes(row, row.label),
                swapped={swap: writes(row, swap)},
            )
        )
    return found


def gates(splits: Splits, model: Model, writes: Callable[[Example, str], str]) -> Gates:
    found = predicted(splits, model, writes)
    return judge(splits, found, found, 300)


def test_a_model_that_learns_and_reads_passes_every_gate(splits: Splits) -> None:
    found = gates(splits, lambda row: row.label, lambda _, label: following(label))
    assert [gate.name for gate in found.every] == ["bag of words", "ceiling", "label read"]
    assert found.passed
    bag, ceiling, read = found.lines()
    assert bag.startswith(
        "gate at 300 steps: plain fine-tuning has accuracy 100.0 on validation, a bag of words "
    )
    assert bag.endswith("asked: not below 0): passed")
    assert ceiling == (
        "gate at 300 steps: plain fine-tuning has accuracy 100.0, the ceiling is 75.0 (asked: "
        "within 10 points): passed"
    )
    assert read == (
        "gate at 300 steps: teacher forcing follows a swapped label in 100.0% of 20 ambiguous "
        "rows, 0.0% without the swap (asked: 70 points more): passed"
    )


@pytest.mark.parametrize(
    ("model", "writes", "failed"),
    [
        # One label for all rows: neither learnt nor, by its one text, read.
        (
            lambda row: "home care",
            lambda row, label: following("home care"),
            ["bag of words", "ceiling", "label read"],
        ),
        # Right, and its rationale argues for gold whatever it is given.
        (lambda row: row.label, lambda row, label: row.rationales["llm"], ["label read"]),
        # Right, and its rationales cannot be read at all.
        (lambda row: row.label, lambda row, label: "...", ["label read"]),
        # Reads its label, and knows none.
        (
            lambda row: "home care",
            lambda row, label: following(label),
            ["bag of words", "ceiling"],
        ),
    ],
)
def test_what_is_not_learnt_or_not_read_is_named(
    splits: Splits, model: Model, writes: Any, failed: Sequence[str]
) -> None:
    found = gates(splits, model, writes)
    assert [gate.name for gate in found.every if not gate.passed] == failed
    assert not found.passed
    for gate, line in zip(found.every, found.lines(), strict=True):
        assert line.endswith(": passed" if gate.passed else ": NOT passed")


def test_test_rows_are_not_looked_at(splits: Splits) -> None:
    hidden = splits.with_rows(
        {"train": splits.train, "validation": splits.validation, "test": splits.train[:1]}
    )
    model, writes = (lambda row: row.label), (lambda row, label: following(label))
    assert gates(hidden, model, writes) == gates(splits, model, writes)


def test_the_interval_of_a_difference_by_hand() -> None:
    # 100 rows; only the first right in 15, only the second in 5: difference 0.1,
    # standard error sqrt(20 - 10^2 / 100) / 100 = 0.04359.
    pairs = [(True, False)] * 15 + [(False, True)] * 5 + [(True, True)] * 80
    low, high = difference_interval(pairs)
    assert low == pytest.approx(0.1 - 1.96 * 0.04359, abs=1e-4)
    assert high == pytest.approx(0.1 + 1.96 * 0.04359, abs=1e-4)
    assert difference_interval([(True, True)] * 9) == (0.0, 0.0)


def test_without_an_exact_reader_the_model_s_own_reading_judges() -> None:
    row = Prediction(
        id="a",
        group="g",
        gold_label="yes",
        label="no",
        statistics={"own_verdict": [1.0], "own_gold_verdict": [0.0], "own_swap": [0.0]},
    )
    read = own_verdicts(row, ("yes", "no"))
    assert read == Read("no", "yes", "no", "yes", "yes", None)
    assert accuracy([row]) == 0.0
    gate = following_gate([read], [row])
    assert not gate.passed
    assert "in 0.0% of 1 rows, 0.0% without the swap" in gate.says


# The plan


def test_a_budget_is_a_study_of_its_own_and_more_budgets_do_not_change_it() -> None:
    asked = settings("sft teacher_forcing r2d", (3, 1), budgets=(40, 80), name="decide")
    first, second = (make_compare_plan(at_budget(asked, steps)) for steps in asked.budgets)
    assert (first.name, second.name) == ("decide-40-steps", "decide-80-steps")
    assert [first.arms[number].name for number in judged(first)] == ["sft-3", "teacher_forcing-3"]
    more = settings("sft teacher_forcing r2d", (3, 1), budgets=(40, 80, 160), name="decide")
    assert differences(first.info, make_compare_plan(at_budget(more, 40)).info) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"methods": ("r2d", "sft")}, "the gates judge sft or stage1_sft, and teacher_forcing"),
        ({"folds": 3}, "--folds with --budgets"),
        ({"rationale_sources": ("llm",)}, "--rationale-sources with --budgets"),
        ({"overrides": {"max_steps": 7}}, "--set max_steps=7 with --budgets"),
    ],
)
def test_what_gates_cannot_judge_is_refused(more: dict[str, Any], said: str) -> None:
    asked = settings("sft teacher_forcing", budgets=(40,)).model_copy(update=more)
    with pytest.raises(UserError, match=said):
        make_compare_plan(at_budget(asked, 40))
