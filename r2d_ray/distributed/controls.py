"""Controls of a study, search or comparison: made once of its data, kept beside its predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sklearn

from r2d_ray.data.examples import Splits
from r2d_ray.evaluation.controls.bag_of_words import bag_scores, not_applicable, out_of_fold
from r2d_ray.evaluation.controls.labels import controls, verdict
from r2d_ray.evaluation.controls.trivial_rationales import (
    given_predicted_label,
    trivial_rationales,
)
from r2d_ray.records import Prediction, prediction_file, read_jsonl, write_jsonl
from r2d_ray.study.books import ScoreCache, key_of
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.tested import KEPT_SCORES

BAGS = "bag of words"  # part of the kept scores, and how the controls' names begin

Scores = dict[str, dict[str, Any]]


OUT_OF_FOLD = "oof"
"""What stands in a file's name for the test rows of all folds."""


def rows_of(folds: Sequence[Splits]) -> str:
    """Return what a predictions file over the test rows of these folds says of its rows."""
    return "test" if len(folds) == 1 else OUT_OF_FOLD


def control_file(folder: StudyFolder, name: str, rows: str = "test") -> Path:
    """Return where the predictions of a control on these rows (`rows_of`) go."""
    return prediction_file(folder.predictions_dir, f"control {name}", rows)


def label_controls(folder: StudyFolder, folds: Sequence[Splits], metric: str) -> Scores:
    """Return the scores of every label control by name; the bags' predictions are written.

    A bag of words is fitted once for the same rows, `metric` (one of `labels.LABEL_METRICS`) and
    version of scikit-learn, unless its file was lost or changed. Of several folds each is fitted on
    its own training rows.
    """
    kept = ScoreCache(folder.predictions_dir / KEPT_SCORES)
    key = key_of(BAGS, [fold.hash for fold in folds], metric, sklearn.__version__)
    bags = kept.scores(BAGS, key)
    if bags is None:
        folder.predictions_dir.mkdir(exist_ok=True)
        made = out_of_fold(folds, metric)
        files = {name: control_file(folder, name, rows_of(folds)) for name in made}
        for name, bag in made.items():
            write_jsonl(files[name], bag.predictions)
        bags = {name: bag_scores(bag, *folds) for name, bag in made.items()}
        kept.write(BAGS, key, bags, files.values())
    return controls(*folds) | bags


def beats_bag_of_words(
    folds: Sequence[Splits], found: Scores, models: Mapping[str, float], metric: str, word: str
) -> dict[str, Any]:
    """Return `labels.verdict` of trained models' test scores against those of `label_controls`."""
    bags = {name: scores for name, scores in found.items() if name.startswith(BAGS)}
    reasons = (why for fold in folds if (why := not_applicable(fold)))
    return verdict(bags, next(reasons, None), models, metric, word)


def write_trivial(
    folder: StudyFolder, folds: Sequence[Splits], sources: Sequence[str], seed: int
) -> dict[str, Path]:
    """Write the trivial rationales of these sources; return their files by name.

    Each fold's are of its own training rows. With several sources a name ends with its own.
    """
    rows: dict[str, list[Prediction]] = {}
    for source in sources:
        more = f", {source}" if len(sources) > 1 else ""
        for fold in folds:
            for name, found in trivial_rationales(fold, source, seed).items():
                rows.setdefault(name + more, []).extend(found)
    files = {name: control_file(folder, name, rows_of(folds)) for name in rows}
    for name, found in rows.items():
        write_jsonl(files[name], found)
    return files


def write_own_label(
    place: Callable[[str], Path],
    folds: Sequence[Splits],
    source: str,
    seed: int,
    runs: Mapping[str, Path],
) -> dict[tuple[str, str], Path]:
    """Write training rationales of the labels that these runs predicted.

    Args:
        place: From a control's name and run (`NAME, label of RUN`) to its file.
        folds: The data; each fold's rationales are of its own training rows.
        source: The rationale source that the runs trained on.
        seed: Of the draws.
        runs: Predictions files by the run's name, over the test rows of all folds.

    Returns:
        Files by the control's name and the run's.
    """
    labels = [{row.id: row.label for row in read_jsonl(f, Prediction)} for f in runs.values()]
    rows: dict[tuple[str, str], list[Prediction]] = {}
    for fold in folds:
        made = given_predicted_label(fold, source, seed, labels)
        for run, by_name in zip(runs, made, strict=True):
            for name, found in by_name.items():
                rows.setdefault((name, run), []).extend(found)
    files = {(name, run): place(f"{name}, label of {run}") for name, run in rows}
    for key, found in rows.items():
        write_jsonl(files[key], found)
    return files
