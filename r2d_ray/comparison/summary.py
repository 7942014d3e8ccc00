"""What a comparison says of its arms beside their scores, and its table: means over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from r2d_ray.config import build_config
from r2d_ray.method.schedules import gold_probability
from r2d_ray.model.flops import costs
from r2d_ray.records import TrialRecord

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
