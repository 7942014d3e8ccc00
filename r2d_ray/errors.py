"""What goes wrong by the user's hand: one clear line, exit code 2, nothing written.

A `UserError` names the thing (flag, field, file and line), its value and what was allowed.
Everything else that raises is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

EXIT_DONE = 0
EXIT_NO_USABLE_TRIAL = 1
EXIT_BAD_INPUT = 2
EXIT_SOME_TRIALS_FAILED = 3
EXIT_STOPPED_RESUMABLE = 75


class UserError(Exception):
    """Bad usage or bad input; its text is the one line that the user sees."""


OTHER_WORDS = {
    "accumulation_steps": ("gradient_accumulation_steps",),
    "alpha": ("label_loss_weight",),
    "amp": ("bf16",),
    "attention": ("attn_implementation",),
    "base_model": ("model",),
    "batch_size": ("per_device_train_batch_size",),
    "checkpointing": ("gradient_checkpointing",),
    "clip": ("max_grad_norm",),
    "cycle_weight": ("cycle_loss_weight",),
    "decay": ("sampling_decay", "weight_decay"),
    "deepspeed": ("deepspeed_config",),
    "dropout": ("dropout_rate", "sampling_dropout"),
    "epochs": ("max_steps", "stage1_max_steps"),
    "eval_batch_size": ("per_device_eval_batch_size",),
    "evaluation_steps": ("eval_steps", "stage1_eval_steps"),
    "fp16": ("bf16",),
    "gpus": ("gpus_per_worker",),
    "grad_accum": ("gradient_accumulation_steps",),
    "grad_clip": ("max_grad_norm",),
    "gradient_clipping": ("max_grad_norm",),
    "label_weight": ("label_loss_weight",),
    "logging": ("logging_steps",),
    "lr": ("learning_rate", "stage1_learning_rate"),
    "lr_scheduler": ("lr_scheduler_type",),
    "max_length": ("max_input_length", "max_rationale_length"),
    "max_new_tokens": ("max_rationale_length", "max_label_length"),
    "max_seq_length": ("max_input_length",),
    "max_source_length": ("max_input_length",),
    "max_target_length": ("max_rationale_length",),
    "max_train_steps": ("max_steps", "stage1_max_steps"),
    "metric": ("selection_metric",),
    "metric_for_best_model": ("selection_metric",),
    "mixed_precision": ("bf16",),
    "model_name": ("model",),
    "model_name_or_path": ("model",),
    "num_epochs": ("max_steps", "stage1_max_steps"),
    "num_gpus": ("num_workers", "gpus_per_worker"),
    "num_steps": ("max_steps", "stage1_max_steps"),
    "num_train_epochs": ("max_steps", "stage1_max_steps"),
    "num_warmup_steps": ("warmup_ratio", "label_warmup_ratio"),
    "patience": ("early_stopping_patience", "stage1_early_stopping_patience"),
    "random_seed": ("seed",),
    "rationale_weight": ("label_loss_weight",),
    "revision": ("model_revision",),
    "scheduled_sampling": ("sampling_decay",),
    "stage1_epochs": ("stage1_max_steps",),
    "stage1_lr": ("stage1_learning_rate",),
    "stage1_patience": ("stage1_early_stopping_patience",),
    "stage1_steps": ("stage1_max_steps",),
    "stage2_steps": ("max_steps",),
    "steps": ("max_steps", "stage1_max_steps"),
    "task_weight": ("label_loss_weight",),
    "teacher_forcing_ratio": ("gold_probability_floor",),
    "temperature": ("gumbel_temperature_floor",),
    "train_batch_size": ("per_device_train_batch_size",),
    "warmup": ("warmup_ratio", "label_warmup_ratio"),
    "warmup_steps": ("warmup_ratio", "label_warmup_ratio"),
    "workers": ("num_workers",),
    "zero": ("zero_stage",),
}
"""What others call a field of TrainConfig -> the fields it may mean here."""


SHORTEST_PREFIX = 3  # characters by which a longer name is recognised
MOST_MEANT = 3  # names beyond which a beginning says nothing


def meant(value: str, allowed: Iterable[str]) -> tuple[str, ...]:
    """Return the allowed names that someone who wrote `value` may have meant."""
    names = sorted(allowed)
    key = value.strip("-").replace("-", "_").lower()
    others = tuple(name for name in (key, *OTHER_WORDS.get(key, ())) if name in names)
    begun = tuple(name for name in names if len(key) >= SHORTEST_PREFIX and name.startswith(key))
    near = difflib.get_close_matches(value, names, n=1)
    return others or (begun if len(begun) <= MOST_MEANT else ()) or tuple(near)


def unknown(kind: str, value: object, allowed: Iterable[str]) -> UserError:
    """Return the error for a name that is not in a closed set, with the names that are near it.

    Args:
        kind: What was named, as the user knows it (`dataset`, `method`, `field`).
        value: What the user wrote.
        allowed: The names that exist.
    """
    names = sorted(allowed)
    near = meant(str(value), names)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return UserError(f"unknown {kind} {str(value)!r}{hint} (allowed: {', '.join(names)})")


def from_validation(
    error: ValidationError, where: str = "", *, with_value: bool = False
) -> UserError:
    """Return the first thing that pydantic refused as one line: place, field, what is wrong.

    Args:
        error: What pydantic raised.
        where: The file or flag that held the values; empty where the field says enough.
        with_value: Whether to show a refused number or word. Never for rows: their text is private.
    """
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    value = first["input"]
    plain = first["type"] != "missing" and not (value and isinstance(value, dict | list))
    if with_value and field and plain:
        field += f" = {reprlib.repr(value)}"
    # Classes of ours mean nothing to the user.
    said = re.sub(r"^Value error, | or (an )?instance of \w+$", "", first["msg"])
    return UserError(": ".join(part for part in (where, field, said) if part))
