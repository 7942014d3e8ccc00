"""Several nodes: trials spread over them, one run over two, and one of them lost in mid-trial."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from conftest import TINY
from loopback import Run, job_of, same_weights, several_nodes, steps_made, wait_until
from loopback import watched as watched
from ray.cluster_utils import Cluster
from toy_table import write_csv

from r2d_ray.distributed.stage_job import CHECKPOINTS_KEPT
from r2d_ray.records import TrialRecord, read_jsonl

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
TWO = {"num_workers": 2, "zero_stage": 2, "per_device_train_batch_size": 2}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with several_nodes(3) as cluster:
        yield cluster


def node_of(nodes: Cluster, name: str) -> Any:
    return next(node for node in nodes.worker_nodes if node.node_id == name)


def test_a_node_lost_in_mid_trial_leaves_no_trace_in_a_run_over_two_nodes(
    tmp_path: Path, prepared_dir: Path, nodes: Cluster, watched: None
) -> None:
    calm = Run(job_of(prepared_dir, tmp_path / "calm", **TWO))
    want = calm.result()
    made = steps_made(tmp_path / "calm")
    assert [one.step for one in made if one.rank == 0] == list(range(1, 61))
    assert len({one.node for one in made}) == 2  # one run over two nodes
    assert {one.rank for one in made} == {0, 1}

    # Held seven steps after the second checkpoint, the node of rank 0 goes.
    hit = Run(job_of(prepared_dir, tmp_path / "hit", **TWO), for_ever=47)
    hit.wait_for("held-0", "held-1")
    lost = steps_made(tmp_path / "hit", rank=0)[-1].node
    nodes.remove_node(node_of(nodes, lost), allow_graceful=False)
    found = hit.result()
    assert found == want
    assert same_weights(tmp_path / "hit", tmp_path / "calm")
    for rank in (0, 1):
        steps = [one.step for one in steps_made(tmp_path / "hit", rank)]
        assert steps == [*range(1, 48), *range(41, 61)]  # 7 steps twice: within the interval of 20
    after = steps_made(tmp_path / "hit")[-40:]
    assert len({one.node for one in after}) == 2
    assert lost not in {one.node for one in after}
    kept = list((tmp_path / "hit" / "ray").glob("checkpoint_*/"))
    assert len(kept) == CHECKPOINTS_KEPT
    nodes.add_node(num_cpus=1)


def search(folder: Path, address: str, storage: Path) -> subprocess.Popen[str]:
    """Start a search of three trials at once on this cluster."""
    values = {**TINY, "stage1_max_steps": 0, "max_steps": 20, "eval_steps": 10}
    sets = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    write_csv(folder / "rows.csv")
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "r2d_ray.tune", "--dataset", str(folder / "rows.csv")),
            *("--storage-path", str(storage), "--name", "s"),
            *("--num-samples", "3", "--max-concurrent-trials", "3", "--scheduler", "none"),
            *("--address", address, *sets),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
    )


def training_nodes() -> set[str]:
    """Return the nodes on which Ray Train's workers live now."""
    alive = [a for a in ray._private.state.actors().values() if a["State"] == "ALIVE"]
    workers = [a for a in alive if a["ActorClassName"] == "RayTrainWorker"]
    return {actor["Address"]["NodeID"] for actor in workers}


def test_trials_of_a_search_spread_over_the_nodes(tmp_path: Path, nodes: Cluster) -> None:
    process = search(tmp_path, nodes.address, tmp_path / "studies")
    try:
        spread = wait_until(
            lambda: len(training_nodes()) == 3, "three nodes train", lambda: process.poll() is None
        )
        assert spread
        said, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, said
    records = list(read_jsonl(tmp_path / "studies" / "s" / "records.jsonl", TrialRecord))
    assert sorted(r.trial for r in records) == [0, 1, 2]
    assert {r.status for r in records} == {"done"}


def may_unshare() -> bool:
    """Tell whether a process may have mounts of its own here."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not may_unshare(), reason="needs the right to `unshare -m`: a node of its own")
def test_storage_that_a_node_does_not_share_is_refused_before_the_first_trial(
    tmp_path: Path, nodes: Cluster
) -> None:
    storage = tmp_path / "studies"
    storage.mkdir()
    ray_command = Path(sys.executable).with_name("ray")
    join = f"{ray_command} start --address={nodes.address} --num-cpus=1 --block "
    join += "--object-store-memory=150000000"
    known = {node["NodeID"] for node in ray.nodes()}
    alone = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", f"mount -t tmpfs none {storage} && exec {join}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RAY_BACKEND_LOG_LEVEL": "error"},
    )
    try:
        wait_until(
            lambda: [n for n in ray.nodes() if n["Alive"] and n["NodeID"] not in known],
            "a node with a file system of its own",
            lambda: alone.poll() is None,
        )
        process = search(tmp_path, nodes.address, storage)
        said, _ = process.communicate(timeout=200)
    finally:
        alone.terminate()
        alone.wait(60)
    assert process.returncode == 2, said
    assert f"--storage-path {storage}: node " in said
    assert "cannot see it (allowed: a folder that every node shares)" in said
    assert not (storage / "s" / "records.jsonl").exists()
    assert not list((storage / "s").glob("trials/*"))
