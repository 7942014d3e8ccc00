"""The gates at work: two arms are evaluated on validation and judged before all others."""

from __future__ import annotations

from r2d_ray.comparison.gates import LEARNS, READS, Gate, Gates, GatesNotPassed, judge
from r2d_ray.comparison.plan import ComparePlan
from r2d_ray.comparison.scores import arm_evaluation, evaluate_arms
from r2d_ray.distributed.tasks import predictions_file
from r2d_ray.records import Prediction, read_jsonl
from r2d_ray.search.tuner import Session
from r2d_ray.study.progress.events import StudyNote


def judged(plan: ComparePlan) -> list[int]:
    """Return the numbers of the arms that the gates judge: the first seed of two methods."""
    names = [arm.method for arm in plan.arms]
    learns = next(name for name in LEARNS if name in names)
    return [names.index(learns), names.index(READS)]


def gates_of(plan: ComparePlan, session: Session) -> Gates:
    """Evaluate the judged arms on validation, unless they were, and return the gates."""
    folder, books = session.folder, session.books
    for number in judged(plan):
        record = books.records[number]
        if record.status != "done":
            says = f"{plan.arms[number].name} failed: {record.reason}"
            return Gates(plan.info.config["max_steps"], (Gate("trained", says, passed=False),))
    evaluate_arms(plan, folder, session.prepared, books, session.show, ("validation",))
    files = (
        predictions_file(folder, arm_evaluation(plan, folder, number, "validation"))
        for number in judged(plan)
    )
    learns, reads = (list(read_jsonl(file, Prediction)) for file in files)
    return judge(plan.splits, learns, reads, plan.info.config["max_steps"])


def gates_passed(plan: ComparePlan, session: Session) -> Gates:
    """Judge the gates, show them and return them.

    Raises:
        GatesNotPassed: where some are not passed.
    """
    gates = gates_of(plan, session)
    for line in gates.lines():
        session.show(StudyNote(line))
    if not gates.passed:
        raise GatesNotPassed(gates)
    return gates
