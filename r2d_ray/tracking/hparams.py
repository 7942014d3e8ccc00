"""TensorBoard's HParams tab: a trial's settings beside its scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_hparams(
    folder: Path, settings: Mapping[str, Any], metric: str, scores: Mapping[str, float]
) -> None:
    """Write a trial's settings for the tab, and its scores.

    Args:
        folder: The trial's events.
        settings: Columns of the tab: strings, numbers, booleans.
        metric: The study's; its validation and test scores are columns, too.
        scores: By tag (`validation/macro_f1`).
    """
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    shown = {f"validation/{metric}": 0.0, f"test/{metric}": 0.0}  # names alone; values are scalars
    with SummaryWriter(str(folder)) as writer:
        for summary in hparams(dict(settings), shown):  # type: ignore[no-untyped-call]
            writer.file_writer.add_summary(summary)
    write_scores(folder, scores)


def write_scores(folder: Path, scores: Mapping[str, float]) -> None:
    """Write scores as a trial's scalars."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for tag, value in scores.items():
            writer.add_scalar(tag, float(value), 0)
