"""The environment variables of worker processes, and the check that no secret is among them."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from r2d_ray.config import TrainConfig
from r2d_ray.errors import UserError

PASSED_ON = (
    *("HF_HUB_OFFLINE", "HF_HOME", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"),
    *("WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_BASE_URL", "WANDB_DIR"),
)
"""What workers get of the command's environment; keys they find in their own."""
PASSWORDS = {
    "MLFLOW_TRACKING_URI": "MLFLOW_TRACKING_USERNAME and _PASSWORD",
    "WANDB_BASE_URL": "WANDB_API_KEY",
}
"""Addresses of trackers, and where the password belongs."""


def check_environment() -> None:
    """Raise UserError for a secret in what `worker_environment` passes on."""
    for name, instead in PASSWORDS.items():
        if "@" in urlsplit(os.environ.get(name, "")).netloc:
            raise UserError(
                f"{name} holds a user name or password, which Ray would show (allowed: an "
                f"address alone; {instead} in the nodes' environment)"
            )


def worker_environment(config: TrainConfig) -> dict[str, str]:
    """Return the environment variables of a worker process.

    Ray shows them on its dashboard and in its logs: no secret may be among them.
    """
    # The tokenizer is used before and after forks; its own threads would only warn.
    environment = {"TOKENIZERS_PARALLELISM": "false"}
    if config.gpus_per_worker == 0:
        environment["DS_ACCELERATOR"] = "cpu"
        environment["CUDA_VISIBLE_DEVICES"] = ""
    for name in PASSED_ON:
        if name in os.environ:
            environment[name] = os.environ[name]
    return environment
