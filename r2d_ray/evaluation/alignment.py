"""Does the rationale explain the model's own prediction? Readers, label swap, masking.

A reader says which label a rationale supports. Three kinds: the judged model itself
(Reason2Decide-C's consistency and sufficiency), an independent model trained on gold rationales
only, and for the embedded triage sample its protocol's exact parser. Independent readers see
label strings and a leading yes or no masked, beside an empty and a label-only rationale.
Sources: Reason2Decide-C `src/infer.py`; Hase et al. 2020 (leakage).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from r2d_ray.data.examples import Example, Splits
from r2d_ray.records import Prediction

MASK = "[label]"
LEADING_VERDICT = re.compile(r"^\s*(yes|no|maybe)\b[\s,.:;-]*", re.IGNORECASE)
Reader = Callable[[Sequence[str], Sequence[Sequence[str]]], Sequence[str | None]]
"""From rationales, and the labels that each one's row may have, to the labels that they support,
None where a reader cannot tell."""


def mask_labels(text: str, labels: Sequence[str]) -> str:
    """Return the text with every label string and a leading yes, no or maybe masked.

    Labels are matched as whole words in any case, longer ones first.
    """
    masked = LEADING_VERDICT.sub(f"{MASK} ", text)
    if not labels:
        return masked
    longest_first = sorted(labels, key=len, reverse=True)
    names = "|".join(re.escape(label) for label in longest_first)
    return re.sub(rf"(?<!\w)(?:{names})(?!\w)", MASK, masked, flags=re.IGNORECASE)


def labels_of(row: Prediction, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels that a row may have: its own options, else the fixed set.

    Of open labels, its gold and its predicted one: what must not be read off the rationale.
    """
    known = row.options or tuple(labels)
    return known or tuple(dict.fromkeys(x for x in (row.gold_label, row.label) if x))


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
        "consistency": share([p2 == row.label for row, p2 in zip(found, read, strict=True)]),
        "sufficiency": share([p2 == row.gold_label for row, p2 in zip(found, read, strict=True)]),
        "gold_robustness": share([read_gold[i] == found[i].gold_label for i in with_gold]),
    }


def reading_scores(
    found: Sequence[Prediction], reader: Reader, labels: Sequence[str], name: str
) -> tuple[dict[str, float | None], list[dict[str, list[float]]]]:
    """Return a reader's scores of an arm and its verdicts by row (label index, -1 for none).

    The index is that in the label set, or among the row's own options.

    Args:
        found: Predictions with rationales, and rationales for swapped labels where written.
        reader: Reads rationales that are masked already if it must not see labels.
        labels: The label set.
        name: Prefix of the scores, `reader` or `parser`.
    """
    sets = [labels_of(row, labels) for row in found]
    verdicts = list(reader([row.rationale or "" for row in found], sets))
    wrong = [i for i, row in enumerate(found) if row.label != row.gold_label]
    agrees = [v == row.label for row, v in zip(found, verdicts, strict=True)]
    scores = {
        "consistency": share(agrees),
        "sufficiency": share([v == r.gold_label for r, v in zip(found, verdicts, strict=True)]),
        "agreement_on_wrong": share([agrees[i] for i in wrong]),
        "gold_on_wrong": share([verdicts[i] == found[i].gold_label for i in wrong]),
        **swap_scores(found, reader, labels),
    }
    rows = [
        {f"{name}_verdict": [float(own.index(verdict)) if verdict in own else -1.0]}
        for verdict, own in zip(verdicts, sets, strict=True)
    ]
    return {f"{name}_{key}": value for key, value in scores.items()}, rows


def swap_scores(
    found: Sequence[Prediction], reader: Reader, labels: Sequence[str]
) -> dict[str, float | None]:
    """Return how often a rationale written for another label supports that label.

    1 where the rationale follows the label it is given, 0 where it ignores it.
    """
    pairs = [(label, text) for row in found for label, text in row.swapped.items()]
    sets = [labels_of(row, labels) for row in found for _ in row.swapped]
    verdicts = reader([text for _, text in pairs], sets)
    return {
        "follows_swapped_label": share(
            [verdict == label for (label, _), verdict in zip(pairs, verdicts, strict=True)]
        )
    }


def control_scores(
    found: Sequence[Prediction], reader: Reader, labels: Sequence[str], name: str
) -> dict[str, float | None]:
    """Return a reader's accuracy on an empty and on a label-only rationale, masked like any other.

    What it gets right there it does not know from rationales.
    """
    gold = [row.gold_label or "" for row in found]
    sets = [labels_of(row, labels) for row in found]
    empty = reader([""] * len(gold), sets)
    bare = reader([mask_labels(label, own) for label, own in zip(gold, sets, strict=True)], sets)
    return {
        f"{name}_empty": share([v == g for v, g in zip(empty, gold, strict=True)]),
        f"{name}_label_only": share([v == g for v, g in zip(bare, gold, strict=True)]),
    }


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
