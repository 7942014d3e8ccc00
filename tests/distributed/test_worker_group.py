"""Ray Train's worker group without what no trial uses; joining itself: tests/ray."""

import os
from pathlib import Path
from typing import Any

import pytest
import ray.train
import torch
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from torch import distributed

from r2d_ray.distributed.worker_group import ProcessGroup, ProcessGroupConfig, StageWorkers, leave


def names(callbacks: list[Any]) -> list[str]:
    return [type(callback).__name__ for callback in callbacks]


def test_only_the_process_for_ray_data_is_left_out(tmp_path: Path) -> None:
    def group(kind: type[DataParallelTrainer]) -> list[str]:
        run_config = ray.train.RunConfig(storage_path=str(tmp_path))
        trainer = kind(print, backend_config=ProcessGroupConfig(), run_config=run_config)
        return names(trainer._create_default_callbacks())

    rays = group(DataParallelTrainer)
    assert "DatasetsCallback" in rays
    assert group(StageWorkers) == [name for name in rays if name != "DatasetsCallback"]


class OneWorker:
    """Stands for Ray's worker group: this process is its one rank."""

    def execute_single(self, rank: int, act: Any) -> Any:
        assert rank == 0
        return act()

    def execute(self, act: Any, *values: Any) -> list[Any]:
        return [act(*values)]

    def __len__(self) -> int:
        return 1


class Context:
    """Stands for a worker's context: rank 0 of 1."""

    def __getattr__(self, name: str) -> Any:
        return lambda: 1 if name.endswith("size") else 0


def test_a_group_of_one_joins_is_told_its_rank_and_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray.train.torch

    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(ray.train, "get_context", Context)
    monkeypatch.setattr(ray.train.torch, "get_device", lambda: torch.device("cpu"))
    ProcessGroup().on_start(OneWorker(), ProcessGroupConfig("gloo"))
    try:
        assert (distributed.get_backend(), distributed.get_world_size()) == ("gloo", 1)
        assert os.environ["ACCELERATE_TORCH_DEVICE"] == "cpu"
        assert os.environ["LOCAL_RANK"] == os.environ["NODE_RANK"] == "0"
        ProcessGroup().on_shutdown(OneWorker(), ProcessGroupConfig("gloo"))
        assert distributed.is_initialized()  # a group of one ends with its process
    finally:
        leave()
    assert not distributed.is_initialized()
    leave()  # what left already may leave again
