"""A study's trials, runs, scores and predictions as frames, for further work in pandas.

What does not exist is NaN or raises; no frame is empty in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from analysis.runs import Run, runs_in
from analysis.studies import Study
from r2d_ray.errors import UserError, unknown
from r2d_ray.records import TrialRecord

if TYPE_CHECKING:
    import pandas as pd


SHOWN_ROWS = 12
SHOWN_COLUMNS = 12
"""Of a frame in a notebook; the frame itself has all."""


def trials_frame(study: Study) -> pd.DataFrame:
    """Return one row a trial or arm: how it ended, its scores, every setting.

    Scores are `validation_NAME` at the selected step and `test_NAME`, NaN where a trial was not
    evaluated there; settings have their own names. The score that decides and what was searched
    come first.
    """
    import pandas as pd

    searched = list(study.info.space.get("search", {}))
    rows = [_trial_row(study, record) for record in study.records]
    found = pd.DataFrame(rows)
    metric = study.info.objective.metric
    first = [*_HOW, f"validation_{metric}", f"test_{metric}", *searched]
    names = list(map(str, found.columns))
    scores = [name for name in names if name.startswith(("validation_", "test_"))]
    order = dict.fromkeys((*(name for name in first if name in names), *scores, *names))
    return found[list(order)].set_index("trial")


_HOW = (
    *("trial", "arm", "method", "fold", "status", "reason", "seed"),
    *("selected_step", "steps_done", "wall_s"),
)


def _trial_row(study: Study, record: TrialRecord) -> dict[str, Any]:
    how = {name: getattr(record, name) for name in _HOW}
    if not study.is_comparison:
        del how["arm"]
    if record.fold is None:
        del how["fold"]
    scores: dict[str, float | None] = {f"validation_{k}": v for k, v in record.metrics.items()}
    scores |= {f"test_{name}": value for name, value in record.test_metrics.items()}
    return {**how, **scores, **{k: v for k, v in record.config.items() if k not in how}}


def runs_frame(study: Study) -> pd.DataFrame:
    """Return one row a run that answered the test rows: kind, trial, seed, stored predictions.

    `rows` is how many predictions are stored, NA where no such file is.

    Raises:
        UserError: for a study whose runs were not evaluated on test.
    """
    import pandas as pd

    rows = []
    for run in _runs(study):
        found = run.predictions()
        rows.append(
            {
                "run": run.name,
                "kind": run.kind,
                "group": run.base,
                "trial": None if run.record is None else run.record.trial,
                "seed": run.seed,
                "rows": None if found is None else len(found),
            }
        )
    kinds = {"trial": "Int64", "seed": "Int64", "rows": "Int64"}
    return pd.DataFrame(rows).astype(kinds).set_index("run")


def scores_frame(study: Study) -> pd.DataFrame:
    """Return the test scores, one row a run; NaN is a score that does not exist.

    Shares and F1 are 0 to 1, BLEU 0 to 100.

    Raises:
        UserError: for a study whose runs were not evaluated on test.
    """
    import pandas as pd

    rows = {run.name: _numbers(run.scores) for run in _runs(study)}
    return pd.DataFrame.from_dict(rows, orient="index", dtype=float).rename_axis("run")


def predictions_frame(study: Study, run: str | None = None) -> pd.DataFrame:
    """Return what a run answered, one row a test row, by its id; the first run by default.

    `right` is whether the label is the gold one, `probability` that of the predicted label.

    Raises:
        UserError: for a run that is not there, or whose predictions are not stored.
    """
    import pandas as pd

    runs = {one.name: one for one in _runs(study)}
    chosen = next(iter(runs)) if run is None else run
    if chosen not in runs:
        raise unknown("run", chosen, runs)
    found = runs[chosen].predictions()
    if found is None:
        raise UserError(
            f"{study.folder}: predictions of {chosen} on test are missing "
            "(allowed: a run whose predictions are stored)"
        )
    rows = [
        {
            "id": row.id,
            "group": row.group,
            "gold_label": row.gold_label,
            "label": row.label,
            "right": row.label == row.gold_label,
            "probability": row.probabilities.get(row.label or ""),
            "rationale": row.rationale,
            "reference": row.reference,
            "tags": row.tags,
            **{f"probability_{label}": value for label, value in row.probabilities.items()},
        }
        for row in found
    ]
    return pd.DataFrame(rows).set_index("id")


def short_html(frame: pd.DataFrame) -> str:
    """Return the beginning of a frame as a notebook shows it, and how much is left out."""
    kept = frame.dropna(axis="columns", how="all").iloc[:, :SHOWN_COLUMNS]
    left = frame.shape[1] - kept.shape[1]
    said = f"<p>{len(frame)} rows; {left} more columns, some of them empty</p>" if left else ""
    return kept.to_html(max_rows=SHOWN_ROWS, float_format="{:.4g}".format) + said


def _numbers(scores: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in scores.items() if not isinstance(value, str)}


def _runs(study: Study) -> tuple[Run, ...]:
    """Return the runs of a study.

    Raises:
        UserError: if there are none: nothing was evaluated on test yet.
    """
    runs = runs_in(study)
    if not runs:
        raise UserError(
            f"{study.folder}: no run was evaluated on test (allowed: a study that has ended, with "
            "its result.json)"
        )
    return runs
