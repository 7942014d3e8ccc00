"""TrainConfig: every number that a run depends on, frozen, bounded, with unit and source.

An unknown key is an error. A parameter has the same name in the search space's YAML, here, in the
code, in the records and in the tables. Ratios are shares of the stage's optimiser steps;
"authors" names the public Reason2Decide code (src/r2d/train_stage1.py, train_stage2.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import from_json, to_json

from r2d_ray.errors import NOT, from_validation, unknown, whole_number

Ratio = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveRatio = Annotated[float, Field(gt=0.0, le=1.0)]
LearningRate = Annotated[float, Field(gt=0.0, le=1.0)]
Steps = Annotated[int, Field(ge=1, le=10_000_000)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Tokens = Annotated[int, Field(ge=8, le=8192)]


def _survives_json(value: dict[str, Any]) -> dict[str, Any]:
    """Return the value; ValueError unless study.json gives it back as it is: no NaN, no dates."""
    if from_json(to_json(value)) != value:
        raise ValueError("not a JSON object (allowed: texts, finite numbers, true, false, null)")
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_survives_json)]
FINEST_GPU_SHARE = 1e-4  # Ray's
SCRATCH_MODELS = ("scratch-tiny", "scratch-small")
FEW_TEST_ROWS = 10  # rows; of a label with fewer, one row moves its recall by more than 10 points
GATE_CEILING_GAP = 0.1  # accuracy that plain fine-tuning may stay below the best possible
GATE_FOLLOWING = 0.7  # share of rows whose rationale must follow a swapped label, beyond chance
MIN_KEPT_SHARE = 0.1  # of rationale ids: where fewer are learnt the rest weighs ten times at most
TOKENIZER_ROWS = 5_000  # training rows, at most, from which a scratch tokenizer learns 4,096 pieces
RUNG_RATIO = 0.65  # the pruner's rung, share of S: where every default schedule has ended
DEFAULT_SAMPLES = {"embedded": 4, "finetune": 12, "paper": 24}  # trials of a search, by profile
SMOKE_SAMPLES = 2
SMOKE_LIMIT = 64
SMOKE_VALUES = {  # the smallest run that passes through every part
    "stage1_max_steps": 4,
    "stage1_eval_steps": 2,
    "max_steps": 8,
    "eval_steps": 4,
    "logging_steps": 2,
    "model": "scratch-tiny",
}
SELECTION_METRICS = ("macro_f1", "accuracy", "rationale_loss", "composite")


def not_pretrained(model: Any, rows: int | None = None) -> str | None:
    """Return what must be said of a model that starts from random weights; None of others.

    `rows` is the number of training rows, where it is known.
    """
    if model not in SCRATCH_MODELS:
        return None
    own = f"your {rows:,} training rows" if rows else "your training rows"
    return f"random weights: {model} was not pretrained; it learns only from {own}"


class TrainConfig(BaseModel):
    """One run of both stages. Stage-1 fields begin with `stage1_`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    # Model and lengths
    model: str = "scratch-tiny"
    """Hub name or folder of a T5-family model, or `scratch-tiny` / `scratch-small`."""
    model_revision: str | None = None
    """Hub revision (commit, tag); default: that of the hub."""
    dropout_rate: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Dropout while training. Source: T5's default; T5 v1.1 needs it switched on."""
    max_input_length: Tokens = 1024
    """Tokens of an input, prefix included, on every path. Authors: 1024; 512 once they sample."""
    max_rationale_length: Tokens = 256
    """Tokens of a rationale, as target and when generating. Authors: 256."""
    max_label_length: Annotated[int, Field(ge=2, le=512)] = 50
    """Tokens of a label when it is generated freely. Authors: 50."""

    # Stage 1: rationale generation
    stage1_max_steps: Annotated[int, Field(ge=0, le=10_000_000)] = 50_000
    """Optimiser steps of stage 1; 0 = no stage 1. Authors: 50,000."""
    stage1_learning_rate: LearningRate = 5e-5
    """Peak learning rate of stage 1. Authors: 5e-5."""
    stage1_eval_steps: Steps = 1000
    """Optimiser steps between evaluations of stage 1. Authors: 1000."""
    stage1_early_stopping_patience: Annotated[int, Field(ge=0)] = 3
    """Evaluations without a lower loss before stage 1 stops; 0 = off. Authors: 3."""
    stage1_rationale_source: str | None = None
    """Which rationale stage 1 trains on; default: the same as stage 2."""

    # Stage 2: labels and rationales
    max_steps: Steps = 30_000
    """Optimiser steps of stage 2 (S). Authors: 30,000."""
    learning_rate: LearningRate = 5e-5
    """Peak learning rate of stage 2. Authors: 5e-5."""
    eval_steps: Steps = 500
    """Optimiser steps between evaluations of stage 2. Authors: 500."""
    early_stopping_patience: Annotated[int, Field(ge=0)] = 5
    """Evaluations without a better selection metric before stage 2 stops; 0 = off. Authors: 5."""
    early_stopping_start_ratio: Ratio = 0.65
    """Share of S before which stage 2 is never stopped early. Authors: 0.65."""
    rationale_source: str | None = None
    """Which rationale a row trains on; default: the data set's first source."""
    selection_metric: Literal["macro_f1", "accuracy", "rationale_loss", "composite"] = "macro_f1"
    """Validation score that picks the checkpoint, earliest best on ties; `composite` is the mean of
    macro-F1 and exp(-rationale loss). Authors: macro-F1."""

    # Optimiser, both stages
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    """Learning-rate schedule. Authors: linear to 0."""
    warmup_ratio: Ratio = 0.0
    """Share of the stage's steps over which the learning rate rises. Authors: 0."""
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """AdamW weight decay. Authors: 0."""
    max_grad_norm: Annotated[float, Field(ge=0.0, le=1000.0)] = 1.0
    """Gradient clipping (L2 norm), 0 = off. Authors: 1.0 (transformers' default)."""

    logging_steps: Steps = 10
    """Optimiser steps between entries of the logged series."""

    # Batches
    per_device_train_batch_size: Count = 64
    """Rows per worker and micro-batch. Authors: 64."""
    gradient_accumulation_steps: Count = 1
    """Micro-batches per optimiser step. Authors: 1."""
    num_workers: Annotated[int, Field(ge=1, le=1024)] = 1
    """Ray Train workers (ranks) of one trial. Authors: 4."""
    per_device_eval_batch_size: Count = 64
    """Rows per worker and forward pass in evaluation."""
    length_group_size: Count = 50
    """Batches whose rows are sorted together by length. Source: transformers, 50."""

    # The method
    label_loss_weight: Ratio = 0.7
    """Weight of the label loss (alpha), rationales 1 - alpha; 1 = no rationales. Authors: 0.7."""
    label_warmup_ratio: Ratio = 0.05
    """Share of S over which alpha rises from 0. Authors: 0.05."""
    sampling_decay: Literal["linear", "exponential", "inverse_sigmoid", "constant", "none"] = (
        "linear"
    )
    """Curve by which the gold probability falls. Authors: linear."""
    sampling_start_ratio: Ratio = 0.05
    """Share of S with gold labels only. Authors: 0.05."""
    sampling_decay_ratio: PositiveRatio = 0.6
    """Share of S that a full fall of the gold probability from 1 to 0 takes. Authors: 0.6."""
    gold_probability_floor: Ratio = 0.1
    """The gold probability never falls below this. Authors: 0.1."""
    sampling_label: Literal["predicted", "random_wrong"] = "predicted"
    """What replaces the gold label in a sampled prompt: the model's own, or a random wrong one with
    the probability of the running train error (same dose, no model). Authors: predicted."""
    train_error_memory: PositiveRatio = 0.9
    """Weight of the past in the running train label error, per optimiser step; 0.98 lags too far
    behind a falling error for equal doses (tests/method/test_sampling.py)."""
    sampling_dropout: bool = True
    """Dropout on while the sampled label is chosen. Authors: true."""
    label_choice: Literal["scored", "generate"] = "scored"
    """`scored` picks from the closed label set, `generate` decodes freely. Authors: generate."""
    wrong_label_target: Literal["keep", "drop", "drop_reweighted", "relabel", "relabel_or_keep"] = (
        "keep"
    )
    """What a row learns to write whose label in the prompt is wrong: gold's rationale, nothing,
    nothing while the others weigh more, the rationale of the label shown (else nothing, the others
    weighing more), or that one, else gold's. Authors: keep."""
    rationale_prompt: Literal["given_label", "plain"] = "given_label"
    """Whether the rationale prompt shows a label. Authors: given_label; `plain` is DSS."""

    # Rare classes, over a fixed label set (method/imbalance.py)
    class_weights: Literal["none", "balanced", "effective_number"] = "none"
    """Weight of a row's label loss by its class, mean 1 over training rows: `balanced` is inverse
    to the class's rows, `effective_number` gentler (arXiv 1901.05555). Authors: none."""
    class_weight_beta: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.99
    """Beta of `effective_number`: weights are equal at 0, `balanced` near 1. Its authors: 0.9 to
    0.9999, larger for larger sets."""
    balanced_sampling: Ratio = 0.0
    """How far stage 2 evens out classes in its batches: a class's share goes with its rows to the
    power of 1 - this; 0 = every row once an epoch, 1 = classes equally frequent. Authors: 0."""

    # Reason2Decide-C (src/r2dc_stage2.py)
    confidence_gate: bool = False
    """A predicted label is shown only where a coin falls below sigmoid(steepness (confidence - t)),
    t the mean confidence of the last window. Authors of R2D-C: true."""
    gate_steepness: Annotated[float, Field(gt=0.0, le=1000.0)] = 10.0
    """Slope of the gate's sigmoid, per unit of confidence. Authors of R2D-C: 10."""
    gate_window_steps: Steps = 1000
    """Optimiser steps whose mean confidence becomes the gate's next threshold. Authors: 1000."""
    cycle_loss_weight: Ratio = 0.0
    """Weight of the cycle loss: rationale back to label. Authors of R2D-C: 0.1."""
    gumbel_temperature_floor: PositiveRatio = 0.5
    """The cycle's Gumbel temperature falls from 1 by half over S, never below. Authors: 0.5."""
    r2d_c_variant: Literal["mended", "authors"] = "mended"
    """`authors`: confidence over padded positions, cycle over padding and over wrong labels."""

    # Numerics and device
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 42
    """Seed of initial weights, row order, dropout and coins. Authors: 42, in stage 2 123."""
    bf16: bool = False
    """bfloat16 mixed precision. Authors: stage 2 only."""
    attn_implementation: Literal["blockwise", "eager", "sdpa"] = "blockwise"
    """Layers: ours for CPUs (model/cpu_*.py), or transformers' with that attention."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    zero_stage: Annotated[int, Field(ge=0, le=3)] = 0
    """DeepSpeed ZeRO stage; 0 = plain data parallel."""
    deepspeed_config: JsonObject | None = None
    """A DeepSpeed configuration, merged over the one of these fields; default: none."""
    gpus_per_worker: Annotated[float, Field(ge=0.0, le=16.0)] = 0.0
    """GPUs of one worker; 0 trains on the CPU."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_fp16(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "fp16" in values:
            raise ValueError(
                "fp16 overflows in T5's feed-forward layers (allowed: bf16=true, or fp32)"
            )
        return values

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[str(info.field_name)].annotation
        if kind in (int, float) and isinstance(value, bool):
            raise ValueError(NOT["int" if kind is int else "float"])  # 1 and 0 to Python
        return whole_number(value) if kind is int else value

    @model_validator(mode="after")
    def _fields_fit_together(self) -> TrainConfig:
        if self.cycle_loss_weight > 0 and self.effective_zero_stage == 3:
            raise ValueError(
                "cycle_loss_weight needs the whole embedding (allowed: zero_stage 0 to 2)"
            )
        share = self.gpus_per_worker
        if 0 < share < FINEST_GPU_SHARE or (share > 1 and not share.is_integer()):
            raise ValueError(
                f"gpus_per_worker = {share}: Ray cannot allot this share "
                f"(allowed: 0, {FINEST_GPU_SHARE} to 1, whole numbers)"
            )
        rationales = self.selection_metric in ("rationale_loss", "composite")
        if rationales and not self.trains_rationales:
            raise ValueError(
                f"selection_metric {self.selection_metric!r} needs a rationale loss "
                "(allowed at label_loss_weight = 1: macro_f1, accuracy)"
            )
        return self

    @property
    def effective_zero_stage(self) -> int:
        """The ZeRO stage that runs: a DeepSpeed file's, else `zero_stage`."""
        section = (self.deepspeed_config or {}).get("zero_optimization")
        stage = section.get("stage") if isinstance(section, dict) else None
        return stage if isinstance(stage, int) else self.zero_stage

    @property
    def needs_running_means(self) -> bool:
        """Whether a loss depends on means over the steps before it."""
        return (
            self.confidence_gate
            or self.sampling_label == "random_wrong"
            or self.keeps_rationale_weight
        )

    @property
    def keeps_rationale_weight(self) -> bool:
        """Whether rationales that are learnt weigh more where others are not."""
        return self.wrong_label_target in ("drop_reweighted", "relabel")

    @property
    def relabels(self) -> bool:
        """Whether a row may learn the rationale of another label than its gold one."""
        return self.wrong_label_target in ("relabel", "relabel_or_keep")

    @property
    def global_batch_size(self) -> int:
        """Rows of one optimiser step over all workers and micro-batches."""
        per_pass = self.per_device_train_batch_size * self.num_workers
        return per_pass * self.gradient_accumulation_steps

    @property
    def trains_rationales(self) -> bool:
        """Whether stage 2 has a rationale loss."""
        return self.label_loss_weight < 1.0

    @property
    def stage1_source(self) -> str | None:
        """The rationale source of stage 1."""
        return self.stage1_rationale_source or self.rationale_source


STAGE1_FIELDS = (
    "model",
    "model_revision",
    "dropout_rate",
    "max_input_length",
    "max_rationale_length",
    "stage1_max_steps",
    "stage1_learning_rate",
    "stage1_eval_steps",
    "stage1_early_stopping_patience",
    "lr_scheduler_type",
    "warmup_ratio",
    "weight_decay",
    "max_grad_norm",
    "per_device_train_batch_size",
    "num_workers",
    "gradient_accumulation_steps",
    "length_group_size",
    "seed",
    "bf16",
    "attn_implementation",
    "zero_stage",
    "deepspeed_config",
)
"""Fields on which the weights after stage 1 depend; with the data they key the stage-1 cache."""

ON_GPU: dict[str, Any] = {"bf16": True, "attn_implementation": "sdpa", "gpus_per_worker": 1.0}
"""What `paper` sets always and `finetune` where there are GPUs."""

SMALL_MODEL = "google/t5-v1_1-small"
"""The model of `finetune` on GPUs with less than `SMALL_GPU_GB`."""

SMALL_GPU_GB = 14.0
"""GB (1e9 bytes) below which a GPU is small: cards sold with 16 GB report 14.7 to 17.1."""

PROFILES: dict[str, dict[str, Any]] = {
    "embedded": {
        "model": "scratch-tiny",
        "learning_rate": 1e-3,
        "stage1_learning_rate": 1e-3,
        "max_input_length": 192,
        "max_rationale_length": 64,
        "max_label_length": 16,
        "per_device_train_batch_size": 16,
        "per_device_eval_batch_size": 64,
        "stage1_max_steps": 200,
        "stage1_eval_steps": 100,
        "max_steps": 300,
        "eval_steps": 50,
    },
    "finetune": {
        "model": "google/t5-v1_1-base",
        # transformers' T5 page: with AdamW "typically, 1e-4 and 3e-4 work well for most problems"
        "learning_rate": 3e-4,
        "stage1_learning_rate": 3e-4,
        "warmup_ratio": 0.1,
        "per_device_train_batch_size": 8,  # with the next: 16 rows a step in 16 GB
        "gradient_accumulation_steps": 2,
        "per_device_eval_batch_size": 32,
        "early_stopping_patience": 6,  # three epochs of an evaluation each half epoch
        "stage1_early_stopping_patience": 4,
    },
    "paper": {"model": "google/t5-v1_1-base", **ON_GPU},
}
"""Learning rates, batch, steps, lengths and model, for all methods. `embedded`: random weights,
minutes on a CPU. `finetune`: pretrained weights and any data; its steps and lengths follow the data
(search/budget.py). `paper`: the authors' budgets."""


GPU_PEAK_FLOPS: Mapping[str, float] = {
    "H200 NVL": 835e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,  # SXM
    "A100": 312e12,
    "L4": 121e12,
    "A10G": 70e12,
    "T4": 65e12,  # fp16: it has no bf16
}
"""Dense peak of a GPU in bf16, FLOP/s, by the words that the name which torch reports has; where
several fit, the first. An estimate alone depends on it. Source: NVIDIA's data sheets, whose rates
with sparsity are halved."""

FITTED = {
    "finetune": (
        *("max_steps", "eval_steps", "stage1_max_steps", "stage1_eval_steps"),
        *("max_input_length", "max_rationale_length", "max_label_length"),
    )
}
"""Fields whose default under a profile follows from the data (search/budget.py)."""


def may_use_hub(profile: str) -> bool:
    """Return whether runs under a profile may ask the Hugging Face hub: all but `embedded`."""
    return profile != "embedded"


def build_config(values: Mapping[str, Any]) -> TrainConfig:
    """Return the config of these field values.

    Raises:
        UserError: for an unknown field or a value out of bounds, naming field, value and bound.
    """
    for name in values:
        if name not in TrainConfig.model_fields and name != "fp16":
            raise unknown("field", name, TrainConfig.model_fields)
    try:
        return TrainConfig.model_validate(dict(values))
    except ValidationError as error:
        raise from_validation(error, with_value=True) from None
