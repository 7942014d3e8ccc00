"""The commands as functions: keyword settings in, results out, nothing printed.

Settings have the names of the flags (`num_samples`, `storage_path`) and of TrainConfig's fields
(`max_steps`), which on the command line are given by `--set`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from r2d_ray.cli.command import quiet_libraries
from r2d_ray.config import TrainConfig
from r2d_ray.errors import UserError, unknown
from r2d_ray.study.asked import flag_in
from r2d_ray.study.progress.events import silent
from r2d_ray.study.settings import (
    CompareSettings,
    SearchSettings,
    StudySettings,
    build_settings,
)

if TYPE_CHECKING:
    import pandas as pd

    from r2d_ray.distributed.cluster import Capacity
    from r2d_ray.study.progress.events import Show

S = TypeVar("S", bound=StudySettings)


def run_search(
    dataset: str | Path, *, show: Show | None = None, **settings: Any
) -> dict[str, Any] | None:
    """Search, train and deliver a model, as `python -m r2d_ray.tune` does.

    The same call again resumes a study that was stopped.

    Args:
        dataset: A named set, a file or `hub:NAME@REVISION`.
        show: Takes what happens to trials, as it happens.
        **settings: Fields of SearchSettings and of TrainConfig by their names.

    Returns:
        What `result.json` holds, with `failures` by trial and `best_dir`, the folder of the best
        model. None if the study was stopped and can be resumed.

    Raises:
        UserError: in one line, for whatever the command would refuse with exit code 2.
    """
    asked = _settings(dataset, settings, SearchSettings)
    with _cluster(asked) as (found, capacity):
        from r2d_ray.search.plan import make_plan
        from r2d_ray.search.run import run_study

        plan = make_plan(asked, capacity)
        return run_study(plan, found, capacity, plan.concurrency(capacity), show or silent)


def run_comparison(
    dataset: str | Path, *, show: Show | None = None, **settings: Any
) -> dict[str, Any] | None:
    """Run methods x seeds on equal terms, as `python -m r2d_ray.compare` does.

    Args:
        dataset: A named set, a file or `hub:NAME@REVISION`.
        show: Takes what happens to arms, as it happens.
        **settings: Fields of CompareSettings (`methods`, `seeds`, `grid`, ...) and of TrainConfig
            by their names.

    Returns:
        What `result.json` holds; None if the comparison was stopped and can be resumed.

    Raises:
        UserError: in one line, for whatever the command would refuse with exit code 2.
    """
    asked = _settings(dataset, settings, CompareSettings)
    with _cluster(asked) as (found, capacity):
        from r2d_ray.comparison import run
        from r2d_ray.comparison.plan import make_compare_plan

        plan = make_compare_plan(asked, capacity)
        concurrency = plan.concurrency(capacity)
        return run.run_comparison(plan, found, capacity, concurrency, show or silent)


def predict_rows(
    model: str | Path,
    rows: pd.DataFrame | Sequence[Mapping[str, Any]] | str | Path,
    *,
    columns: Mapping[str, str] | str | None = None,
    **asked: Any,
) -> Any:
    """Label and explain rows with an exported model, as `python -m r2d_ray.predict` does.

    Args:
        model: The `best/` folder of a study.
        rows: A frame, mappings, or the path of what training reads. Of the columns only those are
            needed that the model was trained on.
        columns: Which column is which, as `--columns` says it or as a mapping; by default as in
            training.
        **asked: `batch_size`, `device`, `abstain_below`, `probabilities` and `long_inputs`: the
            flags of the command.

    Returns:
        The rows in order with all that they had and the columns that the command writes
        (`predicted_label`, `probability`, `margin`, `predicted_rationale`, `cut_tokens`): a frame
        for a frame, else a list of mappings.

    Raises:
        UserError: for a folder that is no exported model, or rows that cannot be read.
    """
    quiet_libraries()
    from r2d_ray.data.columns import parse_columns
    from r2d_ray.prediction.memory import predict_in_memory
    from r2d_ray.prediction.request import PredictRequest

    named = parse_columns(_column_text(columns)) if columns else {}
    return predict_in_memory(PredictRequest(Path(model), named, **asked), rows)


@contextmanager
def _cluster(asked: StudySettings) -> Iterator[tuple[str | None, Capacity]]:
    """Find a cluster for one study and leave it afterwards.

    Raises:
        UserError: if this process is connected already: such a cluster may lack what studies need.
    """
    quiet_libraries()
    import ray

    from r2d_ray.distributed.cluster import find_cluster

    if ray.is_initialized():
        raise UserError("this process is connected to Ray (allowed: ray.shutdown(), then address=)")
    try:
        yield find_cluster(asked.address, asked.cluster_gpus)
    finally:
        ray.shutdown()


def _settings(dataset: str | Path, given: Mapping[str, Any], kind: type[S]) -> S:
    """Return the settings of these keywords; TrainConfig's fields become overrides."""
    given = {_today(name, kind): value for name, value in given.items()}
    asked = kind.model_fields.keys() - {"overrides"}
    fields = TrainConfig.model_fields
    for name in given:
        if name not in asked and name not in fields:
            raise unknown("setting", name, {*asked, *fields})
    values = {name: value for name, value in given.items() if name in asked and value is not None}
    if values.get("columns"):
        values["columns"] = _column_text(values["columns"])
    values = {
        **{name: str(v) if isinstance(v, Path) else v for name, v in values.items()},
        "dataset": str(dataset),
        "overrides": {name: v for name, v in given.items() if name in fields},
    }
    return build_settings(values, kind)


def _today(name: str, kind: type[StudySettings]) -> str:
    """Return the field that took the place of one of this name; `name` where none did."""
    flags = {field: flag_in(kind, field) for field in kind.model_fields}
    former = {said.former[0]: field for field, said in flags.items() if said.former}
    return name if name in kind.model_fields else former.get(name, name)


def _column_text(columns: Mapping[str, str] | str) -> str:
    if isinstance(columns, str):
        return columns
    quoted = {t: f'"{column}"' if "," in column else column for t, column in columns.items()}
    return ",".join(f"{target}={column}" for target, column in quoted.items())
