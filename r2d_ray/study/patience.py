"""When a search is flat: so many trials in a row brought no better value.

Optuna's BestValueStagnationEvaluator leaves pruned trials out, which are most of a flat search's.
"""

from __future__ import annotations

from collections.abc import Mapping

from r2d_ray.records import Objective, TrialRecord


def trials_since_best(records: Mapping[int, TrialRecord], objective: Objective) -> int:
    """Return how many trials after the best one are done or pruned; 0 before one is done.

    By number, so that it does not matter when or in which session a trial ended. A failed trial
    does not count, nor one that still runs; an equal score is not better.
    """
    best = objective.best_of(records.values())
    if best is None:
        return 0
    ended = (record for number, record in records.items() if number > best.trial)
    return sum(record.status != "failed" for record in ended)


def is_flat(records: Mapping[int, TrialRecord], objective: Objective, patience: int | None) -> bool:
    """Return whether a search of this patience, in trials, is to end; without one never."""
    return patience is not None and trials_since_best(records, objective) >= patience


def flat_words(patience: int) -> str:
    """Return why a flat search ended."""
    return f"no better value in {patience} trial{'s' if patience > 1 else ''}"
