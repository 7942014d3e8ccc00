"""From settings to a plan of a comparison: data, arms and StudyInfo; nothing is written or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from r2d_ray.comparison.arms import Arm, base_values, check_plan, make_arms
from r2d_ray.comparison.budgets import check_budgets
from r2d_ray.comparison.grid import DEFAULT_SETTING, check_grid, method_grid
from r2d_ray.comparison.rows import read_folds, with_every_source
from r2d_ray.comparison.tuned import Ground, tuned_values
from r2d_ray.config import TrainConfig, build_config
from r2d_ray.data.examples import Example, Splits
from r2d_ray.distributed.cluster import NO_GPUS, Capacity
from r2d_ray.errors import UserError
from r2d_ray.evaluation.costs import with_costs
from r2d_ray.method.variants import Method, get_method
from r2d_ray.records import StudyInfo
from r2d_ray.search.budget import fitted_values, profile_values, stored_profile
from r2d_ray.search.checks import check_data, model_fields, with_model
from r2d_ray.search.plan import default_space, read_data
from r2d_ray.search.space import SearchSpace, load_search_space
from r2d_ray.study.identity import study_info
from r2d_ray.study.place import check_name
from r2d_ray.study.settings import CompareSettings
from r2d_ray.training.deepspeed_file import check_deepspeed


@dataclass(frozen=True, slots=True)
class ComparePlan:
    """All that a comparison will do."""

    settings: CompareSettings
    splits: Splits
    arms: tuple[Arm, ...]
    name: str
    info: StudyInfo
    same: dict[str, tuple[str, ...]]  # row of the table -> a grid's other points of the same run
    folds: tuple[Splits, ...] = ()  # `splits` is then the first of them

    def splits_of(self, fold: int | None) -> Splits:
        """Return the splits of a fold, counted from 1; the only ones where there are none."""
        return self.splits if fold is None else self.folds[fold - 1]

    @property
    def parts(self) -> tuple[Splits, ...]:
        """The splits of every fold; the only ones where there are none."""
        return self.folds or (self.splits,)

    @property
    def tested(self) -> tuple[Example, ...]:
        """The test rows, of all folds."""
        return tuple(row for splits in self.parts for row in splits.test)

    def with_info(self, info: StudyInfo) -> ComparePlan:
        """Return the plan with another study.json."""
        return replace(self, info=info)

    def concurrency(self, capacity: Capacity) -> int:
        """Return how many arms run at once."""
        for arm in self.arms:
            capacity.check(arm.config)
        fits = min(capacity.concurrent_trials(arm.config) for arm in self.arms)
        return min(fits, self.settings.max_concurrent_trials or fits, len(self.arms))


def spaces_in_use(settings: CompareSettings) -> tuple[SearchSpace, SearchSpace | None]:
    """Return the space and the grid of these settings; the space alone where there is no grid.

    Raises:
        UserError: for no valid grid, or one that a study or another space's metric contradicts.
    """
    if settings.grid is None:
        return load_search_space(default_space(settings)), None
    if settings.tuned_from:
        raise UserError(
            "--grid with --tuned-from: a grid has its own settings for each method "
            "(allowed: one of the two)"
        )
    grid = load_search_space(settings.grid)
    check_grid(grid)
    if settings.space is None:
        return grid, grid
    space = load_search_space(settings.space)
    rules = [f"{s.metric} to {s.mode}" for s in (space, grid)]
    if rules[0] != rules[1]:
        raise UserError(
            f"--space {space.name} selects by {rules[0]}, --grid {grid.name} by {rules[1]} "
            "(allowed: the same)"
        )
    return space, grid


Settings = dict[str, dict[str, dict[str, Any]]]
"""Method -> setting -> field values."""


def grid_settings(
    settings: CompareSettings,
    methods: Sequence[Method],
    grid: SearchSpace,
    base: Mapping[str, Any],
) -> tuple[Settings, dict[str, tuple[str, ...]]]:
    """Return every method's points of the grid, and the rows that stand for other points too."""
    grids = {m.name: method_grid(grid, m, base, settings.overrides) for m in methods}
    same = {
        method if setting == DEFAULT_SETTING else f"{method}-{setting}": others
        for method, made in grids.items()
        for setting, others in made.same.items()
    }
    return {name: made.settings for name, made in grids.items()}, same


def tuned_settings(settings: CompareSettings, config: TrainConfig, splits: Splits) -> Settings:
    """Return the default and the best setting of every method that has a study of its own."""
    data = f"{splits.name} {splits.hash[:12]}"
    ground = Ground(data, settings.profile, config.model, config.model_revision)
    tuned = tuned_values([Path(study) for study in settings.tuned_from], settings.methods, ground)
    return {name: {DEFAULT_SETTING: {}, "tuned": best} for name, best in tuned.items()}


def check_flags(methods: Sequence[Method], flags: Mapping[str, Any]) -> None:
    """Raise UserError for a flag that no compared method uses.

    A flag is the base, a method's value stands above it.
    """
    for name, value in flags.items():
        if name == "stage1_max_steps":
            continue  # without a stage 1 an arm gets these steps in stage 2
        if all(method.values.get(name, value) != value for method in methods):
            raise UserError(f"{name} = {value!r}: every compared method fixes another value")


def make_compare_plan(settings: CompareSettings, capacity: Capacity = NO_GPUS) -> ComparePlan:
    """Return the plan of these settings on these machines; nothing is written.

    Where no profile is named and a comparison of this name is stored, it is that comparison's.

    Raises:
        UserError: for anything about data, methods or values that cannot be trained.
    """
    plan = _plan(settings.for_gpus(capacity.gpus), capacity)
    stored = stored_profile(settings, plan.name)
    if stored is None or stored == plan.settings.profile:
        return plan
    return _plan(settings.under(stored), capacity)


def _plan(settings: CompareSettings, capacity: Capacity) -> ComparePlan:
    methods = [get_method(name) for name in settings.methods]
    space, grid = spaces_in_use(settings)
    spaces = [space, grid or space]
    check_flags(methods, settings.overrides)
    check_budgets(settings)
    base = base_values(profile_values(settings, capacity), spaces, settings.overrides)
    config = with_model(build_config({**base, "seed": settings.split_seed}), settings.profile)
    compared = settings.rationale_sources
    folds = read_folds(settings, compared) if settings.folds else ()
    splits = folds[0] if folds else read_data(settings)
    given = base_values({}, spaces, settings.overrides)
    base |= fitted_values(settings, config, splits, given) | model_fields(config)
    config = build_config({**base, "seed": settings.split_seed})
    if grid is not None:
        chosen, same = grid_settings(settings, methods, grid, base)
    else:
        chosen, same = tuned_settings(settings, config, splits), {}
    if compared and not folds:
        splits = with_every_source(splits, compared)
    arms = make_arms(
        methods,
        settings.seeds,
        base,
        settings=chosen,
        sources=compared or (None,),
        equal=settings.equal,
        folds=settings.folds,
    )
    check_plan(arms, settings.equal)
    for arm in arms:
        check_data(folds[arm.fold - 1] if arm.fold else splits, arm.config)
        check_deepspeed(arm.config)
    what = grid.name if grid else "compare"
    name = settings.name or f"{splits.name}-{what}-{Path(config.model).name}"
    if settings.budgets:
        name = f"{name}-{config.max_steps}-steps"
    check_name(name)
    said = compared_space(space, arms, chosen)
    info = study_info(settings, splits, config, name=name, method="compare", space=said)
    info = with_costs(info, settings.costs, splits, [arm.config for arm in arms])
    return ComparePlan(settings, splits, tuple(arms), name, info, same, folds)


def compared_space(space: SearchSpace, arms: Sequence[Arm], chosen: Settings) -> dict[str, Any]:
    """Return what study.json says in the place of a space: the rule, the arms, what was tuned."""
    tuned = {method: made["tuned"] for method, made in chosen.items() if "tuned" in made}
    return {
        "metric": space.metric,
        "mode": space.mode,
        "arms": list(dict.fromkeys(arm.run for arm in arms)),
        "tuned": tuned,  # a search that went on since may have another best trial
    }
