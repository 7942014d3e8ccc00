"""The worker group of a stage: Ray Train's, without imports and a process that no trial uses.

`ray.train.torch` loads torch in the driver and in the controller, which only hand messages on, one
after the other before a worker starts; and Ray starts an actor for Ray Data though no data set is
passed. What ranks do to find each other is as in Ray 2.60, train/torch/config.py.

It goes once `ray.train.torch.TorchTrainer` costs no more than a second a trial. In ten alternating
pairs of a two-step stage that took a median of 17.1 s, this 15.7 s; the median difference of a pair
was 3.3 s (quartiles -1.4 and 7.3; 2026-11-28, two cores of an AMD EPYC under a load of 8 to 21).
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ray
from ray.exceptions import GetTimeoutError
from ray.train.backend import Backend, BackendConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

JOIN_TIMEOUT_S = 1800  # Ray's own
LEAVE_TIMEOUT_S = 30  # Ray's own; a rank that hangs is killed with its worker


def address_of_rank_zero() -> tuple[str, int]:
    """Return this worker's address and a free port."""
    from ray.train._internal.utils import get_address_and_port

    host, port = get_address_and_port()
    return str(host), int(port)


def join(backend: str, host: str, port: int) -> None:
    """Join the ranks of this group, in a worker."""
    import ray.train
    import torch
    from ray.train.torch import get_device

    context, device = ray.train.get_context(), get_device()
    os.environ |= {
        "MASTER_ADDR": host,
        "MASTER_PORT": str(port),
        "RANK": str(context.get_world_rank()),
        "WORLD_SIZE": str(context.get_world_size()),
        "LOCAL_RANK": str(context.get_local_rank()),
        "LOCAL_WORLD_SIZE": str(context.get_local_world_size()),
        "NODE_RANK": str(context.get_node_rank()),
        "ACCELERATE_TORCH_DEVICE": str(device),
    }
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.distributed.init_process_group(backend, timeout=timedelta(seconds=JOIN_TIMEOUT_S))


def leave() -> None:
    """Leave the group, in a worker."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


class ProcessGroup(Backend):
    """Makes torch's process group in the workers; where it runs itself it loads no torch."""

    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Join all ranks."""
        assert isinstance(backend_config, ProcessGroupConfig)
        host, port = worker_group.execute_single(0, address_of_rank_zero)
        worker_group.execute(join, backend_config.backend, host, port)

    def on_shutdown(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Let all ranks leave; a group of one ends with its process."""
        if len(worker_group) > 1:
            with suppress(GetTimeoutError):  # the workers are killed next
                ray.get(worker_group.execute_async(leave), timeout=LEAVE_TIMEOUT_S)


@dataclass
class ProcessGroupConfig(BackendConfig):
    """Torch's process group with this backend: gloo or nccl."""

    backend: str = "gloo"

    @property
    def backend_cls(self) -> type[Backend]:
        """The class that Ray runs."""
        return ProcessGroup


class StageWorkers(DataParallelTrainer):
    """Ray's data-parallel trainer without the actor for Ray Data."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()
        return [one for one in callbacks if type(one).__name__ != "DatasetsCallback"]
