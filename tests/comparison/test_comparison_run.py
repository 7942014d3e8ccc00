"""A comparison without Ray: its plan, its command line, its order of arms, its table."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from conftest import tiny_config, toy_info
from test_arms import made_study, record

from r2d_ray.compare import main as compare_main
from r2d_ray.comparison import run as module
from r2d_ray.comparison.arms import arm_values
from r2d_ray.comparison.plan import make_compare_plan
from r2d_ray.comparison.rationales import RationaleScores
from r2d_ray.comparison.run import ComparisonRun, finish
from r2d_ray.comparison.searcher import ArmSearcher
from r2d_ray.config import PROFILES, TrainConfig, build_config
from r2d_ray.distributed.cluster import Capacity
from r2d_ray.errors import EXIT_BAD_INPUT, EXIT_DONE, UserError
from r2d_ray.method.variants import METHODS
from r2d_ray.records import TrialRecord, read_jsonl
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.identity import differences
from r2d_ray.study.settings import CompareSettings, build_settings


def settings(
    methods: str = "r2d sft", seeds: Sequence[int] = (1, 2), **more: Any
) -> CompareSettings:
    grid = {"methods": tuple(methods.split()), "seeds": tuple(seeds)}
    fixed = {"dataset": "triage", "profile": "embedded", "limit": 40}
    return build_settings({**fixed, **grid, **more}, CompareSettings)


# The plan


def test_a_plan_holds_every_arm_and_what_it_was_made_of() -> None:
    plan = make_compare_plan(settings("r2d sft r2d_c", (3, 1), overrides={"max_steps": 40}))
    assert plan.name == "triage-sample-compare-scratch-tiny"
    names = ["r2d-3", "r2d-1", "sft-3", "sft-1", "r2d_c-3", "r2d_c-1"]
    assert [arm.name for arm in plan.arms] == plan.info.space["arms"] == names
    assert plan.info.method == "compare"
    assert plan.info.config["learning_rate"] == PROFILES["embedded"]["learning_rate"]
    stage1 = PROFILES["embedded"]["stage1_max_steps"]
    assert [arm.config.max_steps for arm in plan.arms] == [40, 40, 40 + stage1, 40 + stage1, 40, 40]
    for arm in plan.arms:
        values = json.loads(json.dumps(arm_values(arm, plan.info)))  # as Ray carries them
        assert build_config({**plan.info.config, **values}) == arm.config


def test_sources_are_crossed_with_methods_on_rows_that_have_them_all() -> None:
    plain = make_compare_plan(settings(limit=400)).splits
    plan = make_compare_plan(settings(limit=400, rationale_sources=("nurse", "llm")))
    assert [arm.source for arm in plan.arms] == ["nurse", "nurse", "llm", "llm"] * 2
    assert {"nurse", "llm"} <= set.intersection(*(set(r.rationales) for r in plan.splits.train))
    assert (plan.splits.validation, plan.splits.test) == (plain.validation, plain.test)
    lost = len(plain.train) - len(plan.splits.train)
    assert sum(plan.splits.dropped.values()) - sum(plain.dropped.values()) == lost


def test_another_best_trial_of_the_search_is_another_comparison(tmp_path: Path) -> None:
    plans = []
    info = make_compare_plan(settings()).info
    same = {"dataset": info.dataset, "data_hash": info.data_hash}
    for number, rate in enumerate((1e-3, 2e-3)):
        trials = [record(0, values={"learning_rate": rate})]
        folder = made_study(tmp_path / str(number), "r2d", trials, **same)
        plans.append(make_compare_plan(settings("r2d sft", (1,), tuned_from=(str(folder),))))
    assert [arm.name for arm in plans[0].arms] == ["r2d-1", "r2d-tuned-1", "sft-1"]
    assert plans[1].arms[1].config.learning_rate == 2e-3
    changed = differences(plans[0].info, plans[1].info)
    assert changed == ["space.tuned.r2d.learning_rate: 0.001 -> 0.002"]
    with pytest.raises(
        UserError, match=r"--tuned-from .*data 'triage-sample .* compared with 'triage-"
    ):
        make_compare_plan(settings("r2d sft", (1,), tuned_from=(str(folder),), limit=50))
    sources = settings("r2d sft", (1,), tuned_from=(str(folder),), rationale_sources=("nurse",))
    assert len(make_compare_plan(sources).arms) == 3, "the same data, though rows are dropped"


def test_every_point_of_a_grid_is_an_arm_over_all_seeds_on_equal_terms() -> None:
    plan = make_compare_plan(settings("r2d sft", (1, 2), grid="ablation"))
    assert plan.name == "triage-sample-ablation-scratch-tiny"
    assert [arm.name for arm in plan.arms] == [
        f"{row}-{seed}"
        for row in (
            "r2d",
            "r2d-rationale_prompt=plain",
            "r2d-sampling_decay=none",
            "r2d-stage1_max_steps=0",
            "r2d-rationale_prompt=plain,stage1_max_steps=0",
            "r2d-sampling_decay=none,stage1_max_steps=0",
            "sft",
        )
        for seed in (1, 2)
    ]
    assert {a.config.stage1_max_steps + a.config.max_steps for a in plan.arms} == {500}
    assert set(plan.same) == {
        *("r2d-rationale_prompt=plain", "r2d-rationale_prompt=plain,stage1_max_steps=0")
    }
    for arm in plan.arms:
        values = json.loads(json.dumps(arm_values(arm, plan.info)))
        assert build_config({**plan.info.config, **values}) == arm.config


def test_a_grid_is_crossed_with_sources() -> None:
    plan = make_compare_plan(
        settings("r2d", (1,), grid="sensitivity", rationale_sources=("nurse", "llm"))
    )
    assert len(plan.arms) == 27 * 2
    name = "r2d-gold_probability_floor=0.3,sampling_decay=exponential-llm-1"
    [arm] = [arm for arm in plan.arms if arm.name == name]
    assert (arm.config.gold_probability_floor, arm.config.rationale_source) == (0.3, "llm")


GRID_FILE = """
metric: {metric}
mode: max
fixed: {{learning_rate: 1e-4, warmup_ratio: 0.25}}
search: {{weight_decay: {{type: categorical, choices: [0.0, 0.1]}}}}
"""


def test_fixed_values_of_space_and_grid_hold_under_flags_and_methods(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GRID_FILE.format(metric="accuracy"))
    file = str(tmp_path / "mine.yaml")
    plan = make_compare_plan(settings("r2d", (1,), grid=file, overrides={"warmup_ratio": 0.5}))
    assert [arm.name for arm in plan.arms] == ["r2d-1", "r2d-weight_decay=0.1-1"]
    assert plan.info.space["metric"] == "accuracy"
    for arm in plan.arms:
        assert (arm.config.learning_rate, arm.config.warmup_ratio) == (1e-4, 0.5)
        assert arm.config.selection_metric == "accuracy"
    plan = make_compare_plan(settings("r2d", (1,), space=file))
    assert [(a.name, a.config.learning_rate) for a in plan.arms] == [("r2d-1", 1e-4)]
    with pytest.raises(UserError, match="--space embedded selects by macro_f1 to max, --grid mine"):
        make_compare_plan(settings("r2d", (1,), space="embedded", grid=file))


def test_the_base_source_among_the_compared_ones_has_its_prepared_folder() -> None:
    flag = {"rationale_source": "llm"}
    plan = make_compare_plan(
        settings("r2d", (1,), rationale_sources=("nurse", "llm"), overrides=flag)
    )
    assert "rationale_source" not in arm_values(plan.arms[1], plan.info)
    named = {name: config.rationale_source for name, config in ComparisonRun(plan).configs()}
    assert named == {"nurse": "nurse", "llm": "llm"}


def test_arms_of_one_source_share_their_prepared_data() -> None:
    plan = make_compare_plan(settings("r2d sft", (1,)))
    assert [name for name, _ in ComparisonRun(plan).configs()] == ["", ""]


def test_a_flag_is_refused_only_where_every_method_fixes_it_otherwise() -> None:
    flag = {"label_loss_weight": 0.6}
    plan = make_compare_plan(settings("r2d sft", (1,), overrides=flag))
    assert [arm.config.label_loss_weight for arm in plan.arms] == [0.6, 1.0]
    with pytest.raises(UserError, match=r"label_loss_weight = 0.6: every compared method fixes"):
        make_compare_plan(settings("sft dss", (1,), overrides=flag))


def test_as_many_arms_at_once_as_fit_were_asked_for_and_are_there() -> None:
    plan = make_compare_plan(settings())
    assert plan.concurrency(Capacity(3, 0)) == 3
    assert plan.concurrency(Capacity(64, 0)) == 4
    assert make_compare_plan(settings(max_concurrent_trials=2)).concurrency(Capacity(64, 0)) == 2


# The command

Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in an empty working directory; returns exit code, stdout and stderr."""
    for name in ("R2D_DATA", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def go(words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        try:
            code = compare_main(["--profile", "embedded", "--limit", "40", *words.split()])
        except SystemExit as end:
            code = int(str(end.code))
        return code, *capfd.readouterr()

    return go


GRID = "--dataset triage --methods sft r2d --seeds 1 2"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--dataset triage --methods r2d r3d", ["'r3d'", "'r2d'", "dss"]),
        ("--dataset triage", ["--methods is missing", "teacher_forcing"]),
        ("--methods r2d", ["--dataset is missing"]),
        (f"{GRID} --seeds 1 -1", ["--seeds -1", "0"]),
        (f"{GRID} --seeds one", ["--seeds", "'one'", "whole number"]),
        (f"{GRID} --rationale-sources nurse gpt", ["gpt", "llm, nurse"]),
        (f"{GRID} --rationale-source gpt", ["'gpt'", "llm, nurse"]),
        (f"{GRID} --tuned-from nowhere", ["nowhere", "study.json"]),
        (f"{GRID} --set label_loss_weight=2", ["label_loss_weight = 2", "1"]),
        (f"{GRID} --name ../up", ["'../up'", "A-Z"]),
        (f"{GRID} --num-workers 1000", ["--num-workers 1000", "CPUs"]),
        (f"{GRID} --grid ablation --tuned-from x", ["--grid with --tuned-from", "one of the two"]),
        (f"{GRID} --grid embedded", ["--grid embedded: learning_rate is a range"]),
        (f"{GRID} --grid ablate", ["unknown search space 'ablate'", "ablation"]),
        (f"{GRID} --resume must", ["--resume must", "stored study"]),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    run: Run, tmp_path: Path, words: str, said: list[str]
) -> None:
    code, _, error = run(words)
    assert code == EXIT_BAD_INPUT
    assert error.startswith("error: ")
    assert error.count("\n") == 1, error
    assert all(part in error for part in said), error
    assert not list(tmp_path.iterdir())
    assert not ray.is_initialized()


def test_the_list_shows_every_method_with_its_source_and_its_differences(run: Run) -> None:
    code, out, error = run("--list")
    assert (code, error) == (EXIT_DONE, "")
    lines = out.splitlines()
    for method in METHODS.values():
        at = lines.index(f"{method.name}: {method.description}")
        assert lines[at + 1] == f"  source: {method.source}"
        assert lines[at + 2].startswith("  differences from r2d: ")
        shown = lines[at + 2].removeprefix("  differences from r2d: ")
        fields = {part.partition("=")[0] for part in shown.split(", ")}
        assert fields - {"none"} == {
            name for name, value in method.values.items() if getattr(TrainConfig(), name) != value
        }
    assert len(lines) == 3 * len(METHODS)


def test_a_dry_run_prints_every_arm_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    code, out, error = run(f"{GRID} --dry-run --max-concurrent-trials 1")
    assert (code, error) == (EXIT_DONE, "")
    arms = out[out.index("4 arms, 1 at once") :].splitlines()[1:]
    assert [line.split(":")[0].strip() for line in arms] == ["sft-1", "sft-2", "r2d-1", "r2d-2"]
    assert "stage 1 0 + stage 2 500 steps" in arms[0]
    assert "stage 1 200 + stage 2 300 steps" in arms[2]
    assert (
        "stage 2 300 steps" in run(f"{GRID} --dry-run --equal label-examples")[1].splitlines()[-4]
    )
    assert not list(tmp_path.iterdir())
    assert not ray.is_initialized()


def test_a_grid_is_of_r2d_unless_methods_are_named(run: Run) -> None:
    code, out, error = run("--dataset triage --grid ablation --seeds 1 --smoke-test --dry-run")
    assert (code, error) == (EXIT_DONE, "")
    lines = out[out.index("6 arms") :].splitlines()[1:]
    assert lines[0].startswith("  r2d-1: stage 1 4 + stage 2 8 steps")
    assert lines[3].startswith("  r2d-stage1_max_steps=0-1: stage 1 0 + stage 2 12 steps")


def test_the_smallest_run_is_one_of_arms_without_stage_1_too(run: Run) -> None:
    code, out, error = run("--dataset triage --methods sft --seeds 1 --smoke-test --dry-run")
    assert (code, error) == (EXIT_DONE, "")
    assert "sft-1: stage 1 0 + stage 2 12 steps" in out


# Arms in order

SPACE = {"metric": "macro_f1", "mode": "max"}


def test_arms_are_handed_out_in_order_and_entered_as_they_end() -> None:
    ended: list[tuple[int, Any]] = []
    asked = [{"trial": number, "values": {"seed": number}} for number in (4, 1, 7)]
    books: Any = SimpleNamespace(
        ended=lambda *of: ended.append(of), info=toy_info("c", tiny_config(), SPACE, 3)
    )
    arms = ArmSearcher(asked, books)
    assert (arms.metric, arms.mode) == ("macro_f1", "max")
    assert [arms.suggest(name)["trial"] for name in ("a", "b")] == [4, 1]
    arms.on_trial_complete("b", {})
    assert arms.suggest("c") == asked[2]
    arms.on_trial_complete("c", error=True)
    arms.on_trial_complete("a", {})
    assert ended == [(1, {"seed": 1}), (7, {"seed": 7}), (4, {"seed": 4})]


def test_a_finished_comparison_leaves_records_with_scores_and_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_compare_plan(settings("r2d sft", (1, 2)))
    folder = StudyFolder(tmp_path)
    steps = [{"steps_done": 300, "stage1": {"steps_done": 200}}] * 2 + [{"steps_done": 500}]
    shares = {"sampled_share": [0.5], "changed_share": [0.25]}
    records = [record(n, arm=plan.arms[n].name, **more) for n, more in enumerate(steps)]
    records[0] = records[0].model_copy(update={"series": shares})
    records.append(record(3, status="failed", reason="the trial's driver died"))
    books: Any = SimpleNamespace(records={r.trial: r for r in reversed(records)})
    scores = {n: {"macro_f1": 0.5 + n / 10} for n in range(3)}
    monkeypatch.setattr(module, "evaluate_arms", lambda *_: scores)
    monkeypatch.setattr(module, "read_all", lambda *_: {0: {"reader_sufficiency": 0.75}})
    texts = RationaleScores({0: {"bleu": 7.5}}, {"trivial": {"bleu": 2.5}}, {"bleu_signature": "s"})
    monkeypatch.setattr(module, "compare_rationales", lambda *_: texts)

    result = finish(plan, folder, {}, books)
    stored = list(read_jsonl(folder.records_path, TrialRecord))
    assert [r.trial for r in stored] == [0, 1, 2, 3]
    # The fourth driver died before it could say which arm it was.
    assert [r.arm for r in stored] == ["r2d-1", "r2d-2", "sft-1", "sft-2"]
    assert stored[3].method == "sft"
    assert stored[0].test_metrics == {**{"macro_f1": 0.5, "reader_sufficiency": 0.75, "bleu": 7.5}}
    assert result["controls"]["trivial"] == {"bleu": 2.5}
    assert result["signatures"] == {"bleu_signature": "s"}
    assert stored[0].counts["changed_share"] == 0.25
    assert result["methods"]["r2d"]["macro_f1"]["mean"] == pytest.approx(0.55)
    assert (result["methods"]["sft"]["seeds"], result["methods"]["sft"]["failed"]) == (1, 1)
    assert result["trials"] == {"done": 3, "failed": 1}
    assert result["failures"] == {3: "the trial's driver died"}
    assert [name for name in result["controls"] if name.startswith("majority")]
    assert json.loads((tmp_path / "result.json").read_text())["arms"].keys() == {
        arm.name for arm in plan.arms
    }

    books.records[2] = record(2, steps_done=499)
    with pytest.raises(AssertionError, match="unequal optimiser steps"):
        finish(plan, folder, {}, books)
