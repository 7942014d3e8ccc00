"""The fields of one stage under transformers' names and as a DeepSpeed configuration.

The only file that imports DeepSpeed; deepspeed_file.py checks what users write for it.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from transformers import TrainingArguments

from r2d_ray.config import TrainConfig

StageName = Literal["stage1", "stage2"]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """The fields of one stage under transformers' names."""

    name: StageName
    max_steps: int
    learning_rate: float
    eval_steps: int
    patience: int
    patience_start: int
    metric: str
    greater_is_better: bool


def stage_plan(config: TrainConfig, name: StageName) -> StagePlan:
    """Return a stage's steps, learning rate and selection rule.

    Stage 1 is selected by its validation loss (train_stage1.py), stage 2 by `selection_metric`.
    """
    if name == "stage1":
        return StagePlan(
            name,
            config.stage1_max_steps,
            config.stage1_learning_rate,
            config.stage1_eval_steps,
            config.stage1_early_stopping_patience,
            0,
            "rationale_loss",
            False,
        )
    return StagePlan(
        name,
        config.max_steps,
        config.learning_rate,
        config.eval_steps,
        config.early_stopping_patience,
        math.ceil(config.early_stopping_start_ratio * config.max_steps),
        config.selection_metric,
        config.selection_metric != "rationale_loss",
    )


def training_arguments(config: TrainConfig, plan: StagePlan, output_dir: Path) -> TrainingArguments:
    """Return transformers' arguments of a stage; trackers come as callbacks of their own."""
    return TrainingArguments(
        output_dir=str(output_dir),
        max_steps=plan.max_steps,
        learning_rate=plan.learning_rate,
        lr_scheduler_type=config.lr_scheduler_type,
        warmup_steps=round(config.warmup_ratio * plan.max_steps),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        per_device_train_batch_size=config.per_device_train_batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        bf16=config.bf16,
        use_cpu=config.gpus_per_worker == 0,
        optim="adamw_torch_fused",  # one pass over the weights, on CPUs too
        deepspeed=deepspeed_config(config),
        seed=config.seed,
        eval_strategy="steps",
        eval_steps=plan.eval_steps,
        save_strategy="steps",
        save_steps=plan.eval_steps,
        metric_for_best_model=plan.metric,
        greater_is_better=plan.greater_is_better,
        logging_steps=config.logging_steps,
        logging_nan_inf_filter=False,
        ignore_data_skip=True,  # FromStep starts where training stands
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=[],
        log_level="error",
        dataloader_num_workers=0,
        ddp_find_unused_parameters=False,
    )


def deepspeed_config(config: TrainConfig) -> dict[str, Any] | None:
    """Return the DeepSpeed configuration of this run, None for plain data parallel (stage 0).

    `gradient_clipping` is always set: unset, DeepSpeed clips at 1.0. AdamW is torch's, so that no
    compiled operator is needed. `config.deepspeed_config` is merged over the result.
    """
    if config.zero_stage == 0 and config.deepspeed_config is None:
        return None
    made: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": config.per_device_train_batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "gradient_clipping": config.max_grad_norm,
        "zero_optimization": {
            "stage": config.zero_stage,
            "stage3_gather_16bit_weights_on_model_save": True,
        },
        "bf16": {"enabled": config.bf16},
        # The optimizer comes from transformers: torch's AdamW, the same as without DeepSpeed.
        "zero_allow_untested_optimizer": True,
    }
    return _merge(made, config.deepspeed_config or {})


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on it, sections merged key by key."""
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        merged[key] = (
            _merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
        )
    return merged


def deepspeed_sections() -> dict[str, type[BaseModel]]:
    """Return DeepSpeed's own classes of the sections that it checks, by section."""
    from deepspeed.runtime.precision_config import DeepSpeedBF16Config, DeepSpeedFP16Config
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    return {
        "zero_optimization": DeepSpeedZeroConfig,
        "bf16": DeepSpeedBF16Config,
        "fp16": DeepSpeedFP16Config,
    }


def prepare_process(config: TrainConfig) -> None:
    """Set up this process before DeepSpeed is imported by anything else; no-op at stage 0.

    On a CPU the optional shared-memory operator is left out: compiling it takes most of a minute,
    and gloo does its work.
    """
    if deepspeed_config(config) is None or config.gpus_per_worker > 0:
        return
    os.environ["DS_ACCELERATOR"] = "cpu"
    import deepspeed.ops

    compatible = getattr(deepspeed.ops, "__compatible_ops__", None)
    if compatible is not None:
        compatible["deepspeed_shm_comm"] = False
