"""One trial: a driver that takes stage 1 from the cache and trains stage 2, seed after seed."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from r2d_ray.config import RUNG_RATIO, TrainConfig, build_config
from r2d_ray.distributed.stage1_cache import stage1_key, stage1_weights
from r2d_ray.distributed.stage_job import STOP_FILE, TrainingJob, run_training
from r2d_ray.records import Evaluation, Objective, StudyInfo, TrialRecord
from r2d_ray.study.books import outcome_of, save_outcome, trial_record, write_record
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.progress.files import (
    STAGE1,
    STAGE2,
    WAITS,
    Standing,
    stage1_file,
    trial_file,
    write_standing,
)
from r2d_ray.study.seeds import over_seeds, seeds_of
from r2d_ray.tracking.names import TrackedTrial
from r2d_ray.tracking.trials import trial_ended

Train = Callable[[TrainingJob, list[Any]], dict[str, Any]]  # as train.run_training
RUN_OUTCOME = "run.json"  # the record of one of a trial's seeds, in its folder when it has ended


def evaluations_left(folder: StudyFolder, number: int, objective: Objective) -> dict[int, float]:
    """Return the best so far at every evaluation in a trial's newest whole checkpoint, by step."""
    history = state_left(folder.trial_dir(number)).get("log_history", [])
    name = f"eval_{objective.metric}"
    scores = {entry["step"]: entry[name] for entry in history if name in entry}
    return dict(zip(scores, objective.so_far(scores.values()), strict=True))


def step_left(place: Path) -> int:
    """Return the step from which a run in this folder goes on, 0 where it begins anew."""
    return int(state_left(place).get("global_step", 0))


def state_left(place: Path) -> dict[str, Any]:
    """Return the trainer's state in a run's newest whole checkpoint, empty without one."""
    for path in sorted((place / "ray").glob("checkpoint_*/trainer_state.json"), reverse=True):
        try:
            state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # killed while it was copied here
            continue
        return state
    return {}


def rung_step(max_steps: int) -> int:
    """Return the step of the pruner's one rung."""
    return math.ceil(RUNG_RATIO * max_steps)


def run_trial(asked: dict[str, Any], base: dict[str, Any], train: Train = run_training) -> None:
    """Train one trial to its outcome; Tune's function trainable.

    Args:
        asked: The trial's number and its searched values; in a comparison also method, arm, fold
            and `data`.
        base: The study's info, the study folder and the prepared folders by `data` of the trial
            (`""` in a search) and the trackers, as JSON values.
        train: Trains a stage.
    """
    from ray import tune
    from ray.tune.integration.ray_train import TuneReportCallback

    number, values = asked["trial"], asked["values"]
    info = StudyInfo.model_validate(base["info"])
    named = {"method": asked.get("method", info.method)}
    named |= {"arm": asked.get("arm"), "fold": asked.get("fold")}
    prepared_dir = Path(base["prepared_dirs"][asked.get("data", "")])
    folder = StudyFolder(Path(base["folder"]))
    metric = info.space["metric"]
    trackers = tuple(base.get("trackers", ()))
    tracked = tracked_trial(folder.root, info, trackers, asked) if trackers else None
    record = outcome_of(folder, number)
    if record is None or record.status == "failed":
        started = time.time()
        try:
            callbacks = [TuneReportCallback()]
            record = train_trial(
                info, folder, prepared_dir, number, values, callbacks, train, tracked
            ).model_copy(update=named)
        except Exception as error:
            record = trial_record(info, number, values, "failed", reason=one_line(error), **named)
            save_outcome(folder, record, started)
            trial_ended(folder.root, info, trackers, record)
            raise
        save_outcome(folder, record, started)
        trial_ended(folder.root, info, trackers, record)
    tune.report({metric: record.metrics[metric], "step": record.steps_done, "ended": True})


def tracked_trial(
    root: Path, info: StudyInfo, trackers: tuple[str, ...], asked: dict[str, Any]
) -> TrackedTrial:
    """Return the trial that was asked for as trackers know it."""
    seed = {**info.config, **asked["values"]}["seed"]
    named = {"method": asked.get("method", info.method), "arm": asked.get("arm"), "seed": seed}
    return TrackedTrial.of(root, info, trackers, asked["trial"], **named)


def train_trial(
    info: StudyInfo,
    folder: StudyFolder,
    prepared_dir: Path,
    number: int,
    values: dict[str, Any],
    callbacks: list[Any],
    train: Train,
    tracked: TrackedTrial | None = None,
) -> TrialRecord:
    """Train both stages of a trial, seed after seed, and return its record.

    A trial that is asked to end trains no further seed. One that was killed goes on at the seed
    where it was.

    Raises:
        RuntimeError: if a seed fails, named where there are several.
    """
    first = build_config({**info.config, **values}).seed
    seeds = seeds_of(first, info.study)
    if len(seeds) == 1:
        return train_seed(info, folder, prepared_dir, number, values, 0, callbacks, train, tracked)
    runs: list[TrialRecord] = []
    for run, seed in enumerate(seeds):
        if run and (folder.trial_dir(number) / STOP_FILE).exists():
            break
        kept = folder.run_dir(number, run) / RUN_OUTCOME
        if kept.exists():
            runs.append(TrialRecord.model_validate_json(kept.read_bytes()))
            continue
        mine = {**values, "seed": seed}
        try:
            asked = (info, folder, prepared_dir, number, mine, run, callbacks, train, tracked)
            record = train_seed(*asked)
        except Exception as error:
            raise RuntimeError(f"seed {seed}: {one_line(error)}") from error
        write_record(kept, record)
        runs.append(record)
        if record.status == "pruned":
            break
    return over_seeds(runs, len(seeds))


def train_seed(
    info: StudyInfo,
    folder: StudyFolder,
    prepared_dir: Path,
    number: int,
    values: dict[str, Any],
    run: int,
    callbacks: list[Any],
    train: Train,
    tracked: TrackedTrial | None = None,
) -> TrialRecord:
    """Train both stages of a trial for one seed, its run of this number; return its record."""
    from r2d_ray.model.flops import costs  # it loads a library of models

    config = build_config({**info.config, **values})
    told = trial_file(folder.progress_dir, number)
    weights, stage1 = first_stage(config, prepared_dir, folder, train, told, run, tracked)
    objective = info.objective
    metric = objective.metric
    place = folder.run_dir(number, run)
    write_standing(told, Standing(STAGE2, step_left(place), config.max_steps, run))
    job = TrainingJob(config, STAGE2, prepared_dir, place, weights, metric, run, told, tracked)
    outcome = train(job, callbacks)
    curve = tuple(Evaluation(**entry) for entry in outcome["curve"])
    selected = next(e for e in curve if e.step == outcome["selected_step"])
    at_rung = [
        e.scores[metric] for e in curve if e.step <= _rung_evaluation(curve, config.max_steps)
    ]
    return trial_record(
        info,
        number,
        values,
        "pruned" if outcome["pruned"] else "done",
        curve=curve,
        series=outcome["series"],
        rung={"step": rung_step(config.max_steps), "value": objective.so_far(at_rung)[-1]},
        selected_step=selected.step,
        steps_done=outcome["steps_done"],
        metrics=selected.scores,
        counts=costs(outcome["series"], outcome["steps_done"]),
        stage1=stage1,
        step_s=outcome["step_s"],
        device=outcome["device"],
    )


def first_stage(
    config: TrainConfig,
    prepared_dir: Path,
    folder: StudyFolder,
    train: Train,
    told: Path,
    run: int,
    tracked: TrackedTrial | None = None,
) -> tuple[Path | None, dict[str, Any]]:
    """Return the weights of the shared stage 1 and what a record says of it; none without one.

    Whether this trial waits for the stage or trains it stands in the file `told` meanwhile.
    """
    from r2d_ray.model.flops import costs

    if not config.stage1_max_steps:
        return None, {}
    shared = stage1_file(folder.progress_dir, stage1_key(config, prepared_dir))
    waits = Standing(WAITS, 0, config.stage1_max_steps, run, follows=shared.stem)
    write_standing(told, waits)

    def build(job: TrainingJob) -> dict[str, Any]:  # trackers show it with whoever builds it
        write_standing(told, replace(waits, phase=STAGE1))
        return train(replace(job, progress=shared, tracked=tracked, run=run), [])

    entry = stage1_weights(config, prepared_dir, folder.stage1_dir, build)
    told_of = {name: entry.outcome[name] for name in ("selected_step", "best_metric", "steps_done")}
    made = {"key": entry.key, "built_here": entry.built_here}
    return entry.folder, made | told_of | costs(
        entry.outcome["series"], entry.outcome["steps_done"]
    )


def _rung_evaluation(curve: tuple[Evaluation, ...], max_steps: int) -> int:
    """Return the step of the first evaluation at or after the rung, the last one if none is."""
    after = [e.step for e in curve if e.step >= rung_step(max_steps)]
    return min(after, default=curve[-1].step)


def one_line(error: BaseException) -> str:
    """Return an error as one line; a training failure already names its cause."""
    first = (str(error).strip() or "no message").splitlines()[0]
    return first if isinstance(error, RuntimeError) else f"{type(error).__name__}: {first}"
