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
from r2d_ray.errors import UserError
from r2d_ray.functions.asked import column_text, settings_of
from r2d_ray.functions.frames import table_of
from r2d_ray.functions.result import StudyResult, StudyStopped
from r2d_ray.functions.trial_bar import TrialBar
from r2d_ray.study.place import root_of
from r2d_ray.study.progress.events import silent
from r2d_ray.study.settings import CompareSettings, SearchSettings, StudySettings

if TYPE_CHECKING:
    import pandas as pd

    from r2d_ray.comparison.plan import ComparePlan
    from r2d_ray.distributed.cluster import Capacity
    from r2d_ray.search.plan import StudyPlan
    from r2d_ray.study.progress.events import Show

S = TypeVar("S", bound=StudySettings)


def run_search(
    dataset: str | Path | pd.DataFrame,
    *,
    progress: bool | Show = False,
    **settings: Any,
) -> StudyResult:
    """Search, train and deliver a model, as `python -m r2d_ray.tune` does.

    The same call again resumes a study that was stopped; of one that has ended it returns the
    result.

    Args:
        dataset: A named set, a file, `hub:NAME@REVISION`, or a frame with a line a row, which is
            written to `storage_path` as `frame-HASH.jsonl`.
        progress: True draws a bar of trials on stderr; a function takes each event as it happens.
        **settings: Fields of SearchSettings and of TrainConfig by their names.

    Returns:
        What `result.json` holds, with the `folder` of the study, the `table` of test scores and
        `best_model`, the folder of the best model.

    Raises:
        UserError: in one line, for whatever the command would refuse with exit code 2.
        StudyStopped: for a study that was interrupted; the same call resumes it.
    """
    with _asked(dataset, settings, SearchSettings) as (asked, found, capacity):
        from r2d_ray.search.plan import make_plan
        from r2d_ray.search.run import run_study

        plan = make_plan(asked, capacity)
        concurrency = plan.concurrency(capacity)
        with _shown(progress) as show:
            return _ended(plan, run_study(plan, found, capacity, concurrency, show))


def run_comparison(
    dataset: str | Path | pd.DataFrame,
    *,
    progress: bool | Show = False,
    **settings: Any,
) -> StudyResult:
    """Run methods x seeds on equal terms, as `python -m r2d_ray.compare` does.

    Args:
        dataset: As of `run_search`.
        progress: As of `run_search`; its trials are arms.
        **settings: Fields of CompareSettings (`methods`, `seeds`, `grid`, ...) and of TrainConfig
            by their names.

    Returns:
        What `result.json` holds, with the `folder` of the study and the `table` of test scores.

    Raises:
        UserError: in one line, for whatever the command would refuse with exit code 2.
        StudyStopped: for a comparison that was interrupted; the same call resumes it.
    """
    with _asked(dataset, settings, CompareSettings) as (asked, found, capacity):
        from r2d_ray.comparison import run
        from r2d_ray.comparison.plan import make_compare_plan

        if asked.budgets:
            raise UserError("budgets: only the command tries them (allowed: max_steps=STEPS)")
        plan = make_compare_plan(asked, capacity)
        concurrency = plan.concurrency(capacity)
        with _shown(progress) as show:
            return _ended(plan, run.run_comparison(plan, found, capacity, concurrency, show))


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

    named = parse_columns(column_text(columns)) if columns else {}
    return predict_in_memory(PredictRequest(Path(model), named, **asked), rows)


@contextmanager
def _asked(
    dataset: str | Path | pd.DataFrame, settings: Mapping[str, Any], kind: type[S]
) -> Iterator[tuple[S, str | None, Capacity]]:
    """Yield what was asked, a cluster's address and its capacity; a frame lies in a file by then.

    Raises:
        UserError: for wrong settings, or if this process is connected to Ray already: such a
            cluster may lack what studies need.
    """
    quiet_libraries()
    import ray

    from r2d_ray.distributed.cluster import find_cluster

    named = dataset if isinstance(dataset, str | Path) else "frame.jsonl"
    asked = settings_of(named, settings, kind)
    if ray.is_initialized():
        raise UserError("this process is connected to Ray (allowed: ray.shutdown(), then address=)")
    try:
        found, capacity = find_cluster(asked.address, asked.cluster_gpus)
        if isinstance(dataset, str | Path):
            yield asked, found, capacity
        else:
            with table_of(dataset, asked.storage_path) as path:
                yield settings_of(path, settings, kind), found, capacity
    finally:
        ray.shutdown()


@contextmanager
def _shown(progress: bool | Show) -> Iterator[Show]:
    """Yield what takes events."""
    if callable(progress):
        yield progress
    elif progress:
        with TrialBar() as bar:
            yield bar.show
    else:
        yield silent


def _ended(plan: StudyPlan | ComparePlan, result: dict[str, Any] | None) -> StudyResult:
    """Return the result of a study that has ended.

    Raises:
        StudyStopped: if it has not.
    """
    folder = root_of(plan.settings.storage_path, plan.name)
    if result is None:
        raise StudyStopped(f"{folder}: stopped; the same call resumes")
    return StudyResult(folder, result)
