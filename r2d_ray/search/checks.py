"""What a plan refuses before anything is written: model, data, metric, warm start."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from r2d_ray.config import SCRATCH_MODELS, TrainConfig, may_use_hub
from r2d_ray.data.examples import Splits, pick_source
from r2d_ray.data.rows.draw import MAX_LABELS
from r2d_ray.data.sources import check_source
from r2d_ray.errors import UserError, meant
from r2d_ray.method.label_kinds import FIXED
from r2d_ray.search.space import SearchSpace
from r2d_ray.study.folder import read_info, read_trials
from r2d_ray.training.deepspeed_file import check_deepspeed


def with_model(config: TrainConfig, profile: str) -> TrainConfig:
    """Return the config with its model as every process may name it.

    A folder has its whole path, a hub model the revision that has its safetensors.

    Raises:
        UserError: for a model outside the T5 family, weights that are not those of its
            config.json, a tokenizer that does not fit them, and a hub name under `embedded`.
    """
    if config.model in SCRATCH_MODELS:
        return config
    folder = Path(config.model)
    if not (folder.is_dir() or may_use_hub(profile) or meant(config.model, SCRATCH_MODELS)):
        raise UserError(
            f"--model {config.model}: no such folder, and a model of the hub needs --profile "
            f"finetune or paper (embedded never uses the network; allowed: a folder, "
            f"{', '.join(SCRATCH_MODELS)})"
        )
    from r2d_ray.model.checkpoint import check_weights
    from r2d_ray.model.hub import cached_folder, only_local, weights_revision
    from r2d_ray.model.t5 import check_checkpoint, load_tokenizer, whole_tokenizer

    if folder.is_dir():
        whole_tokenizer(config, folder)
        return config.model_copy(update={"model": str(folder.resolve())})
    check_checkpoint(config)
    revision = weights_revision(config.model, config.model_revision)
    config = config.model_copy(update={"model_revision": revision})
    cached = cached_folder(config.model, revision)
    if cached is not None and only_local(config.model):  # else what it lacks is downloaded
        check_weights(cached, check_checkpoint(config))
    load_tokenizer(config, ())
    return config


def model_fields(config: TrainConfig) -> dict[str, str | None]:
    """Return the fields that name the model of a config."""
    return {"model": config.model, "model_revision": config.model_revision}


def check_data(splits: Splits, config: TrainConfig, searched: Collection[str] = ()) -> None:
    """Raise UserError unless this data can train this run: labels and rationales are there.

    `searched` are the fields that other trials set to other values.
    """
    check_class_fields(splits, config, searched)
    if not splits.label_kind.closed:
        check_open_labels(splits, config)
    for source in (config.rationale_source, config.stage1_rationale_source):
        if source is not None:
            check_source(splits, source)
    check_relabelled(splits, config)
    trained = [config.rationale_source] if config.trains_rationales else []
    trained += [config.stage1_source] if config.stage1_max_steps else []
    for wanted in trained:
        source = pick_source(splits, wanted)
        if source is None:
            raise UserError(f"{splits.name} has no rationales to train on (allowed: --method sft)")
        if not any(row.rationales.get(source) for row in splits.validation):
            raise UserError(
                f"{splits.name}: no validation row has a rationale of source {source!r}, which "
                "evaluation needs (allowed: another --rationale-source, --method sft)"
            )


def check_class_fields(splits: Splits, config: TrainConfig, searched: Collection[str]) -> None:
    """Raise UserError where rare classes are to count more and there is no class that is rare."""
    if splits.label_kind is FIXED:
        return
    for name in ("class_weights", "balanced_sampling"):
        value = getattr(config, name)
        off = TrainConfig.model_fields[name].default
        if value != off or name in searched:
            said = "searched" if name in searched else repr(value)
            label = splits.label_kind.described(splits.labels)
            raise UserError(
                f"{splits.name}: {name} = {said}: a label is {label}, so there are no classes "
                f"to count (allowed: {off!r}, or data with a fixed label set)"
            )


def check_relabelled(splits: Splits, config: TrainConfig) -> None:
    """Raise UserError where rationales of other labels are to be learnt and no row has any."""
    if not config.relabels:
        return
    source = pick_source(splits, config.rationale_source)
    if not any(row.relabelled.get(source or "") for row in splits.train):
        raise UserError(
            f"{splits.name}: wrong_label_target = {config.wrong_label_target!r} needs rationales "
            f"for other labels than gold, and no training row has any of source {source!r} "
            "(allowed: --dataset triage, or another target: keep, drop, drop_reweighted)"
        )


def check_open_labels(splits: Splits, config: TrainConfig) -> None:
    """Raise UserError unless this run can train on free-text labels: they are generated."""
    count = len({row.label for _, rows in splits.items() for row in rows})
    if config.label_choice != "generate":
        raise UserError(
            f"{splits.name}: {count} different labels are an open set, but label_choice = "
            f"{config.label_choice!r} needs a fixed one (up to {MAX_LABELS}) or options per row "
            "(allowed: --set label_choice=generate, --columns choices=COLUMN)"
        )
    if config.sampling_label == "random_wrong":
        raise UserError(
            f"{splits.name}: labels are an open set, which has no wrong label for sampling_label = "
            "'random_wrong' (allowed: predicted)"
        )


def check_deepspeed_of(config: TrainConfig, space: SearchSpace) -> None:
    """Raise UserError where trial 0, or a value that is searched, contradicts a DeepSpeed file."""
    check_deepspeed(config)
    if config.deepspeed_config is None:
        return
    for field, domain in space.search.items():
        for value in domain.choices or domain.bounds:
            check_deepspeed(config.model_copy(update={field: value}))


def check_metric(space: SearchSpace, values: Mapping[str, Any]) -> None:
    """Raise UserError where checkpoints are to be selected by another score than is searched."""
    chosen = values.get("selection_metric", space.metric)
    if chosen != space.metric:
        raise UserError(
            f"selection_metric = {chosen!r}: space {space.name} optimises {space.metric!r} "
            f"(allowed: {space.metric!r}, or a search space of this metric)"
        )


def check_warm_start(source: Path, space: SearchSpace) -> None:
    """Raise UserError unless this study's trials can be learned from; they are read once here."""
    older = read_info(source)
    read_trials(source, older)
    if older.space["metric"] != space.metric:
        raise UserError(
            f"--warm-start {source}: it optimised {older.space['metric']!r}, "
            f"this study optimises {space.metric!r}"
        )
