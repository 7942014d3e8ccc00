"""What lies beside a study's predictions: the texts of its test rows, and what an old look left."""

from __future__ import annotations

from r2d_ray.data.examples import Splits
from r2d_ray.records import RowText, rows_file, write_jsonl
from r2d_ray.study.folder import StudyFolder


def write_rows(folder: StudyFolder, splits: Splits) -> None:
    """Write what the test rows ask beside the predictions."""
    texts = [RowText(id=row.id, question=row.question, context=row.context) for row in splits.test]
    folder.predictions_dir.mkdir(exist_ok=True)
    write_jsonl(rows_file(folder.predictions_dir, "test"), texts)


KEPT_SCORES = "controls.scores.json"
"""Scores of the controls that are made of the data alone, beside their predictions."""


def clear_old_predictions(folder: StudyFolder) -> None:
    """Remove the predictions of an earlier last look: an extended study may have another best.

    Controls of the data alone stay: no trial changes them.
    """
    if not folder.predictions_dir.exists():
        return
    for file in folder.predictions_dir.iterdir():
        if file.name != KEPT_SCORES and not file.name.startswith("control-bag-of-words"):
            file.unlink()
