"""From rows to token ids, once: tokenised tables on disk that every worker maps into memory.

A prepared folder holds `tokenizer/`, one Arrow table a split and `prepared.json`. Prompts are
stored as bodies (question, choices, context); a prefix's ids are joined to them in the batch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from datasets import Dataset, DatasetDict, disable_progress_bars, load_from_disk
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from r2d_ray.config import SCRATCH_MODELS, TrainConfig
from r2d_ray.data.encode import set_tokens, tabulate
from r2d_ray.data.examples import Splits, pick_source
from r2d_ray.data.lengths import plan_tokenizer, summary
from r2d_ray.errors import UserError
from r2d_ray.method.label_kinds import KINDS
from r2d_ray.method.prompts import (
    EXPLAIN_PREFIX,
    PREDICT_PREFIX,
    explain_given_label_prefix,
    question_text,
)
from r2d_ray.method.tokens import LabelTokens, encode
from r2d_ray.storage import key_of, whole_folder, write_json

WITHOUT_CONTEXT = "test_without_context"  # the test rows as the question alone shows them
FORMAT = 2  # grows when columns that are read change, so that old folders are prepared again


def prepared_key(splits: Splits, config: TrainConfig) -> str:
    """Return the hash (16 hex digits) of everything that the prepared tables depend on."""
    fields = ("max_input_length", "max_rationale_length", "model", "model_revision")
    values = {name: getattr(config, name) for name in fields}
    if not splits.label_kind.closed:
        values["max_label_length"] = config.max_label_length
    sources = [config.rationale_source, config.stage1_source]
    return key_of(FORMAT, splits.hash, values, sources)


def prepare(splits: Splits, config: TrainConfig, root: Path) -> Path:
    """Tokenise the splits into `root/<key>` unless it is there, and return that folder.

    Raises:
        UserError: if a source is missing or options do not fit.
    """
    disable_progress_bars()  # tables of seconds; their bars would break our own lines
    folder = root / prepared_key(splits, config)
    if folder.exists():
        return folder
    sources = {
        "rationale": pick_source(splits, config.rationale_source),
        "stage1_rationale": pick_source(splits, config.stage1_source),
    }
    check_tokenizer(splits, config)
    tokenizer = plan_tokenizer(splits, config)
    every = [row for _, rows in splits.items() for row in rows]
    tokens = set_tokens(tokenizer, splits.labels, every, config)
    tables = {
        name: tabulate(rows, tokens, tokenizer, config, sources) for name, rows in splits.items()
    }
    bare = [replace(row, context="") for row in splits.test]
    stored = {**tables, WITHOUT_CONTEXT: tabulate(bare, tokens, tokenizer, config, sources)}
    info = {
        "dataset": splits.name,
        "data_hash": splits.hash,
        "labels": list(splits.labels),
        "label_kind": tokens.kind.word,
        "max_label_length": config.max_label_length,
        "most_options": len(tokens.letters),
        "sources": sources,
        "scratch": config.model in SCRATCH_MODELS,
        "tokens": {name: token_counts(table) for name, table in tables.items()},
    }
    with whole_folder(folder) as part:
        tokenizer.save_pretrained(part / "tokenizer")
        DatasetDict(stored).save_to_disk(part / "rows")
        write_json(part / "prepared.json", info)
    return folder


def token_counts(table: Dataset) -> dict[str, float]:
    """Return lengths of the whole bodies and the shares of rows whose body or question is cut."""
    cut = np.array(table["cut_tokens"])
    lengths = np.array([len(ids) for ids in table["body_ids"]]) + cut
    return {
        "measured": len(table),
        **summary(lengths),
        "share_cut": float((cut > 0).mean()),
        "share_question_cut": float((np.array(table["question_cut_tokens"]) > 0).mean()),
    }


def check_tokenizer(splits: Splits, config: TrainConfig) -> None:
    """Raise UserError for a tokenizer that no prompt of these rows can be made with."""
    tokenizer = plan_tokenizer(splits, config)
    check_knows_prompts(tokenizer, config.model)
    check_join(tokenizer, splits)


def check_knows_prompts(tokenizer: PreTrainedTokenizerBase, model: str) -> None:
    """Raise UserError for a tokenizer without the words of a prompt.

    Where a model's folder has no tokenizer, transformers makes up an empty one.
    """
    if tokenizer.unk_token_id in tokenizer(PREDICT_PREFIX)["input_ids"]:
        raise UserError(f"--model {model}: no tokenizer that knows {PREDICT_PREFIX!r}")


def check_join(tokenizer: PreTrainedTokenizerBase, splits: Splits) -> None:
    """Raise UserError unless prefix ids + body ids equal the ids of the whole prompt.

    Checked on the first training row for every prefix: it holds for tokenizers that split at
    white space first, as T5's does.
    """
    first = splits.train[0]
    body = question_text(first.question, first.choices)
    labels = splits.labels or first.choices or (first.label,)
    prefixes = [PREDICT_PREFIX, EXPLAIN_PREFIX, *map(explain_given_label_prefix, labels)]
    for prefix in prefixes:
        if encode(tokenizer, f"{prefix} {body}") != encode(tokenizer, prefix) + encode(
            tokenizer, body
        ):
            raise UserError(
                f"the tokenizer does not split at white space: {prefix!r} merges with the body"
            )


@dataclass(frozen=True, slots=True)
class Prepared:
    """An opened prepared folder: tables mapped into memory, tokenizer and label tokens."""

    folder: Path
    info: dict[str, Any]
    tables: DatasetDict
    tokenizer: PreTrainedTokenizerBase
    label_tokens: LabelTokens


def open_prepared(folder: Path) -> Prepared:
    """Return the prepared folder's contents."""
    info = json.loads((folder / "prepared.json").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    tables = cast(DatasetDict, load_from_disk(folder / "rows"))
    kind = KINDS[info["label_kind"]]
    tokens = kind.set_tokens(
        tokenizer, info["labels"], info["max_label_length"], info["most_options"]
    )
    return Prepared(folder, info, tables, tokenizer, tokens)
