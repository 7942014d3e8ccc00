"""Ray clusters of several nodes on this machine, and training runs that are watched and held.

A node is a raylet of its own with its own workers. What a worker did stands in the run's folder: a
line in `steps.txt` for each optimiser step that it made, whatever became of it afterwards.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
from conftest import tiny_config
from ray import cloudpickle
from ray.cluster_utils import Cluster
from ray.train import UserCallback

from r2d_ray.distributed import cluster as cluster_module
from r2d_ray.distributed import stage_job as train
from r2d_ray.distributed.cluster import DRIVER_RESOURCE, DRIVERS, TOKEN
from r2d_ray.distributed.stage_job import TrainingJob, run_training
from r2d_ray.model.t5 import load_weights

WAIT_S = 150.0  # until something must have happened; no test looks at how long it took
HOLD = "hold.json"
STEPS = {"max_steps": 60, "eval_steps": 20, "logging_steps": 7}
DEATHS = {  # a dead node is missed after about five seconds, not half a minute
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 5,
}


@contextmanager
def several_nodes(count: int) -> Iterator[Cluster]:
    """Start a head that trains nothing and so many nodes of one CPU; connect to it."""
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    os.environ["RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S"] = "0.5"
    # Set where this process has had a cluster of its own before (cluster.connect).
    os.environ.pop("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", None)
    cluster_module.keep_token_private(TOKEN.expanduser())
    nodes = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "resources": {DRIVER_RESOURCE: DRIVERS},
            "include_dashboard": True,
            "dashboard_host": "127.0.0.1",
            "dashboard_port": free_port(),  # 8265 may be another cluster's
            "_system_config": DEATHS,
        },
    )
    try:
        for _ in range(count):
            nodes.add_node(num_cpus=1)
        cluster_module.connect(nodes.address, cluster_module.Capacity(count, 0))
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


def free_port() -> int:
    """Return a port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(happened: Callable[[], Any], what: str, still: Callable[[], bool]) -> Any:
    """Return the first true answer; fail where it does not come or what should bring it ended."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        answer = happened()
        if answer:
            return answer
        assert still(), f"it ended before: {what}"
        time.sleep(0.05)
    raise AssertionError(f"not seen: {what}")


@dataclass(frozen=True)
class Step:
    """An optimiser step that a worker made."""

    step: int
    rank: int
    node: str
    pid: int


def steps_made(run_dir: Path, rank: int | None = None) -> list[Step]:
    """Return every step that workers made, in all their lives; of one rank if asked."""
    path = run_dir / "steps.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    made = [Step(**json.loads(line)) for line in lines]
    return [one for one in made if rank in (None, one.rank)]


def watched_worker(payload: dict[str, Any]) -> dict[str, Any]:
    """Train as `train_worker` does, count the steps and be held where the test asks.

    It goes to the worker by value, with all that it needs imported there.
    """
    import json
    import os
    import shutil
    import time
    from pathlib import Path

    import ray.train
    from transformers import TrainerCallback

    from r2d_ray.distributed import stage_job as train
    from r2d_ray.training import stage

    folder = Path(payload["run_dir"])
    path = folder / "hold.json"
    hold = json.loads(path.read_text()) if path.exists() else {}
    train.NOTICE_EVERY_S = hold.get("notice_every_s", train.NOTICE_EVERY_S)

    class Watch(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.first = state.global_step == 0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            made = {
                "step": state.global_step,
                "rank": args.process_index,
                "node": ray.get_runtime_context().get_node_id(),
                "pid": os.getpid(),
            }
            with (folder / "steps.txt").open("a") as lines:
                lines.write(json.dumps(made) + "\n")
            if not self.first:
                return
            if state.global_step == hold.get("until_notice"):
                (folder / f"waits-{args.process_index}").touch()
                while ray.train.get_preemption_info() is None:
                    time.sleep(0.1)
            if state.global_step == hold.get("for_ever"):
                (folder / f"held-{args.process_index}").touch()
                time.sleep(3600)

    real = stage.run_stage

    def run_stage(*given: Any, callbacks: Any = (), **named: Any) -> Any:
        return real(*given, callbacks=[*callbacks, Watch()], **named)

    def report_or_die(metrics: Any, checkpoint: Any, **more: Any) -> None:
        again = "checkpoint_upload_mode" in more  # a checkpoint that is made known to Ray
        if metrics.get("step") == hold.get("die_before_it_counts", -1) and not again:
            shutil.copytree(checkpoint.path, folder / "ray" / "checkpoint_2000-01-01_00-00-00")
            os._exit(1)
        report(metrics, checkpoint=checkpoint, **more)

    report, ray.train.report = ray.train.report, report_or_die
    stage.run_stage = run_stage
    return train.train_worker(payload)


class Heard(UserCallback):
    """Writes down the steps of the evaluations that Ray passes on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def after_report(self, run_context: Any, metrics: Any, checkpoint: Any) -> None:
        with self.path.open("a") as file:
            file.write(f"{metrics[0]['step']}\n")


class Run:
    """A training run in a thread of its own, watched."""

    def __init__(self, job: TrainingJob, callbacks: Sequence[Any] = (), **hold: Any) -> None:
        job.run_dir.mkdir(parents=True, exist_ok=True)
        (job.run_dir / HOLD).write_text(json.dumps(hold))
        self.job, self.callbacks = job, callbacks
        self.outcome: dict[str, Any] | None = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.outcome = run_training(self.job, self.callbacks)
        except BaseException as error:  # told by `result`
            self.error = error

    def wait_for(self, *names: str) -> None:
        """Wait until these files are in the run's folder."""
        for name in names:
            wait_until((self.job.run_dir / name).exists, name, self.thread.is_alive)

    def result(self) -> dict[str, Any]:
        """Return the outcome of the run, without the time that it took."""
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive(), "the run does not end"
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return {**self.outcome, "step_s": None}


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let runs of this process be watched."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(train, "train_worker", watched_worker)
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def job_of(prepared_dir: Path, run_dir: Path, **values: object) -> TrainingJob:
    """Return a small stage 2, with dropout."""
    config = tiny_config(**{**STEPS, "dropout_rate": 0.1, **values})
    return TrainingJob(config, "stage2", prepared_dir, run_dir)


def same_weights(one: Path, other: Path) -> bool:
    """Tell whether two runs selected the same weights, bit for bit."""
    a, b = (load_weights(str(folder / "best")).state_dict() for folder in (one, other))
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


def log_lines(nodes: Cluster, words: str) -> list[str]:
    """Return the lines of all logs of this cluster's processes that hold these words."""
    logs = Path(nodes.head_node.get_logs_dir_path())
    found = subprocess.run(
        ["grep", "-rhaF", words, str(logs)], capture_output=True, text=True, check=False
    )
    return found.stdout.splitlines()
