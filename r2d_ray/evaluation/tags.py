"""Sub-populations: rows of one tag (`site=A`) scored apart, as `macro_f1[site=A]`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from r2d_ray.evaluation.label_metrics import calibration_scores
from r2d_ray.evaluation.predictions import prediction_metrics
from r2d_ray.records import Prediction


def by_tag(rows: Iterable[Prediction]) -> dict[str, list[int]]:
    """Return the places of every tag's rows, tags sorted; a row may have several or none."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        for tag in row.tags:
            places.setdefault(tag, []).append(place)
    return dict(sorted(places.items()))


def tag_scores(found: Sequence[Prediction], classes: Sequence[str]) -> dict[str, float]:
    """Return `rows`, `accuracy`, `macro_f1` and, where labels are closed, `ece` of every tag.

    Macro-F1 is over the whole label set: a class that these rows lack counts as in `class_scores`.
    """
    scores = {}
    for tag, places in by_tag(found).items():
        rows = [found[place] for place in places]
        right = sum(row.label == row.gold_label for row in rows)
        scores[f"accuracy[{tag}]"] = right / len(rows)
        scores[f"rows[{tag}]"] = float(len(rows))
        scores[f"macro_f1[{tag}]"] = prediction_metrics(rows, classes)["macro_f1"]
        if classes:
            gold = [row.class_of(row.gold_label) or "" for row in rows]
            table = [row.class_probabilities(classes) for row in rows]
            scores[f"ece[{tag}]"] = calibration_scores(gold, table, classes)["ece"]
    return scores


def tags_in(scores: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tags that scores hold, in their order."""
    return (key[len("rows[") : -1] for key in scores if key.startswith("rows["))
