"""The rationales of a comparison, every arm's and the trivial ones, scored once at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r2d_ray.comparison.plan import ComparePlan
from r2d_ray.data.examples import pick_source
from r2d_ray.distributed.tasks import predictions_file, score_rationales
from r2d_ray.evaluation.controls import trivial_rationales
from r2d_ray.evaluation.plausibility import human_source
from r2d_ray.evaluation.scoring import EvaluationJob
from r2d_ray.records import write_jsonl
from r2d_ray.study.folder import StudyFolder


@dataclass(frozen=True, slots=True)
class RationaleScores:
    """Scores by arm number and by trivial rationale, and the signatures of their metrics."""

    arms: dict[int, dict[str, Any]] = field(default_factory=dict)
    controls: dict[str, dict[str, Any]] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)


def compare_rationales(
    plan: ComparePlan, folder: StudyFolder, done: Sequence[int], allow_hub: bool
) -> RationaleScores:
    """Score the test rationales of these arms and the trivial ones of their sources.

    Where some arm trained on another source than the human one, all are also scored against the
    human reference. Arms that train on labels only have no rationales: n/a, not 0.

    Args:
        plan: The comparison.
        folder: Its folder, where the arms' predictions are.
        done: Numbers of the arms that ended well.
        allow_hub: Whether the encoder of BERTScore may be fetched.
    """
    wrote = [number for number in done if plan.arms[number].config.trains_rationales]
    if not wrote:
        return RationaleScores()
    configs = [plan.arms[number].config for number in wrote]
    sources = dict.fromkeys(pick_source(plan.splits, c.rationale_source) for c in configs)
    trivial = write_trivial(plan, folder, [source for source in sources if source is not None])
    names = [plan.arms[number].name for number in wrote]
    files = [*(file_of(folder, name) for name in names), *trivial.values()]
    human = human_references(plan, sources)
    scores = score_rationales(files, human, configs[0].gpus_per_worker, allow_hub)
    signatures = {name: value for name, value in scores[0].items() if isinstance(value, str)}
    numbers = [{n: v for n, v in each.items() if not isinstance(v, str)} for each in scores]
    return RationaleScores(
        arms=dict(zip(wrote, numbers, strict=False)),
        controls=dict(zip(trivial, numbers[len(wrote) :], strict=True)),
        signatures=signatures,
    )


def file_of(folder: StudyFolder, name: str) -> Path:
    """Return where the test predictions of an arm or a control go."""
    return predictions_file(folder, EvaluationJob(name, folder.root, "test", rationales=True))


def write_trivial(
    plan: ComparePlan, folder: StudyFolder, sources: Sequence[str]
) -> dict[str, Path]:
    """Write the trivial rationales of these sources; return their files by name.

    With several sources a name ends with its own.
    """
    files = {}
    for source in sources:
        more = f", {source}" if len(sources) > 1 else ""
        for name, rows in trivial_rationales(plan.splits, source, plan.settings.seed).items():
            files[name + more] = file_of(folder, f"control {name}{more}")
            write_jsonl(files[name + more], rows)
    return files


def human_references(plan: ComparePlan, sources: Iterable[str | None]) -> dict[str, str]:
    """Return the human references by test row; none where every arm trained on that source."""
    human = human_source(plan.splits)
    if human is None or set(sources) == {human}:
        return {}
    return {row.id: row.rationales[human] for row in plan.splits.test if human in row.rationales}
