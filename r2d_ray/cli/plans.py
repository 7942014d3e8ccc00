"""What a dry run prints: the machines, trials or arms, steps, hours and disk."""

from __future__ import annotations

from r2d_ray.cli.estimate import Estimate, comparison_estimate, search_estimate
from r2d_ray.cli.screen.words import short
from r2d_ray.comparison.plan import ComparePlan
from r2d_ray.config import TrainConfig
from r2d_ray.data.examples import Splits
from r2d_ray.distributed.cluster import Capacity
from r2d_ray.search.plan import StudyPlan
from r2d_ray.storage import counted


def plan_lines(plan: StudyPlan, capacity: Capacity, concurrency: int) -> list[str]:
    """Return what a search's dry run prints: trials, concurrency, steps, hours, disk, trial 0."""
    config, settings = plan.config, plan.settings
    seeds = settings.seeds_per_config
    each = f" of {seeds} seeds each" if seeds > 1 else ""
    once, per = ("once a seed", "trial and seed") if seeds > 1 else ("once", "trial")
    estimate = search_estimate(plan, capacity, concurrency)
    lines = [
        *machine_lines(capacity, config),
        f"study {plan.name}: method {plan.method.name} on {plan.splits.name}",
        profile_line(settings.profile, config, plan.splits),
        f"trials {settings.num_samples}{each}, {concurrency} at once, at most {estimate.steps} "
        f"optimiser steps (stage 1, {once}: {config.stage1_max_steps}; "
        f"stage 2: {config.max_steps} per {per})",
        *estimate_lines(estimate),
        *patience_lines(settings.patience_trials, plan.space.metric),
        "trial 0:",
    ]
    lines += [f"  {name}: {value}" for name, value in config.model_dump().items()]
    if settings.num_samples > 1:
        lines.append(f"searched ({plan.space.metric}, {plan.space.mode}):")
        lines += [f"  {name}: {domain}" for name, domain in plan.space.search.items()]
    return lines


def patience_lines(patience: int | None, metric: str) -> list[str]:
    """Return when a flat search ends, if it does."""
    if patience is None:
        return []
    return [
        f"ends early after {counted(patience, 'trial')} in a row, done or pruned, "
        f"without a better {metric} (trial 0 sets the first)"
    ]


def arm_lines(plan: ComparePlan, capacity: Capacity, concurrency: int) -> list[str]:
    """Return what a comparison's dry run prints: arms, steps, concurrency, hours, disk."""
    arms = plan.arms
    configs, folds = [arm.config for arm in arms], max(1, len(plan.folds))
    estimate = comparison_estimate(configs, plan, capacity, concurrency, folds)
    lines = [
        *machine_lines(capacity, arms[0].config),
        profile_line(plan.settings.profile, arms[0].config, plan.splits),
        f"{counted(estimate.steps, 'optimiser step')} in all",
        *estimate_lines(estimate),
        f"{counted(len(arms), 'arm')}, {concurrency} at once",
    ]
    for arm in arms:
        config = arm.config
        steps = f"stage 1 {config.stage1_max_steps} + stage 2 {config.max_steps} steps"
        lines.append(f"  {arm.name}: {steps}, learning rate {short(config.learning_rate)}")
    return lines


def added_step_lines(plan: ComparePlan) -> list[str]:
    """Return which methods train the steps of stage 1 in stage 2, and how many that makes."""
    added = plan.info.config["stage1_max_steps"]
    without = [arm for arm in plan.arms if not arm.config.stage1_max_steps]
    if not (plan.settings.equal == "steps" and added and without):
        return []
    names = ", ".join(dict.fromkeys(arm.run.rpartition("-")[0] for arm in without))
    total = without[0].config.max_steps
    return [
        f"without a stage 1, whose {added} steps are added to stage 2: {names} "
        f"({total - added} + {added} = {total} steps, as many as any arm; "
        "--equal label-examples adds none)"
    ]


def machine_lines(capacity: Capacity, config: TrainConfig) -> list[str]:
    """Return that the plan is for other machines than this one, where it is."""
    if capacity.gpus_here is None:
        return []
    if not config.gpus_per_worker:
        return [
            f"of the {counted(capacity.gpus, 'GPU')} of --cluster-gpus the plan uses none "
            "(gpus_per_worker = 0); as many CPUs as it needs are assumed"
        ]
    here = f"{capacity.gpus_here:g}" if capacity.gpus_here else "none"
    return [f"planned for {counted(capacity.gpus, 'GPU')}; this machine has {here}"]


def profile_line(profile: str, config: TrainConfig, splits: Splits) -> str:
    """Return the profile, and what a run does to the training rows."""
    rows = len(splits.train)
    epochs = config.max_steps * config.global_batch_size / rows
    each = counted(config.eval_steps, "step") if config.eval_steps > 1 else "step"
    return (
        f"profile {profile}: stage 2 of {counted(float(f'{epochs:.3g}'), 'epoch')} "
        f"({counted(rows, 'training row')}, "
        f"{config.global_batch_size} a step), an evaluation every {each}"
    )


def estimate_lines(estimate: Estimate) -> list[str]:
    """Return the time, GPU-hours and disk; no step was timed for them."""
    digits = 1 if estimate.gpu_hours >= 1 else 2
    gpus = f", {estimate.gpu_hours:.{digits}f} GPU-hours" if estimate.gpu_hours else ""
    return [
        f"estimated time: {duration(estimate.hours)}{gpus}, if nothing stops early "
        f"({estimate.device}; no step was timed)",
        f"estimated disk: {estimate.disk_gb:.1f} GB",
    ]


def duration(hours: float) -> str:
    """Return hours in words: minutes below one hour, and never 0 of what takes time."""
    minutes = round(60 * hours)
    if minutes >= 60:
        return f"{hours:.1f} hours"
    if minutes < 1:
        return "less than 1 minute"
    return counted(minutes, "minute")
