"""How plausible the rationales of predictions are: statistics by row, scores by part of the rows.

Whether a rationale is the reason of a prediction is alignment.py's question. The prefix of a
row's statistics says which text was scored against what: none, the rationale given the predicted
label against the reference that its arm trained on; `gold_`, the rationale given the gold label;
`human_`, the rationale given the predicted label against the human reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from r2d_ray.data.examples import Splits
from r2d_ray.evaluation.bertscore import BertEncoder, find_bert_encoder
from r2d_ray.evaluation.reading.alignment import merge_statistics
from r2d_ray.evaluation.text_metrics import (
    Pair,
    Statistics,
    bertscore_statistics,
    bleu,
    overlap_statistics,
    summarise_statistics,
)
from r2d_ray.records import Prediction, read_jsonl, write_jsonl

HUMAN_SOURCES = ("human", "nurse")
"""Rationale sources that a person wrote; the first that a test split has is the human reference."""


def human_source(splits: Splits) -> str | None:
    """Return the source of the human reference, None where no test row has one."""
    there = {source for row in splits.test for source in row.rationales}
    return next((source for source in HUMAN_SOURCES if source in there), None)


def scored_pairs(row: Prediction, human: Mapping[str, str]) -> dict[str, Pair]:
    """Return the pairs of a row that are scored, by the prefix of their statistics.

    A text that was not written and a blank reference are not scored; an empty text is.
    """
    texts = {
        "": (row.rationale, row.reference),
        "gold_": (row.given_gold, row.reference),
        "human_": (row.rationale, human.get(row.id)),
    }
    return {
        prefix: (text, reference)
        for prefix, (text, reference) in texts.items()
        if text is not None and reference is not None and reference.strip()
    }


def with_overlap(found: Sequence[Prediction], human: Mapping[str, str]) -> list[Prediction]:
    """Return the predictions with BLEU and ROUGE-L statistics where they have none yet."""
    missing = [
        {
            prefix: pair
            for prefix, pair in scored_pairs(row, human).items()
            if f"{prefix}bleu" not in row.statistics
        }
        for row in found
    ]
    return with_statistics(found, missing, overlap_statistics)


def with_bertscore(
    found: Sequence[Prediction], human: Mapping[str, str], encoder: BertEncoder
) -> list[Prediction]:
    """Return the predictions with BERTScore statistics of this encoder."""
    pairs = [scored_pairs(row, human) for row in found]
    return with_statistics(found, pairs, partial(bertscore_statistics, encoder=encoder))


def with_statistics(
    found: Sequence[Prediction],
    pairs: Sequence[Mapping[str, Pair]],
    score: Callable[[Sequence[Pair]], Sequence[Statistics]],
) -> list[Prediction]:
    """Return the predictions with the statistics of these pairs; equal pairs are scored once."""
    distinct = list(dict.fromkeys(pair for row in pairs for pair in row.values()))
    known = dict(zip(distinct, score(distinct), strict=True))
    more: list[Statistics] = [{} for _ in found]
    for statistics, row in zip(more, pairs, strict=True):
        for prefix, pair in row.items():
            statistics.update({prefix + name: value for name, value in known[pair].items()})
    return merge_statistics(found, more)


def plausibility_scores(found: Sequence[Prediction]) -> dict[str, float | None]:
    """Return sacreBLEU, ROUGE-L and BERTScore of predictions from their statistics alone.

    Returns:
        `bleu`, `rouge_l`, `bertscore` (ranges: `summarise_statistics`) of all rows, and each with
        `[right]` and `[wrong]` (rows whose predicted label is right, wrong), `[gold_label]` (the
        rationale given the gold label) and `[human]` (against the human reference) where those
        were written and known. None where no row can be scored; nothing at all for predictions
        without rationales.
    """
    if all(row.rationale is None for row in found):
        return {}
    labelled = [row for row in found if row.label is not None]
    parts: dict[str, tuple[Sequence[Prediction], str]] = {
        "": (found, ""),
        "[right]": ([row for row in labelled if row.label == row.gold_label], ""),
        "[wrong]": ([row for row in labelled if row.label != row.gold_label], ""),
    }
    if any(row.given_gold is not None for row in found):
        parts["[gold_label]"] = (found, "gold_")
    if any("human_bleu" in row.statistics for row in found):
        parts["[human]"] = (found, "human_")
    return {
        name + part: value
        for part, (rows, prefix) in parts.items()
        for name, value in summarise_statistics((r.statistics for r in rows), prefix).items()
    }


def score_files(
    files: Sequence[Path], human: Mapping[str, str], allow_hub: bool
) -> list[dict[str, Any]]:
    """Add to prediction files the statistics that they lack, BERTScore with one loaded encoder.

    Args:
        files: Prediction files.
        human: Human reference by row id; empty where the arms' own references are enough.
        allow_hub: Whether the encoder may be fetched.

    Returns:
        `plausibility_scores` by file and how they were made: `bleu_signature` (sacreBLEU's) and
        `bertscore_model` (or the reason why there is none); empty without rationales.
    """
    encoder = find_bert_encoder(allow_hub=allow_hub)
    by_file = [list(read_jsonl(file, Prediction)) for file in files]
    found = with_overlap([row for rows in by_file for row in rows], human)
    if isinstance(encoder, BertEncoder):
        found = with_bertscore(found, human, encoder)
    named = encoder.signature if isinstance(encoder, BertEncoder) else encoder
    signatures = {"bleu_signature": bleu(["a"], ["a"]).signature, "bertscore_model": named}
    every_score: list[dict[str, Any]] = []
    rest = iter(found)
    for file, rows in zip(files, by_file, strict=True):
        scored = [next(rest) for _ in rows]
        write_jsonl(file, scored)
        scores = plausibility_scores(scored)
        every_score.append({**scores, **signatures} if scores else {})
    return every_score
