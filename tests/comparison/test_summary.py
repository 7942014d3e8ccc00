"""A comparison in numbers and as a table: dose, mean and spread by hand, n/a where nothing is."""

import math
from typing import Any

import pytest
from conftest import tiny_config

from r2d_ray.cli.console import COMPARED, comparison_lines, untested
from r2d_ray.comparison.summary import by_method, cost, counts, dose, selection
from r2d_ray.records import TrialRecord


def record(arm: str | None, status: Any = "done", **more: Any) -> TrialRecord:
    return TrialRecord(
        study="s",
        trial=0,
        arm=arm,
        method="r2d",
        dataset="toy",
        config=tiny_config().model_dump(),
        seed=1,
        status=status,
        **more,
    )


# Dose


def test_the_dose_is_the_mean_of_the_logged_shares() -> None:
    series = {
        "step": [2.0, 4.0, 6.0, 8.0],
        "sampled_share": [0.0, 0.2, 0.4, 0.6],
        "changed_share": [None, 0.0, 0.1, 0.2],
        "train_label_error": [0.5, 0.5, 0.25, 0.25],
    }
    assert dose(record("r2d-1", series=series)) == {
        "sampled_share": pytest.approx(0.3),
        "changed_share": pytest.approx(0.1),
        "train_label_error": 0.375,
        "sampling_tested": 1.0,
    }


def test_an_arm_without_prompts_has_no_dose() -> None:
    assert dose(record("sft-1", series={"train_label_error": [0.5]})) == {
        "train_label_error": 0.5,
        "sampling_tested": 0.0,
    }


def row_of(*shares: tuple[float, float]) -> dict[str, Any]:
    """Return a method's row from sampled and changed shares by seed."""
    records = []
    for seed, (sampled, changed) in enumerate(shares):
        series: dict[str, Any] = {"sampled_share": [sampled], "changed_share": [changed]}
        records.append(record(f"m-{seed}", counts=dose(record(None, series=series))))
    return by_method(records)["m"]


@pytest.mark.parametrize(
    ("shares", "marked"),
    [
        ([(0.6, 0.0199)], True),
        ([(0.6, 0.02)], False),
        ([(0.6, 0.3), (0.6, 0.01)], True),  # one seed is enough
        ([(0.0, 0.0)], False),  # nothing is sampled: nothing is claimed
    ],
)
def test_sampling_that_changed_fewer_than_2_percent_of_prompts_is_not_tested(
    shares: list[tuple[float, float]], marked: bool
) -> None:
    row = row_of(*shares)
    assert untested(row) is marked
    [line] = [text for text in lines({"r2d": row}) if text.startswith("| r2d")]
    assert ("(sampling not tested)" in line) is marked


# Selection


@pytest.mark.parametrize(
    ("step", "share", "gold"),
    [
        (1, 0.05, 1.0),  # the first 0.05 of the steps show gold labels only
        (7, 0.35, 0.5),  # half of the fall of 0.6
        (20, 1.0, 0.1),  # the floor
    ],
)
def test_the_selected_step_is_told_relative_to_the_fall_of_the_gold_probability(
    step: int, share: float, gold: float
) -> None:
    config = tiny_config(max_steps=20).model_dump()
    found = record("r2d-1", selected_step=step).model_copy(update={"config": config})
    assert selection(found) == {
        "evaluations": 0.0,
        "selected_share": pytest.approx(share),
        "selected_gold_probability": pytest.approx(gold),
    }


@pytest.mark.parametrize("values", [{"label_loss_weight": 1.0}, {"rationale_prompt": "plain"}])
def test_an_arm_that_shows_no_label_has_no_gold_probability(values: dict[str, Any]) -> None:
    config = tiny_config(**values).model_dump()
    found = record("sft-1", selected_step=4).model_copy(update={"config": config})
    assert set(selection(found)) == {"evaluations", "selected_share"}


def test_what_is_told_of_an_arm_is_averaged_like_its_scores() -> None:
    curve = [{"step": s, "scores": {}} for s in (4, 8)]
    found = [record(f"r2d-{s}", selected_step=s, curve=curve) for s in (4, 8)]
    found = [r.model_copy(update={"counts": counts(r)}) for r in found]
    row = by_method([*found, record("r2d-3", "failed")])["r2d"]
    assert row["selected_share"]["mean"] == 0.75
    assert row["evaluations"] == {"mean": 2.0, "sd": 0.0}


# By method


def test_means_and_spreads_over_seeds_by_hand() -> None:
    records = [
        record(
            "r2d-1", test_metrics={"macro_f1": 0.5, "bleu": 10.0}, counts={"changed_share": 0.1}
        ),
        record(
            "r2d-2", test_metrics={"macro_f1": 0.7, "bleu": None}, counts={"changed_share": 0.3}
        ),
        record("r2d-30", test_metrics={"macro_f1": 0.9}),
        record("r2d-4", "failed"),
        record("r2d-tuned-1", test_metrics={"macro_f1": 0.25}),
        record("no_stage1-llm-1", test_metrics={"macro_f1": 0.75}),
        record("sft-1", "failed"),
    ]
    table = by_method(records)
    assert list(table) == ["r2d", "r2d-tuned", "no_stage1-llm", "sft"]
    r2d = table["r2d"]
    assert (r2d["seeds"], r2d["failed"]) == (3, 1)
    # Deviations -0.2, 0, 0.2: the sample's variance is 0.08 / 2.
    assert r2d["macro_f1"] == {"mean": pytest.approx(0.7), "sd": pytest.approx(math.sqrt(0.04))}
    assert r2d["bleu"] == {"mean": 10.0, "sd": None}
    assert r2d["changed_share"] == {
        "mean": pytest.approx(0.2),
        "sd": pytest.approx(math.sqrt(0.02)),
    }
    assert table["no_stage1-llm"]["macro_f1"] == {"mean": 0.75, "sd": None}, "one seed: no spread"
    assert table["sft"] == {"seeds": 0, "failed": 1}


# The table


def lines(methods: dict[str, Any], same: dict[str, tuple[str, ...]] | None = None) -> list[str]:
    control = {
        "majority label (yes)": {"macro_f1": 0.333, "accuracy": 0.5},
        "first context sentence": {"bleu": 4.04, "rouge_l": 0.125, "bertscore": None},
    }
    trials = {"done": 3, "failed": 1}
    failures = {3: "NonFiniteError: loss = nan"}
    return comparison_lines(
        {
            **{"methods": methods, "controls": control, "same": same or {}},
            **{"trials": trials, "failures": failures},
        }
    )


def cells(line: str) -> list[str]:
    return [part.strip() for part in line.strip("|").split("|")]


def test_scores_are_shown_in_their_units_and_what_does_not_exist_is_not_0() -> None:
    spread = {"mean": 0.6124, "sd": 0.01}
    table = lines(
        {
            "r2d": {
                "seeds": 5,
                "macro_f1": spread,
                "bleu": {"mean": 30.04, "sd": 1.26},
                "rouge_l": {"mean": 0.0, "sd": 0.0},
                "changed_share": {"mean": 0.05, "sd": 0.0},
            },
            "sft": {"seeds": 5, "macro_f1": spread},
        }
    )
    names = cells(table[0])
    assert names == ["method", "seeds", *(name for name, _, _, _ in COMPARED)]
    assert len(cells(table[1])) == len(names)
    r2d, sft, majority, sentence = (
        dict(zip(names, cells(line), strict=True)) for line in table[2:6]
    )
    assert (r2d["macro-F1"], r2d["BLEU"]) == ("61.2 ± 1.0", "30.0 ± 1.3")
    assert (r2d["ROUGE-L"], r2d["dose %"]) == ("0.0 ± 0.0", "5.0 ± 0.0")
    assert (r2d["seeds"], sft["method"]) == ("5", "sft")
    rest = set(names) - {"method", "seeds", "macro-F1"}
    assert {sft[name] for name in rest} == {"n/a"}
    assert (majority["macro-F1"], majority["accuracy"], majority["BLEU"]) == ("33.3", "50.0", "n/a")
    assert (sentence["method"], sentence["macro-F1"]) == ("first context sentence", "n/a")
    assert [sentence[name] for name in ("BLEU", "ROUGE-L", "BERTScore")] == ["4.0", "12.5", "n/a"]


def test_the_last_lines_name_states_and_reasons() -> None:
    assert lines({})[-3:] == [
        "arms: 3 done, 1 failed",
        "arm 3 failed: NonFiniteError: loss = nan",
        "the same command reruns failed arms",
    ]


def test_unequal_numbers_of_evaluations_are_told_by_arm() -> None:
    six, ten = ({"seeds": 3, "evaluations": {"mean": n, "sd": 0.0}} for n in (6.0, 10.0))
    none = {"seeds": 0, "failed": 1}
    [line] = [t for t in lines({"r2d": six, "sft": ten, "dss": none}) if "candidate" in t]
    assert line.endswith(": r2d 6, sft 10")
    assert not [t for t in lines({"r2d": six, "r2d-tuned": six}) if "candidate" in t]


def test_points_of_the_same_run_are_named_below_the_table() -> None:
    same = {"r2d-a=1": ("a=1,b=2", "a=1,b=3")}
    assert "r2d-a=1 also stands for a=1,b=2, a=1,b=3: the same run" in lines({}, same)


def test_an_arm_costs_both_stages_from_the_mean_logged_step() -> None:
    series: dict[str, Any] = {
        "encoder_tokens": [10.0, 30.0],
        "decoder_tokens": [1.0, 3.0],
        "model_flops": [100.0, None],
    }
    stage1 = {"encoder_tokens": 7.0, "decoder_tokens": 5.0, "model_flops": 11.0}
    both = record("r2d-1", series=series, steps_done=4, stage1=stage1)
    assert cost(both) == {
        "encoder_tokens": 87.0,
        "decoder_tokens": 13.0,
        "model_flops": 411.0,
        "tokens": 100.0,
    }
    assert cost(record("sft-1")) == {}
