"""The surest errors: test rows that a study's models got wrong with most confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.runs import Run, runs_in
from analysis.studies import Study
from r2d_ray.records import Prediction


@dataclass(frozen=True, slots=True)
class SurestError:
    """A row with the answer of the run that was wrong with most confidence.

    `probability` is that of the predicted label, 0 to 1; of `runs` that answered the row, `wrong`
    gave another label than gold: where all did, the gold label itself may be worth a look.
    """

    id: str
    gold_label: str
    label: str
    probability: float
    rationale: str | None
    reference: str | None
    run: str
    wrong: int
    runs: int


def surest_errors(study: Study, count: int | None = None) -> list[SurestError]:
    """Return the rows that trained runs got wrong, the surest first, each row once.

    Rows without a gold label or probabilities are left out.

    Args:
        study: An opened study.
        count: At most so many; all by default.

    Raises:
        UserError: for a line that is no prediction, with file and line.
    """
    answers: dict[str, list[tuple[Run, Prediction]]] = {}
    for run in runs_in(study):
        for row in (run.predictions() or ()) if run.kind == "trained" else ():
            if row.gold_label is not None:
                answers.setdefault(row.id, []).append((run, row))
    found = [error for given in answers.values() if (error := _surest(given)) is not None]
    return sorted(found, key=lambda error: (-error.probability, error.id))[:count]


def _surest(answers: Sequence[tuple[Run, Prediction]]) -> SurestError | None:
    """Return a row's surest wrong answer, None where no run is wrong with a probability."""
    wrong = [(run, row) for run, row in answers if row.label != row.gold_label]
    sure = [
        (found, run, row)
        for run, row in wrong
        if (found := row.probabilities.get(row.label or "")) is not None
    ]
    if not sure:
        return None
    probability, run, row = max(sure, key=lambda each: each[0])
    return SurestError(
        row.id,
        str(row.gold_label),
        str(row.label),
        probability,
        row.rationale,
        row.reference,
        run.name,
        len(wrong),
        len(answers),
    )
