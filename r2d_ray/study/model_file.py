"""r2d_ray.json of an exported model: what `predict` must know of its training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from r2d_ray.config import TrainConfig, not_pretrained
from r2d_ray.data.reading.seen import without_tags
from r2d_ray.errors import UserError
from r2d_ray.records import StudyInfo, TrialRecord
from r2d_ray.storage import write_json

MODEL_FILE = "r2d_ray.json"

MOSTLY = 0.5
"""Share of training rows with a context from which a model counts as trained with one."""


class ModelFile(BaseModel):
    """What r2d_ray.json says.

    `columns` maps a target (`question`) to the column that training read it from; empty where the
    rows came in a layout of their own. `context` says whether most training rows had one.
    `label_kind` is a word of `label_kinds.KINDS`. The three are None in models of version 0.2 and
    before, which do not say. `random_weights` is what must be said of a model that was not
    pretrained.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    labels: list[str]
    config: TrainConfig
    study: str = ""
    trial: int = 0
    dataset: str = ""
    label_kind: str | None = None
    columns: dict[str, str] | None = None
    context: bool | None = None
    calibration: dict[str, Any] | None = None
    random_weights: str | None = None

    @property
    def warning(self) -> str | None:
        """That the model was not pretrained; None of one that was."""
        return self.random_weights or not_pretrained(self.config.model)


def described(info: StudyInfo, record: TrialRecord) -> dict[str, Any]:
    """Return what r2d_ray.json says of a trial's model, as JSON values."""
    card = info.data_card
    return {
        "labels": card["labels"],
        "config": record.config,
        "study": info.name,
        "trial": record.trial,
        "dataset": info.dataset,
        "label_kind": card.get("label_kind"),
        "columns": _columns(card),
        "context": _with_context(card),
        "random_weights": info.random_weights,
    }


def _columns(card: Mapping[str, Any]) -> dict[str, str] | None:
    """Return target to column; None of a card of version 0.2 and before."""
    return None if "contexts" not in card else without_tags(card.get("columns", {}))


def _with_context(card: Mapping[str, Any]) -> bool | None:
    if "contexts" not in card:
        return None
    held, rows = card["contexts"]["train"], card["rows"]["train"]
    return bool(held >= MOSTLY * rows)


def add_calibration(folder: Path, calibration: Mapping[str, Any]) -> None:
    """Keep in an exported model how its probabilities are calibrated and its labels decided.

    `calibration` is a temperature with its rule and costs, or says why it is `not_applicable`.
    """
    path = folder / MODEL_FILE
    values = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {**values, "calibration": dict(calibration)})


def read_model_file(folder: Path) -> ModelFile:
    """Return what an exported model's folder says of it.

    Raises:
        UserError: if the folder is not an exported model.
    """
    try:
        values = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
        config = TrainConfig.model_validate(values["config"])
        return ModelFile.model_validate({**values, "config": config})
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        why = "" if isinstance(error, FileNotFoundError) else f" ({type(error).__name__})"
        raise UserError(
            f"--model {folder}: no {MODEL_FILE} of an exported model{why} "
            "(allowed: the best/ folder of a study)"
        ) from None
