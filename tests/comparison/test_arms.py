"""Arms on equal terms: steps, early stop, seeds, names, tuned values, sources, stored values."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import tiny_config, toy_splits
from hypothesis import given, settings
from hypothesis import strategies as st

from r2d_ray.comparison.arms import (
    Arm,
    Equal,
    arm_values,
    base_values,
    check_equal,
    check_plan,
    equal_terms,
    make_arms,
)
from r2d_ray.comparison.rows import with_every_source
from r2d_ray.comparison.tuned import Ground, tuned_values
from r2d_ray.config import PROFILES, TrainConfig, build_config
from r2d_ray.errors import UserError
from r2d_ray.method.variants import METHODS, get_method
from r2d_ray.records import StudyInfo, TrialRecord, write_jsonl
from r2d_ray.search.space import load_search_space
from r2d_ray.storage import write_json
from r2d_ray.study.folder import StudyFolder

GROUND = Ground("toy 0", "embedded", "scratch-tiny", None)
BASE = {"stage1_max_steps": 200, "max_steps": 300, "learning_rate": 1e-3}


def arms(
    methods: str,
    seeds: tuple[int, ...] = (1, 2),
    base: Mapping[str, Any] = BASE,
    tuned: Mapping[str, Mapping[str, Any]] | None = None,
    sources: tuple[str | None, ...] = (None,),
    equal: Equal = "steps",
) -> list[Arm]:
    chosen = [get_method(name) for name in methods.split()]
    settings = {name: {"default": {}, "tuned": best} for name, best in (tuned or {}).items()}
    return make_arms(chosen, seeds, base, settings=settings, sources=sources, equal=equal)


# Equal terms


@pytest.mark.parametrize("method", METHODS)
def test_every_arm_makes_equally_many_steps_of_equally_many_rows(method: str) -> None:
    [want, *_] = arms("r2d")
    for arm in arms(method):
        config = arm.config
        assert config.stage1_max_steps + config.max_steps == 500
        assert config.global_batch_size == want.config.global_batch_size
        same = ("lr_scheduler_type", "warmup_ratio", "weight_decay", "max_grad_norm")
        assert all(getattr(config, name) == getattr(want.config, name) for name in same)
        assert (config.early_stopping_patience, config.stage1_early_stopping_patience) == (0, 0)
        if method != "composite_selection":
            assert config.selection_metric == want.config.selection_metric


def test_steps_are_added_only_without_stage_1_and_not_where_switched_off() -> None:
    for equal, alone in cast(Any, (("steps", (0, 500)), ("label-examples", (0, 300)))):
        found = arms("r2d sft no_stage1 stage1_sft", (1,), equal=equal)
        steps = [(arm.config.stage1_max_steps, arm.config.max_steps) for arm in found]
        assert steps == [(200, 300), alone, alone, (200, 300)]


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 500), st.booleans())
@settings(deadline=None)
def test_equal_terms_equal_the_sum_of_both_stages(
    stage1: int, own_stage1: int, steps: int, add: bool
) -> None:
    values = {"stage1_max_steps": own_stage1, "max_steps": steps, "early_stopping_patience": 5}
    found = equal_terms(values, stage1, add)
    added = stage1 if add and own_stage1 == 0 else 0
    assert found["max_steps"] == steps + added
    assert found["stage1_max_steps"] == own_stage1
    assert found["early_stopping_patience"] == found["stage1_early_stopping_patience"] == 0
    assert values["max_steps"] == steps


def test_the_grid_is_method_by_setting_by_source_by_seed_with_a_name_for_each() -> None:
    tuned = {"r2d": {"label_loss_weight": 0.4}}
    found = arms("r2d r2d_c sft", (1, 2, 3), tuned=tuned, sources=("human", "llm"))
    assert len(found) == (2 + 1 + 1) * 2 * 3
    assert len({arm.name for arm in found}) == len(found)
    assert [arm.name for arm in found[:3]] == ["r2d-human-1", "r2d-human-2", "r2d-human-3"]
    assert [arm.name for arm in found[6:8]] == ["r2d-tuned-human-1", "r2d-tuned-human-2"]
    assert [arm.name for arm in arms("sft")] == ["sft-1", "sft-2"]
    for arm in found:
        assert (arm.config.seed, arm.config.rationale_source) == (arm.seed, arm.source)


def test_a_method_decides_over_tuned_values_and_these_over_the_base() -> None:
    tuned = {"gold_50": {"learning_rate": 5e-4, "gold_probability_floor": 0.2}}
    default, best = arms("gold_50", (1,), tuned=tuned)
    assert (default.setting, best.setting) == ("default", "tuned")
    assert default.config.learning_rate == 1e-3
    assert best.config.learning_rate == 5e-4
    assert default.config.gold_probability_floor == best.config.gold_probability_floor == 0.5


@pytest.mark.parametrize("method", METHODS)
def test_an_arm_is_stored_as_what_differs_from_the_base(method: str) -> None:
    base = {**PROFILES["embedded"], "rationale_source": "llm"}
    config = build_config({**base, "seed": 42}).model_dump()
    info = study_info("compare", config=config)
    for arm in arms(method, (1, 42), base):
        values = arm_values(arm, info)
        assert build_config({**info.config, **values}) == arm.config
        assert all(info.config[name] != value for name, value in values.items())


def test_arms_of_unequal_steps_or_rows_are_refused_before_they_run() -> None:
    point = {"short": {"max_steps": 100}, "wide": {"per_device_train_batch_size": 65}}
    for setting, values in point.items():
        made = {"r2d": {"default": {}, setting: values}}
        found = make_arms(
            [get_method("r2d")], [1], BASE, settings=made, sources=(None,), equal="steps"
        )
        with pytest.raises(UserError, match=rf"r2d-1 500 steps of 64 rows, r2d-{setting}-1"):
            check_plan(found)
        check_plan(found, "none")
    check_plan(arms(" ".join(METHODS)))


def test_arms_of_equal_label_examples_make_the_same_steps_of_stage_2() -> None:
    found = arms("r2d sft dss", (1,), equal="label-examples")
    check_plan(found, "label-examples")
    with pytest.raises(UserError, match="r2d-1 500 steps of 64 rows, sft-1 300 of 64"):
        check_plan(found)
    stretched = arms("r2d sft", (1,), equal="steps")
    with pytest.raises(UserError, match="r2d-1 300 steps of stage 2 of 64 rows, sft-1 500 of 64"):
        check_plan(stretched, "label-examples")


def test_values_under_all_methods_are_profile_fixed_values_and_flags_in_this_order() -> None:
    space = load_search_space("embedded")
    first = space.model_copy(update={"fixed": {"learning_rate": 1e-4, "max_steps": 7, "seed": 3}})
    last = space.model_copy(update={"fixed": {"max_steps": 8}, "metric": "accuracy"})
    values = base_values(PROFILES["embedded"], [first, last], {"seed": 4})
    assert (values["learning_rate"], values["max_steps"], values["seed"]) == (1e-4, 8, 4)
    assert values["stage1_max_steps"] == PROFILES["embedded"]["stage1_max_steps"]
    assert values["selection_metric"] == "accuracy"
    assert base_values(PROFILES["embedded"], [last], {"selection_metric": "composite"})[
        "selection_metric"
    ] == ("composite")


# What was run


def study_info(method: str, mode: str = "max", **more: Any) -> StudyInfo:
    search = load_search_space("embedded").model_dump(mode="json")["search"]
    metric = "macro_f1" if mode == "max" else "rationale_loss"
    values: dict[str, Any] = {
        "config": TrainConfig().model_dump(),
        "space": {"metric": metric, "mode": mode, "search": search},
        "study": {"num_samples": 4},
        "data_card": {"labels": ["yes", "no"]},
        "provenance": {"kind": "sample"},
        "versions": {},
        **more,
    }
    names = {"name": "s", "method": method, "dataset": "toy", "profile": "embedded"}
    return StudyInfo(**{**names, "data_hash": "0", **values})


def record(number: int, score: float = 0.5, status: Any = "done", **more: Any) -> TrialRecord:
    config = tiny_config(**more.pop("values", {}))
    return TrialRecord(
        study="s",
        trial=number,
        method="r2d",
        dataset="toy",
        config=config.model_dump(),
        seed=1,
        status=status,
        metrics={"macro_f1": score, "rationale_loss": score} if status == "done" else {},
        **more,
    )


def test_finished_arms_of_equal_steps_and_rows_pass() -> None:
    two_stages = record(0, steps_done=300, stage1={"steps_done": 200})
    halves = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    one_stage = record(1, steps_done=500, values=halves)
    check_equal([two_stages, one_stage, record(2, status="failed", steps_done=7)])
    check_equal([])
    check_equal([two_stages, record(1, steps_done=300)], "label-examples")
    with pytest.raises(AssertionError, match="unequal optimiser steps"):
        check_equal([two_stages, one_stage], "label-examples")
    check_equal([two_stages, record(1, steps_done=1)], "none")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (record(1, steps_done=499), "unequal optimiser steps .*499"),
        (record(1, steps_done=300, stage1={"steps_done": 199}), "unequal optimiser steps"),
        (record(1, steps_done=500, values={"per_device_train_batch_size": 8}), "unequal rows"),
        (record(1, steps_done=500, values={"gradient_accumulation_steps": 2}), "unequal rows"),
    ],
)
def test_unequal_arms_are_found_in_their_records(other: TrialRecord, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_equal([record(0, steps_done=300, stage1={"steps_done": 200}), other])


# Tuned arms


def made_study(
    root: Path, method: str, records: list[TrialRecord], mode: str = "max", **more: Any
) -> Path:
    root.mkdir()
    folder = StudyFolder(root)
    write_json(folder.info_path, study_info(method, mode, **more).model_dump(mode="json"))
    write_jsonl(folder.records_path, records)
    return root


@pytest.mark.parametrize(("mode", "best"), [("max", 1), ("min", 0)])
def test_the_best_trial_on_validation_gives_the_searched_values(
    tmp_path: Path, mode: str, best: int
) -> None:
    rates = [1e-3, 2e-3, 3e-3, 4e-3]
    scores = [0.4, 0.6, 0.6, 0.4]  # of equals the earliest
    trials = [
        record(
            i,
            score,
            values={"learning_rate": rate, "max_steps": 77},
            test_metrics={"macro_f1": 1 - score},
        )
        for i, (rate, score) in enumerate(zip(rates, scores, strict=True))
    ]
    folder = made_study(tmp_path / "s", "r2d", trials, mode)
    [values] = tuned_values([folder], ["r2d"], GROUND).values()
    assert values["learning_rate"] == rates[best]
    assert set(values) == set(load_search_space("embedded").search)  # the budget is not taken over


def test_each_method_takes_its_own_study(tmp_path: Path) -> None:
    trials = {
        name: [record(0, values={"label_loss_weight": weight})]
        for name, weight in (("r2d", 0.4), ("r2d_c", 0.8))
    }
    folders = [made_study(tmp_path / name, name, rows) for name, rows in trials.items()]
    found = tuned_values(folders, ["r2d", "r2d_c", "sft"], GROUND)
    assert {name: row["label_loss_weight"] for name, row in found.items()} == {
        "r2d": 0.4,
        "r2d_c": 0.8,
    }
    assert [a.name for a in arms("r2d sft", (1,), tuned=found)] == ["r2d-1", "r2d-tuned-1", "sft-1"]


def test_studies_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    two = made_study(tmp_path / "two", "r2d", [record(0), record(1)])
    one = made_study(tmp_path / "one", "r2d_c", [record(0)])
    none = made_study(tmp_path / "none", "sft", [record(0, status="failed")])
    for folders, said in (
        ([two, one], r"unequal numbers of finished trials \{'r2d': 2, 'r2d_c': 1\}"),
        ([none], f"--tuned-from {none}: no trial finished"),
        ([two, two], f"--tuned-from {two}: .*two studies"),
        ([tmp_path], "is not a study"),
    ):
        with pytest.raises(UserError, match=said):
            tuned_values(folders, ["r2d", "r2d_c", "sft"], GROUND)
    with pytest.raises(UserError, match=r"method 'r2d' is not compared \(r2d_c, sft\)"):
        tuned_values([two], ["r2d_c", "sft"], GROUND)


def test_what_its_search_ended_counts_as_finished_and_what_failed_does_not(tmp_path: Path) -> None:
    ended = [record(0), record(1, status="pruned")]
    one = made_study(tmp_path / "one", "r2d", [*ended, record(2, status="failed")])
    two = made_study(tmp_path / "two", "r2d_c", ended)
    assert set(tuned_values([one, two], ["r2d", "r2d_c"], GROUND)) == {"r2d", "r2d_c"}
    write_jsonl(StudyFolder(two).records_path, [*ended, record(2)])
    with pytest.raises(UserError, match=r"finished trials \{'r2d': 2, 'r2d_c': 3\}"):
        tuned_values([one, two], ["r2d", "r2d_c"], GROUND)


@pytest.mark.parametrize(
    ("field", "other", "said"),
    [
        ("data", "toy 1", "searched with data 'toy 0', compared with 'toy 1'"),
        ("profile", "paper", "searched with profile 'embedded', compared with 'paper'"),
        ("model", "t5-small", "searched with model 'scratch-tiny', compared with 't5-small'"),
        ("model_revision", "abc", "searched with model_revision None, compared with 'abc'"),
    ],
)
def test_a_search_on_other_ground_is_refused_with_both(
    tmp_path: Path, field: str, other: str, said: str
) -> None:
    folder = made_study(tmp_path / "s", "r2d", [record(0)])
    with pytest.raises(UserError) as caught:
        tuned_values([folder], ["r2d"], replace(GROUND, **{field: other}))
    assert str(caught.value) == f"--tuned-from {folder}: {said} (allowed: the same)"


# Sources


def test_training_rows_without_every_source_are_dropped_and_counted() -> None:
    splits = toy_splits()
    train = tuple(
        replace(row, rationales={"human": "So."}) if i % 3 == 0 else row
        for i, row in enumerate(splits.train)
    )
    splits = replace(splits, train=train, dropped={"a reason": 2})
    found = with_every_source(splits, ["human", "llm"])
    assert found.train == tuple(row for i, row in enumerate(train) if i % 3)
    assert (found.validation, found.test) == (splits.validation, splits.test)
    [(reason, lost)] = set(found.dropped.items()) - {("a reason", 2)}
    assert "source" in reason
    assert lost == 8
    assert with_every_source(splits, ["human"]).train == train
    blank = replace(train[1], rationales={"human": " ", "llm": "So."})
    blanked = with_every_source(replace(splits, train=(blank, train[2])), ["human", "llm"])
    assert blanked.train == (train[2],)
    with pytest.raises(UserError, match=r"--rationale-sources human gpt: .*sources: human, llm"):
        with_every_source(splits, ["human", "gpt"])
