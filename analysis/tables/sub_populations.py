"""The sub-populations table: the test rows of each tag apart, models beside the bag of words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.groups import Group, Score, labels_of, notes_on
from analysis.stats.intervals import hierarchical_interval, mean_sd
from analysis.stats.row_sums import Statistics, row_statistics
from analysis.stats.row_sums import mean as mean_of
from analysis.studies import Study
from analysis.tables.controls import control_of
from analysis.tables.score_rows import SEEDS, Row, columns_of, nothing
from analysis.tables.table import Column, Number, Table
from r2d_ray.errors import UserError
from r2d_ray.evaluation.label_metrics import FEW_ROWS, calibration_scores
from r2d_ray.records import Prediction

NAME = "sub_populations"
TITLE = "Sub-populations on test [95 % interval over the groups of their rows, and seeds]"
SCORES = (
    Score("macro_f1", "Macro-F1, %"),
    Score("accuracy", "Accuracy, %"),
    Score("ece", "ECE, %"),
    Score("mean_cost", "Mean cost", 1.0, 3),
    Score("mean_cost_decided", "Mean cost, decided by cost", 1.0, 3),
)
NO_TAG = "no test row has a tag (--keep-columns names columns whose values are scored apart)"
RESAMPLED = ("macro_f1", "accuracy", "mean_cost")
"""Scores with an interval. The ECE of few rows is biased upwards, and so would be its draws."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A model or control: its scores and predictions by seed, its labels, what errors cost."""

    method: str
    scores: Sequence[Mapping[str, Any]]
    rows: Sequence[Sequence[Prediction]]
    labels: Sequence[str]
    where: str
    costs: Mapping[str, Mapping[str, float]]
    trained: bool = True

    def of_tag(self, tag: str) -> list[list[Prediction]]:
        """Return the rows of a tag by seed, of seeds that stored some."""
        parts = ([row for row in rows if tag in row.tags] for rows in self.rows)
        return [part for part in parts if part]

    def count(self, tag: str) -> int | None:
        """Return how many test rows have a tag, None if that is not known."""
        found = [scores.get(f"rows[{tag}]") for scores in self.scores]
        known = [int(value) for value in found if value is not None]
        known += [len(part) for part in self.of_tag(tag)]
        return known[0] if known else None


def sub_populations_table(studies: Sequence[Study], groups: Sequence[Group]) -> Table:
    """Return a line for each tag and model of searches and comparisons, its control's below."""
    rows: list[Row] = []
    notes: list[str] = list(notes_on(groups))
    for study in studies:
        scored = _scored(study, [group for group in groups if group.study is study])
        own = _rows(study, scored)
        rows += own
        if own and not any(each.rows and not each.trained for each in scored):
            notes.append(f"{study.info.name}: no bag of words beside its models")
        if empty := study.result.get("tags_without_test_rows"):
            notes.append(f"{study.info.name}: no test row, so no score: {', '.join(empty)}")
    if not rows:
        tested = any(group.done for group in groups)
        no = NO_TAG if tested else "no run has test scores"
        return nothing(NAME, TITLE, "; ".join([no, *notes[len(notes_on(groups)) :]]))
    there = [s for s in SCORES if any(row.get(s.key) is not None for row in rows)]
    columns = (
        Column("dataset", "Data"),
        Column("study", "Study"),
        Column("sub_population", "Sub-population"),
        Column("method", "Method"),
        SEEDS,
        Column("rows", "Rows"),
        *columns_of(there),
    )
    if any(row.get("ece") is not None for row in rows):
        notes.append("ECE of few rows is biased upwards, and is shown without an interval")
    return Table(
        NAME, TITLE, columns, tuple(rows), (*notes, *_without_interval(rows), *_small(rows))
    )


def _without_interval(rows: Sequence[Row]) -> list[str]:
    """Return a note on the tags whose scores have no interval."""
    bare = {
        str(row["sub_population"]): None
        for row in rows
        if isinstance(number := row.get("accuracy"), Number) and number.low is None
    }
    said = "no interval, for lack of stored predictions or a second group of rows: "
    return [said + ", ".join(bare)] if bare else []


def _small(rows: Sequence[Row]) -> list[str]:
    """Return a note on the tags of too few rows for their scores to say much."""
    few = {
        f"{row['sub_population']} ({row['rows']})": None
        for row in rows
        if isinstance(row["rows"], int) and row["rows"] < FEW_ROWS
    }
    said = f"fewer than {FEW_ROWS} test rows, scores that may be chance: "
    return [said + ", ".join(few)] if few else []


def _scored(study: Study, groups: Sequence[Group]) -> list[Scored]:
    """Return the models of a study, then its bag of words, the best on validation of two."""
    found = [_arm(study, group) for group in groups if group.done]
    control = control_of(study)
    if found and control:
        rows = control.predictions()
        labels, where = found[0].labels, f"{study.folder}: control {control.name}"
        costs, kept = _costs(study), [rows] if rows else []
        found.append(Scored(control.name, [control.scores], kept, labels, where, costs, False))
    return found


def _arm(study: Study, group: Group) -> Scored:
    done = group.done
    rows = [study.predictions(group.run(seed)) for seed in done]
    return Scored(
        group.name,
        [record.test_metrics for record in done.values()],
        rows if all(rows) else [],
        labels_of(next(iter(done.values()))),
        f"{study.folder}: {group.name}",
        _costs(study),
    )


def _costs(study: Study) -> Mapping[str, Mapping[str, float]]:
    """Return what a study's errors cost, by gold and decided label; empty where not given."""
    return study.info.study.get("costs") or {}


def _rows(study: Study, scored: Sequence[Scored]) -> list[Row]:
    """Return the lines of a study: by tag, in each the models and then the control."""
    tags = {tag for each in scored for rows in each.rows[:1] for row in rows for tag in row.tags}
    stored = (key for each in scored for scores in each.scores for key in scores)
    tags |= {key[len("rows[") : -1] for key in stored if key.startswith("rows[")}
    rows: list[Row] = []
    for tag in sorted(tags):
        for each in scored:
            cells: Row = {score.key: _number(each, score, tag) for score in SCORES}
            if all(value is None for value in cells.values()):
                continue
            row: Row = {"dataset": study.info.dataset, "study": study.info.name}
            row |= {"sub_population": tag, "method": each.method, "rows": each.count(tag)}
            row |= {"seeds": len(each.scores)} if each.trained else {}
            rows.append(row | cells)
    return rows


def _number(scored: Scored, score: Score, tag: str) -> Number | None:
    """Return a score of a tag's rows: as stored, or from the predictions; None where neither is.

    Raises:
        UserError: if the two are there and differ.
    """
    key = f"{score.key}[{tag}]"
    stored = [float(scores[key]) for scores in scored.scores if scores.get(key) is not None]
    parts = scored.of_tag(tag)
    runs: list[Statistics] = []
    if score.key in RESAMPLED and (score.key != "mean_cost" or scored.costs):
        runs = [_statistics(scored, score.key, rows) for rows in parts]
    values = [run.value for run in runs]
    if score.key == "ece" and scored.labels:
        values = [_ece(rows, scored.labels) for rows in parts if rows[0].probabilities]
    if len(stored) == len(values) and not all(map(_same, stored, values)):
        raise UserError(
            f"{scored.where}: {key} is {stored} in its scores but {values} from its predictions "
            "(allowed: the same)"
        )
    if not stored and not values:
        return None
    mean, sd = mean_sd(stored or values)
    if not runs or len(set(runs[0].groups)) < 2:
        return Number(mean, sd, factor=score.factor, digits=score.digits)
    interval = hierarchical_interval(runs)
    low, high = max(interval.low, 0.0), interval.high  # no cost and no share is below 0
    high = high if score.key == "mean_cost" else min(high, 1.0)
    return Number(mean, sd, low, high, score.factor, score.digits)


def _statistics(scored: Scored, metric: str, rows: Sequence[Prediction]) -> Statistics:
    try:
        if metric != "mean_cost":
            return row_statistics(rows, metric, scored.labels)
        costs = [[scored.costs[str(row.gold_label)][str(row.label)], 1.0] for row in rows]
        groups, ids = (tuple(names) for names in zip(*((r.group, r.id) for r in rows), strict=True))
        return Statistics(metric, np.array(costs), groups, ids, mean_of)
    except (ValueError, KeyError) as error:
        raise UserError(f"{scored.where}: {metric}: {error}") from None


def _ece(rows: Sequence[Prediction], labels: Sequence[str]) -> float:
    gold = [row.class_of(row.gold_label) or "" for row in rows]
    return calibration_scores(gold, [row.class_probabilities(labels) for row in rows], labels)[
        "ece"
    ]


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
