"""What makes a study the same study: its StudyInfo, what may differ on a resume, versions."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from r2d_ray.config import TrainConfig
from r2d_ray.data.card import data_card, with_tokens
from r2d_ray.data.examples import Splits, source_warnings
from r2d_ray.records import StudyInfo
from r2d_ray.study.settings import CompareSettings, SearchSettings, StudySettings

MAY_CHANGE = ("budgets", "extended", "max_concurrent_trials", "patience_trials", "time_budget_s")
"""Study settings that may differ on resume: none changes what a trial computes."""

FORMER_NAMES = {"compare": {"seed": "split_seed"}}
"""Settings of comparisons alone that earlier versions stored under another name."""

FORMER_VALUES: dict[str, tuple[str, dict[Any, Any]]] = {
    "scheduler": ("pruner", {"asha": "halving"}),
    "equal_steps": ("equal", {True: "steps", False: "none"}),
}
"""Settings that earlier versions stored under another name: today's, and values that changed."""

NOT_HEEDED = ("method", "num_samples", "scheduler", "sampler", "warm_start", "study", "tuned_from")
"""What earlier versions stored of a comparison without effect, or with effect on its arms only."""


DEFAULTS = TrainConfig().model_dump(mode="json")
"""A field that the version of a stored study did not know has the default: as that version did."""


def study_info(
    settings: StudySettings,
    splits: Splits,
    config: TrainConfig,
    *,
    name: str,
    method: str,
    space: dict[str, Any],
) -> StudyInfo:
    """Return what study.json will say of a search or a comparison.

    Raises:
        UserError: if the model's tokenizer cannot be read or does not tell labels apart, or for
            inputs that are too long.
    """
    from r2d_ray.data import lengths  # loads tokenizers

    lengths.check_lengths(splits, config, settings.long_inputs == "refuse")
    tokens = lengths.token_lengths(splits, config)
    warnings = lengths.length_warnings(tokens, config.max_input_length)
    compared = isinstance(settings, CompareSettings) and settings.rationale_sources
    if config.trains_rationales and not compared:
        warnings += source_warnings(splits, config.rationale_source)
    card = with_tokens(data_card(splits), tokens, warnings)
    return StudyInfo(
        name=name,
        method=method,
        dataset=splits.name,
        profile=settings.profile,
        config=config.model_dump(),
        space=space,
        study=settings.model_dump(mode="json"),
        data_card=card,
        data_hash=splits.hash,
        provenance=card["provenance"],
        versions=versions(),
        git_commit=git_commit(Path(__file__).parents[2]),
    )


VALUE_WIDTH = 60  # characters of a differing value


def differences(
    old: StudyInfo, new: StudyInfo, may_change: tuple[str, ...] = MAY_CHANGE
) -> list[str]:
    """Return what keeps `new` from going on with `old`: `learning_rate: 0.001 -> 0.002`, ...

    Compared: name, method, dataset, profile, content hash of the data, config, space, and the
    study settings that are not in `may_change`.
    """
    return list(changes(_identity(old, may_change), _identity(new, may_change)))


def _identity(info: StudyInfo, may_change: tuple[str, ...]) -> dict[str, Any]:
    stored = info.model_dump(mode="json")
    asked = with_defaults(settings_of(info), info.method)
    kept = {key: value for key, value in asked.items() if key not in may_change}
    return {
        **{key: stored[key] for key in ("name", "method", "dataset", "profile", "data_hash")},
        **dict(_leaves("", {**DEFAULTS, **stored["config"]})),
        **dict(_leaves("space.", stored["space"])),
        **dict(_leaves("study.", kept)),
    }


def settings_of(info: StudyInfo) -> dict[str, Any]:
    """Return a study's settings in today's words, whichever version stored them."""
    found = {}
    renamed = FORMER_NAMES.get(info.method, {})
    for key, value in info.model_dump(mode="json")["study"].items():
        name, values = FORMER_VALUES.get(key, (renamed.get(key, key), {}))
        if info.method != "compare" or key not in NOT_HEEDED:
            found[name] = values.get(value, value) if isinstance(value, str | bool) else value
    if "seed" in found:  # before 0.3 one seed drew the splits too
        found.setdefault("split_seed", found["seed"])
    return found


def with_defaults(asked: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Return stored settings with the defaults of those that their version did not know yet."""
    kind = CompareSettings if method == "compare" else SearchSettings
    defaults = {
        name: field.default
        for name, field in kind.model_fields.items()
        if not field.exclude and not field.is_required() and field.default_factory is None
    }
    return {**json.loads(json.dumps(defaults)), **asked}


def _leaves(prefix: str, value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _leaves(f"{prefix}{key}.", inner)
        else:
            yield f"{prefix}{key}", inner


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield `key: old -> new` of every key whose values differ, long values cut."""

    def shown(side: Mapping[str, Any], key: str) -> str:
        text = repr(side[key]) if key in side else "absent"
        return text if len(text) <= VALUE_WIDTH else f"{text[:VALUE_WIDTH]}..."

    for key in dict.fromkeys((*old, *new)):
        if key not in old or key not in new or old[key] != new[key]:
            yield f"{key}: {shown(old, key)} -> {shown(new, key)}"


PACKAGES = ("r2d-ray", "ray", "torch", "transformers", "deepspeed", "optuna", "datasets")
"""Distributions on which results depend; their versions are recorded."""


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages on which results depend."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a checkout that was not installed
            found[package] = "not installed"
    return found


def git_commit(root: Path) -> str | None:
    """Return the commit of the checkout at `root`, with `-dirty` after local changes, else None."""
    if not (root / ".git").exists():  # an installed package may lie inside a foreign checkout
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
