"""Runs: whatever answered a study's test rows, an arm, a search's best, its defaults or a control.

What is not there is not empty: a run whose predictions file is missing has None, never no rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from analysis.studies import Study
from r2d_ray.errors import UserError
from r2d_ray.records import Prediction, TrialRecord, rows_file

WITHOUT_CONTEXT = "best without context"
NO_RESULT = "the study has not ended, or the file was taken away; no control is known"
NO_TEXTS = "what the test rows ask cannot be shown beside their predictions"
SPLITS = {WITHOUT_CONTEXT: "test_without_context"}
"""The splits of runs that did not see the test rows as they are."""

OWN_LABEL = "training rationale, label of "  # of a control's name, before the method


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What answered the test rows once.

    Attributes:
        study: The study that holds it.
        name: The arm's, or that of a row of result.json: `r2d-1`, `best (trial 4)`.
        kind: `trained` on the whole input, or a `control`.
        base: The name without its seed, shared by runs that differ in their seed alone.
        seed: None of a control.
        record: With this run's own seed and test scores; None of a control.
        scores: Test scores by name, numbers, None where one is not defined, and signatures.
    """

    study: Study
    name: str
    kind: Literal["trained", "control"]
    base: str
    seed: int | None
    record: TrialRecord | None
    scores: Mapping[str, Any]

    @property
    def stores(self) -> bool:
        """Whether a study keeps its predictions: not those of majority and coin.

        Nor of a comparison's controls by each arm's own labels, which are two files an arm.
        """
        if self.study.is_comparison and OWN_LABEL in self.name:
            return False
        written = self.name in SPLITS or self.name.startswith("bag of words")
        return self.kind == "trained" or written or "rouge_l" in self.scores

    def predictions(self) -> tuple[Prediction, ...] | None:
        """Return what it answered, by test row; None if no such file is stored.

        Raises:
            UserError: for a line that is no prediction, with file and line.
        """
        name = self.name
        if self.kind == "control" and name not in SPLITS:
            name = f"control {name}"
        return self.study.stored(name, SPLITS.get(name, "test"))


def runs_in(study: Study) -> tuple[Run, ...]:
    """Return the finished runs of a study, trained ones first.

    Raises:
        UserError: for a score in result.json that is not finite.
    """
    if not study.is_comparison:
        return _of_search(study)
    arms = [record for record in study.done() if record.arm]
    trained = [
        Run(study, arm, "trained", arm.rpartition("-")[0], record.seed, record, record.test_metrics)
        for record in arms
        if (arm := record.arm)
    ]
    return (*trained, *_controls(study, study.result.get("controls", {})))


def missing_files(study: Study) -> tuple[str, ...]:
    """Return what must be said of a study's files that are not there, or hold nothing.

    Raises:
        UserError: for a line that is no prediction, with file and line.
    """
    stored = {run.name: run.predictions() for run in runs_in(study) if run.stores}
    bare = [name for name, rows in stored.items() if rows is None]
    empty = [name for name, rows in stored.items() if rows is not None and not rows]
    texts = rows_file(study.folder / "predictions", "test")
    return (
        *([] if study.has_result else ["result.json is missing: " + NO_RESULT]),
        *([f"predictions on test are missing: {', '.join(bare)}"] if bare else []),
        *([f"predictions on test hold no row: {', '.join(empty)}"] if empty else []),
        *([] if texts.exists() else [f"{texts.name} is missing: {NO_TEXTS}"]),
    )


def is_model(name: str) -> bool:
    """Return whether a row of a search's result is a model on the whole input."""
    return name.startswith(("best (", "trial 0"))


def _of_search(study: Study) -> tuple[Run, ...]:
    """Return a search's best and its defaults, a run by seed, then the controls."""
    table = study.result.get("test", {}) if study.has_result else _in_records(study)
    best = study.info.objective.best_of(study.records)
    chosen = study.result.get("best_trial", best.trial if best else None)
    records = {record.trial: record for record in study.done()}
    bases = {name.rpartition(", seed ")[0] for name in table}
    trained = []
    for name, scores in table.items():
        if not is_model(name) or name in bases:  # a mean of rows of their own
            continue
        base, mark, seed = name.rpartition(", seed ")
        trial = chosen if name.startswith("best (") else 0
        record = records.get(trial) if isinstance(trial, int) else None
        if record is not None:
            record = _alone(record, int(seed) if mark else None, _numbers(study, name, scores))
        number = record.seed if record else None
        trained.append(Run(study, name, "trained", base if mark else name, number, record, scores))
    controls = {name: scores for name, scores in table.items() if not is_model(name)}
    return (*trained, *_controls(study, controls))


def _in_records(study: Study) -> dict[str, Mapping[str, Any]]:
    """Return a search's test scores by run from its records alone, called as in result.json."""
    best = study.info.objective.best_of(study.records)
    found: dict[str, Mapping[str, Any]] = {}
    for record in study.done():
        if record.test_metrics and (record is best or record.trial == 0):
            name = "trial 0 (the defaults)"
            if record is best:
                name = f"best (trial {record.trial}{', the defaults' if record.trial == 0 else ''})"
            found |= {f"{name}, seed {run.seed}": run.test_metrics for run in record.seeds}
            found |= {} if record.seeds else {name: record.test_metrics}
    return dict(sorted(found.items()))


def _alone(record: TrialRecord, seed: int | None, scores: dict[str, float | None]) -> TrialRecord:
    """Return a trial's record as of one of its seeds, or as it is where it had one only."""
    values: dict[str, Any] = {"test_metrics": scores, "seeds": ()}
    if seed is not None:  # counts are sums over all seeds
        values |= {"seed": seed, "config": {**record.config, "seed": seed}, "counts": {}}
        values |= {"series": record.series if seed == record.seed else {}}
        mine = next((run for run in record.seeds if run.seed == seed), None)
        values |= {"curve": mine.curve, "metrics": mine.metrics} if mine else {}
    return record.model_copy(update=values)


def _numbers(study: Study, name: str, scores: Mapping[str, Any]) -> dict[str, float | None]:
    found = {key: value for key, value in scores.items() if not isinstance(value, str)}
    for key, value in found.items():
        if value is None:
            continue
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(
                f"{study.folder / 'result.json'}: {name}: {key} = {value!r} "
                "(allowed: a finite number)"
            )
    return found


def _controls(study: Study, table: Mapping[str, Any]) -> list[Run]:
    return [Run(study, name, "control", name, None, None, scores) for name, scores in table.items()]
