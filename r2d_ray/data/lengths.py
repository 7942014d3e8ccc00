"""How long inputs are in tokens, before anything is prepared: the plan's tokenizer measures rows.

Of a split with more than `MEASURED_ROWS` rows that many are measured, drawn by a hash of their ids.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from r2d_ray.config import SCRATCH_MODELS, TrainConfig
from r2d_ray.data.encode import set_tokens, tokenizer_texts
from r2d_ray.data.examples import Example, Splits
from r2d_ray.data.inputs.bodies import body_budget, body_ids
from r2d_ray.data.rows.sample import sampled
from r2d_ray.errors import UserError
from r2d_ray.method.prompts import options_text, question_text
from r2d_ray.method.tokens import LabelTokens, prefix_ids

MEASURED_ROWS = 5000
"""Most rows of a split that the plan measures: seconds, and a share that is right to 1 point."""

CUT_SHARE_TO_WARN = 0.05
"""Share of a split's rows that are cut from which the card warns."""

FITTING_SHARE = 0.95
"""Share of a split's rows that the advised `max_input_length` takes whole."""

Measured = Mapping[str, Mapping[str, float]]
"""Per split: rows `measured`, `median`, `mean`, `p90`, `p95` and `max` tokens of the bodies,
`share_cut`, `share_question_cut` and `fitting_length`, the `max_input_length` for
`FITTING_SHARE`."""

_scratch: dict[str, PreTrainedTokenizerBase] = {}
_counted: dict[tuple[str, ...], Bodies] = {}


class Bodies(NamedTuple):
    """A split's measured rows; the tokens of each one's question with options, and of its context.

    Lengths are arrays of shape (rows,).
    """

    rows: Sequence[Example]
    questions: np.ndarray
    contexts: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of question, options and context, of shape (rows,)."""
        total: np.ndarray = self.questions + self.contexts
        return total


def plan_tokenizer(splits: Splits, config: TrainConfig) -> PreTrainedTokenizerBase:
    """Return the tokenizer that preparing these splits will store; nothing is written.

    A scratch model's is trained on the training split, once in a process.

    Raises:
        UserError: if the model's tokenizer can be neither found nor read.
    """
    if config.model not in SCRATCH_MODELS:
        from r2d_ray.model.t5 import load_tokenizer

        return load_tokenizer(config, ())
    if splits.hash not in _scratch:
        from r2d_ray.model.scratch import train_tokenizer

        _scratch.clear()  # a process plans one data set at a time
        _scratch[splits.hash] = train_tokenizer(tokenizer_texts(splits))
    return _scratch[splits.hash]


def measured_rows(rows: Sequence[Example]) -> Sequence[Example]:
    """Return the rows that are measured: all, or `MEASURED_ROWS` of them in a fixed draw."""
    return sampled(rows, MEASURED_ROWS)


def measured_bodies(splits: Splits, split: str, config: TrainConfig) -> Bodies:
    """Return a split's measured rows with their lengths, counted once in a process.

    Raises:
        UserError: as `plan_tokenizer`.
    """
    key = (splits.hash, config.model, str(config.model_revision), split)
    if key not in _counted:
        for other in [known for known in _counted if known[:-1] != key[:-1]]:
            del _counted[other]  # a process plans one data set at a time
        tokenizer = plan_tokenizer(splits, config)
        picked = measured_rows(dict(splits.items())[split])
        contexts = text_lengths([row.context for row in picked], tokenizer)
        _counted[key] = Bodies(picked, _question_lengths(picked, tokenizer), contexts)
    return _counted[key]


def text_lengths(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Return the number of tokens of every text."""
    if not texts:
        return np.zeros(0, dtype=int)
    found = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return np.array([len(ids) for ids in found], dtype=int)


def _question_lengths(rows: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    return text_lengths([question_text(row.question, row.choices) for row in rows], tokenizer)


def prefix_lengths(
    rows: Sequence[Example], tokenizer: PreTrainedTokenizerBase, tokens: LabelTokens
) -> np.ndarray:
    """Return how many tokens the longest prefix of every row's prompts and the end id take."""
    shared = -body_budget(tokenizer, tokens, 0)
    if not tokens.kind.listed:
        return np.full(len(rows), shared)
    counts = [len(row.choices or ()) for row in rows]
    lengths = [
        len(ids) for ids in prefix_ids(tokenizer, [o for r in rows for o in r.choices or ()])
    ]
    ends = np.cumsum(counts)
    own = [max(lengths[end - n : end], default=0) for n, end in zip(counts, ends, strict=True)]
    return np.array([max(shared, room + 1) for room in own], dtype=int)


def token_lengths(splits: Splits, config: TrainConfig) -> dict[str, dict[str, float]]:
    """Return what `Measured` says, of every split.

    Raises:
        UserError: as `plan_tokenizer`, and for labels with the same ids.
    """
    tokenizer = plan_tokenizer(splits, config)
    every = [row for _, rows in splits.items() for row in rows]
    tokens = set_tokens(tokenizer, splits.labels, every, config)
    found = {}
    for name, _ in splits.items():
        bodies = measured_bodies(splits, name, config)
        prefixes = prefix_lengths(bodies.rows, tokenizer, tokens)
        whole, limit = bodies.lengths + prefixes, config.max_input_length
        found[name] = {
            "measured": len(bodies.rows),
            **summary(bodies.lengths),
            "share_cut": float((whole > limit).mean()),
            "share_question_cut": float((bodies.questions + prefixes > limit).mean()),
            "fitting_length": int(np.ceil(np.quantile(whole, FITTING_SHARE))),
        }
    return found


def check_lengths(splits: Splits, config: TrainConfig, refuse: bool) -> None:
    """Raise UserError where a row's options leave its question no room.

    With `refuse` also where questions with their options are too long to be read whole; contexts
    may be cut. Only rows whose texts could be too long by their bytes are tokenised.
    """
    tokenizer, limit = plan_tokenizer(splits, config), config.max_input_length
    every = [row for _, rows in splits.items() for row in rows]
    tokens = set_tokens(tokenizer, splits.labels, every, config)
    if not (refuse or tokens.kind.listed):
        return  # a question may be cut, and no row has options
    longest, counts = 0, {}
    for name, rows in splits.items():
        near = [r for r in rows if _most_tokens(question_text(r.question, r.choices)) * 2 > limit]
        prefixes = prefix_lengths(near, tokenizer, tokens)
        options = [options_text(row.choices) if row.choices else "" for row in near]
        for place in np.flatnonzero(text_lengths(options, tokenizer) + prefixes >= limit):
            body_ids(tokenizer, near[place], limit - int(prefixes[place]))
        needed = _question_lengths(near, tokenizer) + prefixes if refuse else prefixes[:0]
        if (needed > limit).any():
            counts[name] = int((needed > limit).sum())
            longest = max(longest, int(needed.max()))
    if refuse and counts:
        raise UserError(
            f"--long-inputs refuse: questions longer than max_input_length {limit}: "
            f"{', '.join(f'{count} in {name}' for name, count in counts.items())} "
            f"(allowed: --set max_input_length={longest}, or --long-inputs cut)"
        )


def _most_tokens(text: str) -> int:
    """Return a number of tokens that a text cannot exceed: its bytes and its words' beginnings."""
    whole = unicodedata.normalize("NFKC", text)
    return len(whole.encode()) + len(whole.split())


def summary(lengths: np.ndarray) -> dict[str, float]:
    """Return median, mean, 90th and 95th percentile and maximum."""
    return {
        "median": float(np.median(lengths)),
        "mean": float(lengths.mean()),
        "p90": float(np.percentile(lengths, 90)),
        "p95": float(np.percentile(lengths, 95)),
        "max": float(lengths.max()),
    }


def length_warnings(tokens: Mapping[str, Mapping[str, Any]], limit: int) -> list[str]:
    """Return a warning where `CUT_SHARE_TO_WARN` or more of a split's rows are cut."""
    cut = {name: m for name, m in tokens.items() if m["share_cut"] >= CUT_SHARE_TO_WARN}
    if not cut:
        return []
    shares = ", ".join(f"{measured['share_cut']:.1%} of {name}" for name, measured in cut.items())
    fitting = max(measured["fitting_length"] for measured in cut.values())
    return [
        f"rows are longer than max_input_length {limit} and are cut: {shares}; "
        f"--set max_input_length={fitting} takes {FITTING_SHARE:.0%} of each split whole"
    ]
