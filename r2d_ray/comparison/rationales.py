"""The rationales of a comparison, every arm's and the trivial ones, scored once at the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from r2d_ray.comparison.plan import ComparePlan
from r2d_ray.data.examples import pick_source
from r2d_ray.distributed.controls import control_file, rows_of, write_own_label, write_trivial
from r2d_ray.distributed.tasks import score_rationales
from r2d_ray.evaluation.plausibility import human_source
from r2d_ray.records import file_slug, prediction_file
from r2d_ray.study.folder import StudyFolder

SCRATCH = "own-label"  # folder of rationales that are scored and not kept: two files an arm


@dataclass(frozen=True, slots=True)
class RationaleScores:
    """Scores by arm number and by control, and the signatures of their metrics."""

    arms: dict[int, dict[str, Any]] = field(default_factory=dict)
    controls: dict[str, dict[str, Any]] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)


def compare_rationales(
    plan: ComparePlan, folder: StudyFolder, done: Sequence[int], allow_hub: bool
) -> RationaleScores:
    """Score the test rationales of these arms and the trivial ones of their sources.

    The latter are also of the labels that an arm predicted: means over a method's arms. Where some
    arm trained on another source than the human one, all are also scored against the human
    reference. Arms that train on labels only have no rationales: n/a, not 0.

    Args:
        plan: The comparison.
        folder: Its folder, where the arms' predictions are.
        done: Numbers of the arms that ended well; over folds of the first arm of each run whose
            folds all did, and whose out-of-fold predictions are there.
        allow_hub: Whether the encoder of BERTScore may be fetched.
    """
    wrote = [number for number in done if plan.arms[number].config.trains_rationales]
    if not wrote:
        return RationaleScores()
    by_source: dict[str, list[int]] = {}
    for number in wrote:
        source = pick_source(plan.splits, plan.arms[number].config.rationale_source)
        assert source is not None  # or no arm could train on rationales
        by_source.setdefault(source, []).append(number)
    trivial = write_trivial(folder, plan.parts, list(by_source), plan.settings.split_seed)
    scratch = folder.predictions_dir / SCRATCH
    own = own_label_files(plan, folder, by_source, scratch)
    files = [*(file_of(plan, folder, number) for number in wrote), *trivial.values()]
    human = human_references(plan, by_source)
    gpus = plan.arms[wrote[0]].config.gpus_per_worker
    scores = score_rationales([*files, *own.values()], human, gpus, allow_hub)
    shutil.rmtree(scratch)
    signatures = {name: value for name, value in scores[0].items() if isinstance(value, str)}
    numbers = [{n: v for n, v in each.items() if not isinstance(v, str)} for each in scores]
    return RationaleScores(
        arms=dict(zip(wrote, numbers, strict=False)),
        controls=dict(zip(trivial, numbers[len(wrote) : len(files)], strict=True))
        | means([row for row, _ in own], numbers[len(files) :]),
        signatures=signatures,
    )


def file_of(plan: ComparePlan, folder: StudyFolder, number: int) -> Path:
    """Return where the test predictions of an arm lie; over folds those of all of its run."""
    rows = rows_of(plan.parts)
    return prediction_file(folder.predictions_dir, plan.arms[number].run, rows)


def trivial_files(plan: ComparePlan, folder: StudyFolder, scores: RationaleScores) -> list[Path]:
    """Return the files of the trivial rationales that are kept, not those in SCRATCH."""
    files = (control_file(folder, name, rows_of(plan.parts)) for name in scores.controls)
    return [file for file in files if file.exists()]


def has_bertscore(scores: RationaleScores) -> bool:
    """Return whether there was an encoder: without one there may be one the next time."""
    return any(found.get("bertscore") is not None for found in scores.arms.values())


def own_label_files(
    plan: ComparePlan, folder: StudyFolder, by_source: Mapping[str, Sequence[int]], out: Path
) -> dict[tuple[str, str], Path]:
    """Write training rationales of each arm's own labels; return files by row's name and arm."""
    out.mkdir(exist_ok=True)
    files = {}
    for source, numbers in by_source.items():
        runs = {plan.arms[n].run: file_of(plan, folder, n) for n in numbers}
        made = write_own_label(
            lambda name: out / f"{file_slug(name)}.jsonl",
            plan.parts,
            source,
            plan.settings.split_seed,
            runs,
        )
        for (name, arm), file in made.items():
            files[f"{name}, label of {arm.rpartition('-')[0]}", arm] = file
    return files


def means(
    rows: Iterable[str], scores: Sequence[Mapping[str, float | None]]
) -> dict[str, dict[str, float | None]]:
    """Return the mean of every score over the arms of a row, None where no arm has it."""
    members: dict[str, list[Mapping[str, float | None]]] = {}
    for row, found in zip(rows, scores, strict=True):
        members.setdefault(row, []).append(found)
    table: dict[str, dict[str, float | None]] = {}
    for row, every in members.items():
        table[row] = {}
        for name in every[0]:
            known = [value for each in every if (value := each.get(name)) is not None]
            table[row][name] = fmean(known) if known else None
    return table


def human_references(plan: ComparePlan, sources: Iterable[str | None]) -> dict[str, str]:
    """Return the human references by test row; none where every arm trained on that source."""
    human = human_source(replace(plan.splits, test=plan.tested))
    if human is None or set(sources) == {human}:
        return {}
    return {row.id: row.rationales[human] for row in plan.tested if human in row.rationales}
