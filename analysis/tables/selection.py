"""The table of selection: the step whose weights were taken, and how much was sampled."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.groups import Group, Score, notes_on, over_seeds
from analysis.stats.intervals import mean_sd
from analysis.tables.score_rows import SEEDS, Row, columns_of, nothing, who, who_columns
from analysis.tables.scores import DOSE
from analysis.tables.table import Column, Number, Table
from r2d_ray.config import build_config
from r2d_ray.method.schedules import gold_probability
from r2d_ray.records import TrialRecord

NAME = "selection"
TITLE = "Which weights were selected, on validation, and how much sampling they saw"


def selection_table(groups: Sequence[Group]) -> Table:
    """Return, by group, evaluations, the selected step, and the gold probability at that step."""
    shown = [g for g in groups if any(r.selected_step is not None for r in g.done.values())]
    if not shown:
        return nothing(NAME, TITLE, "no finished run says which step was selected")
    rows = [_row(group) for group in shown]
    columns = (
        *who_columns(shown),
        SEEDS,
        Column("evaluations", "Evaluations"),
        Column("selected_share", "Selected at, % of stage 2"),
        Column("selected_gold_probability", "Gold probability there, %"),
        *columns_of(DOSE),
    )
    note = (
        "gold probability: that a rationale prompt showed the gold label; at 100 % the selected "
        "weights never saw a sampled one; n/a: no label in the prompt, or none was counted"
    )
    return Table(NAME, TITLE, columns, tuple(rows), (*notes_on(shown), note))


def _row(group: Group) -> Row:
    records = list(group.done.values())
    picked = [r for r in records if r.selected_step is not None]
    gold = [found for r in picked if (found := _gold_probability(r)) is not None]
    row: Row = who(group) | {
        "evaluations": _mean([float(len(r.curve)) for r in records], 1.0),
        "selected_share": _mean([_share(r) for r in picked], 100.0),
        "selected_gold_probability": _mean(gold, 100.0),
    }
    for score in DOSE:
        row[score.key] = over_seeds(group, Score(score.key, score.heading, digits=1), "counts")
    return row


def _share(record: TrialRecord) -> float:
    return (record.selected_step or 0) / build_config(record.config).max_steps


def _gold_probability(record: TrialRecord) -> float | None:
    """Return the gold probability at the selected step, None where no prompt shows a label."""
    config = build_config(record.config)
    if not config.trains_rationales or config.rationale_prompt != "given_label":
        return None
    return gold_probability(record.selected_step or 0, config)


def _mean(values: Sequence[float], factor: float) -> Number | None:
    if not values:
        return None
    mean, sd = mean_sd(values)
    return Number(mean, sd, factor=factor, digits=1)
