"""A comparison: arms through the same trial function as a search, then their scores and summary.

Stage 1 is shared by seed. The same command resumes: what ended well is neither run nor evaluated
again, a failed arm is run again.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from r2d_ray.comparison.arms import arm_values, check_equal
from r2d_ray.comparison.plan import ComparePlan
from r2d_ray.comparison.rationales import RationaleScores, compare_rationales
from r2d_ray.comparison.scores import evaluate_arms, evaluation_stamp, read_all
from r2d_ray.config import TrainConfig, build_config
from r2d_ray.distributed.cluster import Capacity
from r2d_ray.distributed.controls import beats_bag_of_words, label_controls
from r2d_ray.evaluation.controls.labels import label_metric
from r2d_ray.method.schedules import gold_probability
from r2d_ray.model.flops import costs
from r2d_ray.records import TrialRecord, write_jsonl
from r2d_ray.search.frame import Missing, StudyRun
from r2d_ray.search.tuner import Event, Session, StatelessSearcher, TrialEvent
from r2d_ray.storage import write_json
from r2d_ray.study.books import OUTCOME, Bookkeeper, ScoreCache, key_of
from r2d_ray.study.folder import StudyFolder, write_rows


class ArmSearcher(StatelessSearcher):
    """Hands out the arms that are still missing, in order, and enters those that have ended."""

    def __init__(self, asked: Sequence[dict[str, Any]], books: Bookkeeper) -> None:
        objective = books.info.objective
        super().__init__(metric=objective.metric, mode=objective.mode)
        self.asked = list(asked)
        self.books = books
        self.running: dict[str, dict[str, Any]] = {}

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Return the next arm."""
        self.running[trial_id] = self.asked.pop(0)
        return self.running[trial_id]

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Enter the arm's record."""
        asked = self.running.pop(trial_id)
        self.books.ended(asked["trial"], asked["values"])


def run_comparison(
    plan: ComparePlan,
    address: str | None,
    capacity: Capacity,
    concurrency: int,
    show: Callable[[Event], None],
) -> dict[str, Any] | None:
    """Run or resume a comparison (frame.StudyRun.run)."""
    return ComparisonRun(plan).run(address, capacity, concurrency, show)


class ComparisonRun(StudyRun[ComparePlan]):
    """A comparison, from its plan to its result."""

    keep_all = True  # every arm is evaluated on test

    def configs(self) -> Iterator[tuple[str, TrainConfig]]:
        """Yield the arms' configs; where the base's source is compared, it is `""` too.

        An arm names its source only where it differs from the base (arms.arm_values).
        """
        base = self.plan.info.config["rationale_source"]
        for arm in self.plan.arms:
            yield arm.source or "", arm.config
            if arm.source is not None and arm.source == base:
                yield "", arm.config

    def missing(self, session: Session) -> Missing | None:
        """Return the arms that have not ended well."""
        for number in run_again(session.folder, session.books):
            session.show(TrialEvent(number, "failed earlier: run again"))
        asked = [
            {
                "trial": number,
                "values": arm_values(arm, self.plan.info),
                "method": arm.method,
                "arm": arm.name,
            }
            for number, arm in enumerate(self.plan.arms)
            if number not in session.books.records
        ]
        return Missing(ArmSearcher(asked, session.books), len(asked)) if asked else None

    def finish(self, session: Session) -> dict[str, Any] | None:
        """Evaluate every arm."""
        if len(session.books.records) < len(self.plan.arms):
            return None
        return finish(self.plan, session.folder, session.prepared, session.books)


def finish(
    plan: ComparePlan, folder: StudyFolder, prepared: Mapping[str, Path], books: Bookkeeper
) -> dict[str, Any]:
    """Evaluate every arm on validation and test, write records and result, return the result."""
    if plan.settings.equal_steps:
        check_equal(list(books.records.values()))
    write_rows(folder, plan.splits)
    scores = evaluate_arms(plan, folder, prepared, books)
    rationales = rationale_scores(plan, folder, sorted(scores))
    for number, more in rationales.arms.items():
        scores[number] |= more
    for number, more in read_all(plan, folder, books).items():
        scores[number] |= more
    records = [
        record.model_copy(
            update={
                "method": plan.arms[number].method,  # a driver that died could not say
                "arm": plan.arms[number].name,
                "test_metrics": scores.get(number, {}),
                "counts": counts(record),
            }
        )
        for number, record in sorted(books.records.items())
    ]
    write_jsonl(folder.records_path, records)
    methods, metric = by_method(records), label_metric(plan.info.objective.metric)
    answers = label_controls(folder, plan.splits, metric)
    means = {name: row[metric]["mean"] for name, row in methods.items() if metric in row}
    result = {
        "bag_of_words": beats_bag_of_words(plan.splits, answers, means, metric, "arm"),
        "arms": {r.arm: r.test_metrics for r in records},
        "trials": dict(Counter(r.status for r in records)),
        "failures": {r.trial: r.reason for r in records if r.status == "failed"},
        "methods": methods,
        "controls": answers | rationales.controls,
        "signatures": rationales.signatures,
        "same": plan.same,
    }
    write_json(folder.root / "result.json", result)
    return result


def rationale_scores(
    plan: ComparePlan, folder: StudyFolder, done: Sequence[int]
) -> RationaleScores:
    """Return the scores of these arms' test rationales, made again only where an arm was.

    Without an encoder of BERTScore they are not kept: there may be one the next time.
    """
    kept = ScoreCache(folder.predictions_dir / "rationales.scores.json")
    key = key_of("rationales and controls", [[n, evaluation_stamp(plan, folder, n)] for n in done])
    found = kept.scores("rationales", key)
    if found is not None:
        arms = {int(number): scores for number, scores in found["arms"].items()}
        return RationaleScores(arms, found["controls"], found["signatures"])
    made = compare_rationales(plan, folder, done, plan.info.profile != "embedded")
    if any(scores.get("bertscore") is not None for scores in made.arms.values()):
        kept.write("rationales", key, asdict(made))
    return made


def run_again(folder: StudyFolder, books: Bookkeeper) -> list[int]:
    """Strike failed arms from the records, so that they are run again; return their numbers.

    A search keeps a failed trial as tried, and may draw others; an arm has no other.
    """
    failed = sorted(n for n, record in books.records.items() if record.status == "failed")
    for number in failed:
        del books.records[number]
    if failed:
        write_jsonl(folder.records_path, books.records.values())
    for number in failed:  # a driver that dies now must not leave the old reason
        (folder.trial_dir(number) / OUTCOME).unlink(missing_ok=True)
    return failed


DOSE_TESTED = 0.02  # mean share of prompts whose label changed, below which sampling is not tested


def dose(record: TrialRecord) -> dict[str, float]:
    """Return the effective dose of an arm: means over its logged series."""
    found = {}
    for name in ("sampled_share", "changed_share", "train_label_error"):
        values = [value for value in record.series.get(name, []) if value is not None]
        if values:
            found[name] = sum(values) / len(values)
    found["sampling_tested"] = float(found.get("changed_share", 0.0) >= DOSE_TESTED)
    return found


def selection(record: TrialRecord) -> dict[str, float]:
    """Return how often an arm was evaluated in training and where its checkpoint was selected.

    Returns:
        `evaluations`; `selected_share`, the selected step as a share of stage 2's; and, for an arm
        whose prompts show a label, `selected_gold_probability` at that step: 1 means that the
        selected weights never saw a sampled label.
    """
    found = {"evaluations": float(len(record.curve))}
    if record.selected_step is None:
        return found
    config = build_config(record.config)
    found["selected_share"] = record.selected_step / config.max_steps
    if config.trains_rationales and config.rationale_prompt == "given_label":
        found["selected_gold_probability"] = gold_probability(record.selected_step, config)
    return found


def cost(record: TrialRecord) -> dict[str, float]:
    """Return the tokens and model FLOPs of both stages, as if the arm's stage 1 were its alone."""
    stage2 = costs(record.series, record.steps_done)
    found = {name: value + record.stage1.get(name, 0.0) for name, value in stage2.items()}
    if found:
        found["tokens"] = found["encoder_tokens"] + found["decoder_tokens"]
    return found


def counts(record: TrialRecord) -> dict[str, float]:
    """Return what is told of an arm beside its scores: dose, selection and cost."""
    return dose(record) | selection(record) | cost(record)


def by_method(records: Sequence[TrialRecord]) -> dict[str, dict[str, Any]]:
    """Return mean and standard deviation over seeds of every test score, by method and setting."""
    groups: dict[str, list[TrialRecord]] = {}
    for record in records:
        if record.arm is not None:
            groups.setdefault(record.arm.rpartition("-")[0], []).append(record)
    table: dict[str, dict[str, Any]] = {}
    for name, members in groups.items():
        done = [record for record in members if record.status == "done"]
        row: dict[str, Any] = {"seeds": len(done), "failed": len(members) - len(done)}
        names = {n for r in done for n in (*r.test_metrics, *r.counts)}
        for score in sorted(names):
            values = [{**r.test_metrics, **r.counts}.get(score) for r in done]
            numbers = [float(v) for v in values if v is not None]
            if numbers:
                spread = statistics.stdev(numbers) if len(numbers) > 1 else None
                row[score] = {"mean": statistics.fmean(numbers), "sd": spread}
        table[name] = row
    return table
