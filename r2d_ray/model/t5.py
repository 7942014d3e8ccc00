"""The T5 and its tokenizer: any T5-family checkpoint, or a scratch model that needs no download.

Weights are read from safetensors only; no code from a checkpoint is ever run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from r2d_ray.config import SCRATCH_MODELS, TrainConfig
from r2d_ray.errors import UserError
from r2d_ray.model.cpu_attention import BLOCKWISE
from r2d_ray.model.cpu_layers import use_kernels
from r2d_ray.model.subnormals import flush_subnormals

PAD, EOS, UNK = "<pad>", "</s>", "<unk>"
SPECIAL_TOKENS = [PAD, EOS, UNK]
END_MARK = "\ue000"  # a private character, in no text
SCRATCH_VOCABULARY = 4096  # ids at most: the embedding stays small beside the layers
MODEL_TYPES = ("t5", "mt5", "umt5")


@dataclass(frozen=True, slots=True)
class ScratchShape:
    """Sizes of a scratch model (T5's names); `scratch-small` has those of T5-small."""

    d_model: int
    d_kv: int
    d_ff: int
    num_layers: int
    num_heads: int


SCRATCH_SHAPES = {
    "scratch-tiny": ScratchShape(d_model=128, d_kv=32, d_ff=512, num_layers=2, num_heads=4),
    "scratch-small": ScratchShape(d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8),
}


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Return a Unigram tokenizer of at most 4,096 ids trained on these texts.

    It splits at white space first, as T5's does, so that the ids of a prefix and of a body join
    to the ids of the whole prompt. One thread: the pieces depend on the order of additions.
    The trainer considers a piece only if two different words have it; every word comes again
    with an end mark, so that frequent words can become pieces in a small text too.
    """
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
    from tokenizers.models import Unigram
    from tokenizers.processors import TemplateProcessing
    from tokenizers.trainers import UnigramTrainer

    tokenizer = Tokenizer(Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(),
            pre_tokenizers.Punctuation(),
        ]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = UnigramTrainer(
        vocab_size=SCRATCH_VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        unk_token=UNK,
        show_progress=False,
    )
    parallelism = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        tokenizer.train_from_iterator(_with_marked_words(texts), trainer)
    finally:
        if parallelism is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = parallelism
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    tokenizer.model = Unigram(_settled(pieces), SPECIAL_TOKENS.index(UNK))
    eos_id = tokenizer.token_to_id(EOS)
    tokenizer.post_processor = TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, eos_id)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, unk_token=UNK
    )


def _settled(pieces: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return a trained vocabulary in an order, and with scores, that every training repeats.

    The trainer walks over hash tables: sums differ in their last digits, and characters that are
    no piece of their own get the lowest score plus 0.0001 for each, in the order of the walk.
    """
    learnt = pieces[len(SPECIAL_TOKENS) :]
    lowest = min((score for _, score in learnt), default=0.0)
    added = lowest + 1e-4 * sum(len(piece) == 1 for piece, _ in learnt)
    settled = [
        (piece, round(lowest if len(piece) == 1 and score <= added else score, 6))
        for piece, score in learnt
    ]
    return [(name, 0.0) for name in SPECIAL_TOKENS] + sorted(settled, key=lambda p: (-p[1], p[0]))


def _with_marked_words(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield text
        yield " ".join(word + END_MARK for word in re.findall(r"\w+", text))


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
            f"--model {config.model}: {_first_line(error)} (allowed: {', '.join(SCRATCH_MODELS)}, "
            "a T5-family folder or hub name)"
        ) from None
    if found.model_type not in MODEL_TYPES:
        raise UserError(
            f"--model {config.model} is of type {found.model_type!r} "
            f"(allowed: {', '.join(MODEL_TYPES)})"
        )
    return found  # type: ignore[no-any-return]


def scratch_config(name: str, tokenizer: PreTrainedTokenizerBase) -> T5Config:
    """Return the T5 configuration of a scratch model for this tokenizer."""
    shape = SCRATCH_SHAPES[name]
    return T5Config(
        vocab_size=len(tokenizer),
        d_model=shape.d_model,
        d_kv=shape.d_kv,
        d_ff=shape.d_ff,
        num_layers=shape.num_layers,
        num_decoder_layers=shape.num_layers,
        num_heads=shape.num_heads,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **{"decoder_start_token_id": tokenizer.pad_token_id},
    )


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
        model = T5ForConditionalGeneration._from_config(
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
    from transformers import AutoModelForSeq2SeqLM

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
