"""Whether the trackers that were asked for can serve, before anything is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from r2d_ray.errors import UserError
from r2d_ray.tracking.mlflow_runs import open_experiment

MLFLOW_URI = "MLFLOW_TRACKING_URI"
SQLITE = "sqlite:///"
WITHOUT_ACCOUNT = ("offline", "disabled")


def check_trackers(trackers: Sequence[str]) -> None:
    """Raise UserError for a tracker that is not installed or not told where to write."""
    for name in trackers:
        if find_spec(name) is None:
            raise UserError(
                f"--trackers {name}: not installed (allowed: after pip install 'r2d-ray[{name}]')"
            )
    if "mlflow" in trackers:
        if not os.environ.get(MLFLOW_URI):
            raise UserError(
                f"--trackers mlflow: {MLFLOW_URI} is not set (allowed: a server, http://HOST:5000, "
                "or a file, sqlite:////PATH/mlflow.db)"
            )
        # Workers have other working directories.
        os.environ[MLFLOW_URI] = whole_address(os.environ[MLFLOW_URI])
    if "wandb" in trackers and os.environ.get("WANDB_MODE") not in WITHOUT_ACCOUNT:
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        if not wandb.login(prompt=False, verify=False):  # a key is there; nothing is asked
            raise UserError(
                "--trackers wandb: no account (allowed: after `wandb login`, WANDB_API_KEY, or "
                "WANDB_MODE=offline)"
            )


def wandb_place() -> str:
    """Return where Weights & Biases' runs go, in words."""
    mode = os.environ.get("WANDB_MODE", "online")
    if mode != "online":
        return f"({mode}: nothing is sent)"
    import wandb

    return f"at {wandb.Settings().base_url}"


def open_trackers(trackers: Sequence[str], study: str) -> None:
    """Make the study's experiment before trials begin at once.

    Raises:
        UserError: if MLflow's server does not answer.
    """
    if "mlflow" not in trackers:
        return
    from mlflow.exceptions import MlflowException

    try:
        open_experiment(study)
    except MlflowException as error:
        why = str(error).splitlines()[0]
        raise UserError(f"--trackers mlflow: {os.environ[MLFLOW_URI]}: {why}") from None


def whole_address(address: str) -> str:
    """Return MLflow's address with the whole path of a file: sqlite:///a.db -> sqlite:////x/a.db."""
    if address.startswith(SQLITE):
        return SQLITE + str(Path(address.removeprefix(SQLITE)).absolute())
    return address if urlsplit(address).scheme else str(Path(address).absolute())


def tracker_lines(trackers: Sequence[str]) -> list[str]:
    """Return what a plan says of trackers: where runs go beside TensorBoard, and where not."""
    lines = []
    if "mlflow" in trackers:
        lines.append(f"tracked by MLflow at {os.environ[MLFLOW_URI]}")
    elif os.environ.get(MLFLOW_URI):
        lines.append(f"{MLFLOW_URI} is set, but nothing goes to MLflow without --trackers mlflow")
    if "wandb" in trackers:
        lines.append(f"tracked by Weights & Biases {wandb_place()}")
    return lines
