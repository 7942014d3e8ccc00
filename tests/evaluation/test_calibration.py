"""Temperature, decisions by cost and the files that name costs: by hand and against brute force."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import tiny_config, toy_info, toy_splits
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from r2d_ray.data.prepare import open_prepared
from r2d_ray.errors import UserError
from r2d_ray.evaluation.calibration import (
    GENERATED,
    OPEN,
    TEMPERATURES,
    Calibration,
    calibrated_outputs,
    calibrated_scores,
    fit_temperature,
    least_cost,
    mean_cost,
    negative_log_likelihood,
    scaled,
    why_not,
)
from r2d_ray.evaluation.calibration_words import calibration_line
from r2d_ray.evaluation.costs import cost_lines, costs_of, read_costs, with_costs
from r2d_ray.evaluation.predictions import LabelOutput
from r2d_ray.evaluation.scoring import EvaluationJob, evaluate_model
from r2d_ray.method.label_kinds import CHOICES, FIXED
from r2d_ray.method.label_kinds import OPEN as OPEN_LABELS
from r2d_ray.study.settings import build_settings

Row = list[float]
WEIGHTS = st.lists(st.floats(0.01, 1.0), min_size=2, max_size=5)


@st.composite
def judged(draw: st.DrawFn) -> tuple[list[Row], list[int]]:
    """Draw rows of probabilities, of different lengths too, with the place of gold in each."""
    rows = [[v / sum(raw) for v in raw] for raw in draw(st.lists(WEIGHTS, min_size=1, max_size=8))]
    return rows, [draw(st.integers(0, len(row) - 1)) for row in rows]


def test_temperature_by_hand() -> None:
    # 3 to 1 in odds: at T = 2 its root, at T = 1/2 its square.
    assert scaled([[0.75, 0.25]], 2.0)[0] == pytest.approx(
        [3**0.5 / (3**0.5 + 1), 1 / (3**0.5 + 1)]
    )
    assert scaled([[0.75, 0.25]], 0.5)[0] == pytest.approx([0.9, 0.1])
    # Sure in odds of 9 to 1, right in 3 of 4: the likelihood wants odds of 3 to 1, T = log 9/log 3.
    rows, gold = [[0.9, 0.1]] * 4, [0, 0, 0, 1]
    assert fit_temperature(rows, gold) == pytest.approx(2.0, rel=1e-3)
    assert negative_log_likelihood(rows, gold, 2.0) == pytest.approx(
        -(3 * math.log(0.75) + math.log(0.25)) / 4
    )


@given(judged())
def test_the_fitted_temperature_is_positive_never_worse_and_keeps_the_label(
    drawn: tuple[list[Row], list[int]],
) -> None:
    rows, gold = drawn
    fitted = fit_temperature(rows, gold)
    assert TEMPERATURES[0] <= fitted <= TEMPERATURES[1]
    before = negative_log_likelihood(rows, gold, 1.0)
    assert negative_log_likelihood(rows, gold, fitted) <= before
    for row, after in zip(rows, scaled(rows, fitted), strict=True):
        assert after.sum() == pytest.approx(1.0)
        assert after[int(np.argmax(row))] == after.max()
        assert (after[len(row) :] == 0).all()


def test_a_row_without_a_mistake_stops_at_the_bound() -> None:
    assert fit_temperature([[0.9, 0.1]], [0]) == pytest.approx(TEMPERATURES[0], rel=1e-2)
    assert fit_temperature([[0.9, 0.1]], [1]) == pytest.approx(TEMPERATURES[1], rel=1e-2)
    assert fit_temperature([[0.5, 0.5]], [1]) == 1.0  # nothing to gain: nothing is changed


@given(st.data(), st.integers(2, 4), st.integers(1, 6))
def test_decisions_equal_brute_force_over_the_labels(data: st.DataObject, n: int, m: int) -> None:
    cost = st.lists(st.integers(0, 9), min_size=n, max_size=n)
    costs = tuple(tuple(map(float, data.draw(cost))) for _ in range(n))
    raw = st.lists(st.floats(0.01, 1.0), min_size=n, max_size=n)
    rows = np.array([[v / sum(r) for v in r] for r in (data.draw(raw) for _ in range(m))])
    for probabilities, found in zip(rows, least_cost(rows, costs), strict=True):
        expected = [
            sum(p * costs[gold][said] for gold, p in enumerate(probabilities)) for said in range(n)
        ]
        assert expected[found] == pytest.approx(min(expected))


@given(WEIGHTS)
def test_equal_costs_decide_the_most_probable_label(raw: Row) -> None:
    row = np.array([raw]) / sum(raw)
    one = tuple(tuple(float(i != j) for j in range(len(raw))) for i in range(len(raw)))
    assert least_cost(row, one)[0] == int(row.argmax())


def test_a_threshold_by_hand() -> None:
    """Missing an emergency costs 4, a false alarm 1: it is decided from a probability of 1/5 on."""
    costs = ((0.0, 4.0), (1.0, 0.0))
    rows = np.array([[0.19, 0.81], [0.21, 0.79]])
    assert least_cost(rows, costs).tolist() == [1, 0]
    labels = ["emergency", "home"]
    gold = ["emergency", "home", "home", "emergency"]
    said = ["home", "home", "emergency", "emergency"]
    assert mean_cost(gold, said, labels, costs) == pytest.approx((4 + 0 + 1 + 0) / 4)


def test_the_costs_of_a_tag_are_those_of_its_rows_by_hand() -> None:
    rows = Dataset.from_dict(
        {
            "id": ["0", "1", "2", "3"],
            "group": ["0", "1", "2", "3"],
            "label": ["yes", "no", "yes", "no"],
            "reference": [""] * 4,
            "tags": [["a"], ["a", "b"], [], ["b"]],
        }
    )
    shares = (0.6, 0.3, 0.1, 0.2)
    outputs = [LabelOutput("yes" if p > 0.5 else "no", (p, 1 - p)) for p in shares]
    tokens: Any = SimpleNamespace(labels=("yes", "no"), classes=("yes", "no"))
    # A missed yes costs 5, a missed no 1: yes is decided above 1/6.
    found = calibrated_scores(rows, outputs, Calibration(1.0, 4, ((0, 5), (1, 0))), tokens)
    said, decided = (0, 0, 5, 0), (0, 1, 5, 1)
    for key, costs in (("mean_cost", said), ("mean_cost_decided", decided)):
        assert found[key] == pytest.approx(sum(costs) / 4)
        assert found[f"{key}[a]"] == pytest.approx((costs[0] + costs[1]) / 2)
        assert found[f"{key}[b]"] == pytest.approx((costs[1] + costs[3]) / 2)
    plain = calibrated_scores(rows, outputs, Calibration(1.0, 4), tokens)
    assert not [key for key in plain if "cost" in key]


def test_a_calibration_is_what_was_stored_of_it() -> None:
    outputs = [LabelOutput("home", (0.1, 0.9)), LabelOutput("home", (0.45, 0.55))]
    labels = ["emergency", "home"]
    for costs, want in (
        (None, ["home", "home"]),
        (((0.0, 4.0), (1.0, 0.0)), ["home", "emergency"]),
    ):
        kept = json.loads(json.dumps(Calibration(0.5, 20, costs).described(labels)))
        assert Calibration.from_described(kept) == Calibration(0.5, 20, costs)
        found = calibrated_outputs(outputs, kept, labels)
        assert [output.label for output in found] == want
        assert found[0].probabilities == pytest.approx((1 / 82, 81 / 82))
    assert calibrated_outputs(outputs, None, labels) == outputs
    assert Calibration(0.5, 1).apply(LabelOutput("any text", ()), []).label == "any text"


def test_what_has_no_probabilities_is_said() -> None:
    generate = tiny_config(label_choice="generate")
    assert why_not(generate, FIXED) == GENERATED
    assert why_not(generate, OPEN_LABELS) == OPEN
    assert why_not(tiny_config(), FIXED) is why_not(tiny_config(), CHOICES) is None


WRITTEN = {
    "costs.csv": "gold,yes,no\nyes,0,5\nno,1,0\n",
    "turned.csv": "gold,no,yes\n\nno,0,1\nyes,5,0\n",
    "excel.csv": "\ufeff;yes;no\nyes;0,0;5,0\nno;1;0\n",
    "tabs.csv": "gold\tyes\tno\nyes\t0\t5\nno\t1\t0\n",
    "words.yaml": "yes: {yes: 0, no: 5}\nno: {yes: 1, no: 0}\n",  # truth values to YAML 1.1
    "costs.yaml": "'yes': {'yes': 0, 'no': 5}\n'no': {'yes': 1, 'no': 0}\n",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_costs_are_read_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(WRITTEN[name], encoding="utf-8")
    assert read_costs(path, ("yes", "no")) == {
        "yes": {"yes": 0, "no": 5},
        "no": {"yes": 1, "no": 0},
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("costs.txt", "", "the ending is not known"),
        ("costs.csv", "", "empty"),
        ("costs.csv", "gold,yes,no\nyes,0,5\n", "label 'no' is missing"),
        ("costs.csv", "gold,yes\nyes,0\nno,1\n", "label 'no' is missing"),
        ("costs.csv", "gold,yes,on\nyes,0,5\nno,1,0\n", "gold 'yes': unknown label 'on'"),
        ("costs.csv", "gold,yes,no\nyes,0,5\nno,1\n", "costs.csv:3: 'no': 2 cells, not 3"),
        ("costs.csv", "gold,yes,no\nyes,0,5\nyes,1,0\n", "costs.csv:3: 'yes': twice"),
        ("costs.csv", "gold,yes,no\nyes,0,x\nno,1,0\n", "decided 'no': 'x'"),
        ("costs.csv", "gold,yes,no\nyes,0,-1\nno,1,0\n", "decided 'no': '-1'"),
        ("costs.csv", "gold,yes,no\nyes,0,nan\nno,1,0\n", "decided 'no': 'nan'"),
        ("costs.csv", "gold,yes,no\nyes,5,0\nno,1,0\n", "more than deciding 'no'"),
        ("costs.csv", "gold,yes,no\nyes,0,inf\nno,1,0\n", "decided 'no': 'inf'"),
        ("costs.csv", "gold,yes,no\nyes,0,\nno,1,0\n", "decided 'no': ''"),
        ("costs.csv", "gold,yes,no,no\nyes,0,1,2\nno,1,0,0\n", "costs.csv:1: 'no': twice"),
        ("costs.csv", "gold,yes,no\n\nyes,0,5\n\nno,1\n", "costs.csv:5: 'no': 2 cells, not 3"),
        ("costs.csv", "gold,yes,yes ,no\nyes,0,0,1\nno,1,1,0\n", "a label appears twice"),
        ("costs.csv", "gold,yes,no\nyes,0,0\nno,0,0\n", "no error costs more than the right"),
        ("costs.csv", "gold,yes,no\nyes,3,3\nno,2,2\n", "so that any label could be decided"),
        ("costs.yaml", "'yes': {'yes': .nan, 'no': 5}\n'no': {'yes': 1, 'no': 0}\n", "'.nan'"),
        ("costs.yaml", "- 1\n", "not a table"),
        ("costs.yaml", "'yes': 1\n'no': {'yes': 1, 'no': 0}\n", "a cost for each decided label"),
    ],
)
def test_costs_that_are_none_are_refused_in_one_line(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        read_costs(path, ("yes", "no"))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_study_keeps_the_costs_and_not_their_file(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    path.write_text(WRITTEN["costs.csv"])
    info, splits = toy_info("s", tiny_config(), {}, 1), toy_splits()
    without = build_settings({"dataset": "toy"})
    assert with_costs(info, without.costs, splits, [tiny_config()]) is info
    assert "costs" not in without.model_dump()
    asked = build_settings({"dataset": "toy", "costs": str(path)})
    kept = with_costs(info, asked.costs, splits, [tiny_config()])
    assert costs_of(kept) == ((0.0, 5.0), (1.0, 0.0))
    assert str(path) not in kept.model_dump_json()
    with pytest.raises(UserError, match="generated have no probabilities"):
        with_costs(info, asked.costs, splits, [tiny_config(label_choice="generate")])


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ([[0, 1, 1], [1, 0, 1], [1, 1, 0]], True),
        ([[2, 5, 5], [3, 0, 3], [4, 4, 1]], True),  # 3 more than the right label everywhere
        ([[0, 1, 1], [1, 0, 1], [1, 2, 0]], False),
        ([[0, 1, 1], [2, 1, 2], [5, 5, 0]], False),
        (None, False),
    ],
)
def test_costs_that_change_no_decision_are_said(costs: list[list[int]] | None, said: bool) -> None:
    labels = ["a", "b", "c"]
    info = toy_info("s", tiny_config(), {}, 1)
    if costs is not None:
        rows_of = [dict(zip(labels, row, strict=True)) for row in costs]
        table = dict(zip(labels, rows_of, strict=True))
        info = info.model_copy(update={"study": {**info.study, "costs": table}})
        rows = np.random.default_rng(0).dirichlet(np.ones(3), size=500)
        same = least_cost(rows, tuple(tuple(map(float, row)) for row in costs))
        assert bool((same == rows.argmax(axis=1)).all()) is said
    line = "costs: every error costs the same, so that the most probable label is decided"
    assert cost_lines(info) == ([line] if said else [])


def scores_with(
    costs: Sequence[Sequence[float]] | None, weights: Path, prepared: Path, out: Path
) -> dict[str, float]:
    table = None if costs is None else tuple(map(tuple, costs))
    job = EvaluationJob("a", weights, "test", False, calibrated=True, costs=table)
    return evaluate_model(job, prepared, tiny_config().model_dump(), out)


def test_a_model_is_calibrated_on_validation_and_scored_on_test(
    trained_dir: Path, prepared_dir: Path, tmp_path: Path
) -> None:
    plain = scores_with(None, trained_dir, prepared_dir, tmp_path / "a.jsonl")
    assert plain["temperature"] > 0
    assert plain["nll_calibrated"] != plain["nll"]
    assert "mean_cost" not in plain
    equal = scores_with([[0, 1], [1, 0]], trained_dir, prepared_dir, tmp_path / "b.jsonl")
    assert equal["mean_cost"] == equal["mean_cost_decided"] == pytest.approx(1 - equal["accuracy"])
    assert equal["decided_otherwise"] == 0
    never_no = scores_with([[0, 1e6], [0, 0]], trained_dir, prepared_dir, tmp_path / "c.jsonl")
    gold = open_prepared(prepared_dir).tables["test"]["label"]
    assert never_no["mean_cost_decided"] == 0
    assert never_no["accuracy_decided"] == pytest.approx(gold.count("yes") / len(gold))
    # What is scored beside them, and the predictions, stay those of the most probable labels.
    assert {k: never_no[k] for k in ("macro_f1", "ece", "brier")} == {
        k: plain[k] for k in ("macro_f1", "ece", "brier")
    }
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "c.jsonl").read_bytes()
    assert "mean cost" in (calibration_line(never_no) or "")
    assert calibration_line({"macro_f1": 1.0}) is None
