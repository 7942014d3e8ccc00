"""Scores of texts against references: BLEU, ROUGE-L and BERTScore, pair by pair.

Each pair gives its sufficient statistics, so that any subset or bootstrap draw is scored by
`summarise_statistics` without reading a text again. Which texts are scored: plausibility.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from r2d_ray.evaluation.bertscore import BertEncoder, bert_scores

NGRAM_ORDER = 4
Pair = tuple[str, str]
"""A text and the reference that it is scored against; neither is None, the reference not blank."""

Statistics = dict[str, list[float]]
"""What one pair adds to the scores, by metric, as `Prediction.statistics` keeps it."""


@dataclass(frozen=True, slots=True, eq=False)
class BleuResult:
    """Corpus BLEU (0 to 100), sacreBLEU's signature and one row of statistics per text.

    `statistics` has shape (rows, 10): candidate tokens, reference tokens, matched n-grams of
    order 1 to 4, candidate n-grams of order 1 to 4.
    """

    score: float
    signature: str
    statistics: NDArray[np.int64]


def bleu(candidates: Sequence[str], references: Sequence[str]) -> BleuResult:
    """Return corpus BLEU of the candidates, one reference each, with sacreBLEU's defaults.

    Source: sacreBLEU (Post 2018, W18-6319); texts are given as they are, never tokenised before.
    """
    from sacrebleu.metrics.bleu import BLEU

    # Effective order only silences sentence_score's advice; it does not change the counts.
    counter = BLEU(effective_order=True)
    statistics = np.zeros((len(candidates), 2 + 2 * NGRAM_ORDER), dtype=np.int64)
    for i, (candidate, reference) in enumerate(zip(candidates, references, strict=True)):
        row = counter.sentence_score(candidate, [reference])
        statistics[i] = [row.sys_len, row.ref_len, *row.counts, *row.totals]
    # Scoring one pair tells the signature's writer that there is one reference.
    corpus = BLEU()
    corpus.corpus_score([""], [[""]])
    return BleuResult(bleu_from_statistics(statistics), str(corpus.get_signature()), statistics)


def bleu_from_statistics(statistics: NDArray[Any]) -> float:
    """Return corpus BLEU (0 to 100) of rows of `BleuResult.statistics`; 0 if nothing matches.

    Args:
        statistics: Shape (rows, 10); a row that a bootstrap drew twice stands there twice.
    """
    from sacrebleu.metrics.bleu import BLEU

    lengths, matched, total = np.split(statistics.sum(axis=0).astype(int), (2, 2 + NGRAM_ORDER))
    sums = matched.tolist(), total.tolist(), int(lengths[0]), int(lengths[1])
    return float(BLEU.compute_bleu(*sums, smooth_method="exp").score)


def rouge_l(candidates: Sequence[str], references: Sequence[str]) -> list[float]:
    """Return the F-measure of ROUGE-L of each row, 0 to 1, without stemming (Lin 2004)."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    return [
        float(scorer.score(reference, candidate)["rougeL"].fmeasure)
        for candidate, reference in zip(candidates, references, strict=True)
    ]


def overlap_statistics(pairs: Sequence[Pair]) -> list[Statistics]:
    """Return `bleu` (10 counts, see `BleuResult`) and `rouge_l` (one value) of every pair."""
    texts, references = [text for text, _ in pairs], [reference for _, reference in pairs]
    counts = bleu(texts, references).statistics.tolist()
    shares = rouge_l(texts, references)
    return [
        {"bleu": count, "rouge_l": [share]} for count, share in zip(counts, shares, strict=True)
    ]


def bertscore_statistics(pairs: Sequence[Pair], encoder: BertEncoder) -> list[Statistics]:
    """Return `bertscore` (one value) of every pair; the encoder is loaded in each call."""
    texts, references = [text for text, _ in pairs], [reference for _, reference in pairs]
    return [{"bertscore": [score]} for score in bert_scores(texts, references, encoder)]


def summarise_statistics(
    rows: Iterable[Mapping[str, Sequence[float]]], prefix: str = ""
) -> dict[str, float | None]:
    """Return the scores of any rows of statistics, those whose names begin with the prefix.

    Rows without a statistic are left out of its score.

    Returns:
        `bleu` (corpus, 0 to 100), `rouge_l` and `bertscore` (means, about 0 to 1); None where no
        row has the statistic.
    """
    scored = list(rows)
    counts = [row[f"{prefix}bleu"] for row in scored if f"{prefix}bleu" in row]
    summary: dict[str, float | None] = {
        "bleu": bleu_from_statistics(np.array(counts)) if counts else None
    }
    for name in ("rouge_l", "bertscore"):
        values = [row[prefix + name][0] for row in scored if prefix + name in row]
        summary[name] = fmean(values) if values else None
    return summary
