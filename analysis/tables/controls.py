"""Tables of controls: r2d without a part of it, answers of no language model, the bag of words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.groups import Group, Score, labels_of, notes_on, over_seeds, runs_of
from analysis.runs import is_model
from analysis.stats.intervals import Difference, paired_bootstrap
from analysis.stats.row_sums import Statistics, row_statistics
from analysis.studies import Study
from analysis.tables.differences import shown_difference
from analysis.tables.score_rows import (
    SEEDS,
    Row,
    columns_of,
    nothing,
    who,
    who_columns,
)
from analysis.tables.scores import (
    ACCURACY,
    COMPARED,
    DOSE,
    MACRO_F1,
    MAIN,
    ROUGE_L,
    is_method,
    untested,
)
from analysis.tables.table import Column, Number, Table
from r2d_ray.errors import UserError

BAG_OF_WORDS = "bag_of_words"
"""The table of trained models against the bag of words, and the key of a result that tells it."""

LABEL_SCORES = {score.key: score for score in (MACRO_F1, ACCURACY)}


def controls_table(studies: Sequence[Study], groups: Sequence[Group]) -> Table:
    """Return r2d beside its controls: changed methods, trivial answers, the context cut off."""
    name, title = (
        "controls",
        "Controls: what remains without a part of the method, or the whole",
    )
    shown = [g for g in groups if _beside_controls(g)]
    trivial = [row for study in studies for row in _trivial(study)]
    if not trivial and all(group.searched or group.method == "r2d" for group in shown):
        return nothing(name, title, "no control was run in these studies")
    rows = [
        who(group)
        | {score.key: over_seeds(group, score) for score in (*MAIN, ROUGE_L)}
        | {score.key: over_seeds(group, score, "counts") for score in DOSE}
        for group in shown
    ] + trivial
    scores = (*MAIN[:4], ROUGE_L, *MAIN[4:], *DOSE)
    there = [score for score in scores if any(row.get(score.key) is not None for row in rows)]
    columns = (*who_columns(shown), SEEDS, *columns_of(there))
    notes = (*notes_on(shown, MAIN), *untested(shown), *_not_applicable(studies))
    return Table(name, title, columns, tuple(rows), notes)


def _beside_controls(group: Group) -> bool:
    """Return whether a group stands among controls: r2d, its controls, and a search's models."""
    return is_method(group) and (
        group.searched or group.method == "r2d" or group.method not in COMPARED
    )


def _not_applicable(studies: Sequence[Study]) -> list[str]:
    """Return what these studies' results say of controls that their data cannot have."""
    return [
        f"{study.info.name}: {name}: not applicable, {reason}"
        for study in studies
        for name, reason in study.result.get("not_applicable", {}).items()
    ]


def _trivial(study: Study) -> list[Row]:
    """Return the rows of answers that nobody had to train, from a study's result.json."""
    if study.is_comparison:
        found = study.result.get("controls", {})
    else:
        found = {
            f"{study.info.method}, {name}" if name == "best without context" else name: scores
            for name, scores in study.result.get("test", {}).items()
            if not is_model(name)
        }
    rows = []
    for name, scores in found.items():
        row: Row = {"dataset": study.info.dataset, "method": name, "study": study.info.name}
        for score in (*MAIN, ROUGE_L):
            value = scores.get(score.key)
            if value is None:
                continue
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise UserError(
                    f"{study.folder / 'result.json'}: {name}: {score.key} = {value!r} "
                    "(allowed: a finite number)"
                )
            row[score.key] = Number(float(value), factor=score.factor, digits=score.digits)
        rows.append(row)
    return rows


def bag_of_words_table(studies: Sequence[Study], groups: Sequence[Group]) -> Table:
    """Return every trained model minus its study's bag of words, the best on validation of two."""
    title = "Against a bag of words with logistic regression, on test: differences [95 % interval]"
    rows: list[Row] = []
    notes = []
    for study in studies:
        found = study.result.get(BAG_OF_WORDS)
        if not isinstance(found, Mapping):
            notes.append(f"{study.info.name}: not scored")
        elif not isinstance(found.get("control"), str) or found.get("metric") not in LABEL_SCORES:
            notes.append(f"{study.info.name}: {found.get('says', 'not scored')}")
        else:
            mine = [group for group in groups if group.study is study]
            rows += _against(study, found, mine)
            scores = study.result.get("controls" if study.is_comparison else "test", {})
            setting = scores.get(found["control"], {}).get("setting")
            notes.append(f"{study.info.name}: {found['control']}: {setting}")
    if not rows:
        return nothing(BAG_OF_WORDS, title, "; ".join(notes) or "no study")
    columns = (
        Column("dataset", "Data"),
        Column("method", "Method"),
        Column("study", "Study"),
        SEEDS,
        Column("metric", "Score"),
        Column("score", "Model, %"),
        Column("control", "Bag of words, %"),
        Column("difference", "Model minus bag of words"),
    )
    return Table(BAG_OF_WORDS, title, columns, tuple(rows), tuple(notes))


def _against(study: Study, found: Mapping[str, Any], groups: Sequence[Group]) -> list[Row]:
    """Return the lines of one study's models."""
    score = LABEL_SCORES[found["metric"]]
    control = f"control {found['control']}"
    control_score = Number(float(found["control_score"]), factor=score.factor, digits=score.digits)
    rows: list[Row] = []
    for name, runs, mean, labels in _models(study, groups, score):
        difference = _paired(study, control, name, runs, score, labels)
        rows.append(
            {
                "dataset": study.info.dataset,
                "method": name,
                "study": study.info.name,
                "seeds": max(1, len(runs)),
                "metric": score.heading.removesuffix(", %"),
                "score": mean,
                "control": control_score,
                "difference": shown_difference(difference, score) if difference else None,
            }
        )
    return rows


Model = tuple[str, list[Statistics], Number, list[str]]
"""A name, its runs by seed (none without stored predictions), its score and the label set."""


def _models(study: Study, groups: Sequence[Group], score: Score) -> list[Model]:
    """Return the trained models of a study that have this score."""
    if study.is_comparison:
        return [
            (group.name, list(runs_of(group, score.key).values()), mean, labels_of(records[0]))
            for group in groups
            if (records := list(group.done.values()))
            and (mean := over_seeds(group, score)) is not None
        ]
    models = []
    for name, scores in study.result.get("test", {}).items():
        value = scores.get(score.key)
        if is_model(name) and isinstance(value, int | float):
            labels = [key[3:-1] for key in scores if key.startswith("f1[")]
            rows = study.predictions(name)
            runs = [row_statistics(rows, score.key, labels)] if rows and labels else []
            mean = Number(float(value), factor=score.factor, digits=score.digits)
            models.append((name, runs, mean, labels))
    return models


def _paired(
    study: Study,
    control: str,
    name: str,
    runs: Sequence[Statistics],
    score: Score,
    labels: Sequence[str],
) -> Difference | None:
    """Return model minus control on the same rows; None without predictions or a second group."""
    rows = study.predictions(control)
    if not rows or not runs or len(set(runs[0].groups)) < 2:
        return None
    try:
        return paired_bootstrap(runs, [row_statistics(rows, score.key, list(labels))] * len(runs))
    except ValueError as error:
        raise UserError(f"{study.folder}: {name} against {control}: {error}") from None
