"""Tables of rationales: alignment with the prediction, plausibility, sources and equivalence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from analysis.collapse import collapsed
from analysis.groups import Group, Score, notes_on, paired, runs_of
from analysis.stats.intervals import Difference
from analysis.stats.significance import MARGIN, PRIMARY_METRIC, Equivalence, tost
from analysis.tables.differences import shown_difference
from analysis.tables.score_rows import SEEDS, Row, nothing, score_table, who, who_columns
from analysis.tables.scores import ACCURACY, BERTSCORE, BLEU, MACRO_F1, ROUGE_L
from analysis.tables.table import Column, Number, Table

READERS = {"reader": "reader", "parser": "exact parser"}
ALIGNMENT = (
    *(
        Score(f"{reader}_{key}", f"{heading} ({words}), %")
        for reader, words in READERS.items()
        for key, heading in (
            ("agreement_on_wrong", "Supports the wrong prediction"),
            ("gold_on_wrong", "Supports gold instead"),
            ("follows_swapped_label", "Follows a swapped label"),
            ("consistency", "Consistency"),
            ("sufficiency", "Sufficiency"),
        )
    ),
    Score("gold_robustness", "Gold robustness (own reading), %"),
    Score("reader_empty", "Reader on nothing, %"),
    Score("reader_label_only", "Reader on a masked label, %"),
)
PLACES = {
    "": "",
    "[right]": ", right",
    "[wrong]": ", wrong",
    "[gold_label]": ", given gold",
    "[human]": ", to the human reference",
}
PLAUSIBILITY = tuple(
    Score(f"{score.key}{place}", f"{score.heading}{words}", score.factor)
    for score in (BLEU, ROUGE_L, BERTSCORE)
    for place, words in PLACES.items()
)
SOURCE_SCORES = (
    MACRO_F1,
    ACCURACY,
    *(s for s in PLAUSIBILITY if s.key.partition("[")[2] in ("", "human]")),
    Score("reader_consistency", "Consistency (reader), %"),
    Score("reader_sufficiency", "Sufficiency (reader), %"),
)


def alignment_table(groups: Sequence[Group]) -> Table:
    """Return whether rationales explain the prediction, above all where it is wrong."""
    title = "Does the rationale explain its own prediction? As read by an independent reader"
    read = ("reader_consistency", "reader_sufficiency")
    wrote = [group for group in groups if any(map(group.values, read))]
    reason = "no run's rationales were read by an independent reader"
    table = score_table("alignment", title, wrote, ALIGNMENT, reason)
    if not table.rows:
        return table
    rows = [
        {**row, "wrong": _wrong_rows(group)} for row, group in zip(table.rows, wrote, strict=True)
    ]
    columns = (*table.columns, Column("wrong", "Wrong predictions by seed"))
    return replace(
        table, columns=columns, rows=tuple(rows), notes=(*table.notes, *collapsed(wrote))
    )


def _wrong_rows(group: Group) -> str | None:
    runs = runs_of(group, "accuracy")
    counts = [int((run.values[:, 0] == 0).sum()) for run in runs.values()]
    return ", ".join(map(str, counts)) or None


def plausibility_table(groups: Sequence[Group]) -> Table:
    """Return the rationales' likeness to references, split by right and wrong predictions."""
    title = "Similarity to reference rationales, over all rows and by right or wrong prediction"
    wrote = [group for group in groups if group.values("bleu")]
    reason = "no run wrote rationales with references"
    return score_table("plausibility", title, wrote, PLAUSIBILITY, reason)


def sources_table(groups: Sequence[Group]) -> Table:
    """Return source x method, of comparisons of several rationale sources."""
    shown = [group for group in groups if group.source]
    title = "Rationale source x method, on test: mean ± standard deviation over seeds"
    reason = "no comparison of rationale sources among these studies"
    table = score_table("sources", title, shown, SOURCE_SCORES, reason)
    note = "BLEU, ROUGE-L and BERTScore are against the arm's own source unless marked human"
    return replace(table, notes=(*table.notes, note)) if table.rows else table


def equivalence_table(groups: Sequence[Group]) -> Table:
    """Return every two sources of a method: difference, then whether they are equivalent."""
    name = "source_equivalence"
    title = f"Are sources equivalent within {100 * MARGIN:g} points of macro-F1? (TOST)"
    pairs = [
        (one, other)
        for one, other in combinations([group for group in groups if group.source], 2)
        if one.study is other.study and (one.method, one.setting) == (other.method, other.setting)
    ]
    if not pairs:
        return nothing(name, title, "no method was trained on two rationale sources")
    rows, missing = [], []
    for one, other in pairs:
        found = paired(one, other, PRIMARY_METRIC)
        row = who(one) | {"source": f"{one.source} - {other.source}"}
        if found is None:
            missing.append(f"{one.name} against {other.name}")
        else:
            row |= equivalence_cells(found, tost(found, MARGIN))
        rows.append(row)
    columns = (
        *who_columns([one for one, _ in pairs]),
        SEEDS,
        Column("difference", "Macro-F1 difference [95 %]"),
        Column("interval90", "The same [90 %]"),
        Column("verdict", f"Within {100 * MARGIN:g} points"),
        Column("smallest_margin", "Smallest margin met"),
        Column("p_tost", "p (TOST)"),
    )
    notes = [f"no stored predictions for common seeds: {', '.join(missing)}"] if missing else []
    notes.append(
        f"the margin of {100 * MARGIN:g} points was fixed before; not shown equivalent is not "
        "shown different; these p-values are of each pair alone"
    )
    members = list(dict.fromkeys(group for pair in pairs for group in pair))
    return Table(name, title, columns, tuple(rows), (*notes_on(members), *notes))


def equivalence_cells(found: Difference, verdict: Equivalence) -> Row:
    """Return the cells of one pair of sources."""
    return {
        "seeds": len(found.per_seed),
        "difference": shown_difference(found, MACRO_F1),
        "interval90": Number(found.estimate, None, verdict.low, verdict.high, MACRO_F1.factor, 2),
        "verdict": "equivalent" if verdict.equivalent else "not shown",
        "smallest_margin": Number(verdict.smallest_margin, factor=MACRO_F1.factor, digits=2),
        "p_tost": Number(verdict.p, digits=4),
    }
