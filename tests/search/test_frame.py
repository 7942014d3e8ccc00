"""A study's frame without Ray: what a new study leaves, what a refused one does not, resume."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_config, toy_info, toy_splits

from r2d_ray.config import TrainConfig
from r2d_ray.distributed.cluster import Capacity
from r2d_ray.errors import UserError
from r2d_ray.method.variants import get_method
from r2d_ray.search import frame
from r2d_ray.search.domain import Domain
from r2d_ray.search.frame import Missing, StudyRun, absent_folders
from r2d_ray.search.plan import StudyPlan
from r2d_ray.search.space import SearchSpace
from r2d_ray.search.tuner import Session
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.lock import StudyLock
from r2d_ray.study.progress.events import Event, PlannedTrial, StudyNote, StudyPlanned
from r2d_ray.study.settings import SearchSettings

SPACE = SearchSpace(
    name="s",
    metric="macro_f1",
    mode="max",
    search={"label_loss_weight": Domain(type="float", low=0.3, high=0.9)},
)


class Prepares(StudyRun[StudyPlan]):
    """A study that has nothing to train; its result is what it was given."""

    def configs(self) -> Iterator[tuple[str, TrainConfig]]:
        yield "", self.plan.config

    def planned(self) -> list[PlannedTrial]:
        return [PlannedTrial("trial 0", 8)]

    def missing(self, session: Session) -> Missing | None:
        return None

    def finish(self, session: Session) -> dict[str, Any]:
        assert session.books.info == self.plan.info
        return {"prepared": session.prepared, "at_once": session.concurrency}


@pytest.fixture(autouse=True)
def one_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "check_shared_storage", lambda root: None)


def plan(storage: Path, **more: Any) -> StudyPlan:
    config = tiny_config(stage1_max_steps=0)
    settings = SearchSettings.model_validate(
        {"dataset": "toy", "profile": "embedded", "num_samples": 2, "storage_path": str(storage)}
    )
    info = toy_info("s", config, SPACE.model_dump(mode="json"), 2).model_copy(update=more)
    return StudyPlan(settings, get_method("r2d"), toy_splits(), config, SPACE, (), "s", info)


def run(wanted: StudyPlan) -> tuple[dict[str, Any] | None, list[Event]]:
    events: list[Event] = []
    return Prepares(wanted).run("auto", Capacity(1, 0), 3, events.append), events


def test_a_new_study_tells_token_lengths_and_a_resumed_one_keeps_its_study_json(
    tmp_path: Path,
) -> None:
    result, events = run(plan(tmp_path))
    assert result is not None
    [folder] = (tmp_path / "s" / "prepared").iterdir()
    assert result == {"prepared": {"": folder}, "at_once": 3}
    [found] = events
    assert isinstance(found, StudyPlanned)
    assert not found.resumed
    assert (found.study, found.folder) == ("s", str(tmp_path / "s"))
    assert (found.metric, found.mode, found.at_once) == ("macro_f1", "max", 3)
    assert list(found.searched) == ["label_loss_weight"]
    assert (found.ended, found.goes_on) == ({}, {})
    stored = (tmp_path / "s" / "study.json").read_bytes()
    measured = json.loads((folder / "prepared.json").read_text())["tokens"]
    assert measured["train"]["max"] > 0
    assert json.loads(stored)["data_card"]["tokens"] == measured

    result, events = run(plan(tmp_path, versions={"ray": "3"}))
    assert result == {"prepared": {"": folder}, "at_once": 3}
    note, again = events
    assert note == StudyNote("resumed with another version: ray: absent -> '3'")
    assert again == replace(found, resumed=True)
    assert (tmp_path / "s" / "study.json").read_bytes() == stored


def test_refused_data_leaves_nothing_of_a_new_study(
    tmp_path: Path,
) -> None:
    storage = tmp_path / "not" / "there"
    wanted = plan(storage)
    refused = replace(wanted, config=tiny_config(rationale_source="nobody"))
    with pytest.raises(UserError, match="nobody"):
        run(refused)
    assert not list(tmp_path.iterdir())

    run(wanted)
    with pytest.raises(UserError, match="nobody"):
        run(refused)
    assert (storage / "s" / "study.json").exists(), "it is another command's study"


def test_a_study_in_use_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    run(plan(tmp_path))
    with StudyLock(StudyFolder(tmp_path / "s").root), pytest.raises(UserError, match="in use"):
        run(plan(tmp_path))
    assert (tmp_path / "s" / "study.json").exists()


def test_folders_that_are_not_there_are_named_from_within(tmp_path: Path) -> None:
    assert absent_folders(str(tmp_path)) == []
    wanted = [tmp_path / "a" / "b", tmp_path / "a"]
    assert absent_folders(str(tmp_path / "a" / "b")) == wanted
