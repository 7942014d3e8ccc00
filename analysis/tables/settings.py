"""The table of settings: range, default and chosen value of every field, by method."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.groups import Group
from analysis.studies import Study
from analysis.tables.score_rows import Row
from analysis.tables.scores import SETTINGS
from analysis.tables.table import Column, Table
from analysis.tables.training import SEARCH, best_trial, search_cells

FIXED = "fixed by the method"
SEARCHED = "searched"
EQUAL = "equal steps in all"
ALIKE = "the same for all"


def settings_table(studies: Sequence[Study], groups: Sequence[Group]) -> Table:
    """Return what each method's runs were set to, searched fields first."""
    rows = [row for study in studies if not study.is_comparison for row in _searched(study)]
    for study in studies:
        mine = [g for g in groups if g.study is study and g.setting in SETTINGS and g.done]
        if mine:
            rows += _compared(study, mine)
    columns = (
        *(Column(key, heading) for key, heading in SEARCH.items()),
        Column("field", "Field"),
        Column("range", "Range"),
        Column("default", "Default"),
        Column("chosen", "Chosen"),
    )
    notes = (
        "default: trial 0 of a search, the base of a comparison; early stop is off in comparisons",
    )
    return Table("settings", "Settings: range, default and chosen", columns, tuple(rows), notes)


def _searched(study: Study) -> list[Row]:
    first = next((record for record in study.records if record.trial == 0), None)
    default = first.config if first else study.info.config
    best = best_trial(study)
    return [
        _row(study, study.info.method, field, range_of(domain), default.get(field), None)
        | {"chosen": written(best.config.get(field)) if best else None}
        for field, domain in study.info.space["search"].items()
    ]


def _compared(study: Study, groups: Sequence[Group]) -> list[Row]:
    """Return the fields in which methods differ, by method, then those that all share."""
    base = study.info.config
    tuned = study.info.space.get("tuned", {})
    rows: list[Row] = []
    for group in groups:
        for field, value in settings_of(group).items():
            if value != base.get(field) and not _shared(field, groups):
                searched = group.setting == "tuned" and field in tuned.get(group.method, {})
                origin = SEARCHED if searched else EQUAL if field == "max_steps" else FIXED
                rows.append(_row(study, group.name, field, origin, base.get(field), value))
    rows += [
        _row(study, "all", field, ALIKE, base.get(field), value)
        for field, value in settings_of(groups[0]).items()
        if _shared(field, groups)
    ]
    return rows


def settings_of(group: Group) -> Mapping[str, Any]:
    """Return the settings of a group's arms, which differ in their seeds."""
    return {field: value for field, value in group.config.items() if field != "seed"}


def _shared(field: str, groups: Sequence[Group]) -> bool:
    return all(group.config.get(field) == groups[0].config[field] for group in groups)


def _row(study: Study, method: str, field: str, origin: str, default: Any, chosen: Any) -> Row:
    cells = {"method": method, "field": field, "range": origin}
    return search_cells(study) | cells | {"default": written(default), "chosen": written(chosen)}


def range_of(domain: Mapping[str, Any]) -> str:
    """Return a searched domain as people write it: `0.0003 to 0.003, log`, `linear, none`."""
    if domain.get("choices") is not None:
        return ", ".join(written(choice) for choice in domain["choices"])
    return f"{written(domain['low'])} to {written(domain['high'])}" + (
        ", log" if domain.get("log") else ""
    )


def written(value: Any) -> str:
    """Return a value as the YAML of a search space has it, to four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
