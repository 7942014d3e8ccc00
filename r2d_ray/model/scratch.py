"""Scratch models: a small T5 and its tokenizer, made from the training rows without a download."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast, T5Config

PAD, EOS, UNK = "<pad>", "</s>", "<unk>"
SPECIAL_TOKENS = [PAD, EOS, UNK]
END_MARK = "\ue000"  # a private character, in no text
SCRATCH_VOCABULARY = 4096  # ids at most: the embedding stays small beside the layers


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
    with _one_thread():
        tokenizer.train_from_iterator(_with_marked_words(texts), trainer)
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    tokenizer.model = Unigram(_settled(pieces), SPECIAL_TOKENS.index(UNK))
    eos_id = tokenizer.token_to_id(EOS)
    tokenizer.post_processor = TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, eos_id)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, unk_token=UNK
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let tokenizers train in one thread."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        yield
    finally:
        del os.environ["TOKENIZERS_PARALLELISM"]
        if before is not None:
            os.environ["TOKENIZERS_PARALLELISM"] = before


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
