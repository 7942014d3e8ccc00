"""Tables of settings: the ablation of r2d's parts as 2 x 2, and the points of any other grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.groups import Group, Score, notes_on, over_seeds, paired
from analysis.stats.significance import PRIMARY_METRIC, REFERENCE
from analysis.tables.differences import shown_difference
from analysis.tables.score_rows import SEEDS, Row, columns_of, nothing, who, who_columns
from analysis.tables.scores import BLEU, DOSE, MACRO_F1, SETTINGS, untested
from analysis.tables.table import Column, Number, Table

STAGE1 = ("stage1_max_steps", "stage1_learning_rate", "stage1_eval_steps", "max_steps")
"""What stage 1 decides; on equal terms its steps go to stage 2 where there is none."""

SAMPLING = ("sampling_decay", "sampling_decay_ratio", "gold_probability_floor")
SWITCHED = frozenset({*STAGE1, *SAMPLING, "rationale_prompt", "seed"})
SCORES = (MACRO_F1, BLEU)


@dataclass(frozen=True, slots=True)
class Switches:
    """Which parts of r2d are on."""

    label_shown: bool
    stage1: bool
    sampling: bool


Corner = dict[Switches, Group]
"""One r2d and what is left of it, by the parts that are on."""


def switches(group: Group, whole: Group) -> Switches | None:
    """Return which parts of r2d a group has; None if it differs from r2d in anything else."""
    config, reference = group.config, whole.config
    if {k: v for k, v in config.items() if k not in SWITCHED} != {
        k: v for k, v in reference.items() if k not in SWITCHED
    }:
        return None
    sampling = all(config[field] == reference[field] for field in SAMPLING)
    stage1 = config["stage1_max_steps"] > 0
    if stage1 and any(config[field] != reference[field] for field in STAGE1[:3]):
        return None
    if not sampling and config["sampling_decay"] != "none":
        return None
    shown = config["rationale_prompt"] == "given_label"
    return Switches(shown, stage1, sampling and shown)


def corners_of(groups: Sequence[Group]) -> tuple[list[Corner], list[str]]:
    """Return the ablations among these groups, and notes on parts that were run twice."""
    found, notes = [], []
    for whole in groups:
        if whole.method != REFERENCE or whole.setting:
            continue
        if switches(whole, whole) != Switches(True, True, True):
            continue
        corner: Corner = {Switches(True, True, True): whole}
        for group in groups:
            if group is whole or group.study is not whole.study or group.source != whole.source:
                continue
            parts = switches(group, whole)
            if parts is not None and parts in corner:
                notes.append(f"{group.name} has the same parts as {corner[parts].name}, shown here")
            elif parts is not None:
                corner[parts] = group
        if len(corner) > 1:
            found.append(corner)
    return found, notes


def ablation_table(groups: Sequence[Group]) -> Table:
    """Return stage 1 x sampling, with and without the label in the rationale prompt."""
    name = "ablation"
    title = "Parts of r2d: stage 1 x scheduled sampling; differences [95 % intervals]"
    corners, notes = corners_of(groups)
    if not corners:
        return nothing(name, title, "no ablation of r2d among these studies")
    rows = [row for corner in corners for row in _corner_rows(corner)]
    members = [group for corner in corners for group in corner.values()]
    columns = (
        *(c for c in who_columns(members) if c.key not in ("method", "setting")),
        Column("label", "Label in prompt"),
        Column("stage1", "Stage 1"),
        *(
            Column(f"{score.key}_{side}", f"{score.heading}, {heading}")
            for score in SCORES
            for side, heading in (
                ("with", "sampling"),
                ("without", "no sampling"),
                ("effect", "difference"),
            )
        ),
    )
    for corner in corners:
        missing = [said for parts, said in PARTS.items() if parts not in corner]
        if missing:
            study = next(iter(corner.values())).study.info.name
            notes.append(f"{study}: not run: {'; '.join(missing)}")
    notes.append("sampling replaces the label in the prompt: without a label there is no sampling")
    return Table(name, title, columns, tuple(rows), (*notes_on(members, SCORES), *notes))


PARTS = {
    Switches(shown, stage1, sampling): (
        f"{'label shown' if shown else 'no label shown'}, {'' if stage1 else 'no '}stage 1"
        + (f", {'' if sampling else 'no '}sampling" if shown else "")
    )
    for shown in (True, False)
    for stage1 in (True, False)
    for sampling in (True, False)
    if shown or not sampling
}


def _corner_rows(corner: Corner) -> list[Row]:
    """Return the lines of one ablation: stage 1 yes, no, and the difference, by prompt."""
    whole = corner[Switches(True, True, True)]
    rows: list[Row] = []
    for shown in (True, False):
        sides = [Switches(shown, True, sampling) for sampling in (True, False)]
        bare = [Switches(shown, False, sampling) for sampling in (True, False)]
        if not any(parts in corner for parts in (*sides, *bare)):
            continue
        for stage1, parts in (("yes", sides), ("no", bare)):
            row = who(whole) | {"label": "yes" if shown else "no", "stage1": stage1}
            for score in SCORES:
                row |= _cells(score, *(corner.get(p) for p in parts))
            rows.append(row)
        row = who(whole) | {"label": "yes" if shown else "no", "stage1": "yes minus no"}
        for score in SCORES:
            for side, on, off in zip(("with", "without"), sides, bare, strict=True):
                row[f"{score.key}_{side}"] = _effect(corner.get(on), corner.get(off), score)
        rows.append(row)
    return rows


def _cells(score: Score, on: Group | None, off: Group | None) -> Row:
    return {
        f"{score.key}_with": over_seeds(on, score) if on else None,
        f"{score.key}_without": over_seeds(off, score) if off else None,
        f"{score.key}_effect": _effect(on, off, score),
    }


def _effect(on: Group | None, off: Group | None, score: Score) -> Number | None:
    found = paired(on, off, score.key) if on and off else None
    return shown_difference(found, score) if found else None


def sensitivity_table(groups: Sequence[Group]) -> Table:
    """Return a grid's points beside the method's default; the ablation's points are in its own."""
    name = "sensitivity"
    title = "Settings of a grid: scores, and macro-F1 minus the default's [95 % interval]"
    ablated = [group for corner in corners_of(groups)[0] for group in corner.values()]
    points = [group for group in groups if group.setting not in SETTINGS]
    grids = {point.study.folder for point in points if point not in ablated}
    points = [point for point in points if point.study.folder in grids]
    if not points:
        return nothing(name, title, "no grid of settings among these studies")
    defaults = {
        (group.study.folder, group.method, group.source): group
        for group in groups
        if not group.setting
    }
    of_point = {
        point: defaults.get((point.study.folder, point.method, point.source)) for point in points
    }
    fields = sorted({field for point in points for field in fields_of(point)})
    shown = [*dict.fromkeys(group for group in of_point.values() if group), *points]
    rows = []
    for group in shown:
        row = who(group) | {score.key: over_seeds(group, score) for score in SCORES}
        row |= {field: str(group.config[field]) for field in fields if field in group.config}
        row |= {score.key: over_seeds(group, score, "counts") for score in DOSE}
        default = of_point.get(group)
        difference = paired(group, default, PRIMARY_METRIC) if default else None
        row["difference"] = shown_difference(difference, MACRO_F1) if difference else None
        rows.append(row)
    columns = (
        *(column for column in who_columns(shown) if column.key != "setting"),
        *(Column(field, field) for field in fields),
        SEEDS,
        *columns_of(SCORES),
        Column("difference", "Macro-F1 minus the default's"),
        *columns_of(DOSE),
    )
    lone = [point.name for point, default in of_point.items() if default is None]
    notes = [f"no default to compare with: {', '.join(lone)}"] if lone else []
    return Table(
        name, title, columns, tuple(rows), (*notes_on(shown, SCORES), *untested(shown), *notes)
    )


def fields_of(group: Group) -> list[str]:
    """Return the fields that a grid's setting names: `a=1,b=2` -> a, b."""
    names = [part.partition("=")[0] for part in group.setting.split(",") if "=" in part]
    return [name for name in names if name in group.config]
