"""A model over a test table: predictions written, every score of them returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r2d_ray.config import TrainConfig
from r2d_ray.evaluation.costs import Costs
from r2d_ray.evaluation.label_metrics import calibration_scores, label_scores
from r2d_ray.records import Prediction, write_jsonl


@dataclass(frozen=True, slots=True)
class EvaluationJob:
    """What to run: a row's name, the model's folder, the data table, whether it writes rationales.

    `aligned` adds what alignment needs: the model's own reading and rationales of swapped labels.
    `calibrated` fits a temperature on the validation rows; `costs` then decide labels beside it.
    """

    name: str
    model_dir: Path
    table: str
    rationales: bool
    aligned: bool = False
    calibrated: bool = False
    costs: Costs | None = None


def evaluate_model(
    evaluation: EvaluationJob, prepared_dir: Path, values: dict[str, Any], out: Path
) -> dict[str, Any]:
    """Run a model over a test table, write its predictions to `out` and return their scores.

    Labels as trained to choose them, free generation for the out-of-set rate, rationales given
    the predicted label with sacreBLEU and ROUGE-L (BERTScore: `score_rationales`).
    """
    from r2d_ray.data.prepare import open_prepared
    from r2d_ray.evaluation.calibration import calibrated_scores, fit, why_not
    from r2d_ray.evaluation.plausibility import with_overlap
    from r2d_ray.evaluation.predictions import predictions
    from r2d_ray.evaluation.reading import readers
    from r2d_ray.evaluation.reading.groundedness import with_groundedness

    config = TrainConfig.model_validate(values)
    prepared = open_prepared(prepared_dir)
    evaluator = readers.load_evaluator(evaluation.model_dir, prepared_dir, config)
    rows = prepared.tables[evaluation.table]
    outputs = evaluator.labels(rows)
    generated = evaluator.generated_labels(rows)
    wrote, said = evaluation.rationales, [output.label for output in outputs]
    rationales = evaluator.rationales(rows, said) if wrote else None
    found = predictions(rows, outputs, prepared.label_tokens.labels, rationales, generated)
    if wrote and evaluation.aligned:
        found = readers.with_given_gold(evaluator, rows, found)
    found = with_overlap(found, human={})
    if wrote:
        found = with_groundedness(found, prepared.tokenizer.batch_decode(list(rows["body_ids"])))
    scores = score(found, prepared.label_tokens.classes)
    if evaluation.calibrated and why_not(config, prepared.label_tokens.kind) is None:
        held = prepared.tables["validation"]
        calibration = fit(held, evaluator.labels(held), evaluation.costs)
        scores |= calibrated_scores(rows, outputs, calibration, prepared.label_tokens)
    if wrote and evaluation.aligned:
        found = readers.with_swapped(evaluator, rows, found)
        found, read = readers.own_reading(evaluator, found)
        scores |= read
    write_jsonl(out, found)
    return scores


def score(found: Sequence[Prediction], classes: Sequence[str]) -> dict[str, Any]:
    """Return every score of these predictions; tagged rows are also scored apart, by tag.

    `classes` are the fixed labels or the letters of options; without them labels are open, and
    there is neither a set to be outside of nor a probability.
    """
    from r2d_ray.evaluation.plausibility import plausibility_scores
    from r2d_ray.evaluation.predictions import prediction_metrics
    from r2d_ray.evaluation.reading.groundedness import groundedness_scores
    from r2d_ray.evaluation.tags import tag_scores

    scores: dict[str, Any] = dict(prediction_metrics(found, classes))
    if classes:
        gold = [row.class_of(row.gold_label) or "" for row in found]
        free = [row.class_of(row.generated_label) for row in found]
        scores["generated_out_of_set_rate"] = label_scores(gold, free, classes)["out_of_set_rate"]
        scores |= calibration_scores(
            gold, [row.class_probabilities(classes) for row in found], classes
        )
    same = sum(row.generated_label == row.label for row in found)
    scores["generated_agreement"] = same / len(found)
    scores |= plausibility_scores(found)
    scores |= groundedness_scores(found)
    return scores | tag_scores(found, classes)
