"""Tables with a line per group of arms: the main comparison, classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analysis.collapse import collapsed
from analysis.groups import Group, Score, labels_of, notes_on, over_seeds, with_interval
from analysis.published import PublishedValue
from analysis.stats.significance import PRIMARY_METRIC
from analysis.tables.score_rows import (
    SEEDS,
    Row,
    columns_of,
    no_interval,
    nothing,
    who,
    who_columns,
)
from analysis.tables.table import Column, Number, Table

COMPARED = ("r2d", "sft", "dss", "r2d_c", "r2d_c_authors")
"""Methods that somebody published; the others are controls."""

SETTINGS = ("", "tuned")
"""A method as it is, and as its own search left it; other settings are points of a grid."""

MACRO_F1 = Score(PRIMARY_METRIC, "Macro-F1, %")
ACCURACY = Score("accuracy", "Accuracy, %")
BERTSCORE = Score("bertscore", "BERTScore, %")
BLEU = Score("bleu", "BLEU", 1.0)
ROUGE_L = Score("rouge_l", "ROUGE-L, %")
READ = (
    Score("consistency", "Consistency, %"),
    Score("sufficiency", "Sufficiency, %"),
    Score("reader_consistency", "Consistency (reader), %"),
    Score("reader_sufficiency", "Sufficiency (reader), %"),
)
MAIN = (MACRO_F1, ACCURACY, BERTSCORE, BLEU, *READ)
READERS = "consistency and sufficiency: read by the model itself; (reader): by an independent model"
DOSE = (
    Score("sampled_share", "Prompts sampled, %"),
    Score("changed_share", "Labels changed, %"),
    Score("train_label_error", "Train label error, %"),
)
CLASS = tuple(Score(key, f"{key.title()}, %") for key in ("precision", "recall", "f1"))


def main_table(groups: Sequence[Group], published: Sequence[PublishedValue]) -> Table:
    """Return the comparison of published methods on test, published values in own columns."""
    name, title = "main", "Methods on test: mean ± standard deviation over seeds [95 % interval]"
    shown = [group for group in groups if is_main(group)]
    if not shown:
        return nothing(
            name, title, "no published method and no search's model has test scores here"
        )
    beside = {(value.method, value.dataset, value.metric): value for value in published}
    rows: list[Row] = []
    used: dict[PublishedValue, None] = {}
    for group in shown:
        row = who(group) | {score.key: over_seeds(group, score) for score in MAIN}
        row[PRIMARY_METRIC] = with_interval(group, MACRO_F1)
        for score in MAIN:
            value = beside.get((group.method, group.study.info.dataset, score.key))
            if value is not None:
                used[value] = None
                row[f"published_{score.key}"] = published_number(value)
        rows.append(row)
    metrics = {value.metric for value in used}
    theirs = tuple(
        Column(f"published_{score.key}", score.heading, published=True)
        for score in MAIN
        if score.key in metrics
    )
    was_read = any(row.get(score.key) is not None for row in rows for score in READ)
    notes = [
        *notes_on(shown, MAIN),
        *no_interval(rows, PRIMARY_METRIC),
        *([READERS] if was_read else []),
        *collapsed(shown),
        *(f"published {v.metric} of {v.method} on {v.dataset}: {v.source}" for v in used),
    ]
    columns = (*who_columns(shown), SEEDS, *columns_of(MAIN), *theirs)
    return Table(name, title, columns, tuple(rows), tuple(notes))


def is_main(group: Group) -> bool:
    """Return whether a group belongs into the main comparison."""
    return (group.method in COMPARED or group.searched) and is_method(group)


def is_method(group: Group) -> bool:
    """Return whether a group is a method or a search's model; no grid's point or source."""
    return (group.searched or group.setting in SETTINGS) and not group.source


def published_number(value: PublishedValue) -> Number:
    """Return a published value in the scale of our own scores: BLEU to 100, others to 1."""
    factor = next(score.factor for score in MAIN if score.key == value.metric)
    return Number(value.value / factor, factor=factor, digits=2)


def published_table(published: Sequence[PublishedValue]) -> Table:
    """Return every published value that is known, with its source."""
    columns = (
        Column("method", "Method"),
        Column("dataset", "Data"),
        Column("metric", "Metric"),
        Column("value", "Value", published=True),
        Column("source", "Source"),
    )
    rows: tuple[Row, ...] = tuple(
        {
            "method": value.method,
            "dataset": value.dataset,
            "metric": value.metric,
            "value": published_number(value),
            "source": value.source,
        }
        for value in published
    )
    title = "Values published by others, on their own test sets"
    if not rows:
        return nothing("published", title, "none is known for these data sets")
    return Table("published", title, columns, rows)


def untested(groups: Iterable[Group]) -> tuple[str, ...]:
    """Return a note on groups that sample labels, but too rarely for sampling to be tested."""
    names = [group.name for group in groups if group.sampling_untested]
    said = "too few shown labels changed for scheduled sampling to be tested: "
    return (said + ", ".join(names),) if names else ()


def classes_table(groups: Sequence[Group]) -> Table:
    """Return precision, recall and F1 of every class."""
    name, title = "per_class", "Scores by class, on test"
    rows: list[Row] = []
    for group in groups:
        records = list(group.done.values())
        for label in labels_of(records[0]) if records else ():
            row = who(group) | {"class": label, "rows": _count(group, f"support[{label}]")}
            for score in CLASS:
                one = Score(f"{score.key}[{label}]", "")
                row[score.key] = over_seeds(group, one)
            rows.append(row)
    if not rows:
        return nothing(name, title, "no run has test scores")
    columns = (
        *who_columns(groups),
        SEEDS,
        Column("class", "Class"),
        Column("rows", "Rows"),
        *columns_of(CLASS),
    )
    return Table(name, title, columns, tuple(rows), notes_on(groups))


def _count(group: Group, key: str) -> int | None:
    values = group.values(key)
    return int(values[0]) if values else None
