"""The last look: best model and trial 0 on the test split, once, beside what costs nothing.

The controls: the majority label, a coin with the training balance, the best model without context.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r2d_ray.config import TrainConfig, build_config
from r2d_ray.data.examples import Example, Splits
from r2d_ray.data.splits import label_kind
from r2d_ray.metrics import (
    calibration_scores,
    coin_macro_f1,
    label_scores,
    majority_label,
    open_label_scores,
)
from r2d_ray.prompts import choice_letter
from r2d_ray.records import (
    Prediction,
    RowText,
    TrialRecord,
    prediction_file,
    rows_file,
    write_json,
    write_jsonl,
)
from r2d_ray.study import StudyFolder


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What to run: a row's name, the model's folder, the data table, whether it writes rationales.

    `aligned` adds what alignment needs: the model's own reading and rationales of swapped labels.
    """

    name: str
    model_dir: Path
    table: str
    rationales: bool
    aligned: bool = False


def evaluate_model(
    evaluation: Evaluation, prepared_dir: Path, values: dict[str, Any], out: Path
) -> dict[str, Any]:
    """Run a model over a test table, write its predictions to `out` and return their scores.

    Labels as trained to choose them, free generation for the out-of-set rate, rationales given
    the predicted label with sacreBLEU and ROUGE-L (BERTScore: `score_rationales`).
    """
    from r2d_ray.data.prepare import open_prepared
    from r2d_ray.evaluate import predictions
    from r2d_ray.plausibility import with_overlap
    from r2d_ray.reading import load_evaluator, own_reading, with_given_gold, with_swapped

    config = TrainConfig.model_validate(values)
    prepared = open_prepared(prepared_dir)
    evaluator = load_evaluator(evaluation.model_dir, prepared_dir, config)
    rows = prepared.tables[evaluation.table]
    outputs = evaluator.labels(rows)
    generated = evaluator.generated_labels(rows)
    rationales = None
    if evaluation.rationales:
        rationales = evaluator.rationales(rows, [output.label for output in outputs])
    found = predictions(rows, outputs, prepared.label_tokens.labels, rationales, generated)
    wrote = rationales is not None
    if wrote and evaluation.aligned:
        found = with_given_gold(evaluator, rows, found)
    found = with_overlap(found, human={})
    scores = score(found, prepared.label_tokens.classes)
    if wrote and evaluation.aligned:
        scores |= own_reading(evaluator, found)
        found = with_swapped(evaluator, rows, found)
    write_jsonl(out, found)
    return scores


def score(found: Sequence[Prediction], classes: Sequence[str]) -> dict[str, Any]:
    """Return every score of these predictions; tagged rows are also scored apart, by tag.

    `classes` are the fixed labels or the letters of options; without them labels are open, and
    there is neither a set to be outside of nor a probability.
    """
    from r2d_ray.evaluate import prediction_metrics
    from r2d_ray.plausibility import plausibility_scores

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
    for tag in sorted({tag for row in found for tag in row.tags}):
        tagged = [row for row in found if tag in row.tags]
        right = sum(row.label == row.gold_label for row in tagged)
        scores[f"accuracy[{tag}]"] = right / len(tagged)
        scores[f"rows[{tag}]"] = float(len(tagged))
    return scores


def controls(splits: Splits) -> dict[str, dict[str, Any]]:
    """Return the scores of the majority label and of a coin with the training balance.

    Where rows bring options, both are over the options' letters. Open labels have no coin: nearly
    every label occurs once.
    """
    train, gold = label_classes(splits.train), label_classes(splits.test)
    top = majority_label(train)
    name, guess = f"majority label ({top})", [top] * len(gold)
    kind = label_kind(splits.labels, splits.train)
    if kind == "open":
        return {name: dict(open_label_scores(gold, guess))}
    most = max(len(row.choices or ()) for _, rows in splits.items() for row in rows)
    classes = splits.labels or tuple(choice_letter(place) for place in range(most))
    return {
        name: dict(label_scores(gold, guess, classes)),
        "coin, training balance": dict(coin_macro_f1(gold, train, classes)),
    }


def label_classes(rows: Sequence[Example]) -> list[str]:
    """Return what each row's label counts as: itself, or the letter of the row's own option."""
    return [
        row.label if row.choices is None else choice_letter(row.choices.index(row.label))
        for row in rows
    ]


Job = tuple[Evaluation, Path, TrainConfig]
"""What to evaluate, on which prepared data, under which config."""


def finalists(
    folder: StudyFolder,
    prepared_dir: Path,
    best: TrialRecord,
    first: TrialRecord | None,
) -> list[Job]:
    """Return what is evaluated on test: the best trial, trial 0 and the best without context."""
    from r2d_ray.data.prepare import WITHOUT_CONTEXT

    config = build_config(best.config)
    writes = config.trains_rationales
    place = folder.best_dir
    label = f"best (trial {best.trial}{', the defaults' if best.trial == 0 else ''})"
    jobs = [(Evaluation(label, place, "test", writes), prepared_dir, config)]
    if first is not None and first.trial != best.trial:
        defaults = Evaluation(
            "trial 0 (the defaults)", folder.trial_dir(0) / "best", "test", writes
        )
        jobs.append((defaults, prepared_dir, build_config(first.config)))
    bare = Evaluation("best without context", place, WITHOUT_CONTEXT, rationales=False)
    return [*jobs, (bare, prepared_dir, config)]


def evaluate_all(jobs: Sequence[Job], folder: StudyFolder) -> list[dict[str, Any]]:
    """Return the scores of these jobs, in their order."""
    return list(evaluate_each(jobs, folder))


def evaluate_each(jobs: Sequence[Job], folder: StudyFolder) -> Iterator[dict[str, Any]]:
    """Evaluate side by side as Ray tasks with a worker's resources; yield scores in order."""
    import ray

    folder.predictions_dir.mkdir(exist_ok=True)
    waiting = []
    for evaluation, prepared_dir, config in jobs:
        task = ray.remote(evaluate_model).options(
            num_cpus=1, num_gpus=min(1.0, config.gpus_per_worker), max_retries=2
        )
        out = predictions_file(folder, evaluation)
        values = config.model_dump()
        waiting.append(task.remote(evaluation, prepared_dir, values, out))
    for reference in waiting:
        yield ray.get(reference)


def last_look(
    jobs: Sequence[Job], folder: StudyFolder, allow_hub: bool
) -> dict[str, dict[str, Any]]:
    """Evaluate these jobs and, once for all of them, BERTScore; return scores by row's name."""
    table = dict(zip([e.name for e, _, _ in jobs], evaluate_all(jobs, folder), strict=True))
    wrote = [evaluation for evaluation, _, _ in jobs if evaluation.rationales]
    if wrote:
        files = [predictions_file(folder, evaluation) for evaluation in wrote]
        found = score_rationales(files, {}, jobs[0][2].gpus_per_worker, allow_hub)
        for evaluation, more in zip(wrote, found, strict=True):
            table[evaluation.name] |= more
    return table


def score_rationales(
    files: Sequence[Path], human: Mapping[str, str], gpus_per_worker: float, allow_hub: bool
) -> list[dict[str, Any]]:
    """Run `plausibility.score_files` as one Ray task with a worker's resources."""
    import ray

    from r2d_ray.plausibility import score_files

    task = ray.remote(score_files).options(
        num_cpus=1, num_gpus=min(1.0, gpus_per_worker), max_retries=2
    )
    scores: list[dict[str, Any]] = ray.get(task.remote(files, human, allow_hub))
    return scores


def predictions_file(folder: StudyFolder, evaluation: Evaluation) -> Path:
    """Return where an evaluation's predictions go."""
    return prediction_file(folder.predictions_dir, evaluation.name, evaluation.table)


def write_result(
    folder: StudyFolder,
    best: TrialRecord,
    table: dict[str, dict[str, Any]],
    records: Sequence[TrialRecord],
) -> dict[str, Any]:
    """Write result.json and the test scores of best and trial 0 into the records.

    `table` holds the best's scores first and, if it is another, trial 0's second.
    """
    rows = list(table.items())
    test = {best.trial: rows[0][1]}
    if len(rows) > 1 and rows[1][0].startswith("trial 0"):
        test[0] = rows[1][1]
    numbers = {
        trial: {k: v for k, v in scores.items() if not isinstance(v, str)}
        for trial, scores in test.items()
    }
    write_jsonl(
        folder.records_path,
        [
            record.model_copy(update={"test_metrics": numbers.get(record.trial, {})})
            for record in sorted(records, key=lambda r: r.trial)
        ],
    )
    result = {
        "best_trial": best.trial,
        "trials": dict(Counter(record.status for record in records)),
        "test": table,
        "config": best.config,
    }
    write_json(folder.root / "result.json", result)
    return result


def write_rows(folder: StudyFolder, splits: Splits) -> None:
    """Write what the test rows ask beside the predictions."""
    texts = [RowText(id=row.id, question=row.question, context=row.context) for row in splits.test]
    folder.predictions_dir.mkdir(exist_ok=True)
    write_jsonl(rows_file(folder.predictions_dir, "test"), texts)


def clear_old_predictions(folder: StudyFolder) -> None:
    """Remove the predictions of an earlier last look: an extended study may have another best."""
    shutil.rmtree(folder.predictions_dir, ignore_errors=True)
