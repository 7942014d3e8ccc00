from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2d_ray.config import TrainConfig
from r2d_ray.distributed import cluster as module
from r2d_ray.distributed.cluster import (
    Capacity,
    autoscaler_capacity,
    connect,
    local_capacity,
    resolve_address,
)
from r2d_ray.errors import UserError


@pytest.mark.parametrize(
    ("cpus", "gpus", "workers", "gpus_per_worker", "trials"),
    [
        (2, 0, 1, 0, 2),
        (7, 0, 3, 0, 2),
        (7, 0, 8, 0, 0),
        (64, 8, 1, 1, 8),
        (64, 8, 4, 1, 2),
        (4, 8, 1, 1, 4),  # as many as have a CPU
        (64, 8, 1, 2, 4),
        (64, 8, 1, 0.5, 16),
        (64, 2, 1, 0.4, 4),  # two of 0.4 on each, not 2 / 0.4
        (64, 1, 3, 0.1, 3),
        (64, 3, 3, 0.1, 10),
        (64, 0, 1, 1, 0),
    ],
)
def test_as_many_trials_at_once_as_have_cpus_and_gpus(
    cpus: float, gpus: float, workers: int, gpus_per_worker: float, trials: int
) -> None:
    config = TrainConfig(num_workers=workers, gpus_per_worker=gpus_per_worker)
    capacity = Capacity(cpus, gpus)
    assert capacity.concurrent_trials(config) == trials
    if trials:
        capacity.check(config)
    else:
        with pytest.raises(UserError):
            capacity.check(config)


@settings(deadline=None)
@given(
    cpus=st.integers(0, 100),
    gpus=st.integers(0, 16),
    workers=st.integers(1, 16),
    share=st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 1.0, 2.0]),
)
def test_never_more_than_can_train(cpus: int, gpus: int, workers: int, share: float) -> None:
    config = TrainConfig(num_workers=workers, gpus_per_worker=share)
    trials = Capacity(cpus, gpus).concurrent_trials(config)
    assert trials * workers <= cpus
    assert trials * workers * share <= gpus + 1e-9 or share == 0


def test_too_little_is_refused_with_both_numbers() -> None:
    config = TrainConfig(num_workers=99, gpus_per_worker=0.5)
    with pytest.raises(UserError) as caught:
        Capacity(8, 4).check(config)
    assert str(caught.value) == (
        "one trial needs 99 CPUs and 49.5 GPUs (--num-workers 99), "
        "the cluster has 8 CPUs and 4 GPUs (--dry-run --cluster-gpus N plans for another)"
    )


def node(most: int, **resources: float) -> dict[str, Any]:
    return {"max_workers": most, "resources": resources, "node_config": {}}


def test_a_cluster_at_its_largest_has_all_workers_and_no_head() -> None:
    cluster = {
        "max_workers": 10,
        "head_node_type": "head",
        "available_node_types": {
            "head": node(1, CPU=64, GPU=8),
            "cpu": node(2, CPU=16),
            "gpu": node(3, CPU=8, GPU=4),
        },
    }
    assert autoscaler_capacity(cluster, 4, 0) == (2 * 16 + 3 * 8, 3 * 4)


def test_the_clusters_own_limit_holds_for_all_types_together() -> None:
    types = {"small": node(4, CPU=8), "large": node(2, CPU=32, GPU=1), "gpu": node(3, CPU=4, GPU=4)}
    cluster = {"max_workers": 4, "available_node_types": types}
    # Most CPUs: 2 large and 2 small. Most GPUs: 3 gpu and 1 large.
    assert autoscaler_capacity(cluster, 0, 0) == (2 * 32 + 2 * 8, 3 * 4 + 1)


def test_what_is_there_counts_if_it_is_more() -> None:
    types = {"auto": {"max_workers": 3, "node_config": {}}}  # Ray finds out what it has
    assert autoscaler_capacity({"available_node_types": types}, 12, 2) == (12, 2)
    assert autoscaler_capacity({}, 12, 2) == (12, 2)
    types = {"cpu": node(3, CPU=2)}
    assert autoscaler_capacity({"available_node_types": types}, 12, 0) == (12, 0)


@pytest.fixture
def no_head_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No Ray about; returns where `ray up` leaves its file on a head."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(module, "BOOTSTRAP", tmp_path / "ray_bootstrap_config.yaml")
    return tmp_path / "ray_bootstrap_config.yaml"


def test_an_address_is_the_flag_then_the_environment_then_the_head_here_then_local(
    no_head_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve_address("auto") is None
    no_head_here.touch()
    assert resolve_address("auto") == "auto"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert resolve_address("auto") == "10.0.0.1:6379"
    assert resolve_address("10.0.0.2:6379") == "10.0.0.2:6379"
    assert resolve_address("local") is None
    monkeypatch.setenv("RAY_ADDRESS", "")
    assert resolve_address("auto") == "auto"


def test_an_address_that_is_none_is_refused(no_head_here: Path) -> None:
    with pytest.raises(UserError, match=r"--address nowhere: .*allowed: auto, local, HOST:PORT"):
        connect("nowhere", Capacity(0, 0))


def test_this_machine_has_the_cpus_that_this_process_may_use() -> None:
    assert local_capacity().cpus == len(os.sched_getaffinity(0))
