"""The T5 and its tokenizer: any T5-family checkpoint, or a scratch model that needs no download.

Weights are read from safetensors only; no code from a checkpoint is ever run.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
)

from r2d_ray.config import SCRATCH_MODELS, TrainConfig
from r2d_ray.errors import UserError
from r2d_ray.model.cpu_attention import BLOCKWISE
from r2d_ray.model.cpu_layers import use_kernels
from r2d_ray.model.scratch import (
    SCRATCH_SHAPES,
    SCRATCH_VOCABULARY,
    scratch_config,
    train_tokenizer,
)
from r2d_ray.model.subnormals import flush_subnormals

MODEL_TYPES = ("t5", "mt5", "umt5")


def load_tokenizer(config: TrainConfig, texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """Return the model's own tokenizer, or for a scratch model one trained on the texts.

    Raises:
        UserError: if the tokenizer can be neither found nor read.
    """
    if config.model in SCRATCH_MODELS:
        return train_tokenizer(texts)
    check_checkpoint(config)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            config.model, revision=config.model_revision, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise UserError(f"--model {config.model}: no tokenizer: {_first_line(error)}") from None
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


def check_checkpoint(config: TrainConfig) -> T5Config:
    """Return the configuration of a pretrained model.

    Raises:
        UserError: if there is none, or if it is of another family than T5.
    """
    try:
        found = AutoConfig.from_pretrained(
            config.model, revision=config.model_revision, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"--model {config.model}: {_first_line(error)} (allowed: --model FOLDER of a T5, "
            "a hub name that this machine can reach, or the random weights of --profile embedded: "
            f"{', '.join(SCRATCH_MODELS)})"
        ) from None
    if found.model_type not in MODEL_TYPES:
        raise UserError(
            f"--model {config.model} has type {found.model_type!r} "
            f"(allowed: {', '.join(MODEL_TYPES)})"
        )
    return found  # type: ignore[no-any-return]


def load_model(
    config: TrainConfig, tokenizer: PreTrainedTokenizerBase, weights: Path | None = None
) -> PreTrainedModel:
    """Return the model in fp32: fresh, pretrained, or from the folder `weights`.

    Args:
        config: Uses `model`, `model_revision`, `dropout_rate`, `attn_implementation` and `seed`.
        tokenizer: Gives a scratch model its vocabulary.
        weights: A folder that a former stage left; takes the place of the starting weights.

    Raises:
        UserError: if the weights cannot be read as safetensors.
    """
    flush_subnormals()
    torch.manual_seed(config.seed)
    if weights is None and config.model in SCRATCH_MODELS:
        architecture = scratch_config(config.model, tokenizer)
        architecture.dropout_rate = config.dropout_rate
        model = AutoModelForSeq2SeqLM.from_config(
            architecture, attn_implementation=config.attn_implementation
        )
        assert isinstance(model, PreTrainedModel)
    else:
        model = load_weights(
            str(weights or config.model),
            revision=None if weights else config.model_revision,
            dropout_rate=config.dropout_rate,
            attn_implementation=config.attn_implementation,
        )
    return use_kernels(model) if config.attn_implementation == BLOCKWISE else model


def load_weights(name: str, revision: str | None = None, **overrides: Any) -> PreTrainedModel:
    """Return the sequence-to-sequence model of a folder or hub name, in fp32, from safetensors.

    Raises:
        UserError: if the weights cannot be read as safetensors.
    """
    flush_subnormals()
    try:
        model = AutoModelForSeq2SeqLM.from_pretrained(
            name,
            revision=revision,
            use_safetensors=True,
            trust_remote_code=False,  # unset, it is asked for at the terminal
            dtype=torch.float32,
            **overrides,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"--model {name}: no safetensors weights: {_first_line(error)}") from None
    assert isinstance(model, PreTrainedModel)
    return model


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def count_parameters(config: TrainConfig) -> int:
    """Return the model's number of parameters without loading weights."""
    if config.model in SCRATCH_MODELS:
        shape = SCRATCH_SHAPES[config.model]
        architecture = T5Config(
            vocab_size=SCRATCH_VOCABULARY,
            d_model=shape.d_model,
            d_kv=shape.d_kv,
            d_ff=shape.d_ff,
            num_layers=shape.num_layers,
            num_heads=shape.num_heads,
        )
    else:
        architecture = check_checkpoint(config)
    with torch.device("meta"):
        return T5ForConditionalGeneration(architecture).num_parameters()
