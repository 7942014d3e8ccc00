"""Scores of a comparison's arms on held-out rows: evaluated once, read by independent readers once.

What was made is kept (study.books.ScoreCache): a repeated or interrupted comparison makes only
what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r2d_ray.comparison.arms import NO_EARLY_STOP
from r2d_ray.comparison.plan import ComparePlan
from r2d_ray.config import TrainConfig, build_config
from r2d_ray.data.examples import pick_source
from r2d_ray.distributed.stage_job import TrainingJob, run_training
from r2d_ray.distributed.tasks import Job, evaluate_each, predictions_file, read_files
from r2d_ray.evaluation.costs import costs_of
from r2d_ray.evaluation.reading.alignment import reader_splits
from r2d_ray.evaluation.scoring import EvaluationJob
from r2d_ray.method.variants import get_method
from r2d_ray.storage import write_json
from r2d_ray.study.books import OUTCOME, Bookkeeper, ScoreCache, key_of
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.progress.events import ScoringEvent, Show, silent

HELD_OUT = "validation and test rows"
EVALUATION, READER = "evaluation", "reader"  # parts of the scores beside a predictions file


def arm_evaluation(
    plan: ComparePlan, folder: StudyFolder, number: int, split: str
) -> EvaluationJob:
    """Return what is evaluated of an arm on a split."""
    arm = plan.arms[number]
    weights = folder.trial_dir(number) / "best"
    # An arm trained on labels only has no rationales: n/a, not 0.
    writes = arm.config.trains_rationales
    test = split == "test"
    aligned = test or bool(plan.settings.budgets)  # gates read rationales of validation rows
    costs = costs_of(plan.info) if test else None
    return EvaluationJob(arm.name, weights, split, writes, aligned, calibrated=test, costs=costs)


def evaluation_key(folder: StudyFolder, number: int, job: Job) -> str:
    """Return the key of an arm's evaluation: its weights, data and what is asked.

    The outcome stands for the weights: an arm that was run again has another.
    """
    wanted, prepared_dir, _ = job
    outcome = (folder.trial_dir(number) / OUTCOME).read_text(encoding="utf-8")
    asked = [wanted.name, wanted.table, wanted.rationales, wanted.aligned, wanted.costs]
    return key_of(outcome, prepared_dir.name, asked)


def evaluation_stamp(plan: ComparePlan, folder: StudyFolder, number: int) -> str | None:
    """Return the stamp of an arm's evaluation on test."""
    wanted = arm_evaluation(plan, folder, number, "test")
    return ScoreCache.beside(predictions_file(folder, wanted)).stamp(EVALUATION)


def evaluate_arms(
    plan: ComparePlan,
    folder: StudyFolder,
    prepared: Mapping[str, Path],
    books: Bookkeeper,
    show: Show = silent,
    splits: Sequence[str] = ("validation", "test"),
) -> dict[int, dict[str, Any]]:
    """Evaluate every finished arm on these held-out splits, unless it was.

    Returns:
        Test scores by arm number.
    """
    found: dict[int, dict[str, Any]] = {}
    missing: list[tuple[int, Job]] = []
    for number, arm in enumerate(plan.arms):
        record = books.records.get(number)
        if record is None or record.status != "done":
            continue
        for split in splits:
            wanted = arm_evaluation(plan, folder, number, split)
            job = (wanted, prepared[arm.data], arm.config)
            file = predictions_file(folder, wanted)
            scores = ScoreCache.beside(file).scores(EVALUATION, evaluation_key(folder, number, job))
            if scores is None or not file.exists():
                ScoreCache.beside(file).clear()
                missing.append((number, job))
            elif split == "test":
                found[number] = scores
    made = evaluate_each([job for _, job in missing], folder)
    if missing:
        show(ScoringEvent(HELD_OUT, 0, len(missing)))
    for done, ((number, job), every) in enumerate(zip(missing, made, strict=True), start=1):
        show(ScoringEvent(HELD_OUT, done, len(missing)))
        scores = {name: value for name, value in every.items() if not isinstance(value, str)}
        kept = ScoreCache.beside(predictions_file(folder, job[0]))
        kept.write(EVALUATION, evaluation_key(folder, number, job), scores)
        if job[0].table == "test":
            found[number] = scores
    return found


def read_all(
    plan: ComparePlan, folder: StudyFolder, books: Bookkeeper, show: Show = silent
) -> dict[int, dict[str, Any]]:
    """Read every arm's test rationales with independent readers, unless they were.

    One reader by rationale source and fold, trained once on masked gold rationales.

    Returns:
        Scores by arm number.
    """
    found: dict[int, dict[str, Any]] = {}
    readers = list(dict.fromkeys((arm.source, arm.fold) for arm in plan.arms))
    for done, (source, fold) in enumerate(readers):
        show(ScoringEvent("reader of rationales", done, len(readers)))
        numbers = [
            number
            for number, arm in enumerate(plan.arms)
            if (arm.source, arm.fold) == (source, fold)
            and arm.config.trains_rationales
            and books.records[number].status == "done"
        ]
        if numbers:
            reader = train_reader(plan, folder, source, fold)
            found |= read_with(plan, folder, numbers, *reader)
    return found


def read_with(
    plan: ComparePlan,
    folder: StudyFolder,
    numbers: list[int],
    config: TrainConfig,
    prepared_dir: Path,
    weights: Path,
) -> dict[int, dict[str, Any]]:
    """Read the test rationales of these arms with one reader; return scores by arm number."""
    reader = (weights.parent / OUTCOME).read_text(encoding="utf-8")
    files, keys = {}, {}
    found: dict[int, dict[str, Any]] = {}
    for number in numbers:
        files[number] = predictions_file(folder, arm_evaluation(plan, folder, number, "test"))
        stamp = evaluation_stamp(plan, folder, number)
        keys[number] = key_of(reader, prepared_dir.name, stamp)
        scores = ScoreCache.beside(files[number]).scores(READER, keys[number])
        if scores is not None:
            found[number] = scores
    missing = [number for number in numbers if number not in found]
    if missing:
        read = read_files(
            config, prepared_dir, weights, plan.splits.name, [files[n] for n in missing]
        )
        for number, scores in zip(missing, read, strict=True):
            ScoreCache.beside(files[number]).write(READER, keys[number], scores)
            found[number] = scores
    return found


def train_reader(
    plan: ComparePlan, folder: StudyFolder, source: str | None, fold: int | None
) -> tuple[TrainConfig, Path, Path]:
    """Train the independent reader of a rationale source and fold unless it is there.

    Returns:
        Its config (labels only, the comparison's own sizes and steps), data and weights.
    """
    from r2d_ray.data.prepare import prepare

    splits = plan.splits_of(fold)
    name = pick_source(splits, source or plan.info.config["rationale_source"])
    assert name is not None
    base = {**plan.info.config, **get_method("sft").values, **NO_EARLY_STOP}
    sources = {"rationale_source": None, "stage1_rationale_source": None}
    config = build_config({**base, **sources, "selection_metric": "macro_f1"})
    prepared_dir = prepare(reader_splits(splits, name), config, folder.prepared_dir)
    place = folder.root / "readers" / (name if fold is None else f"{name}-fold{fold}")
    job = TrainingJob(config, "stage2", prepared_dir, place)
    outcome = job.run_dir / OUTCOME
    if not outcome.exists():
        write_json(outcome, run_training(job))
    return config, prepared_dir, job.best_dir
