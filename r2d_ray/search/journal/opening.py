"""A search's journal at the beginning of a session: made, or brought up to what has ended."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.trial import TrialState

from r2d_ray.records import Objective, TrialRecord, read_jsonl
from r2d_ray.search.plan import StudyPlan
from r2d_ray.search.samplers import is_ours
from r2d_ray.search.searcher import StudySearcher, open_journal, settle, warm_start
from r2d_ray.search.space import distributions
from r2d_ray.search.trial import evaluations_left
from r2d_ray.study.books import OUTCOME, Bookkeeper, outcome_of
from r2d_ray.study.folder import StudyFolder


def open_search(plan: StudyPlan, folder: StudyFolder) -> optuna.Study:
    """Open the journal; a new one begins with trial 0 and what a warm start takes over."""
    study = open_journal(folder.journal_path, plan.name, plan.space.objective)
    searched = distributions(plan.space)
    if not study.trials:
        study.enqueue_trial({name: getattr(plan.config, name) for name in searched})
    if plan.settings.warm_start:
        source = Path(plan.settings.warm_start)
        older = read_jsonl(StudyFolder(source).records_path, TrialRecord)
        warm_start(study, source.name, older, searched, plan.space.metric)
    return study


def reconcile(study: optuna.Study, books: Bookkeeper, objective: Objective) -> None:
    """Settle every trial whose outcome was written but not yet told when a session ended.

    A failure that no session heard of is tried again: drivers fail, too, because a cluster ends
    or a search is stopped, and they cannot tell.
    """
    for trial in filter(is_ours, study.trials):
        heard = trial.number in books.records or trial.state.is_finished()
        left = outcome_of(books.folder, trial.number)
        if heard or (left is not None and left.status != "failed"):
            settle(study, books.ended(trial.number, trial.params), objective)
        elif left is not None:
            (books.folder.trial_dir(trial.number) / OUTCOME).unlink()


def hear_of_the_unheard(searcher: StudySearcher, folder: StudyFolder) -> None:
    """Take in the evaluations that a kill left in checkpoints before the search heard of them."""
    for number in searcher.unfinished:
        for step, best in evaluations_left(folder, number, searcher.objective).items():
            searcher.hear(number, step, best)


def still_runs(study: optuna.Study) -> bool:
    """Return whether a trial has begun and not ended."""
    return any(trial.state == TrialState.RUNNING for trial in study.trials)
