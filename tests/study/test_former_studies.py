"""Studies that earlier versions wrote are gone on with by today's commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from r2d_ray.comparison.plan import make_compare_plan
from r2d_ray.errors import UserError
from r2d_ray.records import StudyInfo
from r2d_ray.search.plan import make_plan
from r2d_ray.study.folder import read_info
from r2d_ray.study.identity import settings_of
from r2d_ray.study.opening import open_study
from r2d_ray.study.settings import CompareSettings, TrainSettings, build_settings

OLD = Path(__file__).parents[1] / "data" / "old"
SHORT = {
    "model": str(OLD / "model"),
    "stage1_max_steps": 6,
    "stage1_eval_steps": 3,
    "max_steps": 20,
    "eval_steps": 5,
    "logging_steps": 5,
    "per_device_train_batch_size": 8,
}
LONG = {"max_steps": 1000, "eval_steps": 100, "early_stopping_patience": 0, "logging_steps": 500}
ASKED = {
    "dataset": "bioasq",
    "profile": "embedded",
    "sample_rows": (60, 20, 20),
    "overrides": SHORT,
}


def as_stored(info: StudyInfo) -> StudyInfo:
    """The plan's info with the model named as the old study names it, not by its whole path."""
    return info.model_copy(update={"config": {**info.config, "model": "tests/data/old/model"}})


def reopened(tmp_path: Path, name: str, info: StudyInfo, **study: Any) -> bool:
    """Whether the old study of this name, with these settings of its own, is gone on with."""
    shutil.copytree(OLD / name, tmp_path / name)
    path = tmp_path / name / "study.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "study": {**stored["study"], **study}}))
    return open_study(str(tmp_path), name, as_stored(info), "must").resumed


def comparison(**more: Any) -> StudyInfo:
    asked = {**ASKED, "methods": ("sft", "r2d"), "seeds": (1,), "name": "comparison", **more}
    return make_compare_plan(build_settings(asked, CompareSettings)).info


@pytest.mark.parametrize(
    "unheeded",
    [{}, {"study": ["a"]}, {"num_samples": 7, "sampler": "gp", "warm_start": "x"}],
    ids=["as it is", "with study", "with flags of a search"],
)
def test_a_former_comparison_is_gone_on_with(tmp_path: Path, unheeded: dict[str, Any]) -> None:
    assert reopened(tmp_path, "comparison", comparison(), **unheeded)


def test_a_former_comparison_of_other_seeds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"study.seeds: \[1\] -> \[1, 2\]"):
        reopened(tmp_path, "comparison", comparison(seeds=(1, 2)))


@pytest.mark.parametrize(("name", "trials"), [("ended", 2), ("interrupted", 3)])
def test_a_former_search_is_gone_on_with(tmp_path: Path, name: str, trials: int) -> None:
    overrides = SHORT | (LONG if name == "interrupted" else {})
    asked = {**ASKED, "num_samples": trials, "name": name, "overrides": overrides}
    info = make_plan(build_settings(asked)).info
    assert reopened(tmp_path, name, info)


def test_a_search_without_the_pruner_is_another(tmp_path: Path) -> None:
    asked = {**ASKED, "num_samples": 2, "name": "ended", "pruner": "none"}
    info = make_plan(build_settings(asked)).info
    with pytest.raises(UserError, match=r"study.pruner: 'halving' -> 'none'"):
        reopened(tmp_path, "ended", info)
    (tmp_path / "again").mkdir()
    assert reopened(tmp_path / "again", "ended", info, scheduler="none")


def test_a_former_single_run_is_gone_on_with(tmp_path: Path) -> None:
    asked = build_settings({**ASKED, "name": "ended"}, TrainSettings)
    info = make_plan(asked.as_search()).info
    assert reopened(tmp_path, "ended", info, num_samples=1, max_concurrent_trials=None)


def test_settings_are_told_in_todays_words() -> None:
    former = settings_of(read_info(OLD / "ended"))
    assert former["pruner"] == "halving"
    assert "scheduler" not in former
    odd = read_info(OLD / "ended").model_copy(update={"study": {"scheduler": ["asha"]}})
    assert settings_of(odd) == {"pruner": ["asha"]}


def test_a_study_whose_one_seed_drew_its_splits_goes_on_with_its_rows(tmp_path: Path) -> None:
    rows = [
        {"question": f"Question {i}?", "label": "yes" if i % 2 else "no", "rationale": "So."}
        for i in range(40)
    ]
    table = tmp_path / "notes.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {"dataset": str(table), "profile": "embedded", "seed": 7, "num_samples": 2}
    asked |= {"storage_path": str(tmp_path), "overrides": {"max_steps": 20, "eval_steps": 5}}
    former = make_plan(build_settings({**asked, "split_seed": 7})).info
    assert former.data_hash != make_plan(build_settings(asked)).info.data_hash

    study = {k: v for k, v in former.study.items() if k not in ("split_seed", "long_inputs")}
    stored = former.model_copy(update={"study": study})
    open_study(str(tmp_path), former.name, stored, "never")
    again = make_plan(build_settings(asked)).info
    assert again.data_hash == former.data_hash
    assert open_study(str(tmp_path), again.name, again, "must").resumed
    other = make_plan(build_settings({**asked, "split_seed": 8})).info
    with pytest.raises(UserError, match=r"study.split_seed: 7 -> 8"):
        open_study(str(tmp_path), other.name, other, "must")


def test_a_comparison_knows_its_split_seed_by_its_former_name() -> None:
    stored = read_info(OLD / "comparison").model_copy(update={"study": {"seed": 7}})
    assert settings_of(stored) == {"split_seed": 7}


def test_a_former_comparison_of_another_seed_goes_on_with_its_rows_and_profile(
    tmp_path: Path,
) -> None:
    rows = [
        {"question": f"Question {i}?", "label": "yes" if i % 2 else "no", "rationale": "So."}
        for i in range(40)
    ]
    table = tmp_path / "notes.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked: dict[str, Any] = {"dataset": str(table), "methods": ("sft", "r2d"), "seeds": (1,)}
    asked |= {"storage_path": str(tmp_path), "overrides": {"max_steps": 20, "eval_steps": 5}}

    def planned(**more: Any) -> StudyInfo:
        return make_compare_plan(build_settings({**asked, **more}, CompareSettings)).info

    former = planned(profile="embedded", split_seed=7)
    # Before 0.3 a comparison stored its one seed as `seed`, and knew no long inputs or folds.
    study = {k: v for k, v in former.study.items() if k not in ("long_inputs", "folds")}
    study["seed"] = study.pop("split_seed")
    open_study(str(tmp_path), former.name, former.model_copy(update={"study": study}), "never")

    again = planned(split_seed=7, name=former.name)  # `compare --seed 7`; no profile is named
    assert (again.profile, again.data_hash) == ("embedded", former.data_hash)
    assert open_study(str(tmp_path), again.name, again, "must").resumed
    with pytest.raises(UserError, match=r"study.split_seed: 7 -> 42"):
        open_study(str(tmp_path), former.name, planned(name=former.name), "must")
