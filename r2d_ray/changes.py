"""What differs between a stored study and the one that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from r2d_ray.records import StudyInfo

MAY_CHANGE = ("extended", "max_concurrent_trials", "time_budget_s")
"""Study settings that may differ on resume: none changes what a trial computes."""
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
    kept = {key: value for key, value in stored["study"].items() if key not in may_change}
    return {
        **{key: stored[key] for key in ("name", "method", "dataset", "profile", "data_hash")},
        **dict(_leaves("", stored["config"])),
        **dict(_leaves("space.", stored["space"])),
        **dict(_leaves("study.", kept)),
    }


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
