"""A search: trials through Optuna and Ray Tune, then the best model and its test scores.

Optuna's journal and the trials' outcomes are the whole state: no pickle is ever read back.
"""

from __future__ import annotations

import functools
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from r2d_ray.config import TrainConfig, may_use_hub
from r2d_ray.data.examples import has_context
from r2d_ray.distributed.cluster import Capacity
from r2d_ray.distributed.controls import beats_bag_of_words, label_controls
from r2d_ray.distributed.stage_job import STOP_FILE
from r2d_ray.errors import UserError
from r2d_ray.evaluation.controls.absent import absent
from r2d_ray.evaluation.controls.labels import label_metric
from r2d_ray.evaluation.controls.trivial_rationales import FIRST_SENTENCE
from r2d_ray.evaluation.costs import costs_of
from r2d_ray.records import StudyInfo
from r2d_ray.search.frame import Missing, StudyRun
from r2d_ray.search.journal.attributes import tell_result
from r2d_ray.search.journal.opening import (
    hear_of_the_unheard,
    open_search,
    reconcile,
    still_runs,
)
from r2d_ray.search.last_look import (
    BARE,
    calibration_of,
    finalists,
    last_look,
    with_means,
    write_result,
)
from r2d_ray.search.plan import StudyPlan
from r2d_ray.search.pruner import RungPruner
from r2d_ray.search.searcher import (
    StudySearcher,
    check_journal,
    open_journal,
)
from r2d_ray.search.space import distributions
from r2d_ray.search.trial import rung_step
from r2d_ray.search.tuner import Session
from r2d_ray.sharing.best import export_best
from r2d_ray.sharing.model_card import write_card
from r2d_ray.study.folder import (
    StudyFolder,
    extend_study,
    read_info,
    read_trials,
    total_samples,
)
from r2d_ray.study.model_file import add_calibration
from r2d_ray.study.patience import flat_words, is_flat
from r2d_ray.study.progress.events import PlannedTrial, ScoringEvent, Show
from r2d_ray.study.seeds import best_seed, of_seed
from r2d_ray.study.tested import clear_old_predictions, write_rows
from r2d_ray.tracking.trials import tests_ended


def run_study(
    plan: StudyPlan,
    address: str | None,
    capacity: Capacity,
    concurrency: int,
    show: Show,
) -> dict[str, Any] | None:
    """Run or resume a search (frame.StudyRun.run)."""
    return SearchRun(plan).run(address, capacity, concurrency, show)


class SearchRun(StudyRun[StudyPlan]):
    """A search, from its plan to its result."""

    def configs(self) -> Iterator[tuple[str, TrainConfig]]:
        """Yield trial 0's config: no searched field changes what is prepared."""
        yield "", self.plan.config

    def extends(self) -> bool:
        """Return whether `--extend` was given."""
        return bool(self.plan.settings.extend)

    def check_stored(self, folder: StudyFolder) -> None:
        """Raise UserError for a damaged line of the journal, and for more of a flat search."""
        check_journal(folder.journal_path)
        check_extension(self.plan, folder)

    def take_up(self, folder: StudyFolder, stored: StudyInfo) -> tuple[str, ...]:
        """Take over the stored study's number of trials; say where `--extend` adds none yet."""
        self.plan, notes = with_trials(self.plan, folder, stored)
        return notes

    def planned(self) -> list[PlannedTrial]:
        """Return as many trials as the study is to have."""
        asked = self.plan.settings
        steps = self.plan.config.max_steps * asked.seeds_per_config
        return [PlannedTrial(f"trial {number}", steps) for number in range(asked.num_samples)]

    def missing(self, session: Session) -> Missing | None:
        """Return Optuna's searcher and the number of trials that have not ended."""
        return missing_trials(self.plan, session)

    def finish(self, session: Session) -> dict[str, Any] | None:
        """Export the best trial and look at the test split."""
        folder, objective = session.folder, self.plan.space.objective
        study = open_journal(folder.journal_path, self.plan.name, objective)
        if len(session.books.records) < self.plan.settings.num_samples:
            early = self.plan.settings.time_budget_s is not None or flatness(self.plan, session)()
            if not early or still_runs(study):
                return None
        result = finish(self.plan, session)
        if "best_trial" in result:
            tell_result(study, result["best_trial"], next(iter(result["test"].values())))
        return result


def check_extension(plan: StudyPlan, folder: StudyFolder) -> None:
    """Raise UserError where trials are to be added to a search that its patience has ended."""
    asked = plan.settings
    if asked.extend and asked.patience_trials:
        records = {each.trial: each for each in read_trials(folder.root, read_info(folder.root))}
        if is_flat(records, plan.space.objective, asked.patience_trials):
            raise UserError(
                f"--extend {asked.extend}: {flat_words(asked.patience_trials)}, which ended the "
                "search (allowed: with a larger --patience-trials, or without it)"
            )


def with_trials(
    plan: StudyPlan, folder: StudyFolder, stored: StudyInfo
) -> tuple[StudyPlan, tuple[str, ...]]:
    """Return the plan with the number of trials that the stored study is to have, and notes.

    `--extend` adds nothing while trials of a former `--extend` are missing, which is noted: the
    same command after a kill finishes what it began.
    """
    notes: tuple[str, ...] = ()
    asked, total = plan.settings.extend, total_samples(stored)
    missing = total - len(read_trials(folder.root, stored))
    if asked and missing > 0 and stored.study.get("extended"):
        notes = (
            f"--extend {asked} adds no trials yet: {missing} of the {total} trials that the former "
            "--extend made it have not ended; when they have, the same command adds more",
        )
    elif asked:
        stored = extend_study(folder, stored, asked)
    settings = plan.settings.model_copy(update={"num_samples": total_samples(stored)})
    return replace(plan, settings=settings, info=stored), notes


def missing_trials(plan: StudyPlan, session: Session) -> Missing | None:
    """Return the searcher of the trials that are still missing, None if all have ended.

    Trials that ended in a former session are not run again; those that a kill left unfinished go
    on from their checkpoints under their old numbers.
    """
    settings, objective, folder = plan.settings, plan.space.objective, session.folder
    study = open_search(plan, folder)
    reconcile(study, session.books, objective)
    missing = settings.num_samples - len(session.books.records)
    flat = flatness(plan, session)
    if missing <= 0 or (flat() and not still_runs(study)):
        return None
    steps = plan.config.max_steps
    pruner = RungPruner(objective, rung_step(steps), steps)
    searcher = StudySearcher(
        study,
        distributions(plan.space),
        objective=objective,
        sampler=settings.sampler,
        seed=settings.seed,
        ended=session.books.ended,
        ask_to_end=functools.partial(ask_to_end, folder),
        pruner=None if settings.pruner == "none" else pruner,
        flat=flat,
        deadline=time.time() + (settings.time_budget_s or math.inf),
    )
    hear_of_the_unheard(searcher, folder)
    return Missing(searcher, missing)


def flatness(plan: StudyPlan, session: Session) -> Callable[[], bool]:
    """Return what says whether the search is to end for want of a better value."""
    patience, objective = plan.settings.patience_trials, plan.space.objective
    return functools.partial(is_flat, session.books.records, objective, patience)


def ask_to_end(folder: StudyFolder, number: int) -> None:
    """Leave the request where the trial looks at its next evaluation, whichever its seed."""
    for place in folder.run_dirs(number):
        (place / STOP_FILE).touch()


def finish(plan: StudyPlan, session: Session) -> dict[str, Any]:
    """Export the best trial and look at the test split once."""
    books, folder, prepared_dir = session.books, session.folder, session.prepared[""]
    records = list(books.records.values())
    states = dict(Counter(record.status for record in records))
    failures = {record.trial: record.reason for record in records if record.status == "failed"}
    best = books.best()
    if best is None:
        return {"trials": states, "failures": failures, "test": {}}
    seed = best_seed(best, books.info.objective)
    weights = folder.run_dir(best.trial, seed) / "best"
    chosen = of_seed(best, seed)
    export_best(weights, prepared_dir / "tokenizer", folder.best_dir, plan.info, chosen)
    clear_old_predictions(folder)
    write_rows(folder, plan.splits)
    first = books.records.get(0)
    usable_first = first if first is not None and first.status == "done" else None
    trials = [best, *([usable_first] if usable_first and best.trial else [])]
    costs = costs_of(plan.info)
    contexts = has_context(plan.splits.test)
    jobs = finalists(folder, prepared_dir, best, usable_first, costs, contexts)
    allow_hub = may_use_hub(plan.info.profile)
    seed_of_draws, show = plan.settings.seed, session.show
    looked = last_look(jobs, folder, plan.splits, seed_of_draws, allow_hub, show)
    own = jobs[seed]  # the model in best/
    fitted = calibration_of(own[2], plan.splits, looked.models[own[0].name], costs)
    add_calibration(folder.best_dir, fitted)
    metric = label_metric(plan.space.metric)
    session.show(ScoringEvent("controls", 0, 1))
    answers = label_controls(folder, [plan.splits], metric)
    models = with_means(looked.models, trials)
    first_rows = {name: models[name][metric] for name in list(models)[: len(trials)]}
    said = beats_bag_of_words([plan.splits], answers, first_rows, metric, "model")
    table = models | answers | looked.controls
    of_contexts = [BARE, *([FIRST_SENTENCE] if looked.controls else [])]
    more = absent(plan.splits, plan.splits.test, of_contexts)
    if plan.info.random_weights:
        more["random_weights"] = plan.info.random_weights
    patience = plan.settings.patience_trials
    if patience and len(records) < plan.settings.num_samples and flatness(plan, session)():
        more["stopped"] = flat_words(patience)
    result = write_result(folder, chosen, table, records, said, fitted, more)
    write_card(folder.best_dir, plan.info, chosen, result)
    tests_ended(folder, plan.info, session.trackers)
    return {**result, "failures": failures, "best_dir": str(folder.best_dir)}
