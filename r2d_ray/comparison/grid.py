"""Grids of a comparison: a space's points as named settings of a method, each distinct run once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from r2d_ray.config import TrainConfig, build_config
from r2d_ray.errors import UserError
from r2d_ray.method.variants import Method
from r2d_ray.search.space import SearchSpace, distributions

DEFAULT_SETTING = "default"
NAME_LENGTH = 180  # characters; a file system gives 255 to method, setting, source, seed and ending
_ALIKE = "--set, for all arms"
NOT_A_SETTING = {
    "seed": "--seeds",
    "rationale_source": "--rationale-sources",
    **dict.fromkeys(("early_stopping_patience", "stage1_early_stopping_patience"), "0, for all"),
    **dict.fromkeys(("model", "model_revision", "stage1_rationale_source"), _ALIKE),
    **dict.fromkeys(("max_input_length", "max_rationale_length"), _ALIKE),
}
"""Fields that are not settings of an arm (one data preparation, equal terms), and what to use."""


@dataclass(frozen=True, slots=True)
class MethodGrid:
    """A method's settings by name, and the names of points that are the same run as another."""

    settings: dict[str, dict[str, Any]]
    same: dict[str, tuple[str, ...]]


def check_grid(grid: SearchSpace) -> None:
    """Raise UserError unless the grid has points, and its fields may differ between arms."""
    from r2d_ray.search.samplers import grid_points

    for field in grid.search:
        if field in NOT_A_SETTING:
            raise UserError(
                f"--grid {grid.name}: {field} is not a setting of an arm "
                f"(allowed: {NOT_A_SETTING[field]})"
            )
    grid_points(distributions(grid), f"--grid {grid.name}")


def method_grid(
    grid: SearchSpace, method: Method, base: Mapping[str, Any], flags: Mapping[str, Any]
) -> MethodGrid:
    """Return the settings that a grid makes of a method.

    Fields that the method or a flag fixes are left out of the method's points; where that leaves
    none the method has its default alone. Of points that are the same run (`effective`) the one
    that differs from the default in the fewest fields is run.

    Args:
        grid: A checked grid.
        method: Its values stand above the grid's.
        base: Field values under the methods, flags included.
        flags: Field values that the user set.

    Raises:
        UserError: for a point that cannot be trained, or a name too long for a file.
    """
    from r2d_ray.search.samplers import grid_points

    fixed = {**method.values, **grid.fixed_by(flags)}
    defaults = build_config({**base, **method.values}).model_dump()
    free = {
        field: domain.resolved(defaults[field])
        for field, domain in grid.search.items()
        if field not in fixed
    }
    points = grid_points(distributions(grid.model_copy(update={"search": free})))
    runs: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        key = json.dumps(effective(build_config({**defaults, **point})), sort_keys=True)
        runs.setdefault(key, []).append(point)
    settings, same = {}, {}
    for alike in runs.values():
        alike.sort(key=lambda point: len(differing(point, defaults)))
        first, *others = (setting_name(point, defaults) for point in alike)
        if len(first) > NAME_LENGTH:
            raise UserError(
                f"--grid {grid.name}: setting {first[:40]}... is too long for a file name "
                f"(allowed: {NAME_LENGTH} characters)"
            )
        settings[first] = alike[0]
        if others:
            same[first] = tuple(others)
    return MethodGrid(settings, same)


def differing(point: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Return the fields in which a point is not the default, sorted."""
    return sorted(field for field, value in point.items() if value != defaults[field])


def setting_name(point: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return a point's name: `sampling_decay=none,stage1_max_steps=0`, or `default`."""
    parts = [f"{field}={shown(point[field])}" for field in differing(point, defaults)]
    return ",".join(parts) or DEFAULT_SETTING


def shown(value: Any) -> str:
    """Return a value as the YAML file has it."""
    return value if isinstance(value, str) else json.dumps(value)


def effective(config: TrainConfig) -> dict[str, Any]:
    """Return the field values without those that do not matter beside the others.

    Two configs with equal values here train the same run, bit for bit: without stage 1 its numbers
    do not matter, without a shown label the gold probability does not, and a curve that does not
    fall has no length (schedules.gold_probability).
    """
    values = config.model_dump()
    idle: set[str] = set()
    if not config.stage1_max_steps:
        idle |= {"stage1_learning_rate", "stage1_eval_steps"}
    if not config.trains_rationales or config.rationale_prompt == "plain":
        idle |= {"sampling_decay", "sampling_decay_ratio", "gold_probability_floor"}
    elif config.sampling_decay == "none":
        idle |= {"sampling_decay_ratio", "gold_probability_floor"}
    elif config.sampling_decay == "constant":
        idle |= {"sampling_decay_ratio"}
    return {name: value for name, value in values.items() if name not in idle}
