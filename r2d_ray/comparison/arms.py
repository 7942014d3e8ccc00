"""Arms of a comparison: method x seed x setting x source, each a whole TrainConfig, on equal terms.

Equal terms: the same optimiser steps, or the same label examples (steps of stage 2), rows a step,
learning-rate schedule and selection rule, early stop off. Where steps are equal an arm without
stage 1 gets its steps added to stage 2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from r2d_ray.comparison.grid import DEFAULT_SETTING
from r2d_ray.config import TrainConfig, build_config
from r2d_ray.errors import UserError
from r2d_ray.method.variants import Method
from r2d_ray.records import StudyInfo, TrialRecord
from r2d_ray.search.space import SearchSpace

Equal = Literal["steps", "label-examples", "none"]
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


def equal_terms(values: Mapping[str, Any], stage1_steps: int, equal: Equal) -> dict[str, Any]:
    """Return an arm's field values on equal terms.

    Args:
        values: The arm's fields.
        stage1_steps: Stage-1 steps of the arms that have a stage 1.
        equal: At `steps` an arm without stage 1 gets these steps in stage 2.
    """
    found = {**values, **NO_EARLY_STOP}
    if equal == "steps" and found.get("stage1_max_steps") == 0:
        found["max_steps"] = found["max_steps"] + stage1_steps
    return found


def make_arms(
    methods: Sequence[Method],
    seeds: Sequence[int],
    base: Mapping[str, Any],
    *,
    settings: Mapping[str, Mapping[str, Mapping[str, Any]]],
    sources: Sequence[str | None],
    equal: Equal,
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
        equal: See `equal_terms`.
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
                    values = equal_terms(values, base["stage1_max_steps"], equal)
                    config = build_config(values)
                    arms += [
                        Arm(method.name, seed, setting, source, config, fold)
                        for fold in (range(1, folds + 1) if folds else [None])
                    ]
    return arms


def check_plan(arms: Sequence[Arm], equal: Equal = "steps") -> None:
    """Raise UserError unless all arms have alike what `equal` says, on batches of the same size."""
    if equal == "none":
        return
    first, *others = arms
    what = "steps" if equal == "steps" else "steps of stage 2"
    for arm in others:
        mine, wanted = (
            counted(a.config.stage1_max_steps, a.config.max_steps, equal) for a in (arm, first)
        )
        rows, wanted_rows = (a.config.global_batch_size for a in (arm, first))
        if (mine, rows) != (wanted, wanted_rows):
            raise UserError(
                f"arms on unequal terms: {first.name} {wanted} {what} of {wanted_rows} rows, "
                f"{arm.name} {mine} of {rows} (allowed: the same, or --equal none)"
            )


def counted(stage1: int, stage2: int, equal: Equal) -> int:
    """Return the steps that must be equal, of those of each stage."""
    return stage2 + (stage1 if equal == "steps" else 0)


def check_equal(records: Sequence[TrialRecord], equal: Equal = "steps") -> None:
    """Raise AssertionError unless finished arms made equally many steps on equally large batches.

    Read from the records, not from the plan: what was run counts.
    """
    if equal == "none":
        return
    done = [record for record in records if record.status == "done"]
    steps = {
        record.trial: counted(record.stage1.get("steps_done", 0), record.steps_done, equal)
        for record in done
    }
    assert len(set(steps.values())) <= 1, f"unequal optimiser steps by arm: {steps}"
    rows = Counter(
        record.config["per_device_train_batch_size"]
        * record.config["num_workers"]
        * record.config["gradient_accumulation_steps"]
        for record in done
    )
    assert len(rows) <= 1, f"unequal rows per step: {dict(rows)}"


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
