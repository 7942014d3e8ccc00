"""StudySettings: what a study was asked to do, beside the numbers of a run (config.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from r2d_ray.config import PROFILES
from r2d_ray.errors import UserError

RUNG_RATIO = 0.65  # ASHA's rung, share of S: where every default schedule has ended (design: 0.65)
DEFAULT_SAMPLES = {"embedded": 4, "paper": 24}  # trials of a study, by profile
SMOKE_VALUES = {  # the smallest run that passes through every part
    "stage1_max_steps": 4,
    "stage1_eval_steps": 2,
    "max_steps": 8,
    "eval_steps": 4,
    "logging_steps": 2,
    "model": "scratch-tiny",
}


class StudySettings(BaseModel):
    """The command line as values; `overrides` are TrainConfig fields set by flags and `--set`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    dataset: str
    method: str = "r2d"
    profile: Literal["embedded", "paper"]
    space: str | None = None
    num_samples: Annotated[int, Field(ge=1, le=100_000)]
    max_concurrent_trials: Annotated[int, Field(ge=1)] | None = None
    scheduler: Literal["asha", "none"] = "asha"
    sampler: Literal["tpe", "random", "gp", "qmc", "grid"] = "tpe"
    time_budget_s: Annotated[float, Field(gt=0)] | None = None
    storage_path: str = "./studies"
    name: str | None = None
    resume: Literal["auto", "never", "must"] = "auto"
    extend: Annotated[int, Field(ge=1)] | None = None
    warm_start: str | None = None
    data: str | None = None
    columns: str | None = None
    limit: Annotated[int, Field(ge=8)] | None = None
    sample_rows: tuple[int, int, int] | None = None
    rationale_rows: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 42
    smoke_test: bool = False
    overrides: dict[str, Any] = Field(default_factory=dict)

    @property
    def profile_values(self) -> dict[str, Any]:
        """The TrainConfig values under space, method and flags."""
        return {**PROFILES[self.profile], **(SMOKE_VALUES if self.smoke_test else {})}


class CompareSettings(StudySettings):
    """The command line of a comparison: `method` is unused, `num_samples` the number of arms."""

    methods: Annotated[tuple[str, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, le=2**31 - 1)], ...], Field(min_length=1)]
    study: tuple[str, ...] = ()
    grid: str | None = None
    rationale_sources: tuple[str, ...] = ()
    equal_steps: bool = True


def default_profile(gpus: float) -> str:
    """Return the profile of a study that names none."""
    return "paper" if gpus > 0 else "embedded"


S = TypeVar("S", bound=StudySettings)


def build_settings(values: Mapping[str, Any], kind: type[S] = StudySettings) -> S:  # type: ignore[assignment]
    """Return the settings of these values.

    Raises:
        UserError: naming the flag, its value and what is allowed.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        flag = "--" + str(first["loc"][0]).removesuffix("_s").replace("_", "-")
        raise UserError(f"{flag} {first['input']}: {first['msg']}") from None
