"""Arms of a comparison: method x seed x setting x source, each a whole TrainConfig, on equal terms.

Equal terms: the same optimiser steps, examples, learning-rate schedule and selection rule, early
stop off. An arm without stage 1 gets its steps added to stage 2 unless that is switched off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from r2d_ray.comparison.grid import DEFAULT_SETTING
from r2d_ray.config import TrainConfig, build_config
from r2d_ray.errors import UserError
from r2d_ray.method.variants import Method
from r2d_ray.records import StudyInfo, TrialRecord
from r2d_ray.search.space import SearchSpace
from r2d_ray.study.folder import read_info, read_trials

NO_EARLY_STOP = {"early_stopping_patience": 0, "stage1_early_stopping_patience": 0}


@dataclass(frozen=True, slots=True)
class Arm:
    """One run of a comparison.

    `setting` is `default`, `tuned` or the fields of a grid's point that differ from the method's
    default (grid.setting_name); `source` is a rationale source; `fold` counts from 1.
    """

    method: str
    seed: int
    setting: str
    source: str | None
    config: TrainConfig
    fold: int | None = None

    @property
    def name(self) -> str:
        """The arm's name: a part of its files' names."""
        return self.run if self.fold is None else f"{self.run}-fold{self.fold}"

    @property
    def data(self) -> str:
        """The key of the arm's prepared data."""
        source = self.source or ""
        return source if self.fold is None else f"{source} fold {self.fold}"

    @property
    def run(self) -> str:
        """The name that the arm shares with its other folds."""
        setting = None if self.setting == DEFAULT_SETTING else self.setting
        parts = [self.method, setting, self.source]
        return "-".join([*(part for part in parts if part), str(self.seed)])


def equal_terms(values: Mapping[str, Any], stage1_steps: int, add_steps: bool) -> dict[str, Any]:
    """Return an arm's field values on equal terms.

    Args:
        values: The arm's fields.
        stage1_steps: Stage-1 steps of the arms that have a stage 1.
        add_steps: Whether an arm without stage 1 gets these steps in stage 2.
    """
    equal = {**values, **NO_EARLY_STOP}
    if add_steps and equal.get("stage1_max_steps") == 0:
        equal["max_steps"] = equal["max_steps"] + stage1_steps
    return equal


def make_arms(
    methods: Sequence[Method],
    seeds: Sequence[int],
    base: Mapping[str, Any],
    *,
    settings: Mapping[str, Mapping[str, Mapping[str, Any]]],
    sources: Sequence[str | None],
    add_steps: bool,
    folds: int | None = None,
) -> list[Arm]:
    """Return the arms: method x setting x source x seed x fold.

    Args:
        methods: Methods of the comparison.
        seeds: Seeds, the same for all.
        base: Field values under the methods: profile and flags.
        settings: Method name -> setting -> its field values; a method that is not there has its
            default alone.
        sources: Rationale sources; (None,) trains on the data set's first.
        add_steps: See `equal_terms`.
        folds: Number of folds, if any.

    Raises:
        UserError: if a flag sets a field that a method fixes, or values do not fit together.
    """
    base = {**TrainConfig().model_dump(), **base}
    arms = []
    for method in methods:
        for setting, chosen in settings.get(method.name, {DEFAULT_SETTING: {}}).items():
            for source in sources:
                for seed in seeds:
                    values = {**base, **chosen, **method.values, "seed": seed}
                    if source is not None:
                        values["rationale_source"] = source
                    values = equal_terms(values, base["stage1_max_steps"], add_steps)
                    config = build_config(values)
                    arms += [
                        Arm(method.name, seed, setting, source, config, fold)
                        for fold in (range(1, folds + 1) if folds else [None])
                    ]
    return arms


def check_plan(arms: Sequence[Arm]) -> None:
    """Raise UserError unless all arms take the same number of steps on batches of the same size."""
    first, *others = arms
    for arm in others:
        mine, wanted = ((a.config.stage1_max_steps + a.config.max_steps) for a in (arm, first))
        rows, wanted_rows = (a.config.global_batch_size for a in (arm, first))
        if (mine, rows) != (wanted, wanted_rows):
            raise UserError(
                f"arms on unequal terms: {first.name} {wanted} steps of {wanted_rows} rows, "
                f"{arm.name} {mine} of {rows} (allowed: the same, or --no-equal-steps)"
            )


def check_equal(records: Sequence[TrialRecord]) -> None:
    """Raise AssertionError unless finished arms made equally many steps on equally large batches.

    Read from the records, not from the plan: what was run counts.
    """
    done = [record for record in records if record.status == "done"]
    steps = {
        record.trial: record.steps_done + record.stage1.get("steps_done", 0) for record in done
    }
    assert len(set(steps.values())) <= 1, f"unequal optimiser steps by arm: {steps}"
    rows = Counter(
        record.config["per_device_train_batch_size"]
        * record.config["num_workers"]
        * record.config["gradient_accumulation_steps"]
        for record in done
    )
    assert len(rows) <= 1, f"unequal rows per step: {dict(rows)}"


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


def base_values(
    profile: Mapping[str, Any], spaces: Sequence[SearchSpace], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the field values under all methods: profile, fixed values of the spaces, flags.

    The selection rule is that of the last space.
    """
    fixed = {name: value for space in spaces for name, value in space.fixed.items()}
    rule = {"selection_metric": spaces[-1].metric}
    return {**profile, **fixed, **rule, **overrides}


def arm_values(arm: Arm, info: StudyInfo) -> dict[str, Any]:
    """Return the fields in which an arm differs from the comparison's base config."""
    values = arm.config.model_dump()
    return {name: value for name, value in values.items() if value != info.config.get(name)}
