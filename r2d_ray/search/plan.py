"""From settings to a plan: data, trial 0, space and StudyInfo, before anything is written or run.

Defaults < profile < space's fixed values < method < flags; the merged values are trial 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from r2d_ray.config import SCRATCH_MODELS, TrainConfig, build_config
from r2d_ray.data.card import data_card, with_tokens
from r2d_ray.data.columns import parse_columns
from r2d_ray.data.examples import Splits, pick_source
from r2d_ray.data.sources import DataRequest, check_source, load_splits
from r2d_ray.data.splits import MAX_LABELS
from r2d_ray.distributed.cluster import Capacity
from r2d_ray.errors import UserError
from r2d_ray.method.variants import Method, get_method
from r2d_ray.records import StudyInfo
from r2d_ray.search.space import SearchSpace, distributions, load_search_space, prepare_space
from r2d_ray.study.folder import check_name, read_info, read_trials
from r2d_ray.study.identity import git_commit, versions
from r2d_ray.study.settings import CompareSettings, SearchSettings, StudySettings

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
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

    def concurrency(self, capacity: Capacity) -> int:
        """Return how many trials run at once: what fits, at most what was asked for."""
        capacity.check(self.config)
        wanted = self.settings.max_concurrent_trials or self.settings.num_samples
        return min(capacity.concurrent_trials(self.config), wanted, self.settings.num_samples)


def read_data(settings: StudySettings) -> Splits:
    """Return the splits that the settings name, checked.

    Raises:
        UserError: as the readers do.
    """
    request = DataRequest(
        dataset=settings.dataset,
        data=Path(settings.data) if settings.data else None,
        profile=settings.profile,
        columns=parse_columns(settings.columns) if settings.columns else {},
        limit=settings.limit,
        sample_rows=settings.sample_rows,
        rationale_rows=settings.rationale_rows,
        seed=settings.seed,
    )
    return load_splits(request)


def default_space(settings: SearchSettings | CompareSettings) -> str:
    """Return the space's name: as asked, else the profile's or the set's own."""
    if settings.space:
        return settings.space
    if settings.profile == "embedded":
        return "embedded"
    return settings.dataset if settings.dataset in NAMED_SPACES else "bioasq"


def trial_0(settings: StudySettings, method: Method, space: SearchSpace) -> dict[str, Any]:
    """Return the field values of trial 0.

    Raises:
        UserError: if a flag sets a field that the method fixes to another value.
    """
    for name, value in settings.overrides.items():
        if name in method.values and value != method.values[name]:
            raise UserError(
                f"{name} = {value!r}: method {method.name} fixes it to {method.values[name]!r}"
            )
    merged: dict[str, Any] = {"seed": settings.seed}
    for layer in (settings.profile_values, space.fixed, method.values, settings.overrides):
        merged |= layer
    return merged


def find_model(config: TrainConfig) -> str:
    """Return the model's name as every process may use it: a folder by its whole path.

    Raises:
        UserError: for what is no T5 family model, or a folder without safetensors weights.
    """
    if config.model in SCRATCH_MODELS:
        return config.model
    from r2d_ray.model.t5 import check_checkpoint

    check_checkpoint(config)
    folder = Path(config.model)
    if not folder.is_dir():
        return config.model
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise UserError(
            f"--model {config.model}: no safetensors weights (allowed: a folder with {WEIGHTS[0]})"
        )
    return str(folder.resolve())


def check_data(splits: Splits, config: TrainConfig) -> None:
    """Raise UserError unless this data can train this run: labels and rationales are there."""
    if not splits.label_kind.closed:
        check_open_labels(splits, config)
    for source in (config.rationale_source, config.stage1_rationale_source):
        if source is not None:
            check_source(splits, source)
    trained = [config.rationale_source] if config.trains_rationales else []
    trained += [config.stage1_source] if config.stage1_max_steps else []
    for wanted in trained:
        source = pick_source(splits, wanted)
        if source is None:
            raise UserError(f"{splits.name} has no rationale to train on (allowed: --method sft)")
        if not any(row.rationales.get(source) for row in splits.validation):
            raise UserError(
                f"{splits.name}: no validation row has a rationale of source {source!r}, by which "
                "training is evaluated (allowed: another --rationale-source, --method sft)"
            )


def check_open_labels(splits: Splits, config: TrainConfig) -> None:
    """Raise UserError unless this run can train labels that are any text: they are generated."""
    count = len({row.label for _, rows in splits.items() for row in rows})
    if config.label_choice != "generate":
        raise UserError(
            f"{splits.name}: {count} different labels are open, label_choice = "
            f"{config.label_choice!r} needs a fixed set of at most {MAX_LABELS} or options by row "
            "(allowed: --set label_choice=generate, --columns choices=COLUMN)"
        )
    if config.sampling_label == "random_wrong":
        raise UserError(
            f"{splits.name}: labels are open, there is no other label for sampling_label = "
            "'random_wrong' (allowed: predicted)"
        )


def study_name(settings: SearchSettings, splits: Splits, config: TrainConfig) -> str:
    """Return the study's name: `--name`, else dataset, method and model."""
    model = Path(config.model).name
    name = settings.name or f"{splits.name}-{settings.method}-{model}"
    check_name(name)
    return name


def make_plan(settings: SearchSettings) -> StudyPlan:
    """Return the plan of these settings; nothing is written.

    Raises:
        UserError: for anything about data, method, space or values that cannot be trained.
    """
    method = get_method(settings.method)
    loaded = load_search_space(default_space(settings))
    values = trial_0(settings, method, loaded)
    fixed = {**method.values, **loaded.fixed_by(settings.overrides)}
    space, dropped = prepare_space(loaded, values, fixed)
    chosen = values.get("selection_metric", space.metric)
    if chosen != space.metric:
        raise UserError(
            f"selection_metric = {chosen!r}: space {space.name} searches {space.metric!r} "
            "(allowed: --space with this metric)"
        )
    config = build_config({**values, "selection_metric": space.metric})
    config = config.model_copy(update={"model": find_model(config)})
    if settings.sampler == "grid":
        from r2d_ray.search.samplers import grid_points

        points = len(grid_points(distributions(space)))
        settings = settings.model_copy(update={"num_samples": min(settings.num_samples, points)})
    splits = read_data(settings)
    check_data(splits, config)
    if settings.warm_start:
        older = read_info(Path(settings.warm_start))
        read_trials(Path(settings.warm_start), older)  # refused now or never
        if older.space["metric"] != space.metric:
            raise UserError(
                f"--warm-start {settings.warm_start}: it searched {older.space['metric']!r}, "
                f"this study searches {space.metric!r}"
            )
    name, card = study_name(settings, splits, config), data_card(splits)
    info = StudyInfo(
        name=name,
        method=method.name,
        dataset=splits.name,
        profile=settings.profile,
        config=config.model_dump(),
        space=space.model_dump(mode="json"),
        study=settings.model_dump(
            exclude={"overrides", "resume", "storage_path", "name", "extend", "data"}
        ),
        data_card=card,
        data_hash=card["hash"],
        provenance=card["provenance"],
        versions=versions(),
        git_commit=git_commit(Path(__file__).parents[2]),
    )
    return StudyPlan(settings, method, splits, config, space, dropped, name, info)


def with_token_counts(plan: StudyPlan, tokens: Mapping[str, Mapping[str, float]]) -> StudyPlan:
    """Return the plan with the token lengths and cut shares in its data card."""
    card = with_tokens(plan.info.data_card, tokens)
    return replace(plan, info=plan.info.model_copy(update={"data_card": card}))
