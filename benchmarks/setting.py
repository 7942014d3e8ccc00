"""What is measured: model sizes with random weights, and rows of real or embedded length."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import torch
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
)

from r2d_ray.config import TrainConfig, build_config
from r2d_ray.data.encode import tokenizer_texts
from r2d_ray.data.examples import Example, Splits, pick_source
from r2d_ray.data.location import DataRequest
from r2d_ray.data.prepare import Prepared, open_prepared, prepare
from r2d_ray.data.sources import load_splits
from r2d_ray.model.t5 import load_tokenizer

VOCABULARY = 32_128  # T5's, padded as its checkpoints have it
SIZES = {  # d_model, d_ff, layers (encoder and decoder), heads
    "bench-tiny": (256, 1024, 4, 4),
    "t5-small": (512, 2048, 6, 8),
}
BATCH = 8


@dataclass(frozen=True)
class Setting:
    """Rows, their prepared tables and the folder of a model with random weights."""

    splits: Splits
    prepared: Prepared
    config: TrainConfig
    model_dir: Path
    source: str
    data: str


def real_or_sample() -> tuple[Splits, str]:
    """Return BioASQ's official rows where they lie, else the embedded sample; and which it is."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("R2D_DATA") or beside)
    if (root / "bioasq").is_dir():
        splits = load_splits(DataRequest("bioasq", data=root / "bioasq"))
        return splits, "official BioASQ yes/no rows"
    return load_splits(DataRequest("bioasq")), "embedded bioasq sample"


def embedded_sample(sample_rows: tuple[int, int, int] | None = None) -> Splits:
    """Return the embedded bioasq sample, wherever official rows lie."""
    with patch.dict(os.environ):
        os.environ.pop("R2D_DATA", None)
        return load_splits(DataRequest("bioasq", sample_rows=sample_rows))


def t5_tokenizer(splits: Splits) -> PreTrainedTokenizerBase:
    """Return T5's own tokenizer where it lies beside the data, else one trained on the rows."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("R2D_DATA") or beside) / "t5_tokenizer"
    if folder.is_dir():
        return AutoTokenizer.from_pretrained(folder)
    return load_tokenizer(build_config({"model": "scratch-tiny"}), tokenizer_texts(splits))


def save_model(size: str, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    """Write a T5 of this size with random weights, and its tokenizer, and return the folder."""
    d_model, d_ff, layers, heads = SIZES[size]
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=VOCABULARY,
            d_model=d_model,
            d_kv=64,
            d_ff=d_ff,
            num_layers=layers,
            num_heads=heads,
            decoder_start_token_id=0,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_setting(size: str, rows: int, folder: Path, **values: object) -> Setting:
    """Return a setting of so many training rows, each with a rationale.

    Args:
        size: A name of `SIZES`.
        rows: Training rows, a whole number of batches.
        folder: Where model and tables are written.
        values: TrainConfig fields.
    """
    splits, data = real_or_sample()
    source = pick_source(splits, None)
    assert source is not None
    train = with_rationale(splits.train, source)[:rows]
    splits = replace(splits, train=train)
    model_dir = save_model(size, t5_tokenizer(splits), folder / size)
    config = build_config(
        {
            "model": str(model_dir),
            "max_input_length": 512,
            "max_rationale_length": 256,
            "per_device_train_batch_size": BATCH,
            "label_choice": "scored",
            **values,
        }
    )
    prepared = open_prepared(prepare(splits, config, folder / "prepared"))
    return Setting(splits, prepared, config, model_dir, source, data)


def with_rationale(rows: tuple[Example, ...], source: str) -> tuple[Example, ...]:
    """Return the rows that have a rationale of this source."""
    return tuple(row for row in rows if row.rationales.get(source))
