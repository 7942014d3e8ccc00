"""When a search is flat, on made-up records."""

from __future__ import annotations

from typing import Literal

import pytest

from r2d_ray.records import Objective, TrialRecord
from r2d_ray.study.patience import flat_words, is_flat, trials_since_best

F1, LOSS = Objective("macro_f1", "max"), Objective("rationale_loss", "min")


def records(objective: Objective, *scores: float | str) -> dict[int, TrialRecord]:
    """A trial a score; a word is the status of one without."""
    found = {}
    for number, score in enumerate(scores):
        known = isinstance(score, float)
        found[number] = TrialRecord.model_validate(
            {
                "study": "s",
                "trial": number,
                "method": "r2d",
                "dataset": "toy",
                "config": {},
                "seed": 1,
                "status": "done" if known else score,
                "metrics": {objective.metric: score} if known else {},
            }
        )
    return found


@pytest.mark.parametrize(
    ("scores", "since"),
    [
        ((), 0),
        ((0.5,), 0),
        ((0.5, 0.4, 0.3), 2),
        ((0.5, 0.4, 0.6), 0),
        ((0.5, 0.5, 0.5), 2),  # an equal score is not better
        ((0.5, "pruned", "pruned"), 2),
        ((0.5, "failed", 0.4, "failed"), 1),  # a failure says nothing of the space
        (("failed", "pruned", "failed"), 0),  # nothing is done that could be beaten
    ],
)
def test_trials_after_the_best_count_unless_they_failed(
    scores: tuple[float | str, ...], since: int
) -> None:
    assert trials_since_best(records(F1, *scores), F1) == since


def test_of_a_loss_less_is_better() -> None:
    assert trials_since_best(records(LOSS, 2.0, 1.0, 1.5), LOSS) == 1


def test_the_order_in_which_trials_ended_does_not_matter() -> None:
    made = records(F1, 0.5, 0.4, 0.6, 0.3)
    late = {number: made[number] for number in (3, 2, 0, 1)}
    assert trials_since_best(late, F1) == trials_since_best(made, F1) == 1


@pytest.mark.parametrize(("patience", "flat"), [(1, True), (2, True), (3, False), (None, False)])
def test_a_search_is_flat_after_as_many_trials_as_its_patience(
    patience: int | None, flat: Literal[True, False]
) -> None:
    assert is_flat(records(F1, 0.5, 0.4, 0.3), F1, patience) is flat


def test_the_words_count_right() -> None:
    assert flat_words(1) == "no better value in 1 trial"
    assert flat_words(5) == "no better value in 5 trials"
