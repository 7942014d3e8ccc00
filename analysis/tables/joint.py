"""The joint table: methods and controls as rows, each data set's main measures as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.groups import Group, notes_on, over_seeds, with_interval
from analysis.runs import is_model
from analysis.studies import Study
from analysis.tables.score_rows import Row, control_rows, nothing
from analysis.tables.scores import ACCURACY, BERTSCORE, BLEU, MACRO_F1, is_method
from analysis.tables.table import Cell, Column, Number, Table

NAME = "joint"
TITLE = "Methods by data set, on test: mean ± standard deviation over seeds [95 % interval]"
MEASURES = (MACRO_F1, ACCURACY, BERTSCORE, BLEU)

Who = tuple[str | None, str, str]
"""What tells rows apart: the model, None of a control, the method and its setting."""


def joint_table(studies: Sequence[Study], groups: Sequence[Group]) -> Table:
    """Return every method beside itself on other data; nothing where there is one data set only."""
    if len({study.info.dataset for study in studies}) < 2:
        return nothing(NAME, TITLE, "these studies have one data set")
    places = _places(studies)
    found: dict[Who, dict[str, Row]] = {}
    shown = [group for group in groups if is_method(group) and group.done]
    for study in studies:
        for group in (group for group in shown if group.study is study):
            cells: Row = {score.key: over_seeds(group, score) for score in MEASURES}
            cells[MACRO_F1.key] = with_interval(group, MACRO_F1)
            found.setdefault(_who(group), {})[places[study.info.name]] = cells
        for row in control_rows(study, MEASURES):
            if MACRO_F1.key in row:  # the label in brackets is the data set's
                control: Who = (None, str(row["method"]).partition(" (")[0], "")
                found.setdefault(control, {})[places[study.info.name]] = row
    rows = [_row(who, cells) for who, cells in sorted(found.items(), key=lambda e: e[0][0] is None)]
    notes = [*notes_on(shown), *_absent(found, list(places.values())), *_chosen(shown)]
    return Table(NAME, TITLE, _columns(found, places), tuple(rows), tuple(notes))


def _places(studies: Sequence[Study]) -> dict[str, str]:
    """Return what stands above the columns of a study, by its name: its data set, or both."""
    datasets = [study.info.dataset for study in studies]
    return {
        study.info.name: study.info.dataset
        if datasets.count(study.info.dataset) == 1
        else f"{study.info.dataset}, {study.info.name}"
        for study in studies
    }


def _who(group: Group) -> Who:
    """Return what joins a method's rows: of a search's best the trial's number does not count."""
    setting = group.setting or "default"
    if is_model(setting):
        setting = "best trial" if setting.startswith("best") else "trial 0 (the defaults)"
    return group.model, group.method, setting


def _row(who: Who, cells: Mapping[str, Row]) -> Mapping[str, Cell | Number]:
    model, method, setting = who
    scores = {
        _key(place, score.key): row.get(score.key)
        for place, row in cells.items()
        for score in MEASURES
    }
    return {"model": model, "method": method, "setting": setting or None, **scores}


def _key(place: str, score: str) -> str:
    return f"{score}[{place}]"


def _columns(
    found: Mapping[Who, Mapping[str, Row]], places: Mapping[str, str]
) -> tuple[Column, ...]:
    """Return who, then for each place the measures that some row has there."""
    scores = [
        Column(_key(place, score.key), f"{place}: {score.heading}")
        for place in places.values()
        for score in MEASURES
        if any(
            cells[place].get(score.key) is not None for cells in found.values() if place in cells
        )
    ]
    who = {"model": "Model", "method": "Method", "setting": "Setting"}
    return (*(Column(key, heading) for key, heading in who.items()), *scores)


def _absent(found: Mapping[Who, Mapping[str, Row]], places: Sequence[str]) -> list[str]:
    """Return notes on what was not run everywhere, by where it was run."""
    only: dict[str, list[str]] = {}
    for (_, method, setting), cells in found.items():
        if len(cells) < len(places):
            where = "; ".join(place for place in places if place in cells)
            name = method if setting in ("", "default") else f"{method}, {setting}"
            only.setdefault(where, []).append(name)
    return [f"run on {where} only: {'; '.join(dict.fromkeys(n))}" for where, n in only.items()]


def _chosen(groups: Sequence[Group]) -> list[str]:
    """Return which trial is the best one of each search."""
    best = [
        f"{group.study.info.name}: {group.setting}"
        for group in groups
        if group.searched and group.setting.startswith("best")
    ]
    return [f"best trial: {'; '.join(best)}"] if best else []
