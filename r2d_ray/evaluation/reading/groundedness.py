"""Whether a rationale is true to its row: facts that hold, words that stand there, advice kept.

On the embedded triage sample the facts of every call are known, so what a rationale names is
checked fact by fact. On other data nobody knows the facts: the share of a rationale's content
words and numbers that the row's text has stands in for them, under a name of its own (`words`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from r2d_ray.data.examples import normalised
from r2d_ray.evaluation.reading.alignment import merge_statistics
from r2d_ray.evaluation.text_metrics import Statistics
from r2d_ray.records import Prediction

TEXTS: Mapping[str, Callable[[Prediction], str | None]] = {
    "": lambda row: row.rationale,
    "gold_": lambda row: row.given_gold,
}
"""The texts of a row, by the prefix of their statistics: given its own label, given gold."""

MIN_LETTERS = 4
"""Shorter words are seldom content; numbers of any length are."""


def with_groundedness(found: Sequence[Prediction], texts: Sequence[str]) -> list[Prediction]:
    """Return the predictions with what of each rationale holds in its row.

    Args:
        found: Predictions with rationales.
        texts: What the model read of each row.

    Returns:
        With the statistics `facts` (named facts that hold, named facts) and `advice` (texts whose
        facts and stated advice lead to different labels, texts with both) on the triage sample,
        else `words` (content words that the row has, content words); each also of the rationale
        given gold, as `gold_facts` and so on.
    """
    more: list[Statistics] = []
    for row, text in zip(found, texts, strict=True):
        statistics: Statistics = {}
        for prefix, pick in TEXTS.items():
            rationale = pick(row)
            if rationale is not None:
                held = fact_statistics(rationale, row.group) or word_statistics(rationale, text)
                statistics.update({prefix + name: value for name, value in held.items()})
        more.append(statistics)
    return merge_statistics(found, more)


def fact_statistics(rationale: str, group: str) -> Statistics:
    """Return `facts` and `advice` of a rationale of the triage sample; nothing of any other row."""
    from r2d_ray.data.samples.triage import facts_of
    from r2d_ray.data.samples.triage_protocol import fired
    from r2d_ray.data.samples.triage_rationales import advised_in, facts_in

    known = facts_of(group)
    if known is None:
        return {}
    named, advice = facts_in(rationale), advised_in(rationale)
    rule = fired(named)
    both = rule is not None and advice is not None
    differ = rule is not None and both and rule[0].disposition != advice
    return {
        "facts": [float(len(named & known)), float(len(named))],
        "advice": [float(differ), float(both)],
    }


def word_statistics(rationale: str, text: str) -> Statistics:
    """Return `words`: how many different content words of a rationale stand in a text, and all."""
    words = content_words(rationale)
    return {"words": [float(len(words & content_words(text))), float(len(words))]}


def content_words(text: str) -> frozenset[str]:
    """Return the different numbers and words of a text that are no English stop words."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(
        word
        for word in normalised(text).split()
        if word.isdigit() or (len(word) >= MIN_LETTERS and word not in ENGLISH_STOP_WORDS)
    )


def groundedness_scores(found: Sequence[Prediction]) -> dict[str, float | None]:
    """Return how true to their rows the rationales of predictions are, from statistics alone.

    Returns:
        `facts_grounded` or `words_grounded` (share of all that is named that holds) of all rows,
        with `[right]`, `[wrong]` and `[gold_label]` as in `plausibility_scores`;
        `facts_all_grounded` (share of rows that name a fact, and none that does not hold);
        `advice_against_facts`; `distinct_rationales` and `exact_match` (shares of the rationales).
        None where nothing is named; nothing without rationales.
    """
    wrote = [row for row in found if row.rationale is not None]
    if not wrote:
        return {}
    referred = [row for row in wrote if row.reference]
    same = sum(normalised(r.rationale or "") == normalised(r.reference or "") for r in referred)
    scores: dict[str, float | None] = {
        "distinct_rationales": len({row.rationale for row in wrote}) / len(wrote),
        "exact_match": same / len(referred) if referred else None,
    }
    for name in ("facts", "words"):
        if any(name in row.statistics for row in wrote):
            scores |= _shares(wrote, name)
    if any("facts" in row.statistics for row in wrote):
        whole = [held == named > 0 for held, named in _pairs(wrote, "facts")]
        scores["facts_all_grounded"] = sum(whole) / len(whole)
        scores["advice_against_facts"] = ratio(_pairs(wrote, "advice"))
    return scores


def _shares(rows: Sequence[Prediction], name: str) -> dict[str, float | None]:
    right = [row for row in rows if row.label == row.gold_label]
    wrong = [row for row in rows if row.label != row.gold_label]
    return {
        f"{name}_grounded": ratio(_pairs(rows, name)),
        f"{name}_grounded[right]": ratio(_pairs(right, name)),
        f"{name}_grounded[wrong]": ratio(_pairs(wrong, name)),
        f"{name}_grounded[gold_label]": ratio(_pairs(rows, f"gold_{name}")),
    }


def _pairs(rows: Sequence[Prediction], name: str) -> list[tuple[float, float]]:
    found = (row.statistics.get(name) for row in rows)
    return [(pair[0], pair[1]) for pair in found if pair is not None]


def ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return the sum of the first over the sum of the second; None where that is 0."""
    whole = sum(every for _, every in pairs)
    return sum(part for part, _ in pairs) / whole if whole else None
