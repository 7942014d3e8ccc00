"""Several seeds of one trial: the mean decides, and every seed stays in the record."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from r2d_ray.records import Objective, SeedRun, TrialRecord


def seeds_of(first: int, study: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the seeds of a trial whose config has this one, by what study.json was asked."""
    return tuple(range(first, first + int(study.get("seeds_per_config", 1))))


def over_seeds(runs: Sequence[TrialRecord], wanted: int) -> TrialRecord:
    """Return a trial's record of its seeds' records: the first's, but for means and sums.

    A trial is pruned if a seed was, or if fewer ended than were wanted; its scores are then the
    first seed's.
    """
    first = runs[0]
    seeds = tuple(
        SeedRun(
            seed=run.seed,
            curve=run.curve,
            selected_step=run.selected_step or 0,
            steps_done=run.steps_done,
            metrics=run.metrics,
            stage1=run.stage1,
        )
        for run in runs
    )
    counts = {name: sum(run.counts[name] for run in runs) for name in first.counts}
    known = {"seeds": seeds, "counts": counts}
    if len(runs) < wanted or any(run.status == "pruned" for run in runs):
        return first.model_copy(update={**known, "status": "pruned"})
    return first.model_copy(update={**known, "metrics": means([run.metrics for run in runs])})


def means(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean of every score that all of these have as a number."""
    return {
        name: statistics.fmean(each[name] for each in scores)
        for name in scores[0]
        if all(is_number(each.get(name)) for each in scores)
    }


def spreads(scores: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the standard deviation (of a sample) of every score that `means` has."""
    return {name: statistics.stdev(each[name] for each in scores) for name in means(scores)}


def is_number(value: Any) -> bool:
    """Return whether a score exists: neither a signature nor none."""
    return isinstance(value, int | float)


def best_seed(record: TrialRecord, objective: Objective) -> int:
    """Return the place of a trial's best seed on validation, the first on ties."""
    best = 0
    for place, run in enumerate(record.seeds):
        metric = objective.metric
        if objective.better(run.metrics[metric], record.seeds[best].metrics[metric]):
            best = place
    return best


def of_seed(record: TrialRecord, place: int) -> TrialRecord:
    """Return a trial's record as if the seed in this place were its only one."""
    if not record.seeds:
        return record
    run = record.seeds[place]
    shown = run.model_dump(exclude={"curve"})
    config = {**record.config, "seed": run.seed}
    return record.model_copy(update={**shown, "curve": run.curve, "config": config, "seeds": ()})
