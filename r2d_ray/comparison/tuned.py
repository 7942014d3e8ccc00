"""The best settings of searches that a comparison takes over: one for a method, on its ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from r2d_ray.errors import UserError
from r2d_ray.records import StudyInfo
from r2d_ray.study.folder import read_info, read_trials

FINISHED = ("done", "pruned")  # a pruned trial was ended by its search; a failed one did not end


@dataclass(frozen=True, slots=True)
class Ground:
    """What a study must share with the comparison that takes over its best setting."""

    data: str
    profile: str
    model: str
    model_revision: str | None


def ground_of(info: StudyInfo) -> Ground:
    """Return a study's ground."""
    model = (info.config["model"], info.config["model_revision"])
    return Ground(f"{info.dataset} {info.data_hash[:12]}", info.profile, *model)


def tuned_values(
    folders: Sequence[Path], methods: Sequence[str], ground: Ground
) -> dict[str, dict[str, Any]]:
    """Return the searched values of the best trial, on validation, of each method's own study.

    Args:
        folders: Study folders, one for each method at most.
        methods: Methods of the comparison.
        ground: The comparison's own.

    Raises:
        UserError: for a study of another method, data, profile or model, two of the same method,
            or unequal numbers of finished trials.
    """
    found: dict[str, dict[str, Any]] = {}
    finished: dict[str, int] = {}
    for folder in folders:
        info = read_info(folder)
        if info.method not in methods:
            allowed = ", ".join(methods)
            raise UserError(
                f"--tuned-from {folder}: method {info.method!r} is not compared ({allowed})"
            )
        if info.method in found:
            raise UserError(
                f"--tuned-from {folder}: method {info.method!r} has two studies "
                "(allowed: one per method)"
            )
        check_ground(folder, ground_of(info), ground)
        records = read_trials(folder, info)
        best = info.objective.best_of(records)
        if best is None:
            raise UserError(f"--tuned-from {folder}: no trial finished")
        found[info.method] = {name: best.config[name] for name in info.space["search"]}
        finished[info.method] = sum(r.status in FINISHED for r in records)
    if len(set(finished.values())) > 1:
        raise UserError(
            f"--tuned-from: unequal numbers of finished trials {finished} "
            "(allowed: the same number; tune --extend adds trials)"
        )
    return found


def check_ground(folder: Path, theirs: Ground, ours: Ground) -> None:
    """Raise UserError where a study and the comparison differ in what they rest on."""
    for name, mine in asdict(ours).items():
        other = getattr(theirs, name)
        if other != mine:
            raise UserError(
                f"--tuned-from {folder}: searched with {name} {other!r}, compared with {mine!r} "
                "(allowed: the same)"
            )
