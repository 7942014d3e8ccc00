"""A comparison: arms through the same trial function as a search, then their scores and summary.

Stage 1 is shared by seed. The same command resumes: what ended well is neither run nor evaluated
again, a failed arm is run again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from r2d_ray.comparison.arms import arm_values, check_equal
from r2d_ray.comparison.folds import fold_summary, pooled_records
from r2d_ray.comparison.gates import Gates, gates_passed, judged
from r2d_ray.comparison.plan import ComparePlan
from r2d_ray.comparison.rationales import (
    RationaleScores,
    compare_rationales,
    has_bertscore,
    trivial_files,
)
from r2d_ray.comparison.scores import evaluate_arms, evaluation_stamp, read_all
from r2d_ray.comparison.searcher import ArmSearcher, run_again
from r2d_ray.comparison.summary import by_method, counts
from r2d_ray.config import TrainConfig, may_use_hub
from r2d_ray.data.examples import Splits, has_context
from r2d_ray.distributed.cluster import Capacity
from r2d_ray.distributed.controls import beats_bag_of_words, label_controls
from r2d_ray.evaluation.calibration import why_not
from r2d_ray.evaluation.controls.absent import absent
from r2d_ray.evaluation.controls.labels import label_metric
from r2d_ray.evaluation.controls.trivial_rationales import FIRST_SENTENCE
from r2d_ray.records import TrialRecord, write_jsonl
from r2d_ray.search.frame import Missing, StudyRun
from r2d_ray.search.tuner import Session
from r2d_ray.storage import write_json
from r2d_ray.study.books import Bookkeeper, ScoreCache, key_of
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.progress.events import PlannedTrial, ScoringEvent, Show, StudyNote, silent
from r2d_ray.study.tested import write_rows
from r2d_ray.tracking.trials import tests_ended


def run_comparison(
    plan: ComparePlan,
    address: str | None,
    capacity: Capacity,
    concurrency: int,
    show: Show,
) -> dict[str, Any] | None:
    """Run or resume a comparison (frame.StudyRun.run)."""
    return ComparisonRun(plan).run(address, capacity, concurrency, show)


class ComparisonRun(StudyRun[ComparePlan]):
    """A comparison, from its plan to its result."""

    keep_all = True  # every arm is evaluated on test
    only: Collection[int] | None = None  # the arms to train now; None = all
    gates: Gates | None = None  # those that were passed

    def configs(self) -> Iterator[tuple[str, TrainConfig]]:
        """Yield the arms' configs by what they call their data: source and fold."""
        for arm in self.plan.arms:
            yield arm.data, arm.config

    def splits_of(self, data: str) -> Splits:
        """Return the splits of the arms that call their data so."""
        arm = next(arm for arm in self.plan.arms if arm.data == data)
        return self.plan.splits_of(arm.fold)

    def planned(self) -> list[PlannedTrial]:
        """Return the arms."""
        return [PlannedTrial(arm.name, arm.config.max_steps) for arm in self.plan.arms]

    def missing(self, session: Session) -> Missing | None:
        """Return the arms that have not ended well."""
        for number in run_again(session.folder, session.books):
            session.show(StudyNote(f"{self.plan.arms[number].name} failed earlier: run again"))
        asked = [
            {
                "trial": number,
                "values": arm_values(arm, self.plan.info),
                "method": arm.method,
                "arm": arm.name,
                "fold": arm.fold,
                "data": arm.data,
            }
            for number, arm in enumerate(self.plan.arms)
            if number not in session.books.records and (self.only is None or number in self.only)
        ]
        return Missing(ArmSearcher(asked, session.books), len(asked)) if asked else None

    def train(self, session: Session, resumed: bool) -> None:
        """Run the arms that are missing, those that the gates judge before all others.

        Raises:
            GatesNotPassed: where they are not passed.
        """
        if self.plan.settings.budgets:
            self.only = judged(self.plan)
            super().train(session, resumed)
            if any(number not in session.books.records for number in self.only):
                return  # stopped
            self.gates = gates_passed(self.plan, session)
            self.only, resumed = None, True
        super().train(session, resumed)

    def finish(self, session: Session) -> dict[str, Any] | None:
        """Evaluate every arm."""
        if len(session.books.records) < len(self.plan.arms):
            return None
        prepared, books = session.prepared, session.books
        result = finish(self.plan, session.folder, prepared, books, session.show, self.gates)
        tests_ended(session.folder, self.plan.info, session.trackers)
        return result


def finish(
    plan: ComparePlan,
    folder: StudyFolder,
    prepared: Mapping[str, Path],
    books: Bookkeeper,
    show: Show = silent,
    gates: Gates | None = None,
) -> dict[str, Any]:
    """Evaluate every arm on validation and test, write records and result, return the result."""
    check_equal(list(books.records.values()), plan.settings.equal)
    write_rows(folder, replace(plan.splits, test=plan.tested))
    scores = evaluate_arms(plan, folder, prepared, books, show)
    show(ScoringEvent("rationales", 0, 1))  # over folds together: see `pooled_records`
    rationales = RationaleScores() if plan.folds else rationale_scores(plan, folder, sorted(scores))
    for number, more in rationales.arms.items():
        scores[number] |= more
    for number, more in read_all(plan, folder, books, show).items():
        scores[number] |= more
    records = scored(plan, books, scores)
    write_jsonl(folder.records_path, records)
    metric = label_metric(plan.info.objective.metric)
    shown = records
    if plan.folds:
        shown, rationales = pooled_records(plan, folder, records, scores)
    show(ScoringEvent("controls", 0, 1))
    answers = label_controls(folder, plan.parts, metric)
    methods = by_method(shown)
    means = {name: row[metric]["mean"] for name, row in methods.items() if metric in row}
    result = {
        "bag_of_words": beats_bag_of_words(plan.parts, answers, means, metric, "arm"),
        "arms": {r.arm: r.test_metrics for r in shown},
        "trials": dict(Counter(r.status for r in records)),
        "failures": {r.trial: r.reason for r in records if r.status == "failed"},
        "methods": methods,
        "controls": answers | {n: rationales.controls[n] for n in applicable(plan, rationales)},
        "signatures": rationales.signatures,
        "same": plan.same,
    }
    result |= facts(plan) | ({"gates": gates.values()} if gates else {})
    if plan.folds:
        result["folds"] = fold_summary(plan, records, metric)
    write_json(folder.root / "result.json", result)
    return result


def facts(plan: ComparePlan) -> dict[str, Any]:
    """Return what result.json says of scores that cannot be, and of random weights."""
    writes = any(arm.config.trains_rationales for arm in plan.arms)
    found = absent(plan.splits, plan.tested, [FIRST_SENTENCE] if writes else [])
    reasons = {
        arm.run.rpartition("-")[0]: why
        for arm in plan.arms
        if (why := why_not(arm.config, plan.splits.label_kind))
    }
    if reasons:
        found["calibration"] = {"not_applicable": reasons}
    if plan.info.random_weights:
        found["random_weights"] = plan.info.random_weights
    return found


def applicable(plan: ComparePlan, rationales: RationaleScores) -> list[str]:
    """Return the trivial rationales that these rows can have; kept scores may name others."""
    bare = not has_context(plan.tested)
    return [n for n in rationales.controls if not (bare and n.startswith(FIRST_SENTENCE))]


def scored(
    plan: ComparePlan, books: Bookkeeper, scores: Mapping[int, dict[str, Any]]
) -> list[TrialRecord]:
    """Return the arms' records, in order, with their test scores and what is counted."""
    return [
        record.model_copy(
            update={
                "method": plan.arms[number].method,  # a driver that died could not say
                "arm": plan.arms[number].name,
                "fold": plan.arms[number].fold,
                "test_metrics": scores.get(number, {}),
                "counts": counts(record),
            }
        )
        for number, record in sorted(books.records.items())
    ]


def rationale_scores(
    plan: ComparePlan, folder: StudyFolder, done: Sequence[int]
) -> RationaleScores:
    """Return the scores of these arms' test rationales, made again only where an arm was.

    Or where the file of a trivial rationale is lost. Without an encoder of BERTScore they are not
    kept: there may be one the next time.
    """
    kept = ScoreCache(folder.predictions_dir / "rationales.scores.json")
    key = key_of("rationales and controls", [[n, evaluation_stamp(plan, folder, n)] for n in done])
    found = kept.scores("rationales", key)
    if found is not None:
        arms = {int(number): scores for number, scores in found["arms"].items()}
        return RationaleScores(arms, found["controls"], found["signatures"])
    made = compare_rationales(plan, folder, done, may_use_hub(plan.info.profile))
    if has_bertscore(made):
        kept.write("rationales", key, asdict(made), trivial_files(plan, folder, made))
    return made
