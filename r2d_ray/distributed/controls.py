"""Controls of a study, search or comparison: made once of its data, kept beside its predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sklearn

from r2d_ray.data.examples import Splits
from r2d_ray.distributed.tasks import predictions_file
from r2d_ray.evaluation.controls.bag_of_words import bag_scores, bags_of_words, not_applicable
from r2d_ray.evaluation.controls.labels import controls, verdict
from r2d_ray.evaluation.controls.trivial_rationales import (
    given_predicted_label,
    trivial_rationales,
)
from r2d_ray.evaluation.scoring import EvaluationJob
from r2d_ray.records import Prediction, read_jsonl, write_jsonl
from r2d_ray.study.books import ScoreCache, key_of
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.tested import KEPT_SCORES

BAGS = "bag of words"  # part of the kept scores, and how the controls' names begin

Scores = dict[str, dict[str, Any]]


def control_file(folder: StudyFolder, name: str) -> Path:
    """Return where the test predictions of a control go."""
    job = EvaluationJob(f"control {name}", folder.root, "test", rationales=False)
    return predictions_file(folder, job)


def label_controls(folder: StudyFolder, splits: Splits, metric: str) -> Scores:
    """Return the scores of every label control by name; the bags' predictions are written.

    A bag of words is fitted once for the same rows, `metric` (one of `labels.LABEL_METRICS`) and
    version of scikit-learn.
    """
    kept = ScoreCache(folder.predictions_dir / KEPT_SCORES)
    key = key_of(BAGS, splits.hash, metric, sklearn.__version__)
    bags = kept.scores(BAGS, key)
    if bags is None or not all(control_file(folder, name).exists() for name in bags):
        folder.predictions_dir.mkdir(exist_ok=True)
        made = bags_of_words(splits, metric)
        for name, bag in made.items():
            write_jsonl(control_file(folder, name), bag.predictions)
        bags = {name: bag_scores(bag, splits) for name, bag in made.items()}
        kept.write(BAGS, key, bags)
    return controls(splits) | bags


def beats_bag_of_words(
    splits: Splits, found: Scores, models: Mapping[str, float], metric: str, word: str
) -> dict[str, Any]:
    """Return `labels.verdict` of trained models' test scores against those of `label_controls`."""
    bags = {name: scores for name, scores in found.items() if name.startswith(BAGS)}
    return verdict(bags, not_applicable(splits), models, metric, word)


def write_trivial(
    folder: StudyFolder, splits: Splits, sources: Sequence[str], seed: int
) -> dict[str, Path]:
    """Write the trivial rationales of these sources; return their files by name.

    With several sources a name ends with its own.
    """
    files = {}
    for source in sources:
        more = f", {source}" if len(sources) > 1 else ""
        for name, rows in trivial_rationales(splits, source, seed).items():
            files[name + more] = control_file(folder, name + more)
            write_jsonl(files[name + more], rows)
    return files


def write_own_label(
    place: Callable[[str], Path],
    splits: Splits,
    source: str,
    seed: int,
    runs: Mapping[str, Path],
) -> dict[tuple[str, str], Path]:
    """Write training rationales of the labels that these runs predicted.

    Args:
        place: From a control's name and run (`NAME, label of RUN`) to its file.
        splits: The data.
        source: The rationale source that the runs trained on.
        seed: Of the draws.
        runs: Predictions files by the run's name.

    Returns:
        Files by the control's name and the run's.
    """
    labels = [{row.id: row.label for row in read_jsonl(f, Prediction)} for f in runs.values()]
    made = given_predicted_label(splits, source, seed, labels)
    files = {}
    for run, by_name in zip(runs, made, strict=True):
        for name, rows in by_name.items():
            files[name, run] = place(f"{name}, label of {run}")
            write_jsonl(files[name, run], rows)
    return files
