"""What stands below each picture in a paper: one sentence, without its full stop."""

from __future__ import annotations

from analysis import names
from r2d_ray.storage import counted

CAPTIONS = {
    "history": "Validation {metric} of each finished trial of the search, and the best so far",
    "pareto": "Label score and rationale loss of each trial on validation; no finished trial beats "
    "one on the Pareto front in both",
    "importance": "Share of each setting in the differences of validation {metric} (PED-ANOVA over "
    "{trials})",
    "parallel": "Settings of all finished trials: a line leads from a trial's validation {metric} "
    "through its settings; the better, the darker",
    "slices": "Validation {metric} over each setting; later trials are darker",
    "search-curves": "Validation {metric} of each trial by training step",
    "rung": "Validation {metric} of each trial when the pruner decided, and at its end; on the "
    "dotted line both are equal",
    "differences": "Differences from R2D on the test set, in points, with 95 % intervals over "
    "seeds and groups of test rows; above 0 is better than R2D",
    "confusion": "Confusion matrices on the test set, pooled over seeds: of 100 rows with a gold "
    "label, how many got each predicted label",
    "calibration": "Reliability on the test set, pooled over seeds: share of right labels by "
    "confidence; larger marks hold more rows, on the dotted line both are equal",
    "schedules": "Schedules over the steps of stage 2: the probability that a rationale prompt "
    "shows the gold label, and the weight α of the label loss",
    "dose": "Share of rationale prompts whose label was sampled, and whose label really changed; "
    "upright bars are the range over seeds",
    "training": "Training curves: means over seeds, upright bars are their range",
    "sensitivity": "{metric} over the settings of a grid: mean ± standard deviation over seeds",
}

OF_SEARCHES = {
    "differences": "Differences from the defaults on the test set, in points, with 95 % intervals "
    "over groups of test rows; above 0 is better than the defaults",
    "schedules": "Schedules of the best trial and the defaults over the steps of stage 2: the "
    "probability that a rationale prompt shows the gold label, and the weight α of the label loss",
    "dose": "Share of rationale prompts whose label was sampled, and whose label really changed, "
    "of the best trial and the defaults",
    "training": "Training curves of the best trial and the defaults",
}
"""What differs of a search's captions."""


def picture_caption(name: str, metric: str, finished: int, searched: bool = False) -> str:
    """Return the caption of a picture of this name; empty for one that has none.

    Args:
        name: The picture's, before a study's name is put before it.
        metric: What the study searched or selected by.
        finished: Trials that have a score.
        searched: Whether it is of a search.
    """
    kind = "sensitivity" if name.startswith("sensitivity-") else name
    known = CAPTIONS | OF_SEARCHES if searched else CAPTIONS
    text = known.get(kind, "").replace("{metric}", names.metric(metric))
    text = text.replace("{trials}", counted(finished, "finished trial"))
    return text[:1].upper() + text[1:]
