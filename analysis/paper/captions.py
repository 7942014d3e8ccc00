"""What stands above each table of a paper, in its words; the report has titles of its own."""

from __future__ import annotations

from analysis import names
from analysis.tables.table import Table

CAPTIONS = {
    "main": "Methods on the test set: mean ± standard deviation over seeds, with the 95 % interval "
    "of macro-F1 in brackets",
    "joint": "Methods by data set on the test sets: mean ± standard deviation over seeds, with the "
    "95 % interval of macro-F1 in brackets",
    "differences": "Macro-F1 of each method minus that of R2D, in points, with 95 % intervals and "
    "the tests of the family",
    "other_differences": "Other scores of each method minus those of R2D, with 95 % intervals over "
    "seeds and test rows; not tested",
    "bag_of_words": "Each model against a bag of words with logistic regression on the test set, "
    "with 95 % intervals of the difference",
    "controls": "Controls on the test set: what remains without a part of the method, or without "
    "any training",
    "ablation": "Parts of R2D: stage 1 and scheduled sampling, with 95 % intervals of the "
    "differences",
    "sensitivity": "Scores over the settings of a grid, and macro-F1 minus that of the default "
    "with its 95 % interval",
    "sources": "Rationale sources by method on the test set: mean ± standard deviation over seeds",
    "source_equivalence": "Equivalence of rationale sources in macro-F1 (two one-sided tests)",
    "alignment": "Whether rationales explain the prediction, as read by an independent reader",
    "exposure": "Whether rationales belong to the label that they are given, by reader",
    "groundedness": "Whether rationales are true to their rows",
    "plausibility": "Similarity of rationales to their references, over all test rows and by right "
    "and wrong predictions",
    "per_class": "Scores by class on the test set",
    "sub_populations": "Scores by sub-population of the test set, with 95 % intervals",
    "calibration": "Calibration of the label probabilities, and outputs outside the label set",
    "confidence": "Errors on the test set by confidence: fifths of the rows from the least sure to "
    "the surest",
    "searches": "Searches: the best trial and trial 0, which has the default settings; one seed "
    "each",
    "selection": "Which weights were selected on validation, and how much sampling they saw",
    "settings": "Settings: what was searched or set, the default, and the value used",
    "data": "Data: rows, groups that stay together, labels and rationales",
    "cost": "Cost of training",
    "published": "Values published by others, on their own test sets",
}


def caption(table: Table) -> str:
    """Return a table's caption without its full stop; of an unknown table its title in words."""
    return CAPTIONS.get(table.name) or names.in_words(table.title)
