"""The table of cost: what runs and studies took in steps, hours, tokens, FLOPs and disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from analysis.groups import Group, Score
from analysis.stats.intervals import mean_sd
from analysis.studies import Study
from analysis.tables.score_rows import Row, columns_of, who, who_columns
from analysis.tables.table import Column, Number, Table
from r2d_ray.records import TrialRecord

HOUR = 3600.0  # seconds
COUNTED = (
    Score("encoder_tokens", "Input tokens, million", 1e-6),
    Score("decoder_tokens", "Target tokens, million", 1e-6),
    Score("model_flops", "Model FLOPs, 10^12", 1e-12),
)


def cost_table(studies: Sequence[Study], groups: Sequence[Group]) -> Table:
    """Return what runs took: a line per arm's group or search's model, then one per study."""
    rows = [_group_cost(group) for group in groups] + [_study_cost(study) for study in studies]
    numbers = (
        Column("steps1", "Steps, stage 1"),
        Column("steps", "Steps, stage 2"),
        Column("hours", "Hours a run"),
        Column("total_hours", "Hours in all"),
        Column("examples_s", "Examples/s"),
        *columns_of(COUNTED),
        Column("disk", "Disk, MB"),
    )
    there = [column for column in numbers if any(row.get(column.key) is not None for row in rows)]
    columns = (*who_columns(groups), Column("runs", "Runs"), *there, Column("device", "Device"))
    notes = [
        "hours are wall time with evaluation on validation; a stage 1 that several runs share is "
        "in the hours of the run that trained it, and in the hours of those that waited for it"
    ]
    lost = {study.info.name: _wasted(study) for study in studies}
    notes += [f"{name}: failed and pruned runs took {h:.2f} hours" for name, h in lost.items() if h]
    return Table("cost", "Cost of training", columns, tuple(rows), tuple(notes))


def _group_cost(group: Group) -> Row:
    done = _trained(group)
    folders = [group.study.folder / "trials" / f"{record.trial:04d}" for record in done]
    row = who(group) | {
        "runs": sum(map(_seeds, done)),
        "steps1": _mean((r.stage1.get("steps_done", 0) for r in done), digits=0),
        "steps": _mean((r.steps_done for r in done), digits=0),
        "hours": _mean((r.wall_s / _seeds(r) for r in done), 1 / HOUR),
        "total_hours": _total_hours(done),
        "examples_s": _mean((_examples_s(r) for r in done if r.step_s), digits=1),
        "disk": _mean((size for folder in folders if (size := disk(folder))), 1e-6, 1),
        "device": ", ".join(sorted({record.device for record in done})) or None,
    }
    for score in COUNTED:
        found = [r.counts[score.key] / _seeds(r) for r in done if score.key in r.counts]
        row[score.key] = _mean(found, score.factor, score.digits)
    return row


def _trained(group: Group) -> list[TrialRecord]:
    """Return the finished records of a group as they are: of a search, one of all a trial's seeds.

    A search's group has a record a seed, which does not say what that seed alone took.
    """
    trials = {record.trial for record in group.done.values()}
    return [r for r in group.study.records if r.trial in trials] or list(group.done.values())


def _seeds(record: TrialRecord) -> int:
    return len(record.seeds) or 1


def _study_cost(study: Study) -> Row:
    return {
        "dataset": study.info.dataset,
        "model": str(study.info.config["model"]),
        "method": f"{study.info.name}: all runs",
        "study": study.info.name,
        "runs": len(study.records),
        "total_hours": _total_hours(study.records),
        "disk": Number(float(size), factor=1e-6, digits=1)
        if (size := disk(study.folder))
        else None,
        "device": ", ".join(sorted({record.device for record in study.records})) or None,
    }


def _wasted(study: Study) -> float:
    return sum(r.wall_s for r in study.records if r.status != "done") / HOUR


def _examples_s(record: TrialRecord) -> float:
    """Return rows of a stage-2 step by its seconds."""
    rows = ("per_device_train_batch_size", "num_workers", "gradient_accumulation_steps")
    batch = 1
    for field in rows:
        batch *= int(record.config[field])
    return batch / (record.step_s or 1.0)


def _total_hours(records: Sequence[TrialRecord]) -> Number:
    return Number(sum(record.wall_s for record in records), factor=1 / HOUR, digits=2)


def _mean(values: Iterable[float], factor: float = 1.0, digits: int = 2) -> Number | None:
    found = [float(value) for value in values]
    if not found:
        return None
    mean, sd = mean_sd(found)
    return Number(mean, sd if len(set(found)) > 1 else None, factor=factor, digits=digits)


def disk(folder: Path) -> int:
    """Return the bytes of all files below a folder; links are not followed."""
    return sum(
        path.lstat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
