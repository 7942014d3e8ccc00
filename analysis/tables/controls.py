"""Tables of controls: r2d without a part of it, answers of no language model, the bag of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.groups import Group, Score, labels_of, notes_on, over_seeds, runs_of
from analysis.runs import Run, runs_in
from analysis.stats.intervals import Difference, paired_bootstrap
from analysis.stats.row_sums import row_statistics
from analysis.studies import Study
from analysis.tables.differences import shown_difference
from analysis.tables.score_rows import (
    SEEDS,
    Row,
    columns_of,
    control_rows,
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
    trivial = [row for study in studies for row in control_rows(study, (*MAIN, ROUGE_L))]
    if not trivial and all(group.searched or group.method == "r2d" for group in shown):
        unknown = [study.info.name for study in studies if not study.has_result]
        gone = f"; of {', '.join(unknown)} that is not known: result.json is missing"
        none = "no control was run in these studies"
        return nothing(name, title, none + (gone if unknown else ""))
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


def bag_of_words_table(studies: Sequence[Study], groups: Sequence[Group]) -> Table:
    """Return every trained model minus its study's bag of words, the best on validation of two."""
    title = "Against a bag of words with logistic regression, on test: differences [95 % interval]"
    rows: list[Row] = []
    notes = []
    for study in studies:
        found = study.result.get(BAG_OF_WORDS)
        if not isinstance(found, Mapping):
            gone = "" if study.has_result else ", or not known: result.json is missing"
            notes.append(f"{study.info.name}: not scored{gone}")
        elif not isinstance(found.get("control"), str) or found.get("metric") not in LABEL_SCORES:
            notes.append(f"{study.info.name}: {found.get('says', 'not scored')}")
        else:
            mine = [group for group in groups if group.study is study]
            rows += _against(study, found, mine)
            control = control_of(study)
            setting = control.scores.get("setting") if control else None
            notes.append(f"{study.info.name}: {found['control']}: {setting or 'setting not known'}")
            if control is None or control.predictions() is None:
                notes.append(
                    f"{study.info.name}: predictions of {found['control']} on test are missing, "
                    "so there is no difference"
                )
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


def control_of(study: Study) -> Run | None:
    """Return a study's bag of words, of two the one that its result names; None without one."""
    found = study.result.get(BAG_OF_WORDS)
    name = found.get("control") if isinstance(found, Mapping) else None
    return next((r for r in runs_in(study) if r.kind == "control" and r.name == name), None)


def _against(study: Study, found: Mapping[str, Any], groups: Sequence[Group]) -> list[Row]:
    """Return the lines of one study's models."""
    score = LABEL_SCORES[found["metric"]]
    control = Number(float(found["control_score"]), factor=score.factor, digits=score.digits)
    rows: list[Row] = []
    for group in groups:
        mean = over_seeds(group, score)
        if mean is None:
            continue
        difference = _paired(group, score)
        rows.append(
            {
                "dataset": study.info.dataset,
                "method": group.name,
                "study": study.info.name,
                "seeds": len(group.done),
                "metric": score.heading.removesuffix(", %"),
                "score": mean,
                "control": control,
                "difference": shown_difference(difference, score) if difference else None,
            }
        )
    return rows


def _paired(group: Group, score: Score) -> Difference | None:
    """Return model minus control on the same rows; None without predictions or a second group."""
    control = control_of(group.study)
    rows = control.predictions() if control else None
    runs = list(runs_of(group, score.key).values())
    if not control or not rows or not runs or len(set(runs[0].groups)) < 2:
        return None
    labels = labels_of(next(iter(group.done.values())))
    try:
        return paired_bootstrap(runs, [row_statistics(rows, score.key, labels)] * len(runs))
    except ValueError as error:
        where = f"{group.study.folder}: {group.name} against control {control.name}"
        raise UserError(f"{where}: {error}") from None
