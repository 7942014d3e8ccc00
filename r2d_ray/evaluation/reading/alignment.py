"""Does the rationale explain the model's own prediction? Readers, label swap, masking.

A reader says which label a rationale supports. Three kinds: the judged model itself
(Reason2Decide-C's consistency and sufficiency), an independent model trained on gold rationales
only, and for the embedded triage sample its protocol's exact parser. Independent readers do not
see what states the decision, and read gold, empty and label-only rationales for comparison.
Sources: Reason2Decide-C `src/infer.py`; Hase et al. 2020 (leakage).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from r2d_ray.data.examples import Example, Splits
from r2d_ray.evaluation.label_metrics import candidates
from r2d_ray.records import Prediction

MASK = "[label]"
VERDICTS = ("yes", "no", "maybe")
WORDS_BETWEEN = 2
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
LEADING_VERDICT = re.compile(r"^\s*(yes|no|maybe)\b[\s,.:;-]*", re.IGNORECASE)
Reader = Callable[[Sequence[str], Sequence[Sequence[str]]], Sequence[str | None]]
"""From rationales, and the labels that each one's row may have, to the labels that they support,
None where a reader cannot tell."""


def mask_labels(text: str, labels: Sequence[str]) -> str:
    """Return the text without what states the decision: the sentences that name a label.

    A sentence names a label that has all its words in their order, in any case, with at most
    `WORDS_BETWEEN` others between two of them (`to call an ambulance` names `call ambulance`).
    The words around a masked label would give it away, so the whole sentence becomes `MASK`. Yes,
    no and maybe stand in many sentences that state nothing: of these only the words are masked,
    and a leading verdict.
    """
    masked = LEADING_VERDICT.sub(f"{MASK} ", text)
    words = [label for label in labels if label.lower() in VERDICTS]
    others = [label for label in labels if label.lower() not in VERDICTS and label.strip()]
    if words:
        names = "|".join(re.escape(label) for label in words)
        masked = re.sub(rf"(?<!\w)(?:{names})(?!\w)", MASK, masked, flags=re.IGNORECASE)
    if not others:
        return masked
    stated = _naming(tuple(others))
    sentences = SENTENCE_END.split(masked)
    return " ".join(MASK if stated.search(sentence) else sentence for sentence in sentences)


@lru_cache(maxsize=10_000)
def _naming(labels: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of a sentence that names one of these labels."""
    between = rf"\W+(?:\w+\W+){{0,{WORDS_BETWEEN}}}?"
    names = "|".join(between.join(map(re.escape, label.split())) for label in labels)
    return re.compile(rf"(?<!\w)(?:{names})(?!\w)", re.IGNORECASE)


def reader_splits(splits: Splits, source: str) -> Splits:
    """Return the splits as an independent reader sees them: masked gold rationale -> label.

    Test rows are left out of its training by the splits themselves; rows without a rationale of
    this source are dropped. A row's own options stay beside its rationale: it is read over them.
    """

    def reading(rows: Sequence[Example]) -> tuple[Example, ...]:
        return tuple(
            replace(
                row,
                question="",
                context=mask_labels(
                    row.rationales[source], splits.labels or row.choices or (row.label,)
                ),
                rationales={},
            )
            for row in rows
            if row.rationales.get(source, "").strip()
        )

    return replace(
        splits,
        name=f"{splits.name}-reader-{source}",
        train=reading(splits.train),
        validation=reading(splits.validation),
        test=reading(splits.test),
    )


def share(hits: Sequence[bool]) -> float | None:
    """Return the share of hits, None where there is nothing to count."""
    return sum(hits) / len(hits) if hits else None


def consistency(pairs: Sequence[tuple[str | None, str | None]]) -> float | None:
    """Return the share of verdicts that are the prediction, 0 to 1.

    None where every row has one and the same prediction: one text for all rows would agree with
    each of them, so nothing is tested.
    """
    if len({predicted for _, predicted in pairs}) < 2:
        return None
    return share([verdict == predicted for verdict, predicted in pairs])


def own_reading_scores(
    found: Sequence[Prediction], read: Sequence[str | None], read_gold: Sequence[str | None]
) -> dict[str, float | None]:
    """Return Reason2Decide-C's measures, the judged model reading its own rationales.

    Args:
        found: Predictions (P1) with rationales.
        read: What the model predicts from its rationale alone (P2).
        read_gold: What it predicts from the gold rationale alone (Pg).
    """
    with_gold = [i for i, row in enumerate(found) if row.reference]
    return {
        "consistency": consistency([(p2, row.label) for row, p2 in zip(found, read, strict=True)]),
        "sufficiency": share([p2 == row.gold_label for row, p2 in zip(found, read, strict=True)]),
        "gold_robustness": share([read_gold[i] == found[i].gold_label for i in with_gold]),
    }


def control_scores(
    found: Sequence[Prediction], reader: Reader, labels: Sequence[str], name: str
) -> dict[str, float | None]:
    """Return what a reader gets right without any model: its ceiling and its floor.

    Returns:
        `on_gold` (rows with a gold rationale: as that is, and as it is masked, `on_masked_gold`),
        `empty` and `label_only` (an empty and a masked label-only rationale: what it gets right
        there it does not know from rationales); each after `name` and an underscore.
    """
    gold = [row.gold_label or "" for row in found]
    sets = [candidates(row, labels) for row in found]
    referred = [i for i, row in enumerate(found) if row.reference]
    texts = [found[i].reference or "" for i in referred]
    hidden = [mask_labels(text, sets[i]) for i, text in zip(referred, texts, strict=True)]

    def right(texts: Sequence[str], places: Sequence[int]) -> float | None:
        verdicts = reader(texts, [sets[i] for i in places])
        return share([v == gold[i] for v, i in zip(verdicts, places, strict=True)])

    every = range(len(found))
    bare = [mask_labels(label, own) for label, own in zip(gold, sets, strict=True)]
    scores = {
        "on_gold": right(texts, referred),
        "on_masked_gold": right(hidden, referred),
        "empty": right([""] * len(found), every),
        "label_only": right(bare, every),
    }
    return {f"{name}_{key}": value for key, value in scores.items()}


def masked(reader: Reader) -> Reader:
    """Return the reader behind a mask: it never sees a label string."""
    return lambda texts, sets: reader(
        [mask_labels(text, own) for text, own in zip(texts, sets, strict=True)], sets
    )


def swapped_labels(label: str, labels: Sequence[str]) -> str:
    """Return the label that a swap test gives instead: the next one of the set.

    Options that repeat a text are passed over.
    """
    labels = tuple(dict.fromkeys(labels))
    return labels[(labels.index(label) + 1) % len(labels)] if label in labels else labels[0]


def exact_reader(dataset: str) -> Reader | None:
    """Return the exact reader of a data set, None where there is none but models."""
    if not dataset.startswith("triage-sample"):
        return None
    from r2d_ray.data.samples.triage_rationales import disposition_from_rationale

    return lambda texts, _: [disposition_from_rationale(text) for text in texts]


def merge_statistics(
    found: Sequence[Prediction], rows: Sequence[Mapping[str, list[float]]]
) -> list[Prediction]:
    """Return the predictions with these statistics added."""
    return [
        row.model_copy(update={"statistics": {**row.statistics, **more}})
        for row, more in zip(found, rows, strict=True)
    ]
