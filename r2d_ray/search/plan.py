"""From settings to a plan: data, trial 0, space and StudyInfo, before anything is written or run.

Defaults < profile (fitted to data and machine) < space's fixed values < method < flags; the merged
values are trial 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from r2d_ray.config import TrainConfig, build_config
from r2d_ray.data.columns import parse_columns
from r2d_ray.data.examples import Splits
from r2d_ray.data.location import DataRequest, locate
from r2d_ray.data.rows.tags import parse_kept
from r2d_ray.data.sources import load_splits
from r2d_ray.distributed.cluster import NO_GPUS, Capacity
from r2d_ray.errors import UserError
from r2d_ray.evaluation.costs import with_costs
from r2d_ray.method.variants import Method, get_method
from r2d_ray.records import StudyInfo
from r2d_ray.search.budget import fitted_values, profile_values, stored_profile
from r2d_ray.search.checks import (
    check_data,
    check_deepspeed_of,
    check_metric,
    check_warm_start,
    model_fields,
    with_model,
)
from r2d_ray.search.space import SearchSpace, distributions, load_search_space, prepare_space
from r2d_ray.study.folder import read_info
from r2d_ray.study.identity import study_info
from r2d_ray.study.place import check_name, root_of
from r2d_ray.study.settings import CompareSettings, SearchSettings, StudySettings

NAMED_SPACES = ("bioasq", "pubmedqa", "triage")  # sets that have a space of their own


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """All that a study will do: trial 0's config, space, data and what study.json will say."""

    settings: SearchSettings
    method: Method
    splits: Splits
    config: TrainConfig
    space: SearchSpace
    dropped_fields: tuple[str, ...]
    name: str
    info: StudyInfo

    def with_info(self, info: StudyInfo) -> StudyPlan:
        """Return the plan with another study.json."""
        return replace(self, info=info)

    def concurrency(self, capacity: Capacity) -> int:
        """Return how many trials run at once: what fits, at most what was asked for."""
        capacity.check(self.config)
        wanted = self.settings.max_concurrent_trials or self.settings.num_samples
        return min(capacity.concurrent_trials(self.config), wanted, self.settings.num_samples)


def data_request(settings: StudySettings) -> DataRequest:
    """Return what the settings ask of the data's readers."""
    return DataRequest(
        dataset=settings.dataset,
        data=Path(settings.data) if settings.data else None,
        profile=settings.profile,
        columns=parse_columns(settings.columns) if settings.columns else {},
        limit=settings.limit,
        sample_rows=settings.sample_rows,
        sample_ambiguous=settings.sample_ambiguous,
        rationale_rows=settings.rationale_rows,
        split_seed=settings.split_seed,
        keep=parse_kept(settings.keep_columns),
    )


def read_data(settings: StudySettings) -> Splits:
    """Return the splits that the settings name, checked.

    Raises:
        UserError: as the readers do.
    """
    return load_splits(data_request(settings))


def default_space(settings: SearchSettings | CompareSettings) -> str:
    """Return the space's name: as asked, else the profile's or, under paper, the set's own."""
    if settings.space:
        return settings.space
    if settings.profile != "paper":
        return settings.profile
    return settings.dataset if settings.dataset in NAMED_SPACES else "bioasq"


def check_flags(settings: SearchSettings, method: Method) -> None:
    """Raise UserError for a flag that sets a field that the method fixes to another value."""
    for name, value in settings.overrides.items():
        if name in method.values and value != method.values[name]:
            raise UserError(
                f"{name} = {value!r}: method {method.name} fixes it to {method.values[name]!r}"
            )


def study_name(settings: SearchSettings, dataset: str, config: TrainConfig) -> str:
    """Return the study's name: `--name`, else dataset, method and model."""
    model = Path(config.model).name
    name = settings.name or f"{dataset}-{settings.method}-{model}"
    check_name(name)
    return name


def with_former_split_seed(settings: SearchSettings, config: TrainConfig) -> SearchSettings:
    """Return the settings with the split seed of a stored study whose version had one seed only.

    Before 0.3 `--seed` drew the splits as well; such a study goes on with its rows.
    """
    if "split_seed" in settings.model_fields_set:
        return settings
    name = study_name(settings, locate(data_request(settings)).name, config)
    try:
        stored = read_info(root_of(settings.storage_path, name)).study
    except (OSError, UserError):
        return settings  # there is none, or `open_study` says what is wrong with it
    if "split_seed" in stored or "seed" not in stored:
        return settings
    return settings.model_copy(update={"split_seed": stored["seed"]})


def make_plan(settings: SearchSettings, capacity: Capacity = NO_GPUS) -> StudyPlan:
    """Return the plan of these settings on these machines; nothing is written.

    Where no profile is named and a study of this name is stored, it is that study's.

    Raises:
        UserError: for anything about data, method, space or values that cannot be trained.
    """
    plan = _plan(settings.for_gpus(capacity.gpus), capacity)
    stored = stored_profile(settings, plan.name)
    if stored is None or stored == plan.settings.profile:
        return plan
    return _plan(settings.under(stored), capacity)


def _plan(settings: SearchSettings, capacity: Capacity) -> StudyPlan:
    method = get_method(settings.method)
    loaded = load_search_space(default_space(settings))
    check_flags(settings, method)
    given = {**loaded.fixed, **method.values, **settings.overrides}
    values = {"seed": settings.seed, **profile_values(settings, capacity), **given}
    check_metric(loaded, values)
    fixed = {**method.values, **loaded.fixed_by(settings.overrides)}
    drawn, _ = prepare_space(loaded, values, fixed)  # refused before rows are read
    config = build_config({**values, "selection_metric": loaded.metric})
    config = with_model(config, settings.profile)
    settings = with_former_split_seed(settings, config)
    splits = read_data(settings)
    check_data(splits, config, drawn.search)
    values |= fitted_values(settings, config, splits, given) | model_fields(config)
    config = build_config({**values, "selection_metric": loaded.metric})
    space, dropped = prepare_space(loaded, values, fixed)
    settings = within_grid(settings, space)
    check_deepspeed_of(config, space)
    if settings.warm_start:
        check_warm_start(Path(settings.warm_start), space)
    name = study_name(settings, splits.name, config)
    info = study_info(
        settings, splits, config, name=name, method=method.name, space=space.model_dump(mode="json")
    )
    info = with_costs(info, settings.costs, splits, [config])
    return StudyPlan(settings, method, splits, config, space, dropped, name, info)


def within_grid(settings: SearchSettings, space: SearchSpace) -> SearchSettings:
    """Return the settings with no more trials than the grid has points, where a grid is drawn."""
    if settings.sampler != "grid":
        return settings
    from r2d_ray.search.samplers import grid_points

    points = len(grid_points(distributions(space)))
    return settings.model_copy(update={"num_samples": min(settings.num_samples, points)})
