"""A reader's verdicts by row, and what they say: agreement beyond chance, exposure gap, following.

The exposure gap is the paper's own claim in one number: how often the rationale given the
model's prediction supports that prediction, minus how often the rationale given gold supports
gold. Where the prediction is right both texts are the same and the gap is 0; so it is told by the
rows whose prediction is wrong. Source: Reason2Decide, section 1 (exposure bias).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from r2d_ray.evaluation.label_metrics import candidates
from r2d_ray.evaluation.reading.alignment import Reader, consistency, share
from r2d_ray.records import Prediction

NONE = -1.0  # the verdict of a reader that cannot tell


@dataclass(frozen=True, slots=True)
class Read:
    """What a reader makes of one row's texts, None where it cannot tell or there is no text.

    `swap` is the label that another rationale was written for, None where none was.
    """

    label: str | None
    gold: str | None
    own: str | None
    given_gold: str | None
    swap: str | None = None
    swapped: str | None = None

    @property
    def wrong(self) -> bool:
        """Whether the predicted label is not gold."""
        return self.label != self.gold


def read_rows(
    found: Sequence[Prediction], reader: Reader, labels: Sequence[str]
) -> tuple[Read, ...]:
    """Return a reader's verdicts on each row's rationales: own, given gold, of another label.

    Equal texts of a row are read once. A row without a rationale given gold has no verdict there.
    """
    texts: list[str] = []
    sets: list[Sequence[str]] = []
    places: list[dict[str, int]] = []
    for row in found:
        at: dict[str, int] = {}
        for text in (row.rationale or "", row.given_gold, *row.swapped.values()):
            if text is not None and text not in at:
                at[text] = len(texts)
                texts.append(text)
                sets.append(candidates(row, labels))
        places.append(at)
    verdicts = reader(texts, sets)
    every = []
    for row, at in zip(found, places, strict=True):
        swap, text = next(iter(row.swapped.items()), (None, None))
        every.append(
            Read(
                row.label,
                row.gold_label,
                verdicts[at[row.rationale or ""]],
                None if row.given_gold is None else verdicts[at[row.given_gold]],
                swap,
                None if text is None else verdicts[at[text]],
            )
        )
    return tuple(every)


def verdict_statistics(
    found: Sequence[Prediction], read: Sequence[Read], labels: Sequence[str], name: str
) -> list[dict[str, list[float]]]:
    """Return the verdicts as statistics by row: `NAME_verdict`, `NAME_gold_verdict`, ...

    Each is the index in the label set, or among the row's own options; `NONE` where there is
    no verdict. `NAME_swap` is the index of the label that the swapped rationale was written for.
    """
    rows = []
    for row, each in zip(found, read, strict=True):
        own = candidates(row, labels)
        verdicts = {"verdict": each.own}
        if row.given_gold is not None:
            verdicts["gold_verdict"] = each.given_gold
        if each.swap is not None:
            verdicts |= {"swap": each.swap, "swap_verdict": each.swapped}
        rows.append(
            {
                f"{name}_{key}": [float(own.index(label)) if label in own else NONE]
                for key, label in verdicts.items()
            }
        )
    return rows


def verdict_scores(
    found: Sequence[Prediction], read: Sequence[Read], name: str
) -> dict[str, float | None]:
    """Return a reader's scores of an arm; None where there is nothing to count.

    Returns:
        `consistency` and `sufficiency` (supports the prediction, gold), `kappa` (`kappa`),
        `agreement_on_wrong`, `gold_on_wrong`; `given_gold` (the rationale given gold supports
        gold) and `given_gold_on_wrong`, `exposure_gap` and `exposure_gap_on_wrong` (points of a
        share, negative where the own rationale supports its label less); `follows_swapped_label`,
        `swap_base_rate` (the rationale that was not swapped supports that label all the same) and
        `label_following` (their difference). Each after `name` and an underscore.
    """
    wrong = [row for row in read if row.wrong]
    has_gold = any(row.given_gold is not None for row in found)
    swapped = [row for row in read if row.swap is not None]
    follows = share([row.swapped == row.swap for row in swapped])
    base = share([row.own == row.swap for row in swapped])
    agreement, on_wrong = _own(read), _own(wrong)
    given, given_on_wrong = (_given_gold(rows) if has_gold else None for rows in (read, wrong))
    scores = {
        "consistency": consistency([(row.own, row.label) for row in read]),
        "sufficiency": share([row.own == row.gold for row in read]),
        "kappa": kappa([(row.own, row.label) for row in read]),
        "agreement_on_wrong": on_wrong,
        "gold_on_wrong": share([row.own == row.gold for row in wrong]),
        "given_gold": given,
        "given_gold_on_wrong": given_on_wrong,
        "exposure_gap": minus(agreement, given),
        "exposure_gap_on_wrong": minus(on_wrong, given_on_wrong),
        "follows_swapped_label": follows,
        "swap_base_rate": base,
        "label_following": minus(follows, base),
    }
    return {f"{name}_{key}": value for key, value in scores.items()}


def _own(rows: Sequence[Read]) -> float | None:
    return share([row.own == row.label for row in rows])


def _given_gold(rows: Sequence[Read]) -> float | None:
    return share([row.given_gold == row.gold for row in rows])


def minus(first: float | None, second: float | None) -> float | None:
    """Return the difference, None where one of the two is unknown."""
    return None if first is None or second is None else first - second


def kappa(pairs: Sequence[tuple[str | None, str | None]]) -> float | None:
    """Return Cohen's kappa of verdicts and predictions, -1 to 1; None of no pair.

    0 where only one label occurs on both sides: such agreement is no more than chance. "Cannot
    tell" is a verdict of its own, which no prediction has.
    """
    if not pairs:
        return None
    total = len(pairs)
    firsts, seconds = zip(*pairs, strict=True)
    agree = sum(first is not None and first == second for first, second in pairs) / total
    chance = (
        sum(firsts.count(label) * seconds.count(label) for label in set(seconds) - {None})
        / total**2
    )
    return 0.0 if chance == 1 else (agree - chance) / (1 - chance)
