"""What the paper claims of rationales: tables of exposure gap, label following, groundedness."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.collapse import collapsed
from analysis.groups import Group, Score, notes_on, over_seeds, with_interval
from analysis.tables.score_rows import SEEDS, Row, nothing, score_table, who, who_columns
from analysis.tables.table import Column, Number, Table

READERS = {"parser": "exact parser", "reader": "independent", "own": "the model itself"}
FOLLOWS = "label_following"
NOT_READ = "no: sampling not tested"
"""Said where no sampling of labels can show anything: the rationale does not follow its label."""

SCORES = (
    Score("kappa", "Kappa, %"),
    Score("agreement_on_wrong", "Wrong rows: supports own prediction, %"),
    Score("given_gold_on_wrong", "Wrong rows: given gold supports gold, %"),
    Score("exposure_gap_on_wrong", "Exposure gap on wrong rows, points"),
    Score("follows_swapped_label", "Follows another label, %"),
    Score("swap_base_rate", "Supports it unasked, %"),
    Score(FOLLOWS, "Label following, points"),
    Score("on_masked_gold", "Reader's ceiling: gold as it sees it, %"),
    Score("empty", "Reader's floor: no text, %"),
)
WITH_INTERVAL = ("kappa", "exposure_gap_on_wrong", FOLLOWS)
UNMASKED = ("parser", "own")
"""Readers that see the texts as they are."""

PARTS = {"": "", "[right]": ", right", "[wrong]": ", wrong", "[gold_label]": ", given gold"}
GROUNDED = (
    *(Score(f"facts_grounded{p}", f"Named facts that hold{w}, %") for p, w in PARTS.items()),
    *(Score(f"words_grounded{p}", f"Words in the row's text{w}, %") for p, w in PARTS.items()),
    Score("facts_all_grounded", "Only facts that hold, %"),
    Score("advice_against_facts", "Advice against own facts, %"),
    Score("distinct_rationales", "Different rationales, %"),
    Score("exact_match", "Equal to the reference, %"),
)


def exposure_table(groups: Sequence[Group]) -> Table:
    """Return, by run and reader, whether rationales belong to their prediction and read labels."""
    name, title = "exposure", "Do rationales belong to the label that they are given? By reader"
    shown = [(g, r) for g in groups for r in READERS if g.values(f"{r}_kappa")]
    if not shown:
        return nothing(name, title, "no run's rationales were read given gold and another label")
    rows = [_exposure_row(group, reader) for group, reader in shown]
    members = list(dict.fromkeys(group for group, _ in shown))
    there = [score for score in SCORES if any(row.get(score.key) is not None for row in rows)]
    columns = (
        *who_columns(members),
        Column("reader", "Read by"),
        SEEDS,
        *(Column(score.key, score.heading) for score in there),
        Column("read", "Label read"),
    )
    notes = (
        *notes_on(members),
        *collapsed(members),
        "where the prediction is right both rationales are one text and the gap is 0",
        f"label read: the 95 % interval of label following lies above 0; else {NOT_READ}",
    )
    return Table(
        name, title, columns, tuple(rows), (*notes_on(members), *collapsed(members), *notes)
    )


def _exposure_row(group: Group, reader: str) -> Row:
    row: Row = who(group) | {"reader": READERS[reader]}
    for score in SCORES:
        what = "on_gold" if reader in UNMASKED and score.key == "on_masked_gold" else score.key
        asked = Score(f"{reader}_{what}", score.heading)
        number = with_interval if score.key in WITH_INTERVAL else over_seeds
        row[score.key] = number(group, asked)
    follows = row[FOLLOWS]
    if isinstance(follows, Number) and follows.low is not None:
        row["read"] = "yes" if follows.low > 0 else NOT_READ
    return row


def groundedness_table(groups: Sequence[Group]) -> Table:
    """Return how true the rationales are to their rows, by right and wrong predictions."""
    title = "Are rationales true to their rows?"
    wrote = [group for group in groups if group.values("distinct_rationales")]
    reason = "no run's rationales were held against their rows"
    return score_table("groundedness", title, wrote, GROUNDED, reason)
