"""A node taken away after a notice: a checkpoint at once, no step lost but the one in flight."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import Run, job_of, log_lines, same_weights, several_nodes, steps_made, wait_until
from loopback import watched as watched
from ray.cluster_utils import Cluster

from r2d_ray.distributed import stage_job as train

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
TWO = {"num_workers": 2, "zero_stage": 2, "per_device_train_batch_size": 2}
NOTICE_S = 25


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with several_nodes(3) as cluster:
        yield cluster


def announce(nodes: Cluster, name: str) -> None:
    """Tell the cluster that this node will be taken away, as a cloud does."""
    ray_command = str(Path(sys.executable).with_name("ray"))
    told = ["--node-id", name, "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    more = ["--reason-message", "spot", "--deadline-remaining-seconds", str(NOTICE_S)]
    command = [ray_command, "drain-node", "--address", nodes.address, *told, *more]
    subprocess.run(command, check=True, capture_output=True)


def test_a_notice_makes_a_checkpoint_that_leaves_no_trace_and_counts_as_no_failure(
    tmp_path: Path,
    prepared_dir: Path,
    nodes: Cluster,
    watched: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(train, "MAX_FAILURES", 0)  # were it counted as one, the run would fail
    calm = Run(job_of(prepared_dir, tmp_path / "calm", **TWO))
    want = calm.result()

    # The notice comes at step 26; three steps later the workers are held until its time is up.
    holds = {"until_notice": 26, "for_ever": 29, "notice_every_s": 0.0}
    hit = Run(job_of(prepared_dir, tmp_path / "hit", **TWO), **holds)
    hit.wait_for("waits-0", "waits-1")
    going = steps_made(tmp_path / "hit", rank=1)[-1].node
    announce(nodes, going)
    hit.wait_for("held-0", "held-1")
    wait_until(
        lambda: len(steps_made(tmp_path / "hit", rank=0)) > 29,
        "the run goes on elsewhere",
        hit.thread.is_alive,
    )
    nodes.remove_node(
        next(node for node in nodes.worker_nodes if node.node_id == going), allow_graceful=False
    )
    found = hit.result()
    assert found == want
    assert same_weights(tmp_path / "hit", tmp_path / "calm")
    for rank in (0, 1):
        steps = [one.step for one in steps_made(tmp_path / "hit", rank)]
        # The last evaluation was at step 20; only the step in flight is made twice.
        assert steps == [*range(1, 30), *range(29, 61)]
    after = {one.node for one in steps_made(tmp_path / "hit")[-60:]}
    assert len(after) == 2
    assert going not in after

    # Ray's own counters: one preemption of any number, and no failure.
    assert log_lines(nodes, "Source: preemption")
    assert log_lines(nodes, "Error count: 1 (max allowed: inf)")
    assert not log_lines(nodes, "Source: worker group")
