"""Which Ray cluster a study runs on and how much it can train at once."""

from __future__ import annotations

import math
import os
import secrets
import signal
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from r2d_ray.config import TrainConfig
from r2d_ray.distributed.stage_job import CPUS_PER_WORKER, check_environment
from r2d_ray.errors import UserError
from r2d_ray.storage import counted

BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")  # what `ray up` leaves on a head node
TOKEN = Path("~/.ray/auth_token")  # where Ray keeps it unless told otherwise
DRIVER_RESOURCE = "driver"  # of the head: trial drivers run there and take no CPU
DRIVERS = 100  # trial drivers that a head may hold


@dataclass(frozen=True, slots=True)
class Capacity:
    """CPUs and GPUs that trials may use: what nodes have and what the autoscaler may add."""

    cpus: float
    gpus: float
    gpu_gb: float | None = None
    """Memory of the smallest GPU in GB (1e9 bytes), where it is known."""
    gpu_name: str | None = None
    """What torch calls this machine's first GPU, where trials run on it."""
    gpus_here: float | None = None
    """GPUs of this machine, where the capacity is that of another one that is planned for."""

    def concurrent_trials(self, config: TrainConfig) -> int:
        """Return how many trials of this config can train at once."""
        workers = self.cpus / CPUS_PER_WORKER
        share = config.gpus_per_worker
        if share > 0:
            # A part of a GPU lies on one GPU: workers of 0.4 leave 0.2 of each unused.
            per_gpu = math.floor(1 / share) if share < 1 else 1 / share
            workers = min(workers, self.gpus * per_gpu)
        return math.floor(workers / config.num_workers)

    def check(self, config: TrainConfig) -> None:
        """Raise UserError if not even one trial fits, with both numbers."""
        if self.concurrent_trials(config) < 1:
            raise UserError(
                f"one trial needs {counted(config.num_workers * CPUS_PER_WORKER, 'CPU')} and "
                f"{counted(config.num_workers * config.gpus_per_worker, 'GPU')} (--num-workers "
                f"{config.num_workers}), the cluster has {counted(self.cpus, 'CPU')} and "
                f"{counted(self.gpus, 'GPU')} "
                "(--dry-run --cluster-gpus N plans for another)"
            )


PLANNED_CPUS = 1e6
"""CPUs of a cluster that is planned for by its GPUs: they set what fits."""

NO_GPUS = Capacity(math.inf, 0.0)
"""Any number of CPUs and no GPU."""


def resolve_address(wanted: str) -> str | None:
    """Return the address to connect to, None for a cluster of our own on this machine.

    `auto` takes `RAY_ADDRESS`, else a cluster whose head runs on this machine, else local.
    """
    if wanted == "local":
        return None
    if wanted != "auto":
        return wanted
    if os.environ.get("RAY_ADDRESS"):
        return os.environ["RAY_ADDRESS"]
    return "auto" if BOOTSTRAP.expanduser().exists() else None


def local_capacity() -> Capacity:
    """Return this machine's CPUs and GPUs, without starting Ray."""
    import torch

    gpus = torch.cuda.device_count()
    if gpus == 0:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed warns at every import
    found = [torch.cuda.get_device_properties(n) for n in range(gpus)]
    cpus = len(os.sched_getaffinity(0))
    if not found:
        return Capacity(cpus, gpus)
    return Capacity(cpus, gpus, min(gpu.total_memory for gpu in found) / 1e9, found[0].name)


def keep_token_private(token: Path) -> None:
    """Make a cluster's token before Ray does, for this user only; close one that stands open.

    Ray would write it as the umask says, mostly for all: who reads it runs code on the cluster.
    """
    token.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=token.parent) as file:  # mode 0600
        file.write(secrets.token_hex(32))
        file.flush()
        with suppress(FileExistsError):  # never over a token in use
            os.link(file.name, token)
    token.chmod(0o600)


def leave() -> None:
    """Leave the cluster, and end it where it is our own."""
    import ray

    ray.shutdown()


def connect(address: str | None, capacity: Capacity) -> None:
    """Join the cluster at the address, or start one of our own on loopback.

    The dashboard stays on: without its State API a trial's resources could leak (ray#54305).
    """
    import logging

    import ray

    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        # Nobody takes our own machine away: the process that would notice is left out.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        elsewhere = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
        if os.environ.get("RAY_AUTH_MODE", "token").lower() == "token" and not elsewhere:
            keep_token_private(TOKEN.expanduser())
        options |= {
            "num_cpus": int(capacity.cpus),
            "num_gpus": int(capacity.gpus),
            "resources": {DRIVER_RESOURCE: DRIVERS},
            "include_dashboard": True,
            "dashboard_host": "127.0.0.1",
        }
    # Ray's core takes over SIGTERM and aborts on it: give the handlers back to Python.
    handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(address=address or "local", **options)
    except (ConnectionError, ValueError) as error:
        if address is None:
            raise
        said = str(error).strip().splitlines()[0]
        raise UserError(f"--address {address}: {said} (allowed: auto, local, HOST:PORT)") from None
    if threading.current_thread() is threading.main_thread():
        for name, handler in handlers.items():
            signal.signal(name, handler)


def cluster_capacity(cluster_gpus: float | None) -> Capacity:
    """Return the connected cluster's capacity; `cluster_gpus` overrides the GPUs."""
    import ray

    have = ray.cluster_resources()
    cpus, gpus = have.get("CPU", 0.0), have.get("GPU", 0.0)
    path = BOOTSTRAP.expanduser()
    if path.exists():
        cpus, gpus = autoscaler_capacity(
            yaml.safe_load(path.read_text(encoding="utf-8")), cpus, gpus
        )
    return Capacity(cpus, gpus if cluster_gpus is None else cluster_gpus)


def autoscaler_capacity(cluster: dict[str, Any], cpus: float, gpus: float) -> tuple[float, float]:
    """Return the CPUs and GPUs of a cluster at its largest, at least what it has now.

    Args:
        cluster: A cluster YAML with `available_node_types`; the head type trains nothing.
        cpus: CPUs present.
        gpus: GPUs present.
    """
    types = cluster.get("available_node_types", {})
    workers = [spec for name, spec in types.items() if name != cluster.get("head_node_type")]
    limit = cluster.get("max_workers", sum(int(s.get("max_workers", 0)) for s in workers))

    def most(resource: str) -> float:
        """Return the most that `limit` nodes have: the types with the most of it first."""
        nodes = sorted(
            (
                float(spec.get("resources", {}).get(resource, 0))
                for spec in workers
                for _ in range(int(spec.get("max_workers", 0)))
            ),
            reverse=True,
        )
        return sum(nodes[: int(limit)])

    return max(cpus, most("CPU")), max(gpus, most("GPU"))


def check_shared_storage(root: Path) -> None:
    """Raise UserError unless every node of the connected cluster sees the study folder.

    One small task runs on each node and looks for a file written here.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) < 2:
        return
    marker = root / ".shared"
    marker.touch()
    look = ray.remote(num_cpus=0)(Path.exists)
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        if not ray.get(look.options(scheduling_strategy=there).remote(marker)):
            raise UserError(
                f"--storage-path {root.parent}: node {node['NodeManagerAddress']} cannot see it "
                "(allowed: a folder that every node shares)"
            )


def find_cluster(
    wanted: str, cluster_gpus: float | None, *, dry_run: bool = False
) -> tuple[str | None, Capacity]:
    """Return the cluster's address (None: one of our own, not started yet) and its capacity.

    Args:
        wanted: `auto`, `local` or an address.
        cluster_gpus: The GPUs that it can grow to, where it cannot tell.
        dry_run: Plans for so many GPUs where no cluster is, CPUs enough.

    Raises:
        UserError: for an address where no cluster is, and GPUs that one of our own cannot get.
    """
    check_environment()
    address = resolve_address(wanted)
    if address is None:
        if cluster_gpus is not None and dry_run:
            return None, Capacity(PLANNED_CPUS, cluster_gpus, gpus_here=local_capacity().gpus)
        if cluster_gpus is not None:
            raise UserError(
                f"--cluster-gpus {cluster_gpus:g}: a cluster on this machine alone cannot grow "
                "(allowed: the --address of another cluster, --dry-run)"
            )
        return None, local_capacity()
    connect(address, Capacity(0, 0))
    return address, cluster_capacity(cluster_gpus)
