"""What a person sees of a comparison over folds: before it starts, and below its table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r2d_ray.comparison.plan import ComparePlan
from r2d_ray.evaluation.controls.labels import LABEL_METRICS


def fold_plan_lines(plan: ComparePlan) -> list[str]:
    """Return what a dry run says of folds: their rows."""
    if not plan.folds:
        return []
    rows = ", ".join(str(len(fold.test)) for fold in plan.folds)
    return [
        f"{len(plan.folds)} folds over {len(plan.tested)} rows (test rows: {rows}); an arm by fold"
    ]


def fold_lines(result: Mapping[str, Any]) -> list[str]:
    """Return what stands below the table of a comparison over folds."""
    folds = result.get("folds")
    if folds is None:
        return []
    name = LABEL_METRICS[folds["metric"]]
    shown = (
        f"{method} {100 * row['mean']:.1f}"
        + ("" if row["sd"] is None else f" ± {100 * row['sd']:.1f}")
        for method, row in folds["methods"].items()
    )
    return [
        f"scores are over all {folds['rows']} rows, each predicted by the fold that did not train "
        f"on it ({folds['count']} folds), mean ± sd over seeds",
        f"{name} as the mean over folds and seeds, ± sd: {', '.join(shown)}",
    ]
