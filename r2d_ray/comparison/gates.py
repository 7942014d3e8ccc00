"""Gates of a comparison: are labels learnt and read at this budget, so that arms can differ at all?

Judged on validation rows, by the first seed of `sft` (or `stage1_sft`) and `teacher_forcing`,
before any other arm is trained. Where teacher forcing does not follow the label in its prompt, no
sampling of that label can show anything; where a bag of words does better, what is ranked is how
far training went.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from r2d_ray.comparison.budgets import LEARNS, READS
from r2d_ray.comparison.plan import ComparePlan
from r2d_ray.comparison.scores import arm_evaluation, evaluate_arms
from r2d_ray.config import GATE_CEILING_GAP, GATE_FOLLOWING
from r2d_ray.data.examples import Example, Splits
from r2d_ray.data.samples.dealing import AMBIGUOUS
from r2d_ray.distributed.tasks import predictions_file
from r2d_ray.evaluation.controls.bag_of_words import bags_of_words, not_applicable
from r2d_ray.evaluation.controls.labels import label_metric
from r2d_ray.evaluation.reading.alignment import exact_reader
from r2d_ray.evaluation.reading.verdicts import Read, read_rows
from r2d_ray.records import Prediction, read_jsonl
from r2d_ray.search.tuner import Session
from r2d_ray.study.progress.events import StudyNote

Z_95 = 1.959963984540054  # two-sided 95 % of a normal distribution


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate: what was asked, what was found in numbers and words, whether it is passed."""

    name: str
    says: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Gates:
    """All gates at one budget, in steps of stage 2."""

    steps: int
    every: tuple[Gate, ...]

    @property
    def passed(self) -> bool:
        """Whether all are passed."""
        return all(gate.passed for gate in self.every)

    def values(self) -> list[dict[str, Any]]:
        """Return the gates as JSON values."""
        return [asdict(gate) for gate in self.every]

    def lines(self) -> list[str]:
        """Return a line for each gate."""
        said = {True: "passed", False: "NOT passed"}
        at = f"gate at {self.steps} steps"
        return [f"{at}: {gate.says}: {said[gate.passed]}" for gate in self.every]


class GatesNotPassed(Exception):
    """Arms at this budget would tell nothing; `gates` says why."""

    def __init__(self, gates: Gates) -> None:
        super().__init__("; ".join(gate.says for gate in gates.every if not gate.passed))
        self.gates = gates


def judge(
    splits: Splits, learns: Sequence[Prediction], reads: Sequence[Prediction], steps: int
) -> Gates:
    """Return the gates of these predictions of validation rows.

    Args:
        splits: The data; its test rows are not looked at.
        learns: What one of the `LEARNS` methods predicts.
        reads: What the `READS` method predicts, with rationales of swapped labels.
        steps: The budget.
    """
    every = [gate for gate in (bag_gate(splits, learns), ceiling_gate(splits, learns)) if gate]
    return Gates(steps, (*every, following_gate(verdicts(splits, reads), reads)))


def accuracy(found: Sequence[Prediction]) -> float:
    """Return the share of rows whose label is right."""
    return sum(row.label == row.gold_label for row in found) / len(found)


def bag_gate(splits: Splits, found: Sequence[Prediction]) -> Gate | None:
    """Return whether a model is not below the bag of words, by the interval of their difference.

    The bag's settings are chosen on the rows that it is compared on: a strict judge. None where
    the data can have no bag of words.
    """
    if not_applicable(splits) is not None:
        return None
    as_test = splits.with_rows(
        {"train": splits.train, "validation": splits.validation, "test": splits.validation}
    )
    bags = bags_of_words(as_test, label_metric("accuracy"))
    bag = max(bags.values(), key=lambda made: accuracy(made.predictions))
    theirs = {row.id: row.label == row.gold_label for row in bag.predictions}
    pairs = [(row.label == row.gold_label, theirs[row.id]) for row in found]
    low, high = difference_interval(pairs)
    ours, bags_own = 100 * accuracy(found), 100 * accuracy(bag.predictions)
    says = (
        f"plain fine-tuning has accuracy {ours:.1f} on validation, a bag of words {bags_own:.1f} "
        f"(difference {ours - bags_own:.1f} [{100 * low:.1f}, {100 * high:.1f}]; "
        "asked: not below 0)"
    )
    return Gate("bag of words", says, high >= 0)


def difference_interval(pairs: Sequence[tuple[bool, bool]]) -> tuple[float, float]:
    """Return the 95 % interval (Wald) of the difference of two shares over the same rows."""
    rows = len(pairs)
    first = sum(one and not other for one, other in pairs)
    second = sum(other and not one for one, other in pairs)
    mean = (first - second) / rows
    half = Z_95 * math.sqrt(max(0.0, first + second - (first - second) ** 2 / rows)) / rows
    return mean - half, mean + half


def ceiling_gate(splits: Splits, found: Sequence[Prediction]) -> Gate | None:
    """Return whether a model comes near the best that rows allow; None where that is unknown."""
    if exact_reader(splits.name) is None:
        return None
    ceiling, ours = ceiling_of(splits.validation), accuracy(found)
    says = (
        f"plain fine-tuning has accuracy {100 * ours:.1f}, the ceiling is {100 * ceiling:.1f} "
        f"(asked: within {100 * GATE_CEILING_GAP:g} points)"
    )
    return Gate("ceiling", says, ours >= ceiling - GATE_CEILING_GAP)


def ceiling_of(rows: Sequence[Example]) -> float:
    """Return the accuracy to expect of a perfect reader (data.samples.ceiling_accuracy)."""
    from r2d_ray.data.samples import ceiling_accuracy

    return ceiling_accuracy(rows)


def verdicts(splits: Splits, found: Sequence[Prediction]) -> tuple[Read, ...]:
    """Return the verdicts on each row's rationales, by the exact reader or the model's own."""
    exact = exact_reader(splits.name)
    if exact is not None:
        return read_rows(found, exact, splits.labels)
    return tuple(own_verdicts(row, splits.labels) for row in found)


def own_verdicts(row: Prediction, labels: Sequence[str]) -> Read:
    """Return the judged model's verdicts on its rationales, from a row's statistics."""
    choices = row.options or labels

    def label(name: str) -> str | None:
        [place] = row.statistics.get(f"own_{name}", [-1.0])
        return choices[int(place)] if place >= 0 else None

    places = ("verdict", "gold_verdict", "swap", "swap_verdict")
    own, given_gold, swap, swapped = (label(name) for name in places)
    return Read(row.label, row.gold_label, own, given_gold, swap, swapped)


def following_gate(read: Sequence[Read], found: Sequence[Prediction]) -> Gate:
    """Return whether rationales follow the label in the prompt, beyond those not told of it.

    Over the ambiguous rows where there are any: on others the row may speak louder than its label.
    """
    unclear = [AMBIGUOUS in row.tags for row in found]
    rows = [one for one, chosen in zip(read, unclear, strict=True) if chosen or not any(unclear)]
    rows = [row for row in rows if row.swap is not None]
    follows = sum(row.swapped == row.swap for row in rows) / max(1, len(rows))
    base = sum(row.own == row.swap for row in rows) / max(1, len(rows))
    says = (
        f"teacher forcing follows a swapped label in {100 * follows:.1f}% of {len(rows)} "
        f"{'ambiguous ' if any(unclear) else ''}rows, {100 * base:.1f}% without the swap "
        f"(asked: {100 * GATE_FOLLOWING:g} points more)"
    )
    return Gate("label read", says, bool(rows) and follows - base >= GATE_FOLLOWING)


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
