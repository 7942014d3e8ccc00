"""A comparison over folds: arms by fold, one run out of fold, refusals, resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_arms import record
from test_comparison_run import settings

from analysis.groups import groups_of
from analysis.studies import open_study
from r2d_ray.cli.fold_lines import fold_lines, fold_plan_lines
from r2d_ray.cli.plans import added_step_lines, arm_lines
from r2d_ray.comparison import rows
from r2d_ray.comparison import run as compare
from r2d_ray.comparison.arms import arm_values
from r2d_ray.comparison.folds import over_folds, runs_of, weighted
from r2d_ray.comparison.plan import ComparePlan, make_compare_plan
from r2d_ray.comparison.rationales import RationaleScores
from r2d_ray.comparison.run import ComparisonRun, applicable, facts, finish
from r2d_ray.distributed.cluster import Capacity
from r2d_ray.errors import UserError
from r2d_ray.evaluation.label_metrics import label_scores
from r2d_ray.records import Prediction, TrialRecord, prediction_file, read_jsonl, write_jsonl
from r2d_ray.storage import write_json
from r2d_ray.study.books import Bookkeeper, save_outcome
from r2d_ray.study.folder import StudyFolder

K = 3


def plan_of(methods: str = "sft", seeds: tuple[int, ...] = (1, 2), **more: Any) -> ComparePlan:
    asked = {"folds": K, **more}
    return make_compare_plan(settings(methods, seeds, **asked), Capacity(2, 0))


@pytest.fixture(scope="module")
def plan() -> ComparePlan:
    return plan_of()


def test_every_arm_and_seed_trains_on_every_fold(plan: ComparePlan) -> None:
    names = [f"sft-{seed}-fold{fold}" for seed in (1, 2) for fold in (1, 2, 3)]
    assert [arm.name for arm in plan.arms] == names
    assert plan.info.space["arms"] == ["sft-1", "sft-2"]
    assert runs_of(plan) == {"sft-1": [0, 1, 2], "sft-2": [3, 4, 5]}
    assert plan.info.study["folds"] == K
    run = ComparisonRun(plan)
    data = dict(run.configs())
    assert list(data) == [" fold 1", " fold 2", " fold 3"]
    assert [run.splits_of(name) for name in data] == list(plan.folds)
    assert len({arm.run for arm in plan.arms if arm_values(arm, plan.info)}) == 2


def test_without_folds_a_study_says_nothing_of_them() -> None:
    plain = make_compare_plan(settings("sft", (1,)), Capacity(2, 0))
    assert "folds" not in plain.info.study
    assert plain.tested == plain.splits.test
    assert fold_plan_lines(plain) == fold_lines({}) == []


def test_the_plan_counts_rows_and_steps(plan: ComparePlan) -> None:
    rows = len(plan.tested)
    [said] = fold_plan_lines(plan)
    assert said.startswith(f"3 folds over {rows} rows (test rows: ")
    steps = f"{6 * plan.arms[0].config.max_steps} optimiser steps in all"
    assert steps in arm_lines(plan, Capacity(2, 0), 1)
    two_stages = plan_of("r2d")
    config = two_stages.arms[0].config
    steps = f"{6 * (config.stage1_max_steps + config.max_steps)} optimiser steps in all"
    assert steps in arm_lines(two_stages, Capacity(2, 0), 1), "a stage 1 for each fold"


def test_the_plan_says_who_trains_the_steps_of_stage_1_in_stage_2() -> None:
    few = {"overrides": {"max_steps": 30, "stage1_max_steps": 200}}
    mixed = plan_of("sft r2d dss", (1,), **few)
    [said] = added_step_lines(mixed)
    assert said == (
        "without a stage 1, whose 200 steps are added to stage 2: sft, dss "
        "(30 + 200 = 230 steps, as many as any arm; --equal label-examples adds none)"
    )
    lines = arm_lines(mixed, Capacity(2, 0), 1)
    assert lines[-9].startswith("  sft-1-fold1: stage 1 0 + stage 2 230 steps, learning rate ")
    assert added_step_lines(plan_of("sft", (1,), **few, equal="label-examples")) == []
    assert added_step_lines(plan_of("r2d", (1,), **few)) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tuned_from": ("x",)}, "--folds 3 with --tuned-from: the settings were chosen on rows"),
        ({"folds": 1}, "--folds 1: too small"),
        ({"folds": 500}, "--folds 500: label "),
    ],
)
def test_folds_that_prove_nothing_are_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=f"^{said}"):
        plan_of(**more)


def test_an_official_test_set_is_not_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    read = rows.read_data
    given = ("test", "train")
    monkeypatch.setattr(rows, "read_data", lambda asked: replace(read(asked), given=given))
    with pytest.raises(UserError, match=r"--folds 3: triage-sample has an official test split"):
        plan_of()


def test_scores_that_no_row_holds_are_means_by_rows() -> None:
    scores = [{"a": 1.0, "b": None, "c": "word"}, {"a": 0.0, "b": 1.0, "c": "word"}]
    assert weighted(scores, [3, 1]) == {"a": 0.75}


def test_a_score_of_a_tag_is_a_mean_over_the_folds_that_have_its_rows() -> None:
    north = {"mean_cost[site=north]": 3.0, "rows[site=north]": 1.0}
    more = {"mean_cost[site=north]": 0.0, "rows[site=north]": 2.0}
    found = weighted([{"a": 1.0, **north}, {"a": 0.0, **more}, {"a": 0.5}], [50, 2, 48])
    assert found["mean_cost[site=north]"] == pytest.approx(1.0)
    assert found["a"] == pytest.approx(0.74)


def test_a_comparison_says_what_its_rows_and_labels_cannot_have(plan: ComparePlan) -> None:
    assert list(facts(plan)) == ["random_weights"]
    one = make_compare_plan(settings("r2d", (1,)), Capacity(2, 0))
    bare = one.splits.with_rows(
        {
            name: tuple(replace(row, context="") for row in found)
            for name, found in one.splits.items()
        }
    )
    plain = replace(one, splits=bare)
    assert facts(plain)["not_applicable"] == {
        "first context sentence": "no test row has a context",
    }
    kept = RationaleScores(controls={"first context sentence": {}, "random": {}})
    assert applicable(plain, kept) == ["random"]
    assert applicable(plan, kept) == ["first context sentence", "random"]
    free = [
        replace(arm, config=arm.config.model_copy(update={"label_choice": "generate"}))
        for arm in plan.arms
    ]
    said = facts(replace(plan, arms=tuple(free)))["calibration"]["not_applicable"]
    assert list(said) == ["sft"]
    assert "generated freely" in said["sft"]


# From folds to one run


def answers(plan: ComparePlan, number: int) -> list[Prediction]:
    """A fold's predictions: every fourth of the test rows is wrong, from the seed's place on."""
    arm = plan.arms[number]
    labels = plan.splits.labels
    rows = []
    for place, row in enumerate(plan.splits_of(arm.fold).test):
        wrong = (place + arm.seed) % 4 == 0
        label = labels[(labels.index(row.label) + wrong) % len(labels)]
        rows.append(
            Prediction(
                id=row.id,
                group=row.group,
                gold_label=row.label,
                label=label,
                generated_label=label,
                probabilities={label: 1.0},
            )
        )
    return rows


def scores_of(plan: ComparePlan, rows: list[Prediction]) -> dict[str, Any]:
    gold = [row.gold_label or "" for row in rows]
    return dict(label_scores(gold, [row.label for row in rows], plan.splits.labels))


def oof_file(folder: StudyFolder, name: str) -> Path:
    return prediction_file(folder.predictions_dir, name, "oof")


def ended(root: Path, plan: ComparePlan, failed: int | None = None) -> StudyFolder:
    folder = StudyFolder(root)
    folder.predictions_dir.mkdir(parents=True)
    write_json(folder.info_path, plan.info.model_dump(mode="json"))
    books = Bookkeeper(folder, plan.info, keep_all=True)
    for number, arm in enumerate(plan.arms):
        status = "failed" if number == failed else "done"
        reason = "CUDA" if number == failed else None
        more = {"steps_done": 500, "fold": arm.fold, "reason": reason}
        made = record(number, status=status, arm=arm.name, **more)
        made = made.model_copy(update={"seed": arm.seed})
        save_outcome(folder, made, 0.0)
        books.ended(number, {})
        write_jsonl(folder.predictions_dir / f"{arm.name}-test.jsonl", answers(plan, number))
    return folder


def finished(
    folder: StudyFolder, plan: ComparePlan, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    books = Bookkeeper(folder, plan.info, keep_all=True)
    done = [n for n, r in books.records.items() if r.status == "done"]
    scores = {n: scores_of(plan, answers(plan, n)) for n in done}
    monkeypatch.setattr(compare, "evaluate_arms", lambda *_: scores)
    monkeypatch.setattr(compare, "read_all", lambda *_: {})
    return finish(plan, folder, {}, books)


def test_a_run_is_scored_over_all_rows_out_of_fold(
    tmp_path: Path, plan: ComparePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ended(tmp_path / "c", plan)
    result = finished(folder, plan, monkeypatch)
    ids = sorted(row.id for row in plan.tested)
    for run, numbers in runs_of(plan).items():
        rows = list(read_jsonl(oof_file(folder, run), Prediction))
        assert oof_file(folder, run).name == f"{run}-oof.jsonl"
        assert sorted(row.id for row in rows) == ids, "each row once"
        pooled = scores_of(plan, [row for n in numbers for row in answers(plan, n)])
        found = result["arms"][run]
        assert {name: found[name] for name in pooled} == pytest.approx(pooled)
    assert [r.fold for r in read_jsonl(folder.records_path, TrialRecord)] == [1, 2, 3] * 2
    mean = result["folds"]["methods"]["sft"]["mean"]
    folds = [scores_of(plan, answers(plan, n))["macro_f1"] for n in range(6)]
    assert mean == pytest.approx(sum(folds) / 6)
    assert result["methods"]["sft"]["seeds"] == 2
    assert result["trials"] == {"done": 6}
    bags = [name for name in result["controls"] if name.startswith("bag of words")]
    assert bags
    assert len(list(read_jsonl(oof_file(folder, f"control {bags[0]}"), Prediction))) == len(ids)
    [said, means] = fold_lines(result)
    assert said.startswith(f"scores are over all {len(ids)} rows")
    assert "macro-F1 as the mean over folds and seeds, ± sd: sft " in means

    study = open_study(folder.root)
    [group] = groups_of(study)
    assert sorted(group.done) == [1, 2]
    assert len(study.predictions("sft-1")) == len(ids)
    assert any("out of fold" in note for note in study.notes)
    before = {p.name: p.read_bytes() for p in folder.predictions_dir.glob("*.jsonl")}
    assert finished(folder, plan, monkeypatch) == result
    assert {p.name: p.read_bytes() for p in folder.predictions_dir.glob("*.jsonl")} == before


def test_a_run_with_a_failed_fold_is_not_scored(
    tmp_path: Path, plan: ComparePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ended(tmp_path / "c", plan, failed=1)
    result = finished(folder, plan, monkeypatch)
    assert result["arms"]["sft-1"] == {}
    assert "macro_f1" in result["arms"]["sft-2"]
    assert (result["methods"]["sft"]["seeds"], result["methods"]["sft"]["failed"]) == (1, 1)
    assert not oof_file(folder, "sft-1").exists()
    assert "fold 2: CUDA" in open_study(folder.root).notes[0]


def test_folds_that_are_not_pooled_yet_are_no_report(tmp_path: Path, plan: ComparePlan) -> None:
    folder = ended(tmp_path / "c", plan)
    with pytest.raises(UserError, match="its folds are not pooled yet"):
        open_study(folder.root)


def test_a_runs_record_is_the_mean_of_its_folds() -> None:
    curve = [{"step": 4, "scores": {"macro_f1": 0.2}}, {"step": 8, "scores": {"macro_f1": 0.6}}]
    folds = [
        record(n, value, fold=n + 1, counts={"dose": value}, wall_s=2.0,
               selected_step=8, curve=curve[: 2 - n])
        for n, value in enumerate((0.4, 0.8))
    ]  # fmt: skip
    found = over_folds("sft-1", folds, {"macro_f1": 0.7})
    assert (found.arm, found.fold, found.wall_s) == ("sft-1", None, 4.0)
    assert found.metrics["macro_f1"] == pytest.approx(0.6)
    assert found.counts == {"dose": pytest.approx(0.6)}
    assert found.test_metrics == {"macro_f1": 0.7}
    assert [e.step for e in found.curve] == [4], "steps that every fold has"
