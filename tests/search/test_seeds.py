"""Several seeds of one trial: each trained once in its own place, and the mean decides."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_config, toy_info
from hypothesis import given
from hypothesis import strategies as st

from r2d_ray.cli import console
from r2d_ray.cli.estimate import search_estimate
from r2d_ray.cli.plans import plan_lines
from r2d_ray.distributed.cluster import Capacity
from r2d_ray.distributed.stage_job import STOP_FILE, TrainingJob
from r2d_ray.errors import UserError
from r2d_ray.records import Objective, SeedRun, StudyInfo, TrialRecord, read_jsonl
from r2d_ray.search.last_look import finalists, with_means, write_result
from r2d_ray.search.plan import make_plan
from r2d_ray.search.trial import RUN_OUTCOME, train_trial
from r2d_ray.study.books import Bookkeeper, save_outcome, trial_record
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.seeds import best_seed, means, of_seed, over_seeds, spreads
from r2d_ray.study.settings import build_settings

SPACE = {"metric": "macro_f1", "mode": "max", "search": {}}
F1 = {42: 0.5, 43: 0.8, 44: 0.2}
"""What each seed reaches."""


def info(seeds: int, **config: Any) -> StudyInfo:
    made = toy_info("s", tiny_config(**{"stage1_max_steps": 0, **config}), SPACE, 4)
    return made.model_copy(update={"study": {"num_samples": 4, "seeds_per_config": seeds}})


class Trainer:
    """Stands for Ray Train: notes its jobs, and fails, prunes or is killed at a seed."""

    def __init__(self, **at: Any) -> None:
        self.jobs: list[TrainingJob] = []
        self.at = at

    def __call__(self, job: TrainingJob, callbacks: list[Any]) -> dict[str, Any]:
        self.jobs.append(job)
        seed = job.config.seed
        if self.at.get("killed") == seed:
            raise KeyboardInterrupt
        if self.at.get("fails") == seed:
            raise RuntimeError("NonFiniteError: loss is nan at step 3")
        if self.at.get("asked") == seed:
            (job.run_dir / STOP_FILE).parent.mkdir(parents=True, exist_ok=True)
            (job.run_dir / STOP_FILE).touch()
        (job.best_dir).mkdir(parents=True, exist_ok=True)
        (job.best_dir / "model.safetensors").write_text(str(seed))
        scores = {4: F1[seed] / 2, 8: F1[seed]}
        return {
            "curve": [
                {"step": step, "scores": {"macro_f1": value, "accuracy": value / 2}}
                for step, value in scores.items()
            ],
            "series": {
                "step": [4.0, 8.0],
                "encoder_tokens": [10.0, 10.0],
                "decoder_tokens": [1.0, 1.0],
                "model_flops": [5.0, 5.0],
            },
            "selected_step": 8,
            "best_metric": F1[seed],
            "steps_done": 8,
            "pruned": self.at.get("pruned") == seed,
            "step_s": 0.1,
            "device": "cpu",
        }

    @property
    def seeds(self) -> list[int]:
        return [job.config.seed for job in self.jobs if job.stage == "stage2"]


def trained(root: Path, train: Trainer, seeds: int = 3, **config: Any) -> TrialRecord:
    values = {"label_loss_weight": 0.6}
    folder = StudyFolder(root)
    return train_trial(info(seeds, **config), folder, Path("p"), 2, values, [], train)


def test_every_seed_is_trained_in_its_own_place_and_the_mean_is_the_trials(tmp_path: Path) -> None:
    train = Trainer()
    record = trained(tmp_path, train)
    assert train.seeds == [42, 43, 44]
    place = tmp_path / "trials" / "0002"
    assert [job.run_dir for job in train.jobs] == [place, place / "run-1", place / "run-2"]
    assert [job.run for job in train.jobs] == [0, 1, 2]
    assert {job.config.label_loss_weight for job in train.jobs} == {0.6}
    # (0.5 + 0.8 + 0.2) / 3
    assert record.metrics == {"macro_f1": pytest.approx(0.5), "accuracy": pytest.approx(0.25)}
    assert [(run.seed, run.metrics["macro_f1"]) for run in record.seeds] == list(F1.items())
    assert [[e.step for e in run.curve] for run in record.seeds] == [[4, 8]] * 3
    assert (record.seed, record.config["seed"], record.status) == (42, 42, "done")
    assert [e.scores["macro_f1"] for e in record.curve] == [0.25, 0.5], "the first seed's"
    alone = trained(tmp_path / "alone", Trainer(), seeds=1)
    assert record.counts == {name: 3 * value for name, value in alone.counts.items()}
    assert TrialRecord.model_validate_json(record.model_dump_json()) == record


def test_one_seed_is_stored_as_ever(tmp_path: Path) -> None:
    record = trained(tmp_path, Trainer(), seeds=1)
    without = info(1).model_copy(update={"study": {"num_samples": 4}})  # a former study.json
    folder = StudyFolder(tmp_path / "former")
    former = train_trial(without, folder, Path("p"), 2, {"label_loss_weight": 0.6}, [], Trainer())
    assert record == former
    assert "seeds" not in json.loads(record.model_dump_json())
    assert not list(tmp_path.rglob(RUN_OUTCOME))
    asked = build_settings({"dataset": "bioasq", "seeds_per_config": 1})
    assert "seeds_per_config" not in asked.model_dump(mode="json")


@pytest.mark.parametrize("seed", [42, 43, 44])
def test_a_trial_that_was_killed_goes_on_at_the_seed_where_it_was(
    tmp_path: Path, seed: int
) -> None:
    want = trained(tmp_path / "calm", Trainer())
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "hit", Trainer(killed=seed))
    again = Trainer()
    assert trained(tmp_path / "hit", again) == want
    assert again.seeds == list(range(seed, 45))


@pytest.mark.parametrize(
    ("at", "trained_seeds"),
    [
        ({"pruned": 42}, [42]),
        ({"asked": 42}, [42]),  # too late for the first seed, which had no evaluation left
        ({"pruned": 43}, [42, 43]),  # the study's time is over
    ],
)
def test_a_trial_that_is_asked_to_end_trains_no_further_seed(
    tmp_path: Path, at: dict[str, int], trained_seeds: list[int]
) -> None:
    train = Trainer(**at)
    record = trained(tmp_path, train)
    assert train.seeds == trained_seeds
    assert record.status == "pruned"
    assert [run.seed for run in record.seeds] == trained_seeds
    assert record.metrics["macro_f1"] == 0.5, "the first seed's"


def test_a_seed_that_fails_fails_the_trial_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^seed 43: NonFiniteError: loss is nan at step 3$"):
        trained(tmp_path, Trainer(fails=43))


def test_stage_1_is_trained_once_for_each_seed_and_shared_by_trials(tmp_path: Path) -> None:
    train, folder = Trainer(), StudyFolder(tmp_path)
    study = info(2, stage1_max_steps=4)
    records = [
        train_trial(study, folder, Path("p"), number, {"label_loss_weight": weight}, [], train)
        for number, weight in enumerate((0.5, 0.6))
    ]
    first = [job.config.seed for job in train.jobs if job.stage == "stage1"]
    assert first == [42, 43]
    keys = [[run.stage1["key"] for run in record.seeds] for record in records]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 2
    weights = [job.weights for job in train.jobs if job.stage == "stage2"]
    assert [w and w.name for w in weights] == keys[0] * 2


def test_weights_of_every_seed_of_best_and_first_are_kept_and_no_others(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    books = Bookkeeper(folder, info(2))
    for number, value in enumerate((0.5, 0.9, 0.7)):
        for place in (folder.run_dir(number, 0), folder.run_dir(number, 1)):
            for name in ("best", "ray"):
                (place / name).mkdir(parents=True)
        ended = trial_record(info(2), number, {}, "done", metrics={"macro_f1": value})
        save_outcome(folder, ended, 0.0)
        books.ended(number, {})
    left = sorted(p.parent.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("best"))
    assert left == ["trials/0000", "trials/0000/run-1", "trials/0001", "trials/0001/run-1"]
    assert not list(tmp_path.rglob("ray"))


# Which seed is delivered, and the table


def seeded(number: int, *f1: float, first: int = 42) -> TrialRecord:
    runs = tuple(
        SeedRun(
            seed=first + place,
            curve=(),
            selected_step=4 + place,
            steps_done=8,
            metrics={"macro_f1": value},
        )
        for place, value in enumerate(f1)
    )
    config = tiny_config().model_dump()
    mean = statistics.fmean(f1)
    return TrialRecord(
        study="s",
        trial=number,
        method="r2d",
        dataset="toy",
        config=config,
        seed=first,
        status="done",
        metrics={"macro_f1": mean},
        seeds=runs,
    )


@pytest.mark.parametrize(
    ("mode", "place"), [("max", 1), ("min", 0)], ids=["the most", "the least, the first of equals"]
)
def test_the_seed_that_is_delivered_is_the_best_on_validation(mode: Any, place: int) -> None:
    record = seeded(1, 0.2, 0.7, 0.2, 0.7)
    assert best_seed(record, Objective("macro_f1", mode)) == place
    chosen = of_seed(record, place)
    assert (chosen.seed, chosen.config["seed"], chosen.selected_step) == (
        42 + place,
        42 + place,
        4 + place,
    )
    assert chosen.metrics == record.seeds[place].metrics
    assert not chosen.seeds


def test_a_trial_of_one_seed_is_delivered_as_it_is() -> None:
    record = seeded(1, 0.5).model_copy(update={"seeds": ()})
    assert best_seed(record, Objective("macro_f1", "max")) == 0
    assert of_seed(record, 0) is record


def test_the_best_trial_has_the_best_mean_not_the_best_seed() -> None:
    records = [seeded(0, 0.6, 0.6), seeded(1, 0.9, 0.1)]
    best = Objective("macro_f1", "max").best_of(records)
    assert best is not None
    assert best.trial == 0


def test_the_table_has_means_and_spreads_and_every_seed(tmp_path: Path) -> None:
    best, first = seeded(3, 0.6, 0.8), seeded(0, 0.5, 0.5)
    folder = StudyFolder(tmp_path)
    jobs = finalists(folder, tmp_path / "p", best, first)
    names = [job[0].name for job in jobs]
    rows = [f"{row}, seed {s}" for row in ("best (trial 3)", "trial 0 (the defaults)") for s in F1]
    rows = [row for row in rows if not row.endswith("44")]
    assert names == [*rows, "best without context"]
    assert [job[0].model_dir.relative_to(tmp_path).as_posix() for job in jobs] == [
        "trials/0003/best",
        "trials/0003/run-1/best",
        "trials/0000/best",
        "trials/0000/run-1/best",
        "best",
    ]
    assert [job[2].seed for job in jobs[:4]] == [42, 43, 42, 43]

    f1 = dict(zip(names, (0.4, 0.8, 0.5, 0.5, 0.3), strict=True))
    scores = {name: {"macro_f1": f1[name], "bleu": None, "signature": "s"} for name in names}
    table = with_means(scores, [best, first])
    assert list(table) == ["best (trial 3)", "trial 0 (the defaults)", *names]
    assert table["best (trial 3)"] == {
        "macro_f1": pytest.approx(0.6),
        "bleu": None,
        "signature": "s",
    }
    result = write_result(folder, of_seed(best, 1), table, [best, first], {})
    # ((0.4 - 0.6)^2 + (0.8 - 0.6)^2) / 1, its root
    assert result["spread"] == {
        "best (trial 3)": {"macro_f1": pytest.approx(0.08**0.5)},
        "trial 0 (the defaults)": {"macro_f1": 0.0},
    }
    assert result["config"]["seed"] == 43
    stored = {r.trial: r for r in read_jsonl(folder.records_path, TrialRecord)}
    assert stored[3].test_metrics == {"macro_f1": pytest.approx(0.6), "bleu": None}
    assert [run.test_metrics["macro_f1"] for run in stored[3].seeds] == [0.4, 0.8]
    shown = console.result_lines(table, result["spread"])
    assert shown[2].startswith("| best (trial 3), mean over seeds | 0.600 ± 0.283 | n/a |")
    assert shown[4].startswith("| best (trial 3), seed 42 | 0.400 | n/a |")


SCORES = st.dictionaries(
    st.sampled_from("abc"), st.none() | st.floats(0, 1) | st.just("words"), max_size=3
)


@given(st.lists(SCORES, min_size=2, max_size=5))
def test_a_mean_is_of_scores_that_every_seed_has(scores: list[dict[str, Any]]) -> None:
    whole = {n for n in "abc" if all(isinstance(each.get(n), float) for each in scores)}
    found, spread = means(scores), spreads(scores)
    assert set(found) == set(spread) == whole
    for name in whole:
        values = [each[name] for each in scores]
        assert min(values) - 1e-12 <= found[name] <= max(values) + 1e-12
        assert (spread[name] < 1e-9) == (max(values) - min(values) < 1e-9)


def test_a_record_of_fewer_seeds_than_wanted_is_pruned() -> None:
    runs = [of_seed(seeded(1, 0.4, 0.6), place) for place in (0, 1)]
    assert over_seeds(runs, 2).status == "done"
    assert over_seeds(runs, 3).status == "pruned"


# The plan


def plan_of(seeds: int) -> Any:
    return make_plan(
        build_settings(
            {
                "dataset": "bioasq",
                "profile": "embedded",
                "limit": 40,
                "num_samples": 3,
                "seeds_per_config": seeds,
            }
        )
    )


def test_the_plan_counts_every_seed() -> None:
    one, two = plan_of(1), plan_of(2)
    here = Capacity(2, 0)
    steps = one.config.stage1_max_steps + 3 * one.config.max_steps
    lines = ["\n".join(plan_lines(plan, here, 1)) for plan in (one, two)]
    assert f"trials 3, 1 at once, at most {steps} optimiser steps (stage 1, once:" in lines[0]
    assert f"trials 3 of 2 seeds each, 1 at once, at most {2 * steps} optimiser" in lines[1]
    assert "per trial and seed)" in lines[1]
    estimates = [search_estimate(plan, here, 1) for plan in (one, two)]
    assert estimates[1].hours == pytest.approx(2 * estimates[0].hours)
    assert estimates[1].disk_gb > estimates[0].disk_gb


@pytest.mark.parametrize("seeds", [0, -1, 101])
def test_a_number_of_seeds_out_of_bounds_is_refused(seeds: int) -> None:
    with pytest.raises(UserError, match=f"--seeds-per-config {seeds}: too "):
        plan_of(seeds)
