"""The rows of a comparison: those with every compared rationale source, in folds where asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from r2d_ray.data.examples import Splits
from r2d_ray.data.named_sets import NAMED_SETS
from r2d_ray.data.rows.folds import folded
from r2d_ray.data.splits import limit_rationales
from r2d_ray.errors import UserError
from r2d_ray.search.plan import read_data
from r2d_ray.study.settings import CompareSettings


def read_folds(settings: CompareSettings, sources: Sequence[str]) -> tuple[Splits, ...]:
    """Return the splits of every fold, with rationales and sources limited in each.

    Raises:
        UserError: for settings that saw the rows, an official test set, too many folds.
    """
    if settings.tuned_from:
        raise UserError(
            f"--folds {settings.folds} with --tuned-from: the settings were chosen on rows that "
            "folds test (allowed: one of the two)"
        )
    splits = read_data(settings.model_copy(update={"rationale_rows": None}))
    if settings.dataset in NAMED_SETS and "test" in splits.given:
        raise UserError(
            f"--folds {settings.folds}: {splits.name} has an official test split, on which results "
            "are compared (allowed: no --folds, or the rows as a table of your own: --dataset FILE)"
        )
    folds = folded(splits, settings.folds or 0, settings.split_seed)
    if settings.rationale_rows is not None:
        most, seed = settings.rationale_rows, settings.split_seed
        folds = tuple(replace(f, train=limit_rationales(f.train, most, seed)) for f in folds)
    return tuple(with_every_source(fold, sources) for fold in folds) if sources else folds


def with_every_source(splits: Splits, sources: Sequence[str]) -> Splits:
    """Return the splits with only the training rows that have a text of every one of these sources.

    Raises:
        UserError: if no training row has them all.
    """
    rows = tuple(
        row for row in splits.train if all(row.rationales.get(s, "").strip() for s in sources)
    )
    if not rows:
        raise UserError(
            f"--rationale-sources {' '.join(sources)}: no training row of {splits.name} has them "
            f"all (sources: {', '.join(splits.rationale_sources())})"
        )
    lost = len(splits.train) - len(rows)
    dropped = {**splits.dropped, "train row: it lacks a compared rationale source": lost}
    return replace(splits, train=rows, dropped=dropped)
