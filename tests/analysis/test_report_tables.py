"""Every table of a report: numbers by hand from four test rows, and what is said of gaps."""

import json
import math
from dataclasses import replace
from statistics import stdev

import pytest
from made_studies import (
    CARD,
    GOLD,
    HALF,
    NAMES,
    RIGHT,
    THREE,
    comparison,
    predictions,
    record,
    study,
)

from analysis.groups import parts_of
from analysis.page.findings import _gain
from analysis.published import PublishedValue
from analysis.stats.significance import holm
from analysis.tables.every_table import report_tables
from analysis.tables.table import Number, Table
from r2d_ray.errors import UserError
from r2d_ray.evaluation.label_metrics import label_scores
from r2d_ray.records import SeedRun

NONE: tuple[PublishedValue, ...] = ()
THREE_F1 = 11 / 15
HALF_F1 = 1 / 3


def tables_of(*studies, published=NONE) -> dict[str, Table]:
    return {table.name: table for table in report_tables(studies, published)}


def line(table: Table, **cells):
    """Return the one row that has these cells."""
    found = [row for row in table.rows if all(row.get(k) == v for k, v in cells.items())]
    assert len(found) == 1, f"{len(found)} rows with {cells}"
    return found[0]


def keys(table: Table) -> list[str]:
    return [column.key for column in table.columns]


def said(table: Table, text: str) -> bool:
    return any(text in note for note in table.notes)


# The main comparison


def test_main_has_mean_and_sd_over_seeds() -> None:
    table = tables_of(comparison({"r2d-1": RIGHT, "r2d-2": THREE, "sft-1": HALF}))["main"]
    cell = line(table, method="r2d")["macro_f1"]
    assert cell.mean == pytest.approx((1 + THREE_F1) / 2)
    assert cell.sd == pytest.approx(stdev([1, THREE_F1]))
    assert line(table, method="r2d")["accuracy"].mean == pytest.approx(0.875)
    assert line(table, method="r2d")["seeds"] == 2
    assert line(table, method="sft")["macro_f1"].sd is None


def test_macro_f1_stands_with_its_interval_and_a_note_where_it_has_none() -> None:
    made = comparison({"r2d-1": THREE, "r2d-2": HALF})
    cell = tables_of(made)["main"].rows[0]["macro_f1"]
    assert cell.low < cell.mean < cell.high
    bare = tables_of(study(made.records))["main"]
    assert bare.rows[0]["macro_f1"].mean == pytest.approx(cell.mean)
    assert bare.rows[0]["macro_f1"].low is None
    assert said(bare, "no interval, for lack of stored predictions or a second group")
    assert not said(bare, "consistency and sufficiency"), "nothing was read"


def test_what_a_method_does_not_have_is_none_and_not_0() -> None:
    arms = [
        record("sft-1", 0, RIGHT, test_metrics={"bleu": None}),
        record("dss-1", 1, RIGHT, test_metrics={"bleu": 0.0}),
    ]
    table = tables_of(study(arms))["main"]
    assert line(table, method="sft")["bleu"] is None
    assert line(table, method="dss")["bleu"] == Number(0.0, factor=1.0, digits=2)


def test_a_score_that_some_seeds_lack_is_said_to_be_of_the_others() -> None:
    arms = [
        record("r2d-1", 0, RIGHT, test_metrics={"bleu": 30.0}),
        record("r2d-2", 1, RIGHT, test_metrics={"bleu": None}),
    ]
    table = tables_of(study(arms))["main"]
    assert table.rows[0]["bleu"].mean == 30.0
    assert said(table, "r2d: bleu is known for 1 of its seeds only")


def test_failed_arms_count_for_nothing_and_notes_of_the_study_are_shown() -> None:
    arms = [record("r2d-1", 0, RIGHT), record("r2d-2", 1, status="failed", reason="nan")]
    table = tables_of(study(arms, notes=["r2d-2 failed (nan) and is not scored"]))["main"]
    assert table.rows[0]["seeds"] == 1
    assert table.rows[0]["macro_f1"].mean == 1.0
    assert said(table, "r2d-2 failed (nan) and is not scored")
    assert said(table, "fewer than 3 finished seeds: r2d (1)")


def test_three_seeds_are_not_few() -> None:
    table = tables_of(comparison({f"r2d-{s}": THREE for s in (1, 2, 3)}))["main"]
    assert not said(table, "fewer than")


def test_published_values_stand_in_marked_columns_of_their_own_data_only() -> None:
    known = PublishedValue("r2d", "made", "macro_f1", 60.58, "a paper")
    other = PublishedValue("r2d", "elsewhere", "accuracy", 90.0, "another paper")
    made = comparison({"r2d-1": THREE, "sft-1": THREE})
    tables = tables_of(made, published=(known, other))
    marked = [column.key for column in tables["main"].columns if column.published]
    assert marked == ["published_macro_f1"]
    cell = line(tables["main"], method="r2d")["published_macro_f1"]
    assert (cell.mean, cell.factor) == (pytest.approx(0.6058), 100.0)
    assert line(tables["main"], method="sft").get("published_macro_f1") is None
    assert line(tables["main"], method="r2d")["macro_f1"].mean == pytest.approx(THREE_F1)
    assert said(tables["main"], "a paper")
    assert not said(tables["main"], "another paper")
    assert [row["dataset"] for row in tables["published"].rows] == ["made"]
    assert [c.key for c in tables["published"].columns if c.published] == ["value"]


def test_records_that_their_predictions_contradict_are_refused() -> None:
    made = study([record("r2d-1", 0, RIGHT)], {"r2d-1": predictions(THREE)})
    with pytest.raises(UserError, match=r"r2d-1: macro_f1 is 1\.0 in its record but 0\.7333"):
        report_tables([made], NONE)


def test_predictions_outside_the_label_set_are_refused() -> None:
    strange = [row.model_copy(update={"gold_label": "maybe"}) for row in predictions(RIGHT)]
    made = study([record("r2d-1", 0, RIGHT)], {"r2d-1": strange})
    with pytest.raises(UserError, match="predictions of r2d-1: gold label 'maybe'"):
        report_tables([made], NONE)


# Groups


def test_a_name_is_method_setting_and_source() -> None:
    assert parts_of("r2d", []) == ("r2d", "", "")
    assert parts_of("r2d-tuned-nurse", ["nurse", "llm"]) == ("r2d", "tuned", "nurse")
    assert parts_of("r2d-nurse-llm", ["llm", "nurse-llm"]) == ("r2d", "", "nurse-llm")
    assert parts_of("r2d-learning_rate=5e-05", []) == ("r2d", "learning_rate=5e-05", "")
    assert parts_of("dss-nurse", []) == ("dss", "nurse", "")


def test_an_arm_that_stands_there_twice_is_refused() -> None:
    made = study([record("r2d-1", 0, RIGHT), record("r2d-1", 1, RIGHT)])
    with pytest.raises(UserError, match="trial 1: arm 'r2d-1' appears twice"):
        report_tables([made], NONE)


def test_an_arm_without_a_name_has_the_planned_one() -> None:
    named, dead = record("r2d-1", 0, RIGHT), record("sft-1", 1, status="failed")
    made = study([named, dead.model_copy(update={"arm": None})])
    planned = made.info.model_copy(update={"space": made.info.space | {"arms": ["r2d-1", "sft-1"]}})
    made = study(made.records, space=planned.space)
    assert line(tables_of(made)["main"], method="sft")["seeds"] == 0


# Differences


def test_a_difference_is_the_method_minus_r2d_over_common_seeds() -> None:
    made = comparison(
        {"r2d-1": RIGHT, "r2d-2": THREE, "r2d-3": RIGHT, "sft-1": HALF, "sft-2": HALF}
    )
    table = tables_of(made)["differences"]
    row = line(table, method="sft")
    first, second = HALF_F1 - 1, HALF_F1 - THREE_F1
    mean = (first + second) / 2
    assert row["difference"].mean == pytest.approx(mean)
    assert row["seeds"] == 2
    # Student's t with one degree of freedom: 12.706 standard errors.
    half = 12.7062 * stdev([first, second]) / math.sqrt(2)
    assert row["t_interval"].low == pytest.approx(mean - half, rel=1e-4)
    assert said(table, "sft: 2 common seeds of 3")


def test_differences_and_intervals_stand_before_p_values() -> None:
    twice = comparison({"r2d-1": RIGHT, "r2d-2": RIGHT, "sft-1": HALF, "sft-2": THREE})
    order = keys(tables_of(twice)["differences"])
    assert order.index("difference") < order.index("t_interval") < order.index("p_holm")
    table = tables_of(comparison({"r2d-1": RIGHT, "sft-1": HALF}))["differences"]
    assert table.rows[0]["t_interval"] is None
    assert "t_interval" not in keys(table)
    assert said(table, "with one seed")


def test_mcnemar_is_listed_by_seed() -> None:
    made = comparison({"r2d-1": RIGHT, "r2d-2": RIGHT, "sft-1": HALF, "sft-2": RIGHT})
    # Two rows only r2d has right: 2 x 0.5^2; then none.
    assert (
        line(tables_of(made)["differences"], method="sft")["mcnemar"]
        == "seed 1: p = 0.50; seed 2: p = 1.00"
    )


def test_holm_is_over_all_methods_of_one_study_controls_included() -> None:
    arms = {"r2d-1": RIGHT, "sft-1": HALF, "dss-1": THREE, "gold_50-1": RIGHT}
    rows = tables_of(comparison(arms))["differences"].rows
    assert [row["method"] for row in rows] == ["sft", "dss", "gold_50"]
    expected = holm({**{row["method"]: row["p"].mean for row in rows[:2]}, "gold_50": 1.0})
    assert {row["method"]: row["p_holm"].mean for row in rows[:2]} == {
        method: expected[method] for method in ("sft", "dss")
    }


def test_studies_are_families_of_their_own(tmp_path) -> None:
    one = comparison({"r2d-1": RIGHT, "sft-1": HALF}, folder=tmp_path / "one")
    two = comparison({"r2d-1": RIGHT, "sft-1": HALF}, folder=tmp_path / "two")
    table = tables_of(one, two)["differences"]
    assert [row["study"] for row in table.rows] == ["one", "two"]
    assert "study" in keys(table)
    assert all(row["p_holm"].mean == row["p"].mean for row in table.rows)


def test_tuned_methods_stand_against_the_tuned_r2d() -> None:
    arms = {"r2d-1": HALF, "r2d-tuned-1": RIGHT, "sft-1": HALF, "sft-tuned-1": HALF}
    table = tables_of(comparison(arms))["differences"]
    assert line(table, setting="default")["difference"].mean == 0.0
    assert line(table, setting="tuned")["difference"].mean == pytest.approx(HALF_F1 - 1)


def test_the_test_size_says_what_it_can_show() -> None:
    table = tables_of(comparison({"r2d-1": RIGHT, "sft-1": HALF}))["differences"]
    assert said(table, "on 50.0% of the 4 test rows one of two methods is right alone; so few")
    assert table.rows[0]["detectable"].mean > 0


def test_without_r2d_or_rows_there_are_no_differences_and_a_reason() -> None:
    bare = study(comparison({"r2d-1": RIGHT, "sft-1": HALF}).records)
    for made, reason in (
        (comparison({"sft-1": RIGHT, "dss-1": HALF}), "no method with stored predictions"),
        (bare, "no stored predictions for common seeds, or one group of rows: sft or r2d"),
    ):
        table = tables_of(made)["differences"]
        assert (table.rows, table.columns) == ((), ())
        assert said(table, reason)


def test_a_method_without_common_rows_is_named() -> None:
    arms = comparison({"r2d-1": RIGHT, "sft-1": HALF, "dss-1": HALF})
    rows = {arm: predictions(RIGHT if arm == "r2d-1" else HALF) for arm in ("r2d-1", "sft-1")}
    table = tables_of(study(arms.records, rows))["differences"]
    assert [row["method"] for row in table.rows] == ["sft"]
    assert said(table, "no stored predictions for common seeds, or only one group of rows: dss")


def test_arms_that_met_other_test_rows_are_refused() -> None:
    arms = comparison({"r2d-1": RIGHT, "sft-1": RIGHT})
    moved = [row.model_copy(update={"id": f"x{row.id}"}) for row in predictions(RIGHT)]
    rows = {"r2d-1": predictions(RIGHT), "sft-1": moved}
    with pytest.raises(UserError, match="sft against r2d: macro_f1: row"):
        report_tables([study(arms.records, rows)], NONE)


def test_other_scores_have_intervals_and_no_tests() -> None:
    arms = [
        record("r2d-1", 0, RIGHT, test_metrics={"rouge_l": 0.5}),
        record("dss-1", 1, RIGHT, test_metrics={"rouge_l": 0.25}),
    ]
    rows = {
        "r2d-1": predictions(RIGHT, rouge_l=(0.4, 0.6, 0.5, 0.5)),
        "dss-1": predictions(RIGHT, rouge_l=(0.1, 0.4, 0.3, 0.2)),
    }
    table = tables_of(study(arms, rows))["other_differences"]
    assert table.rows[0]["rouge_l"].mean == pytest.approx(-0.25)
    assert table.rows[0]["rouge_l"].high < 0
    assert "bleu" not in keys(table)
    assert not [key for key in keys(table) if key.startswith("p")]


def test_seeds_of_other_scores_are_the_fewest_that_one_of_them_has() -> None:
    arms = [
        record(f"{method}-{seed}", trial, RIGHT, test_metrics={"rouge_l": 0.5} if seed == 1 else {})
        for trial, (method, seed) in enumerate((m, s) for m in ("r2d", "dss") for s in (1, 2))
    ]
    rows = {
        arm.arm: predictions(RIGHT, **({"rouge_l": (0.5,) * 4} if arm.seed == 1 else {}))
        for arm in arms
    }
    table = tables_of(study(arms, rows))["other_differences"]
    assert table.rows[0]["seeds"] == 1
    assert said(table, "dss: rouge_l is known for 1 of its seeds only")


# Controls


def controls_study(tmp_path, controls, **arms):
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps({"controls": controls}))
    return comparison(arms or {"r2d-1": RIGHT, "sft-1": HALF, "gold_50-1": THREE}, folder=folder)


def test_controls_stand_beside_r2d_and_trivial_answers(tmp_path) -> None:
    made = controls_study(tmp_path, {"majority label (yes)": {"macro_f1": HALF_F1}})
    table = tables_of(made)["controls"]
    assert [row["method"] for row in table.rows] == ["r2d", "gold_50", "majority label (yes)"]
    assert table.rows[2]["macro_f1"].mean == HALF_F1
    assert "bleu" not in keys(table)


def test_a_control_that_is_no_number_is_refused(tmp_path) -> None:
    made = controls_study(tmp_path, {"coin": {"macro_f1": math.nan}})
    with pytest.raises(UserError, match=r"result.json: coin: macro_f1 = nan"):
        report_tables([made], NONE)


def test_sampling_that_changed_hardly_a_label_is_said_to_be_untested() -> None:
    dose = {"sampled_share": 0.5, "changed_share": 0.01, "sampling_tested": 0.0}
    arms = [
        record("r2d-1", 0, RIGHT, counts=dose),
        record("teacher_forcing-1", 1, RIGHT, counts=dose | {"sampled_share": 0.0}),
    ]
    table = tables_of(study(arms))["controls"]
    assert said(table, "too few shown labels changed for scheduled sampling to be tested: r2d")
    assert not said(table, "to be tested: r2d, teacher_forcing")
    assert line(table, method="r2d")["changed_share"].mean == 0.01


# Ablation and grids

OFF = {"sampling_decay": "none", "gold_probability_floor": 1.0}
NO_STAGE1 = {"stage1_max_steps": 0, "max_steps": 80_000}


def test_the_ablation_is_two_by_two_with_paired_differences() -> None:
    fields = {
        "r2d-sampling_decay=none": {"sampling_decay": "none"},
        "r2d-stage1_max_steps=0": NO_STAGE1,
        "r2d-sampling_decay=none,stage1_max_steps=0": {"sampling_decay": "none", **NO_STAGE1},
    }
    labels = (RIGHT, THREE, HALF, HALF)
    arms = {f"{name}-1": found for name, found in zip(("r2d", *fields), labels, strict=True)}
    table = tables_of(comparison(arms, fields=fields))["ablation"]
    whole = line(table, label="yes", stage1="yes")
    assert whole["macro_f1_with"].mean == 1.0
    assert whole["macro_f1_without"].mean == pytest.approx(THREE_F1)
    assert whole["macro_f1_effect"].mean == pytest.approx(1 - THREE_F1)
    bare = line(table, label="yes", stage1="no")
    assert bare["macro_f1_effect"].mean == 0.0
    effect = line(table, label="yes", stage1="yes minus no")
    assert effect["macro_f1_with"].mean == pytest.approx(1 - HALF_F1)
    assert effect["macro_f1_without"].mean == pytest.approx(THREE_F1 - HALF_F1)
    assert said(table, "not run: no label shown, stage 1; no label shown, no stage 1")


def test_the_ablation_takes_methods_that_differ_in_its_parts_alone() -> None:
    fields = {
        "teacher_forcing": OFF,
        "no_stage1": NO_STAGE1,
        "gold_50": {"sampling_decay": "constant", "gold_probability_floor": 0.5},
        "stage1_sft": {**OFF, "label_loss_weight": 1.0},
        "plain": {"rationale_prompt": "plain", **OFF},
    }
    labels = dict.fromkeys(fields, THREE) | {"gold_50": HALF, "stage1_sft": HALF}
    arms = {"r2d-1": RIGHT} | {f"{name}-1": found for name, found in labels.items()}
    table = tables_of(comparison(arms, fields=fields))["ablation"]
    shown = line(table, label="yes", stage1="yes")
    assert shown["macro_f1_without"].mean == pytest.approx(THREE_F1)
    assert line(table, label="yes", stage1="no")["macro_f1_without"] is None
    plain = line(table, label="no", stage1="yes")
    assert plain["macro_f1_with"] is None
    assert plain["macro_f1_without"].mean == pytest.approx(THREE_F1)
    assert said(table, "not run: label shown, no stage 1, no sampling")


def test_without_a_label_in_the_prompt_there_is_no_sampling_whatever_the_schedule() -> None:
    fields = {"r2d-rationale_prompt=plain": {"rationale_prompt": "plain"}}
    arms = {"r2d-1": RIGHT, "r2d-rationale_prompt=plain-1": THREE}
    row = line(tables_of(comparison(arms, fields=fields))["ablation"], label="no", stage1="yes")
    assert row["macro_f1_with"] is None
    assert row["macro_f1_without"].mean == pytest.approx(THREE_F1)


def test_parts_that_were_run_twice_are_named() -> None:
    fields = {"teacher_forcing": OFF, "r2d-sampling_decay=none": {"sampling_decay": "none"}}
    arms = {"r2d-1": RIGHT, "teacher_forcing-1": HALF, "r2d-sampling_decay=none-1": THREE}
    table = tables_of(comparison(arms, fields=fields))["ablation"]
    assert line(table, stage1="yes")["macro_f1_without"].mean == pytest.approx(HALF_F1)
    assert said(table, "r2d-sampling_decay=none has the same parts as teacher_forcing, shown here")


def test_a_grid_shows_its_fields_and_differences_from_the_default() -> None:
    fields = {
        "r2d-sampling_decay_ratio=0.2": {"sampling_decay_ratio": 0.2},
        "r2d-gold_probability_floor=0.3": {"gold_probability_floor": 0.3},
    }
    labels = (THREE, RIGHT, HALF)
    arms = {f"{name}-1": found for name, found in zip(("r2d", *fields), labels, strict=True)}
    tables = tables_of(comparison(arms, fields=fields))
    table = tables["sensitivity"]
    assert not tables["ablation"].rows
    assert [row["method"] for row in tables["main"].rows] == ["r2d"]
    default = line(table, sampling_decay_ratio="0.6", gold_probability_floor="0.1")
    assert default.get("difference") is None
    fast = line(table, sampling_decay_ratio="0.2")
    assert fast["difference"].mean == pytest.approx(1 - THREE_F1)
    assert line(table, gold_probability_floor="0.3")["macro_f1"].mean == pytest.approx(HALF_F1)


def test_points_of_the_ablation_are_in_no_other_grid() -> None:
    fields = {"r2d-sampling_decay=none": {"sampling_decay": "none"}}
    arms = {"r2d-1": RIGHT, "r2d-sampling_decay=none-1": THREE}
    table = tables_of(comparison(arms, fields=fields))["sensitivity"]
    assert table.rows == ()
    assert said(table, "no grid of settings")


# Sources


def sources(**arms):
    return comparison(
        {name.replace("_", "-"): labels for name, labels in arms.items()},
        study={"rationale_sources": ["llm", "nurse"]},
    )


def test_sources_are_shown_by_method_and_in_no_main_table() -> None:
    tables = tables_of(sources(r2d_llm_1=RIGHT, r2d_nurse_1=THREE, dss_llm_1=HALF))
    assert line(tables["sources"], method="r2d", source="nurse")["macro_f1"].mean == pytest.approx(
        THREE_F1
    )
    assert len(tables["sources"].rows) == 3
    assert tables["main"].rows == ()


def test_the_same_answers_from_two_sources_are_equivalent_within_two_points() -> None:
    table = tables_of(sources(r2d_llm_1=THREE, r2d_nurse_1=THREE))["source_equivalence"]
    row = table.rows[0]
    assert (row["source"], row["verdict"]) == ("llm - nurse", "equivalent")
    assert row["difference"].mean == 0.0


def test_only_sources_of_one_method_are_tested_against_each_other() -> None:
    made = sources(r2d_llm_1=RIGHT, r2d_nurse_1=RIGHT, dss_llm_1=RIGHT, dss_nurse_1=RIGHT)
    rows = tables_of(made)["source_equivalence"].rows
    assert [row["method"] for row in rows] == ["r2d", "dss"]


def test_other_answers_are_not_shown_equivalent() -> None:
    row = tables_of(sources(r2d_llm_1=RIGHT, r2d_nurse_1=HALF))["source_equivalence"].rows[0]
    assert row["verdict"] == "not shown"
    assert row["difference"].mean == pytest.approx(1 - HALF_F1)
    assert row["smallest_margin"].mean > 0.02


# Rationales, classes, calibration


def test_alignment_counts_wrong_predictions_by_seed() -> None:
    scores = {"reader_consistency": 0.5, "reader_agreement_on_wrong": 1.0}
    arms = [
        record("r2d-1", 0, THREE, test_metrics=scores),
        record("r2d-2", 1, HALF, test_metrics=scores | {"reader_agreement_on_wrong": 0.5}),
        record("sft-1", 2, HALF),
    ]
    verdicts = (0.0, 0.0, 0.0, 1.0)  # yes, yes, yes, no: two agree with THREE, three with HALF
    rows = {
        "r2d-1": predictions(THREE, reader_verdict=verdicts),
        "r2d-2": predictions(HALF, reader_verdict=verdicts),
    }
    arms[1] = record("r2d-2", 1, HALF, test_metrics={**scores, "reader_consistency": 0.75})
    table = tables_of(study(arms, rows))["alignment"]
    assert [row["method"] for row in table.rows] == ["r2d"]
    assert table.rows[0]["wrong"] == "1, 2"
    assert table.rows[0]["reader_agreement_on_wrong"].mean == 1.0


def test_plausibility_is_split_by_right_and_wrong_predictions() -> None:
    scores = {"bleu": 20.0, "bleu[right]": 30.0, "bleu[wrong]": 5.0, "bleu[human]": 8.0}
    table = tables_of(study([record("r2d-1", 0, THREE, test_metrics=scores)]))["plausibility"]
    assert [table.rows[0][key].mean for key in scores] == list(scores.values())
    assert "rouge_l" not in keys(table)


def test_classes_have_precision_recall_and_f1() -> None:
    table = tables_of(study([record("r2d-1", 0, THREE)]))["per_class"]
    no = line(table, **{"class": "no"})
    assert no["rows"] == 2
    assert [no[key].mean for key in ("precision", "recall", "f1")] == pytest.approx([1, 0.5, 2 / 3])


def test_calibration() -> None:
    scores = {"ece": 0.03, "brier": 0.6, "nll": 1.2}
    table = tables_of(study([record("r2d-1", 0, RIGHT, test_metrics=scores)]))["calibration"]
    assert [table.rows[0][key].mean for key in scores] == [0.03, 0.6, 1.2]
    assert table.rows[0]["out_of_set_rate"].mean == 0.0


# What went in


def search(tmp_path, **values):
    domains = {
        "learning_rate": {"type": "float", "low": 1e-4, "high": 0.1, "log": True, "choices": None},
        "sampling_decay": {"type": "categorical", "low": None, "choices": ["linear", "none"]},
    }
    space = {"metric": "macro_f1", "mode": "max", "search": domains, "fixed": {}}
    trials = [
        record("x-1", 0, fields={"learning_rate": 0.001}, metrics={"macro_f1": 0.5}, wall_s=360.0),
        record("x-1", 1, fields={"learning_rate": 0.02}, metrics={"macro_f1": 0.7}, wall_s=360.0),
        record("x-1", 2, status="pruned", metrics={"macro_f1": 0.9}, wall_s=180.0),
        record("x-1", 3, status="failed", wall_s=180.0),
    ]
    trials[1] = trials[1].model_copy(update={"test_metrics": {"macro_f1": 0.65}})
    folder = tmp_path / "search"
    return study(trials, folder=folder, method="r2d", space=space | values)


def test_a_search_names_its_best_finished_trial(tmp_path) -> None:
    row = tables_of(search(tmp_path))["searches"].rows[0]
    assert [row[state] for state in ("done", "pruned", "failed")] == [2, 1, 1]
    assert row["best"] == 1
    assert row["best_validation"].mean == 0.7
    assert row["first_validation"].mean == 0.5
    assert row["best_test"].mean == 0.65
    assert row["first_test"] is None


def seed_run(seed: int, validation: float, labels: str) -> SeedRun:
    scores = label_scores(GOLD, [NAMES[c] for c in labels], ["yes", "no"])
    metrics = {"macro_f1": validation}
    return SeedRun(
        seed=seed, curve=(), selected_step=1, steps_done=1, metrics=metrics, test_metrics=scores
    )


def test_a_search_of_several_seeds_shows_their_spread_and_pairs_them_by_row(tmp_path) -> None:
    labels = {
        "best (trial 1), seed 1": RIGHT,
        "best (trial 1), seed 2": THREE,
        "trial 0 (the defaults), seed 1": THREE,
        "trial 0 (the defaults), seed 2": HALF,
    }
    pairs = [(RIGHT, 0.8), (THREE, 0.6)]
    runs = tuple(seed_run(n, value, row) for n, (row, value) in enumerate(pairs, start=1))
    mean = {"macro_f1": (1 + 11 / 15) / 2}
    best = record("x-1", 1, metrics={"macro_f1": 0.7}, test_metrics=mean, seeds=runs)
    made = search(tmp_path)
    rows = {name: predictions(row) for name, row in labels.items()}
    asked = {"num_samples": 2, "seeds_per_config": 2}
    made = study(
        [made.records[0], best], rows, folder=made.folder, method="r2d", study=asked,
        space=made.info.space,
    )  # fmt: skip
    means: dict[str, dict[str, float]] = {"best (trial 1)": {}, "trial 0 (the defaults)": {}}
    seeds = {
        name: dict(label_scores(GOLD, [NAMES[c] for c in row], ["yes", "no"]))
        for name, row in labels.items()
    }
    made.folder.mkdir()
    result = {"best_trial": 1, "test": means | seeds}
    (made.folder / "result.json").write_text(json.dumps(result))
    row = tables_of(made)["searches"].rows[0]
    assert row["seeds"] == 2
    assert row["best_validation"].sd == pytest.approx(0.02**0.5)  # 2 x 0.1^2 / 1
    assert row["best_test"].sd == pytest.approx((2 * (2 / 15) ** 2) ** 0.5)
    gain, common = _gain(made)
    assert gain is not None
    assert common == 2
    # Seed 1: 1 - 11/15; seed 2: 11/15 - 1/3.
    assert gain.estimate == pytest.approx((4 / 15 + 6 / 15) / 2)


def test_a_search_may_minimise(tmp_path) -> None:
    assert tables_of(search(tmp_path, mode="min"))["searches"].rows[0]["best"] == 0


def test_settings_of_a_search_are_range_default_and_chosen(tmp_path) -> None:
    table = tables_of(search(tmp_path))["settings"]
    rate = line(table, field="learning_rate")
    assert (rate["range"], rate["default"], rate["chosen"]) == (
        "0.0001 to 0.1, log",
        "0.001",
        "0.02",
    )
    assert line(table, field="sampling_decay")["range"] == "linear, none"


def test_settings_of_a_comparison_say_who_set_them() -> None:
    fields = {
        "r2d": {"early_stopping_patience": 0},
        "dss": {"early_stopping_patience": 0, "label_loss_weight": 0.5, **NO_STAGE1},
        "r2d-tuned": {"early_stopping_patience": 0, "learning_rate": 0.01},
    }
    space = {"metric": "macro_f1", "mode": "max", "tuned": {"r2d": {"learning_rate": 0.01}}}
    arms = {f"{name}-1": RIGHT for name in fields}
    table = tables_of(comparison(arms, fields=fields, space=space))["settings"]
    weight = line(table, field="label_loss_weight")
    assert (weight["method"], weight["range"]) == ("dss", "fixed by the method")
    assert (weight["default"], weight["chosen"]) == ("0.7", "0.5")
    assert line(table, field="learning_rate")["range"] == "searched"
    assert line(table, field="max_steps")["range"] == "equal steps in all"
    patience = line(table, field="early_stopping_patience")
    assert (patience["method"], patience["default"], patience["chosen"]) == ("all", "5", "0")
    assert not [row for row in table.rows if row["field"] == "seed"]


def test_cost_is_counted_from_records_and_files(tmp_path) -> None:
    folder = tmp_path / "made"
    (folder / "trials" / "0000").mkdir(parents=True)
    (folder / "trials" / "0000" / "weights").write_bytes(b"x" * 2_000_000)
    (folder / "records.jsonl").write_bytes(b"x" * 500_000)
    common = {"stage1": {"steps_done": 20}, "steps_done": 30, "step_s": 0.5}
    counts = {"encoder_tokens": 3e6, "model_flops": 4e12}
    arms = [
        record("r2d-1", 0, RIGHT, wall_s=3600.0, counts=counts, **common),
        record("r2d-2", 1, RIGHT, wall_s=7200.0, counts=counts, **common),
        record("r2d-3", 2, status="failed", wall_s=1800.0),
    ]
    table = tables_of(study(arms, folder=folder))["cost"]
    row = line(table, method="r2d")
    assert (row["steps1"].mean, row["steps"].mean, row["runs"]) == (20, 30, 2)
    assert row["hours"].mean * row["hours"].factor == pytest.approx(1.5)
    assert row["total_hours"].mean * row["total_hours"].factor == pytest.approx(3)
    assert row["examples_s"].mean == 64 / 0.5
    assert row["model_flops"].mean == 4e12
    assert row["disk"].mean == 2_000_000
    whole = line(table, method="made: all runs")
    assert whole["total_hours"].mean * whole["total_hours"].factor == pytest.approx(3.5)
    assert (whole["disk"].mean, whole["runs"]) == (2_500_000, 3)
    assert said(table, "made: failed and pruned runs took 0.50 hours")


def test_data_is_shown_once_by_split_with_its_balance() -> None:
    table = tables_of(comparison({"r2d-1": RIGHT}), comparison({"sft-1": RIGHT}))["data"]
    assert [row["split"] for row in table.rows] == ["train", "test"]
    assert (table.rows[0]["rows"], table.rows[0]["groups"]) == (8, 5)
    assert table.rows[0]["labels"] == "yes 6; no 2"
    assert table.rows[0]["rationales"] == "llm 7"
    assert said(table, "made: dropped 1: train row: empty")
    assert said(table, "licence none")


def test_cut_rows_and_the_warnings_of_the_card_stand_with_the_data() -> None:
    made = comparison({"r2d-1": RIGHT})
    tokens = {"train": {"share_cut": 0.25}, "validation": {"share_cut": 0.0}}
    card = {**made.info.data_card, "tokens": tokens, "warnings": ["look at this"]}
    info = made.info.model_copy(update={"data_card": card})
    table = tables_of(replace(made, info=info))["data"]
    assert said(table, "made: rows cut to max_input_length: train 25.0%")
    assert said(table, "made: look at this")


def test_a_broken_data_card_is_refused_in_one_line() -> None:
    card = {name: value for name, value in CARD.items() if name != "rows"}
    with pytest.raises(UserError, match=r"study.json: data_card: KeyError\('rows'\)"):
        report_tables([comparison({"r2d-1": RIGHT}, card=card)], NONE)


def test_a_table_without_rows_has_a_reason_and_every_row_fits_its_columns(tmp_path) -> None:
    for made in (search(tmp_path), comparison({"r2d-1": RIGHT, "sft-1": HALF})):
        for table in report_tables([made]):
            assert table.rows or table.notes, table.name
            shown = set(keys(table))
            assert len(shown) == len(table.columns), table.name
            assert all(shown & set(row) for row in table.rows), table.name
