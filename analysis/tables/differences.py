"""Tables of paired differences: every method against r2d.

The difference with its interval comes first, p-values after it; p-values of the primary metric
are corrected over the family "methods against r2d" of one study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from analysis.collapse import collapsed, same_labels
from analysis.groups import Group, Score, notes_on, paired, runs_of
from analysis.stats.intervals import Difference, t_interval
from analysis.stats.significance import (
    PRIMARY_METRIC,
    REFERENCE,
    McNemar,
    holm,
    mcnemar_exact,
    minimum_detectable_accuracy,
    minimum_detectable_difference,
)
from analysis.tables.score_rows import SEEDS, Row, columns_of, nothing, who, who_columns
from analysis.tables.scores import (
    ACCURACY,
    BERTSCORE,
    BLEU,
    MACRO_F1,
    MAIN,
    ROUGE_L,
    SETTINGS,
    untested,
)
from analysis.tables.table import Column, Number, Table

Pair = tuple[Group, Group]
POINTS = MACRO_F1.factor
NOT_TESTED = "not tested: the same label in every row"
"""Said of two groups between which no test can find anything."""

SECONDARY = (ACCURACY, BLEU, ROUGE_L, BERTSCORE, *MAIN[6:])
"""Metrics whose differences are described by intervals, in no family of tests."""


def shown_difference(found: Difference, score: Score) -> Number:
    """Return a difference with its interval, in the score's own units."""
    return Number(found.estimate, None, found.low, found.high, score.factor, score.digits)


def pairs_with_reference(groups: Sequence[Group]) -> list[Pair]:
    """Return every method with the r2d of its study, setting and source; a search's best."""
    return [
        (group, other)
        for group in groups
        if group.method != REFERENCE and group.setting in SETTINGS
        for other in groups
        if other.method == REFERENCE
        and other.study is group.study
        and (other.setting, other.source) == (group.setting, group.source)
    ] + _of_searches(groups)


def _of_searches(groups: Sequence[Group]) -> list[Pair]:
    """Return every search's best model with its defaults, where these are two."""
    models: dict[Path, list[Group]] = {}
    for group in groups:
        if group.searched:
            models.setdefault(group.study.folder, []).append(group)
    return [(found[0], found[1]) for found in models.values() if len(found) == 2]


def differences_table(groups: Sequence[Group]) -> Table:
    """Return the family of tests: every method minus r2d on the primary metric."""
    name = "differences"
    title = (
        f"Macro-F1 against {_reference(groups)} in points: differences [95 % intervals], then tests"
    )
    found = {}
    for group, other in pairs_with_reference(groups):
        difference = paired(group, other, PRIMARY_METRIC)
        if difference is not None:
            found[group, other] = difference
    if not found:
        return nothing(name, title, _why_none(groups))
    families = {group.study.folder for group, _ in found}
    adjusted: dict[Pair, float] = {}
    for folder in families:
        family = {pair: d for pair, d in found.items() if pair[0].study.folder == folder}
        numbered = holm({str(i): d.p for i, d in enumerate(family.values())})
        adjusted |= dict(zip(family, numbered.values(), strict=True))
    rows = [difference_row(*pair, found[pair], adjusted[pair]) for pair in found]
    sides = list(dict.fromkeys(group for pair in found for group in pair))
    columns = (
        *who_columns([group for group, _ in found]),
        SEEDS,
        Column("difference", f"Macro-F1 minus {_reference(groups)}'s [seeds and rows]"),
        Column("t_interval", "The same [t, seeds only]"),
        Column("detectable", "Detectable difference"),
        Column("p_holm", "p (Holm)"),
        Column("p", "p"),
        Column("mcnemar", "McNemar's test by seed"),
    )
    return Table(name, title, columns, tuple(rows), _difference_notes(groups, found, sides))


def _reference(groups: Sequence[Group]) -> str:
    """Return in words what is subtracted: r2d, or of a search trial 0."""
    searched = [group.searched for group in groups]
    if not any(searched):
        return "r2d"
    return "trial 0" if all(searched) else "r2d (of a search: trial 0)"


def _why_none(groups: Sequence[Group]) -> str:
    """Return why there is no difference: no pair at all, or what its rows lack."""
    lost = [f"{one.name} or {other.name}" for one, other in pairs_with_reference(groups)]
    if lost:
        return "no stored predictions for common seeds, or one group of rows: " + ", ".join(lost)
    if groups and all(group.searched for group in groups):
        return "the best trial is trial 0, the defaults"
    return "no method with stored predictions shares its seeds with an r2d"


def difference_row(group: Group, other: Group, found: Difference, p_holm: float) -> Row:
    """Return one line of the family of tests."""
    row = who(group) | {
        "seeds": len(found.per_seed),
        "difference": shown_difference(found, MACRO_F1),
    }
    if same_labels(group, other):
        alike = Number(found.estimate, factor=POINTS, digits=MACRO_F1.digits)
        return row | {"difference": alike, "mcnemar": NOT_TESTED}
    over = t_interval(found.per_seed)
    spread = Number(over.estimate, None, over.low, over.high, POINTS, 2) if over else None
    tests = exact_tests(group, other)
    return row | {
        "t_interval": spread,
        "detectable": Number(minimum_detectable_difference(found.error), factor=POINTS, digits=2),
        "p_holm": Number(p_holm, digits=4),
        "p": Number(found.p, digits=4),
        "mcnemar": "; ".join(f"seed {seed}: {_p(test.p)}" for seed, test in tests.items()) or None,
    }


def _p(value: float) -> str:
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.{3 if value < 0.1 else 2}f}"


def exact_tests(group: Group, other: Group) -> dict[int, McNemar]:
    """Return McNemar's test of the two methods' accuracy by common seed."""
    ours, theirs = runs_of(group, "accuracy"), runs_of(other, "accuracy")
    return {seed: mcnemar_exact(ours[seed], theirs[seed]) for seed in ours if seed in theirs}


def other_differences_table(groups: Sequence[Group]) -> Table:
    """Return every method minus r2d on the other metrics: intervals only, no tests."""
    name = "other_differences"
    title = (
        f"Other scores against {_reference(groups)}: differences [95 % intervals over seeds and "
        "rows], untested"
    )
    rows, shown, there = [], [], dict.fromkeys(SECONDARY, False)
    for group, other in pairs_with_reference(groups):
        row = who(group)
        common = [len(group.done)]
        for score in SECONDARY:
            difference = paired(group, other, score.key)
            if difference is not None:
                row[score.key] = shown_difference(difference, score)
                common.append(len(difference.per_seed))
                there[score] = True
        rows.append(row | {"seeds": min(common)})
        shown.append(group)
    scores = [score for score in SECONDARY if there[score]]
    if not scores:
        return nothing(name, title, _why_none(groups))
    columns = (*who_columns(shown), SEEDS, *columns_of(scores))
    return Table(name, title, columns, tuple(rows), notes_on(shown, scores))


def _difference_notes(
    groups: Sequence[Group],
    found: Mapping[Pair, Difference],
    sides: Sequence[Group],
) -> tuple[str, ...]:
    notes = [*notes_on(sides), *collapsed(sides), *untested(sides)]
    without = {group.study.info.name for group in groups} - {g.study.info.name for g, _ in found}
    notes += [f"{name}: no pair with stored predictions" for name in sorted(without)]
    pairs = pairs_with_reference(groups)
    left = [
        f"{group.name} ({group.study.info.name})" for group, o in pairs if (group, o) not in found
    ]
    if left:
        notes.append(
            f"no stored predictions for common seeds, or only one group of rows: {', '.join(left)}"
        )
    for (group, other), difference in found.items():
        seeds = max(len(group.done), len(other.done))
        if len(difference.per_seed) < seeds:
            notes.append(f"{group.name}: {len(difference.per_seed)} common seeds of {seeds}")
    if any(len(difference.per_seed) == 1 for difference in found.values()):
        notes.append("with one seed the interval covers new test rows only, not new training")
    notes += _test_size_notes(found)
    notes.append(
        "detectable: a true difference of this size would be found in 4 of 5 repetitions (80 % "
        "power at level 0.05, from the standard error seen); p (Holm) is corrected over the "
        "methods of one study; McNemar's test is of "
        "accuracy, of one seed, and takes rows as independent"
    )
    return tuple(notes)


def _test_size_notes(found: Mapping[Pair, Difference]) -> list[str]:
    """Return what difference in accuracy each study's test set can show."""
    shares: dict[str, list[tuple[int, float]]] = {}
    for group, other in found:
        for seed, test in exact_tests(group, other).items():
            rows = len(runs_of(group, "accuracy")[seed].ids)
            discordant = (test.only_first + test.only_second) / rows
            shares.setdefault(group.study.info.name, []).append((rows, discordant))
    notes = []
    for name, known in shares.items():
        rows, share = known[0][0], fmean(share for _, share in known)
        smallest = minimum_detectable_accuracy(rows, share) if share else None
        right = f"{name}: on {share:.1%} of the {rows} test rows one of two methods is right alone"
        notes.append(
            f"{right}; a true difference in accuracy below {smallest:.1%} is then more likely than "
            "1 in 5 to go unseen (McNemar's test)"
            if smallest is not None
            else f"{right}; so few that no difference in accuracy can be relied on to be seen "
            "(McNemar's test)"
        )
    return notes
