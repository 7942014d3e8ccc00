"""What a result prints below its table: sub-populations, what is not applicable, calibration."""

import pytest

from r2d_ray.cli.control_lines import absent_lines
from r2d_ray.cli.plans import duration
from r2d_ray.cli.tag_lines import arm_tag_lines, search_tag_lines
from r2d_ray.evaluation.calibration_words import (
    arm_calibration_lines,
    calibration_line,
    exported_seed_lines,
    not_calibrated_lines,
)

NORTH = {
    "rows[site=north]": 49.0,
    "macro_f1[site=north]": 0.61259,
    "accuracy[site=north]": 0.79591,
    "ece[site=north]": 0.14649,
}
SOUTH = {"rows[site=south]": 29.0, "macro_f1[site=south]": 0.0, "accuracy[site=south]": 0.5}
COST = {"mean_cost[site=north]": 0.4694, "mean_cost_decided[site=north]": 0.5}


def test_a_search_shows_its_best_model_and_marks_few_rows() -> None:
    result = {"test": {"best (trial 1)": NORTH | SOUTH, "trial 0 (the defaults)": NORTH}}
    assert search_tag_lines(result) == [
        "",
        "| sub-population | model | n | macro-F1 | accuracy | ECE |",
        "|---|---|---|---|---|---|",
        "| site=north | best (trial 1) | 49 | 0.613 | 0.796 | 0.146 |",
        "| site=south | best (trial 1) | 29 * | 0.000 | 0.500 | n/a |",
        "* fewer than 30 test rows: these scores may be chance",
    ]


def test_costs_stand_beside_the_scores_and_seeds_with_their_spread() -> None:
    result = {"test": {"best": NORTH | COST}, "spread": {"best": {"accuracy[site=north]": 0.02}}}
    _, head, _, line = search_tag_lines(result)
    assert head.endswith("| ECE | mean cost | decided by cost |")
    assert line.endswith("| 0.613 | 0.796 ± 0.020 | 0.146 | 0.469 | 0.500 |")


def test_a_comparison_shows_every_arm_in_percent() -> None:
    def row(seeds: int, sd: float | None) -> dict[str, object]:
        return {"seeds": seeds, "failed": 0} | {
            key: {"mean": value, "sd": 0.0 if sd is not None and "rows" in key else sd}
            for key, value in (NORTH | COST).items()
        }

    lines = arm_tag_lines({"methods": {"sft": row(1, None), "r2d": row(2, 0.1)}})
    assert lines[3:] == [
        "| site=north | sft | 49 | 61.3 | 79.6 | 14.6 | 0.469 | 0.500 |",
        "| site=north | r2d | 49 | 61.3 ± 10.0 | 79.6 ± 10.0 | 14.6 ± 10.0 "
        "| 0.469 ± 0.100 | 0.500 ± 0.100 |",
    ]


@pytest.mark.parametrize("test", [{}, {"best": {"macro_f1": 0.5, "f1[yes]": 0.5}}])
def test_without_tags_nothing_is_said(test) -> None:
    assert search_tag_lines({"test": test}) == []
    assert arm_tag_lines({"methods": {}}) == []


def test_a_sub_population_without_test_rows_is_named() -> None:
    result = {"test": {"best": {}}, "tags_without_test_rows": ["site=east"]}
    assert search_tag_lines(result) == ["no test row, so no score: site=east"]


def test_what_is_not_applicable_is_said_once() -> None:
    why = "no test row has a context"
    result = {"not_applicable": {"best without context": why, "first context sentence": why}}
    assert absent_lines(result) == [
        "no test row has a context: best without context, first context sentence not applicable"
    ]
    assert absent_lines({}) == []


def test_why_there_is_no_calibration_is_one_line() -> None:
    open_ = {"calibration": {"not_applicable": "labels are open"}}
    assert not_calibrated_lines(open_) == ["calibration not applicable: labels are open"]
    assert not_calibrated_lines({"calibration": {"temperature": 2.0}}) == []
    assert not_calibrated_lines({}) == []


def test_of_several_seeds_the_one_in_best_is_named_with_its_own_temperature() -> None:
    result = {
        "spread": {"best (trial 1)": {}},
        "config": {"seed": 43},
        "calibration": {"temperature": 1.25, "rows": 60},
    }
    assert exported_seed_lines(result) == [
        "best/ holds seed 43 of the best trial, its best on validation; predict uses its own "
        "temperature 1.25, fitted on 60 validation rows"
    ]
    assert exported_seed_lines({**result, "calibration": {"not_applicable": "open"}}) == [
        "best/ holds seed 43 of the best trial, its best on validation"
    ]
    assert exported_seed_lines({"config": {"seed": 43}}) == []


@pytest.mark.parametrize(("after", "rose"), [(0.2, False), (0.3, False), (0.31, True)])
def test_an_ece_that_rose_is_said(after: float, rose: bool) -> None:
    scores = {"temperature": 1.5, "ece": 0.3, "ece_calibrated": after}
    line = calibration_line({**scores, "brier": 0.5, "brier_calibrated": 0.4})
    assert (line or "").endswith(" (ECE rose, as it may by chance with few rows)") == rose


def test_a_comparison_says_calibration_of_every_arm_or_why_it_has_none() -> None:
    keys = ("temperature", "ece", "ece_calibrated", "brier", "brier_calibrated")
    row = {
        key: {"mean": value, "sd": None} for key, value in zip(keys, (2, 4, 3, 6, 5), strict=True)
    }
    result = {
        "methods": {"r2d": {"seeds": 2, **row}, "free": {"seeds": 2}},
        "calibration": {"not_applicable": {"free": "generated"}},
    }
    assert arm_calibration_lines(result) == [
        "r2d (means over seeds): calibration on test, before -> after temperature 2.00 (fitted on "
        "validation): ECE 4.000 -> 3.000, Brier 6.000 -> 5.000",
        "calibration not applicable: free: generated",
    ]


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (0.0, "less than 1 minute"),
        (0.4 / 60, "less than 1 minute"),
        (1 / 60, "1 minute"),
        (0.43, "26 minutes"),
        (59.4 / 60, "59 minutes"),
        (59.6 / 60, "1.0 hours"),
        (12.84, "12.8 hours"),
    ],
)
def test_a_time_below_an_hour_is_in_minutes(hours: float, words: str) -> None:
    assert duration(hours) == words
