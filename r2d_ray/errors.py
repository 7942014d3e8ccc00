"""What goes wrong by the user's hand: one clear line, exit code 2, nothing written.

A `UserError` names the thing (flag, field, file and line), its value and what was allowed. What
else raises is a fault of ours (exit code 70) or of the machine, which keeps its traceback.
"""

from __future__ import annotations

import difflib
import os
import re
import reprlib
import select
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

EXIT_DONE = 0
EXIT_NO_USABLE_TRIAL = 1
EXIT_BAD_INPUT = 2
EXIT_SOME_TRIALS_FAILED = 3
EXIT_FAULT = 70  # of ours; sysexits.h calls it EX_SOFTWARE
EXIT_STOPPED_RESUMABLE = 75
EXIT_READER_LEFT = 141  # 128 + SIGPIPE, as other tools end before `head`


class UserError(Exception):
    """Bad usage or bad input; its text is the one line that the user sees, in notebooks too."""

    def _render_traceback_(self) -> list[str]:  # IPython shows this in its traceback's place
        return [f"error: {self}"]


def reader_left() -> bool:
    """Return whether nobody reads stdout any more (`| head`); if so, it leads nowhere from now on.

    Asked of the pipe: where Python does not buffer, nothing is left to flush.
    """
    try:
        place = sys.stdout.fileno()
    except (OSError, ValueError, AttributeError):  # closed, or a text in memory
        return False
    pipe = select.poll()
    pipe.register(place, 0)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in pipe.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), place)
    return True


OTHER_WORDS, OTHER_MEANING = dict[str, tuple[str, ...]](), dict[str, str]()
"""What others call a field of TrainConfig -> the fields it may mean here, and what differs."""
for _words, _fields, _differs in (
    ("accumulation_steps grad_accum", "gradient_accumulation_steps", ""),
    ("alpha label_weight task_weight", "label_loss_weight", "rationales have 1 - it"),
    ("amp fp16 mixed_precision", "bf16", ""),
    ("attention", "attn_implementation", ""),
    ("base_model model_name model_name_or_path", "model", ""),
    ("batch_size train_batch_size", "per_device_train_batch_size", "rows of one worker's pass"),
    ("checkpointing", "gradient_checkpointing", ""),
    ("clip grad_clip gradient_clipping", "max_grad_norm", ""),
    ("cycle_weight", "cycle_loss_weight", ""),
    ("decay", "sampling_decay weight_decay", "a curve; a number"),
    ("deepspeed", "deepspeed_config", ""),
    ("dropout", "dropout_rate sampling_dropout", "a share; true or false"),
    ("epochs num_epochs num_train_epochs", "max_steps stage1_max_steps", "steps; or --epochs N"),
    ("eval_batch_size", "per_device_eval_batch_size", ""),
    ("evaluation_steps", "eval_steps stage1_eval_steps", "stage 2; stage 1"),
    ("gpus", "gpus_per_worker", ""),
    ("logging", "logging_steps", ""),
    ("lr", "learning_rate stage1_learning_rate", "the peak of stage 2; of stage 1"),
    ("lr_scheduler", "lr_scheduler_type", ""),
    ("max_length", "max_input_length max_rationale_length", ""),
    ("max_new_tokens", "max_rationale_length max_label_length", ""),
    ("max_seq_length max_source_length", "max_input_length", ""),
    ("max_target_length", "max_rationale_length", ""),
    ("max_train_steps num_steps steps", "max_steps stage1_max_steps", "stage 2; stage 1"),
    ("metric metric_for_best_model", "selection_metric", ""),
    ("num_gpus", "num_workers gpus_per_worker", ""),
    (
        "patience",
        "early_stopping_patience stage1_early_stopping_patience",
        "in evaluations of stage 2; of stage 1",
    ),
    ("random_seed", "seed", ""),
    ("rationale_weight", "label_loss_weight", "rationales have 1 - it"),
    ("revision", "model_revision", ""),
    ("scheduled_sampling", "sampling_decay", "the curve of the gold probability"),
    ("stage1_epochs", "stage1_max_steps", "steps"),
    ("stage1_lr", "stage1_learning_rate", ""),
    ("stage1_patience", "stage1_early_stopping_patience", "in evaluations"),
    ("stage1_steps", "stage1_max_steps", ""),
    ("stage2_steps", "max_steps", ""),
    ("teacher_forcing_ratio", "gold_probability_floor", "the least it falls to"),
    ("temperature", "gumbel_temperature_floor", "of Reason2Decide-C alone"),
    (
        "warmup warmup_steps num_warmup_steps",
        "warmup_ratio label_warmup_ratio",
        "shares of the steps, of the learning rate; of alpha",
    ),
    ("workers", "num_workers", ""),
    ("zero", "zero_stage", ""),
):
    OTHER_WORDS |= dict.fromkeys(_words.split(), tuple(_fields.split()))
    OTHER_MEANING |= dict.fromkeys(_words.split(), _differs)


def meaning(value: str, near: tuple[str, ...]) -> str:
    """Return ` (what differs)` where these fields are what others call `value`, else nothing."""
    key = value.strip("-").replace("-", "_").lower()
    said = OTHER_MEANING.get(key) if near == OTHER_WORDS.get(key) else None
    return f" ({said})" if said else ""


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
    return UserError(f"unknown {kind} {str(value)!r}{_names(str(value), allowed)}")


NAMES_WIDTH = 400
"""Characters of the names in a line; of more names those most like the value are shown, whole."""


def _names(value: str, allowed: Iterable[str]) -> str:
    """Return ` (allowed: a, b)`, with a hint before it where a name is near the value."""
    names = sorted(allowed)
    near = meant(value, names)
    hint = f"; did you mean {' or '.join(map(repr, near))}{meaning(value, near)}?" if near else ""
    shown = names
    if len(", ".join(names)) > NAMES_WIDTH:
        alike = difflib.SequenceMatcher(b=value)

        def likeness(name: str) -> float:
            alike.set_seq1(name)
            return -alike.ratio()

        ranked = sorted(names, key=likeness)
        while len(", ".join(ranked)) > NAMES_WIDTH:
            ranked.pop()
        shown = [*ranked, f"and {len(names) - len(ranked)} more"]
    return f"{hint} (allowed: {', '.join(shown)})"


def whole_number(value: Any) -> Any:
    """Return the int that a text such as `1e3` or `500.0` stands for, any other value as it is."""
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        if number.is_integer() and abs(number) < LARGEST_EXACT and not value.strip().isdecimal():
            return int(number)
    return value


LARGEST_EXACT = 2.0**53
"""Whole numbers below it are exact as floats."""

NOT = {
    "int": "not a whole number (allowed: one)",
    "float": "not a number (allowed: one)",
    "finite": "not a finite number (allowed: one)",
    "bool": "neither true nor false (allowed: one of them)",
    "string": "not a text (allowed: one)",
    "dict": "not an object (allowed: names with values)",
    "model": "not an object (allowed: names with values)",
    "dataclass": "not an object (allowed: names with values)",
    "list": "not a list (allowed: one)",
    "tuple": "not a list (allowed: one)",
    "missing": "missing (allowed: a value)",
    "extra": "not a known key (allowed: those of this format)",
}
"""The first word of pydantic's name of an error -> what we say."""

BOUNDS = {
    "greater_than_equal": ("ge", "too small (allowed: at least {})"),
    "greater_than": ("gt", "too small (allowed: above {})"),
    "less_than_equal": ("le", "too large (allowed: at most {})"),
    "less_than": ("lt", "too large (allowed: below {})"),
    "too_short": ("min_length", "too few values (allowed: at least {})"),
    "too_long": ("max_length", "too many values (allowed: at most {})"),
    "string_too_short": ("min_length", "too short (allowed: at least {})"),
    "string_too_long": ("max_length", "too long (allowed: at most {})"),
    "json_invalid": ("error", "not JSON: {} (allowed: a JSON object)"),
}
"""pydantic's name of an error -> the entry of its context that we name, and what we say."""


def said_of(first: Mapping[str, Any]) -> str:
    """Return what is wrong with one refused value, in our words: pydantic's mean little to users.

    Args:
        first: An entry of `ValidationError.errors()`.
    """
    kind, context = first["type"], first.get("ctx", {})
    if kind in BOUNDS:
        name, said = BOUNDS[kind]
        return said.format(context[name])
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", context["expected"])
        return "not one of them" + _names(str(first["input"]), words)
    if kind == "value_error":
        return str(first["msg"]).removeprefix("Value error, ")
    known = NOT.get(kind.partition("_")[0])
    rest = re.sub(r"^Input should be (a valid )?| or (an )?instance of \w+$", "", first["msg"])
    return known or f"not of this kind (allowed: {rest})"


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
    return UserError(": ".join(part for part in (where, field, said_of(first)) if part))
