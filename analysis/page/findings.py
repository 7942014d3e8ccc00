"""From studies and their tables to what the summary says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis.collapse import collapsed, same_labels
from analysis.groups import groups_of, paired
from analysis.page.control_words import BagOfWords, with_bag_of_words
from analysis.page.words import Finding, Search, Setting, comparison_words, search_words
from analysis.stats.significance import PRIMARY_METRIC, REFERENCE
from analysis.studies import Study
from analysis.tables.controls import BAG_OF_WORDS
from analysis.tables.differences import NOT_TESTED
from analysis.tables.scores import SETTINGS
from analysis.tables.table import Number, Table

DIFFERENCES = "differences"
"""The table of every method minus the reference on the primary metric."""


def summarise(studies: Sequence[Study], tables: Iterable[Table]) -> list[str]:
    """Return the summary's paragraphs, study by study.

    Args:
        studies: Opened studies, no two of one name.
        tables: The report's; those called `differences` and `bag_of_words` are read.

    Raises:
        UserError: if a search's predictions do not fit each other.
    """
    by_name = {table.name: table.rows for table in tables}
    words = []
    for study in studies:
        mine = [r for r in by_name.get(DIFFERENCES, ()) if r["study"] == study.info.name]
        if study.is_comparison:
            said = comparison_words(_setting(study, mine), [_finding(row) for row in mine])
        else:
            said = search_words(_search(study))
        against = [r for r in by_name.get(BAG_OF_WORDS, ()) if r["study"] == study.info.name]
        words += with_bag_of_words(_bag_of_words(study, against), said)
    return words


def _bag_of_words(study: Study, rows: Sequence[Mapping[str, Any]]) -> BagOfWords | None:
    """Return whether the best model beats the bag of words; None where that was not scored."""
    found = study.result.get(BAG_OF_WORDS)
    if not isinstance(found, Mapping) or not isinstance(found.get("beaten"), bool):
        return None
    best = next((row["difference"] for row in rows if row["method"] == found["best"]), None)
    gain = best and Finding(found["best"], best.mean, best.low, best.high, None, None)
    return BagOfWords(study.info.dataset, found["says"], found["beaten"], gain)


def _finding(row: Mapping[str, Any]) -> Finding:
    """Return a line of the table of differences as a finding."""
    difference, p, detectable = row["difference"], row.get("p_holm"), row.get("detectable")
    extras = [
        *([row["setting"]] if row["setting"] != "default" else []),
        *([f"rationales {row['source']}"] if row["source"] != "first" else []),
    ]
    name = f"{row['method']} ({', '.join(extras)})" if extras else str(row["method"])
    if row.get("mcnemar") == NOT_TESTED:
        return Finding(name, difference.mean, 0.0, 0.0, None, None, alike=True)
    return Finding(
        name, difference.mean, difference.low, difference.high, _mean(p), _mean(detectable)
    )


def _mean(number: Number | None) -> float | None:
    return None if number is None else number.mean


def _setting(study: Study, rows: Sequence[Mapping[str, Any]]) -> Setting:
    groups = groups_of(study)
    done = [record.arm for record in study.done() if record.arm]
    planned = {*study.info.space.get("arms", []), *(record.arm for record in study.records)}
    return Setting(
        dataset=study.info.dataset,
        rows=max((len(kept) for arm in done if (kept := study.stored(arm))), default=None),
        reference=REFERENCE,
        seeds=[int(row["seeds"]) for row in rows],
        arms=len(planned),
        absent=len(planned) - len(done),
        untested=[group.name for group in groups if group.sampling_untested],
        collapsed=collapsed(groups),
        points=sum(group.setting not in SETTINGS for group in groups),
    )


def _search(study: Study) -> Search:
    metric = str(study.info.space.get("metric", PRIMARY_METRIC))
    best = study.result.get("best_trial")
    record = next((r for r in study.done() if r.trial == best), None)
    gain, seeds = _gain(study)
    return Search(
        study=study.info.name,
        method=study.info.method,
        dataset=study.info.dataset,
        trials=Counter(record.status for record in study.records),
        best=None if record is None else record.trial,
        metric=metric,
        value=None if record is None else record.metrics.get(metric),
        gain=gain,
        seeds=seeds,
    )


def _gain(study: Study) -> tuple[Finding | None, int]:
    """Return best minus defaults on test with the interval over test rows and seeds, and these."""
    groups = {group.name.split(" (")[0]: group for group in groups_of(study)}
    if not {"best", "trial 0"} <= set(groups):
        return None, 0
    found = paired(groups["best"], groups["trial 0"], PRIMARY_METRIC)
    if found is None:
        return None, 0
    alike = same_labels(groups["best"], groups["trial 0"])
    gain = Finding("best", found.estimate, found.low, found.high, None, None, alike=alike)
    return gain, len(found.per_seed)
