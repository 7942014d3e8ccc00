"""The stage-1 cache: trained once per distinct setting and data, shared by all trials.

Whoever comes first builds an entry under a lock of the kernel; the others wait in their drivers and
hold no worker. All drivers of a study run on the head, so the lock is free the moment that its
holder dies. An entry counts only with a manifest whose file hashes hold; anything else is rebuilt.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from r2d_ray import __version__
from r2d_ray.config import STAGE1_FIELDS, TrainConfig
from r2d_ray.distributed.stage_job import TrainingJob, run_training
from r2d_ray.storage import file_digest, key_of, write_json

MANIFEST = "stage1.json"
POLL_S = 0.5  # seconds between looks of a waiting trial


@dataclass(frozen=True, slots=True)
class Stage1:
    """A finished entry: its folder of weights, key and training outcome."""

    folder: Path
    key: str
    outcome: dict[str, Any]
    built_here: bool


def stage1_key(config: TrainConfig, prepared_dir: Path) -> str:
    """Return the hash (16 hex digits) of everything on which the weights after stage 1 depend."""
    values = {name: getattr(config, name) for name in STAGE1_FIELDS}
    return key_of(__version__, prepared_dir.name, values)


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in the folder but the manifest, by name."""
    files = (path for path in sorted(folder.iterdir()) if path.is_file())
    return {path.name: file_digest(path) for path in files if path.name != MANIFEST}


def read_entry(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a whole entry, None where it is absent, half-written or damaged."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(manifest, dict) and manifest.get("files") == file_hashes(folder)
    return manifest if whole else None


def stage1_weights(
    config: TrainConfig,
    prepared_dir: Path,
    root: Path,
    train: Callable[[TrainingJob], dict[str, Any]] = run_training,
) -> Stage1:
    """Return the stage-1 entry of this setting, training it if nobody has.

    Raises:
        RuntimeError: if this process built the entry and training failed.
    """
    root.mkdir(parents=True, exist_ok=True)
    key = stage1_key(config, prepared_dir)
    folder = root / key
    manifest, built_here = read_entry(folder), False
    if manifest is None:
        with FileLock(root / f"{key}.lock").acquire(poll_interval=POLL_S):
            manifest = read_entry(folder)  # another may have built it meanwhile
            if manifest is None:
                manifest, built_here = build_entry(config, prepared_dir, folder, train), True
    return Stage1(folder, key, manifest["outcome"], built_here)


def build_entry(
    config: TrainConfig,
    prepared_dir: Path,
    folder: Path,
    train: Callable[[TrainingJob], dict[str, Any]],
) -> dict[str, Any]:
    """Train the entry beside its place and rename it there; return its manifest.

    Raises:
        RuntimeError: if training failed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    job = TrainingJob(config, "stage1", prepared_dir, work_folder(folder))
    outcome = train(job)
    manifest = {"outcome": outcome, "files": file_hashes(job.best_dir)}
    write_json(job.best_dir / MANIFEST, manifest)
    job.best_dir.rename(folder)
    for work in work_folders(folder).values():
        shutil.rmtree(work, ignore_errors=True)
    return manifest


def work_folder(folder: Path) -> Path:
    """Return a new builder's own folder, with the checkpoints that one before it left.

    Workers of a killed driver may live some seconds longer: what they still write goes to a name
    that counts for nothing.
    """
    left = work_folders(folder)
    own = folder.with_name(f"{folder.name}.{max(left, default=0) + 1}.work")
    if left:
        left[max(left)].rename(own)
    return own


def work_folders(folder: Path) -> dict[int, Path]:
    """Return the folders in which builders of an entry worked, by their number."""
    found = folder.parent.glob(f"{folder.name}*.work")  # version 0.1.0 gave no number
    return {int(work.name.split(".")[1].replace("work", "0")): work for work in found}
