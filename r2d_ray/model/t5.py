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
from r2d_ray.errors import UserError, meant
from r2d_ray.model.checkpoint import (
    check_has_tokenizer,
    check_is_model,
    check_tokenizer,
    check_weights,
    tokenizer_of,
)
from r2d_ray.model.cpu_attention import BLOCKWISE
from r2d_ray.model.cpu_layers import use_kernels
from r2d_ray.model.hub import only_local
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
    architecture = check_checkpoint(config)
    if (folder := Path(config.model)).is_dir():
        check_has_tokenizer(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            config.model,
            revision=config.model_revision,
            local_files_only=only_local(config.model),
            trust_remote_code=False,
        )
    except Exception as error:  # tokenizers raises bare Exceptions for files it cannot read
        said = f"{tokenizer_of(folder)} cannot be read" if folder.is_dir() else "no tokenizer"
        raise UserError(f"--model {config.model}: {said}: {_first_line(error)}") from None
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    check_tokenizer(config.model, tokenizer, architecture)
    return tokenizer


def whole_tokenizer(config: TrainConfig, folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model's folder in which no file is damaged or of another model.

    Raises:
        UserError: naming the file, and as `check_weights` and `load_tokenizer`.
    """
    here = config.model_copy(update={"model": str(folder), "model_revision": None})
    check_weights(folder, check_checkpoint(here))
    return load_tokenizer(here, ())


def check_checkpoint(config: TrainConfig) -> T5Config:
    """Return the configuration of a pretrained model.

    Raises:
        UserError: if there is none, or if it is of another family than T5.
    """
    folder = Path(config.model)
    if folder.is_dir():
        check_is_model(folder)
    elif near := meant(config.model, SCRATCH_MODELS):
        raise UserError(
            f"--model {config.model}: no such folder; did you mean {' or '.join(near)}? (allowed: "
            f"{', '.join(SCRATCH_MODELS)}, a T5-family folder or hub name)"
        )
    try:
        found = AutoConfig.from_pretrained(
            config.model,
            revision=config.model_revision,
            local_files_only=only_local(config.model),
            trust_remote_code=False,
        )
    except (OSError, ValueError) as error:
        why = _first_line(error)
        if only_local(config.model) and not folder.is_dir():
            why = "no such folder, and the hub cannot be reached"
        raise UserError(
            f"--model {config.model}: {why} (allowed: --model FOLDER of a T5, "
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
        model, loaded = AutoModelForSeq2SeqLM.from_pretrained(
            name,
            revision=revision,
            use_safetensors=True,
            local_files_only=only_local(name),
            output_loading_info=True,
            trust_remote_code=False,  # unset, it is asked for at the terminal
            dtype=torch.float32,
            **overrides,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(f"--model {name}: no safetensors weights: {_first_line(error)}") from None
    if missing := sorted(loaded["missing_keys"]):
        raise UserError(
            f"--model {name}: {len(missing)} weights are missing, {missing[0]} among them "
            "(allowed: a file with every weight; none is drawn at random)"
        )
    assert isinstance(model, PreTrainedModel)
    return model


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def architecture_of(config: TrainConfig) -> T5Config:
    """Return the model's configuration without loading weights; a scratch model's at its largest.

    Raises:
        UserError: as `check_checkpoint`.
    """
    if config.model not in SCRATCH_MODELS:
        return check_checkpoint(config)
    shape = SCRATCH_SHAPES[config.model]
    return T5Config(
        vocab_size=SCRATCH_VOCABULARY,
        d_model=shape.d_model,
        d_kv=shape.d_kv,
        d_ff=shape.d_ff,
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
    )


def count_parameters(config: TrainConfig) -> int:
    """Return the model's number of parameters without loading weights."""
    with torch.device("meta"):
        return T5ForConditionalGeneration(architecture_of(config)).num_parameters()
