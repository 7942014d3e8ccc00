"""What is refused of a DeepSpeed file before anything runs: unknown keys, contradicted flags.

DeepSpeed reads over a key that it does not know, and a value of the file would win over the flag
that study.json and our own checks go by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from r2d_ray.config import TrainConfig
from r2d_ray.errors import UserError, from_validation, unknown

AUTO = "auto"
FLAG = "--deepspeed-config"
SECTIONS = (
    "activation_checkpointing",
    "aio",
    "amp",
    "autotuning",
    "bf16",
    "checkpoint",
    "comet",
    "comms_logger",
    "communication_data_type",
    "compile",
    "csv_monitor",
    "data_efficiency",
    "data_types",
    "dataloader_drop_last",
    "disable_allgather",
    "disable_python_gc",
    "dump_state",
    "elasticity",
    "flops_profiler",
    "fp16",
    "gradient_accumulation_steps",
    "gradient_allreduce_op",
    "gradient_clipping",
    "gradient_predivide_factor",
    "log_level",
    "memory_breakdown",
    "optimizer",
    "prescale_gradients",
    "scheduler",
    "sparse_gradients",
    "steps_per_print",
    "tensorboard",
    "timers",
    "torch_autocast",
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "wall_clock_breakdown",
    "wandb",
    "zero_allow_untested_optimizer",
    "zero_force_ds_cpu_optimizer",
    "zero_optimization",
)
"""Top-level keys of DeepSpeed 0.19 that may serve here (deepspeed.runtime.config)."""

NOT_HERE = (
    "bfloat16",
    "compression_training",
    "curriculum_learning",
    "datastates_ckpt",
    "eigenvalue",
    "expert_parallel",
    "graph_harvesting",
    "hybrid_engine",
    "managed_gradient_accumulation",
    "nebula",
    "pipeline",
    "progressive_layer_drop",
    "quantize_training",
    "seq_parallel_communication_data_type",
    "sparse_attention",
    "tensor_parallel",
    "use_data_before_expert_parallelism",
    "vocabulary_size",
    "weight_quantization",
)
"""Top-level keys of DeepSpeed that change rows, model or layout in ways that this trainer does not
allow for; `bfloat16` is an old name of `bf16`."""


def check_deepspeed(config: TrainConfig) -> None:
    """Raise UserError for a DeepSpeed file that DeepSpeed would not heed, or that flags contradict.

    `"auto"` is filled from the flags and always fits.
    """
    users = config.deepspeed_config
    if users is None:
        return
    for name in users:
        if name in NOT_HERE:
            raise UserError(f"{FLAG} key {name!r} does not serve here (allowed: a file without it)")
        if name not in SECTIONS:
            raise unknown(f"{FLAG} key", name, SECTIONS)
    check_sections(users)
    for key, flag, wanted in flags_of(config):
        value = value_at(users, key)
        if value not in (None, AUTO, wanted):
            raise UserError(
                f"{FLAG} {key} = {value!r} contradicts {flag} = {wanted!r} "
                f'(allowed: {wanted!r}, "auto", or no {key} in the file)'
            )
    check_optimizer(users)


def flags_of(config: TrainConfig) -> list[tuple[str, str, Any]]:
    """Return key of the file, our flag and its value, wherever both say the same thing."""
    same = [
        (
            "train_micro_batch_size_per_gpu",
            "per_device_train_batch_size",
            config.per_device_train_batch_size,
        ),
        (
            "gradient_accumulation_steps",
            "gradient_accumulation_steps",
            config.gradient_accumulation_steps,
        ),
        ("train_batch_size", "batch x workers x accumulation", config.global_batch_size),
        ("gradient_clipping", "max_grad_norm", config.max_grad_norm),
        ("bf16.enabled", "bf16", config.bf16),
        ("fp16.enabled", "fp16 (it overflows in T5's feed-forward layers)", False),
    ]
    if config.zero_stage:  # 0 leaves the stage to the file
        same.append(("zero_optimization.stage", "--zero-stage", config.zero_stage))
    return same


def check_sections(users: Mapping[str, Any]) -> None:
    """Raise UserError for a key or value that DeepSpeed's own classes refuse."""
    from r2d_ray.training.arguments import deepspeed_sections

    for section, kind in deepspeed_sections().items():
        values = users.get(section, {})
        if not isinstance(values, dict):
            raise UserError(f"{FLAG} {section} = {values!r} (allowed: a JSON object)")
        fields = kind.model_fields
        known = {*fields, *(field.alias for field in fields.values() if field.alias)}
        for name in values:
            if name not in known:
                raise unknown(f"{FLAG} {section} key", name, known)
        said = {name: value for name, value in values.items() if value != AUTO}
        try:
            kind.model_validate(said)
        except ValidationError as error:
            raise from_validation(error, f"{FLAG} {section}", with_value=True) from None


def check_optimizer(users: Mapping[str, Any]) -> None:
    """Raise UserError for numbers of an optimizer or scheduler: each trial has its own."""
    for section in ("optimizer", "scheduler"):
        given = value_at(users, f"{section}.params")
        for name, value in (given if isinstance(given, dict) else {}).items():
            if name in OURS and value != AUTO:
                raise UserError(
                    f"{FLAG} {section}.params.{name} = {value!r} contradicts {OURS[name]}, which "
                    'each stage and trial has of its own (allowed: "auto")'
                )


OURS = {
    "lr": "learning_rate",
    "weight_decay": "weight_decay",
    "warmup_max_lr": "learning_rate",
    "warmup_num_steps": "warmup_ratio",
    "total_num_steps": "max_steps",
}
"""Parameters of DeepSpeed's optimizer and scheduler -> the fields of ours that set them."""


def value_at(users: Mapping[str, Any], key: str) -> Any:
    """Return the value at a dotted key, None where it is not there."""
    value: Any = users
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
