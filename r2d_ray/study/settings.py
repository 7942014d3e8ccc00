"""What a study was asked to do, beside the numbers of a run (config.py): a class for each command.

A field is the command's flag: its docstring is the help, its type the bounds, `Flag` the rest. A
command has the flags of its class and no other, so that none is accepted and then ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from r2d_ray.config import DEFAULT_SAMPLES, SCRATCH_MODELS, SMOKE_LIMIT, SMOKE_SAMPLES
from r2d_ray.errors import UserError, said_of
from r2d_ray.method.variants import METHODS
from r2d_ray.study.asked import (
    CLUSTER,
    COMPARISON,
    DATA,
    SEARCH,
    STUDY,
    TRAINING,
    Asked,
    Budgets,
    Flag,
    Once,
    flag_in,
    flag_of,
)

NOT_STORED = Field(exclude=True)  # its effect stands elsewhere in study.json, or it has none there
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Names = tuple[str, ...]
Tracker = Literal["tensorboard", "mlflow", "wandb"]


class StudySettings(Asked):
    """What search, comparison and single run share: data, model, study folder, cluster."""

    dataset: Annotated[str, Flag(DATA, "NAME|FILE")]
    """A named set, FILE or hub:NAME@REV."""
    data: Annotated[str | None, Flag(DATA, "PATH"), NOT_STORED] = None
    """Path of a named set; default: $R2D_DATA/<dataset>."""
    columns: Annotated[str | None, Flag(DATA, "TARGET=COLUMN,...")] = None
    """Which column holds what: question=q,rationale.human=why,choices=options; default: columns of
    these names."""
    keep_columns: Annotated[str | None, Flag(DATA, "COLUMN,..."), NOT_STORED] = None
    """Columns of a table by whose values test rows are scored apart: site,age_band; default:
    none."""
    limit: Annotated[int | None, Flag(DATA), Field(ge=8)] = None
    """Maximum number of rows in each split; default: all."""
    sample_rows: Annotated[
        tuple[int, int, int] | None, Flag(DATA, ("TRAIN", "VALIDATION", "TEST"))
    ] = None
    """Rows of an embedded sample; default: 1400 300 300."""
    sample_ambiguous: Annotated[
        float | None, Flag(DATA), Field(ge=0, le=1, exclude_if=lambda share: share is None)
    ] = None
    """Share of the triage sample's notes that fit two labels equally, 0 to 1; default: 0.05."""
    rationale_rows: Annotated[int | None, Flag(DATA), Field(ge=1)] = None
    """Maximum number of training rows that keep their rationales; default: all."""
    split_seed: Annotated[Seed, Flag(DATA)] = 42
    """Seed of drawn splits, `--limit` and `--rationale-rows`; `--seed` leaves the rows as they
    are."""
    long_inputs: Annotated[Literal["cut", "refuse"], Flag(DATA)] = "cut"
    """What is longer than max_input_length: cut (its context from the end, then the middle of its
    question), or a reason to refuse the study."""
    costs: Annotated[str | None, Flag(DATA, "FILE"), NOT_STORED] = None
    """What each error costs, as CSV or YAML: rows gold, columns decided labels. The least expected
    cost then decides, in scores beside the others and in the exported model; default: none."""
    profile: Annotated[Literal["embedded", "finetune", "paper"], Flag(TRAINING)] = "embedded"
    """Learning rates, batch, steps, lengths and model; default: finetune with GPUs or a --model
    with weights, else embedded; paper is the authors' budgets."""
    epochs: Annotated[float | None, Flag(TRAINING), Field(gt=0, le=10_000), NOT_STORED] = None
    """Epochs of stage 2, which set its steps; stage 1 has five thirds as many; default: the
    profile's steps, under finetune 10 epochs, but 1000 to 30000 steps."""
    overrides: Annotated[dict[str, Any], Flag(TRAINING), NOT_STORED] = Field(default_factory=dict)
    """TrainConfig fields set by flags and `--set`."""
    storage_path: Annotated[str, Flag(STUDY, "DIR"), NOT_STORED] = "./studies"
    """Folder of the studies, which every node sees."""
    name: Annotated[str | None, Flag(STUDY), NOT_STORED] = None
    """Name of the study's folder; default: from data set, method or grid, and model."""
    trackers: Annotated[tuple[Tracker, ...], Flag(STUDY), NOT_STORED, Once] = ("tensorboard",)
    """Where series are shown: mlflow at MLFLOW_TRACKING_URI, wandb as WANDB_MODE says."""
    resume: Annotated[Literal["auto", "never", "must"], Flag(STUDY), NOT_STORED] = "auto"
    """auto resumes a study of this name or starts it, never only starts, must only resumes."""
    smoke_test: Annotated[bool, Flag(STUDY)] = False
    """The smallest run that exercises every part."""
    address: Annotated[str, Flag(CLUSTER), NOT_STORED] = "auto"
    """Ray cluster: auto ($RAY_ADDRESS, else one whose head runs here, else local), local, or an
    address."""
    cluster_gpus: Annotated[float | None, Flag(CLUSTER), Field(ge=0), NOT_STORED] = None
    """GPUs that the cluster can grow to; default: its autoscaler's limit, else those it has;
    with --dry-run those of any cluster to plan for."""

    @model_validator(mode="before")
    @classmethod
    def _few_rows_of_a_smoke_test(cls, values: Any) -> Any:
        smoke = isinstance(values, Mapping) and values.get("smoke_test")
        return {"limit": SMOKE_LIMIT, **values} if smoke else values

    def for_gpus(self, gpus: float) -> Self:
        """Return the settings with the profile that follows from model and GPUs, if none is named.

        Weights make it `finetune`: those of a named model, else with GPUs the profile's own.
        """
        if "profile" in self.model_fields_set:
            return self
        model = self.overrides.get("model")
        pretrained = gpus > 0 if model is None else model not in SCRATCH_MODELS
        return self.under("finetune" if pretrained else "embedded")

    def under(self, profile: str) -> Self:
        """Return the settings under a profile."""
        return type(self).model_validate({**self.given(), "profile": profile})


def _default_samples(settings: dict[str, Any]) -> int:
    return SMOKE_SAMPLES if settings["smoke_test"] else DEFAULT_SAMPLES[settings["profile"]]


Method = Annotated[str, Flag(TRAINING, "METHOD", words=tuple(METHODS))]
AtOnce = Annotated[int | None, Flag(CLUSTER), Field(ge=1)]
Pruner = Annotated[
    Literal["halving", "none"],
    BeforeValidator(lambda value: "halving" if value == "asha" else value),
    Flag(SEARCH, former=("scheduler", ("asha", "none"))),
]


class SeededSettings(StudySettings):
    """What a search and a single run share beside it."""

    seed: Annotated[Seed, Flag(TRAINING)] = 42
    """Seed of training and search: initial weights, row order, dropout, coins, sampler."""


class SearchSettings(SeededSettings):
    """The command line of a search."""

    method: Method = "r2d"
    """Values that the search holds fixed; `python -m r2d_ray.compare --list` describes each."""
    space: Annotated[str | None, Flag(SEARCH, "NAME|FILE")] = None
    """What is searched: a name in search_spaces/ or a YAML file; default: the profile's, under
    paper the set's own."""
    num_samples: Annotated[int, Flag(SEARCH), Field(ge=1, le=100_000)] = Field(
        default_factory=_default_samples
    )
    """Number of trials, trial 0 with the defaults included; default by profile: embedded 4,
    finetune 12, paper 24."""
    seeds_per_config: Annotated[
        int, Flag(SEARCH), Field(ge=1, le=100, exclude_if=lambda runs: runs == 1)
    ] = 1
    """Runs of every trial, seeds SEED, SEED + 1, ...; their mean decides which trial is best."""
    sampler: Annotated[Literal["tpe", "random", "gp", "qmc", "grid"], Flag(SEARCH)] = "tpe"
    """How trials after 0 are drawn."""
    pruner: Pruner = "halving"
    """halving stops a trial that is not in the best third at 65 % of its steps."""
    time_budget_s: Annotated[float | None, Flag(SEARCH, "S", "time-budget"), Field(gt=0)] = None
    """Seconds after which no new trial starts and running ones stop; default: never."""
    patience_trials: Annotated[
        int | None, Flag(SEARCH), Field(ge=1, le=100_000, exclude_if=lambda trials: not trials)
    ] = None
    """Trials in a row, done or pruned, without a better score that end the search; default: off."""
    warm_start: Annotated[str | None, Flag(SEARCH, "STUDY")] = None
    """Folder of another search whose trials the sampler learns from; default: none."""
    extend: Annotated[int | None, Flag(SEARCH), Field(ge=1), NOT_STORED] = None
    """Number of trials to add to a stored search; default: none."""
    max_concurrent_trials: AtOnce = None
    """Maximum number of trials at once; default: as many as fit."""


class TrainSettings(SeededSettings):
    """The command line of a single run."""

    method: Method = "r2d"
    """Values that define the run; `python -m r2d_ray.compare --list` describes each."""

    def as_search(self) -> SearchSettings:
        """Return the search of one trial, the method's defaults, that a single run is."""
        return SearchSettings.model_validate({**self.given(), "num_samples": 1})


class CompareSettings(StudySettings):
    """The command line of a comparison."""

    methods: Annotated[
        Names, Flag(COMPARISON, "METHOD", words=tuple(METHODS)), Field(min_length=1), Once
    ]
    """Methods to compare; --list describes each; with --grid: r2d unless named."""
    seeds: Annotated[tuple[Seed, ...], Flag(COMPARISON), Field(min_length=1), Once] = (1, 2, 3)
    """Seeds of every method's runs."""
    split_seed: Annotated[Seed, Flag(DATA, former=("seed", ()))] = 42
    """Seed of drawn splits, `--limit` and `--rationale-rows`, the same for all arms."""
    folds: Annotated[
        int | None, Flag(COMPARISON), Field(ge=2, le=1000, exclude_if=lambda folds: folds is None)
    ] = None
    """Tests every row once: trains each arm on each of K grouped folds; default: one split."""
    tuned_from: Annotated[Names, Flag(COMPARISON, "DIR"), NOT_STORED] = ()
    """Searches whose best trials become arms as well, named METHOD-tuned; default: none."""
    grid: Annotated[str | None, Flag(COMPARISON, "NAME|FILE"), NOT_STORED] = None
    """Makes each point of a space (ablation, sensitivity, FILE) an arm; default: none."""
    rationale_sources: Annotated[Names, Flag(COMPARISON, "SOURCE"), Once] = ()
    """Trains methods on each of these rationales, on rows that have them all; default: none."""
    equal: Annotated[Literal["steps", "label-examples", "none"], Flag(COMPARISON)] = "steps"
    """What all arms have alike; at steps an arm without a stage 1 gets its steps in stage 2."""
    budgets: Budgets = ()
    """Steps of stage 2, tried until two methods pass the gates on validation; default: no gates."""
    space: Annotated[str | None, Flag(COMPARISON, "NAME|FILE")] = None
    """Space whose metric and fixed values apply: a name in search_spaces/ or a YAML file; default:
    the profile's, under paper the set's own."""
    max_concurrent_trials: AtOnce = None
    """Maximum number of arms at once; default: as many as fit."""

    @model_validator(mode="before")
    @classmethod
    def _grid_of_r2d(cls, values: Any) -> Any:
        unnamed = isinstance(values, Mapping) and values.get("grid") and "methods" not in values
        return {**values, "methods": ("r2d",)} if unnamed else values


A = TypeVar("A", bound=Asked)


def build_settings(values: Mapping[str, Any], kind: type[A] = SearchSettings) -> A:  # type: ignore[assignment]
    """Return the settings of these values.

    Raises:
        UserError: naming the flag, its value and what is allowed.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        if field not in kind.model_fields:
            raise UserError(f"{field}: not a setting of {kind.__name__}") from None
        said = flag_in(kind, field)
        flag = str(said.metavar) if said.positional else flag_of(said.name or field)
        if first["type"] == "missing":
            text = kind.model_fields[field].description or ""
            allowed = ", ".join(said.words) or text[0].lower() + text[1:].removesuffix(".")
            raise UserError(f"{flag} is missing (allowed: {allowed})") from None
        given = first["input"]
        words = given if isinstance(given, (list, tuple)) else [given]
        shown = " ".join(repr(word) if word == "" else str(word) for word in words)
        raise UserError(f"{flag} {shown}: {said_of(first)}") from None
