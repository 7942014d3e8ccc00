"""The report's summary in plain words: what separates from the reference, and what cannot be told.

A pure function of differences and their intervals. A sentence never says more than its interval:
a method separates only where the interval leaves out 0 and Holm's p-value is below 5 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from r2d_ray.storage import counted

ALPHA = 0.05
FEW_SEEDS = 3
POWER = "80 %"


@dataclass(frozen=True, slots=True)
class Finding:
    """A method minus the reference on macro-F1 (0 to 1), with its 95 % interval.

    `p` is Holm's p-value over the family, `detectable` the smallest true difference that would be
    found with 80 % power; `alike` says that both gave every row the same label.
    """

    method: str
    estimate: float
    low: float
    high: float
    p: float | None
    detectable: float | None
    alike: bool = False

    @property
    def separates(self) -> bool:
        """Whether interval and corrected p-value both say that there is a difference."""
        return self.leaves_out_0 and self.p is not None and self.p < ALPHA

    @property
    def undecided(self) -> bool:
        """Whether the interval leaves out 0, but not after correction for the comparisons made."""
        return self.leaves_out_0 and not self.separates

    @property
    def leaves_out_0(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Setting:
    """What a comparison's findings rest on.

    `rows` is None without stored predictions; `seeds` are the numbers of common seeds behind the
    findings; `untested` the methods whose labels were sampled, but of whose prompts fewer than 2 %
    had another label for it; `collapsed` are sentences on those that gave all rows one label or one
    text; of `arms` planned ones, `absent` failed or have not run. `points` are
    the reference's settings of a grid.
    """

    dataset: str
    rows: int | None
    reference: str
    seeds: Sequence[int]
    arms: int
    absent: int = 0
    untested: Sequence[str] = ()
    collapsed: Sequence[str] = ()
    points: int = 0


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found: its trials by status, the best one, and what it is on test.

    `gain` is best minus defaults (trial 0) on test, of so many `seeds` each, None where the
    defaults are the best or nothing was predicted.
    """

    study: str
    method: str
    dataset: str
    trials: Mapping[str, int]
    best: int | None
    metric: str
    value: float | None
    gain: Finding | None = None
    seeds: int = 1


def comparison_words(setting: Setting, findings: Sequence[Finding]) -> list[str]:
    """Return the paragraphs on one comparison of methods."""
    words = [_verdict(setting, findings)]
    words += [f"{'. '.join(setting.collapsed)}."] if setting.collapsed else []
    words += [_sampling(setting.untested)] if setting.untested else []
    words += [_seeds(min(setting.seeds))] if findings and min(setting.seeds) < FEW_SEEDS else []
    if setting.absent:
        words.append(
            f"{setting.absent} of the {setting.arms} planned arms failed or did not run and "
            "contribute to no number here."
        )
    return words


def search_words(search: Search) -> list[str]:
    """Return the paragraph on one search."""
    trials = ", ".join(f"{count} {status}" for status, count in search.trials.items() if count)
    total = sum(search.trials.values())
    made = f"{counted(total, 'trial')} ({trials})"
    start = f"The search of {search.method} on {search.dataset} made {made}."
    if search.best is None or search.value is None:
        none = "No best trial was chosen yet" if search.trials.get("done") else "No trial finished"
        return [f"{start} {none}."]
    best = f"{start} On validation, trial {search.best} is best: {search.metric} "
    best += f"{search.value:.3f}."
    if search.best == 0:
        return [f"{best} Trial 0 has the default setting: the search found nothing better."]
    if search.gain is None:
        return [f"{best} Its gain over the default setting on test is not known."]
    gain = search.gain
    change = f"{_signed(gain.estimate)} points of macro-F1 ({_interval(gain)})"
    if gain.alike:
        said = "On test it gives every row the label of the default setting: nothing was tested."
        return [f"{best} {said}"]
    if gain.leaves_out_0:
        verdict = "better" if gain.estimate > 0 else "worse"
        said = f"On test it is {verdict} than the default setting: {change}."
    else:
        said = f"On test it does not differ significantly from the default setting: {change}."
    if search.seeds > 1:
        return [f"{best} {said} Each was trained with {search.seeds} seeds."]
    return [f"{best} {said} One seed each, so the interval reflects the spread of test rows only."]


def _verdict(setting: Setting, findings: Sequence[Finding]) -> str:
    count = "" if setting.rows is None else f"{setting.rows:,} "
    where = f"On the {count}test rows of {setting.dataset}"
    if not findings and setting.points:
        return (
            f"{where}, only {setting.reference} was run, in {setting.points} settings besides its "
            "default: the tables of its parts and of the grid's settings compare them."
        )
    if not findings:
        return (
            f"{where}, nothing can be compared with {setting.reference}: it, or every other "
            "method, has no finished run with predictions."
        )
    apart = [finding for finding in findings if finding.separates]
    alike = [finding.method for finding in findings if finding.alike]
    rest = [finding for finding in findings if not finding.separates and not finding.alike]
    one_run = max(setting.seeds) == 1
    start = f"{where}, with {_counted(setting.seeds)}"
    if apart:
        said = [_separation(finding, setting.reference, one_run) for finding in apart]
        parts = [f"{start}, {_listed(said, ';')}."]
    elif not rest:
        parts = [f"{start}, nothing was tested."]
    else:
        parts = [f"{start}, no method differs significantly from {setting.reference} on macro-F1."]
    if rest:
        parts.append(_open(rest, bool(apart)))
    same = f"The same label as {setting.reference} for every row, so no test against it"
    parts += [f"{same}: {_listed(alike, ',')}."] if alike else []
    return " ".join(parts)


def _separation(finding: Finding, reference: str, one_run: bool) -> str:
    """Return how a method separates; of one seed only its run is known, not the method."""
    better = "better" if finding.estimate > 0 else "worse"
    one = f"the one run of {finding.method}" if one_run else finding.method
    other = f"that of {reference}" if one_run else reference
    return (
        f"{one} is {better} than {other} by {_points(abs(finding.estimate))} of "
        f"macro-F1 ({_interval(finding)}, p {_p(finding.p)} after Holm's correction)"
    )


def _open(findings: Sequence[Finding], some_separate: bool) -> str:
    """Return what is not decided, how wide that leaves it, and what could have been found."""
    listed = _listed([f"{f.method} {_signed(f.estimate)} ({_interval(f)})" for f in findings], ",")
    start = "The others do not differ significantly" if some_separate else "Differences in points"
    text = f"{start}: {listed}."
    almost = [f.method for f in findings if f.undecided]
    if almost:
        verb = "leaves" if len(almost) == 1 else "leave"
        text += (
            f" The interval of {_listed(almost, ',')} alone {verb} out 0, but does not survive "
            "correction for multiple comparisons."
        )
    detectable = [f.detectable for f in findings if f.detectable is not None]
    if detectable:
        text += (
            " This does not prove equality: a true difference of up to about "
            f"{_points(max(detectable))} could have been missed (at {POWER} power)."
        )
    return text


def _sampling(methods: Sequence[str]) -> str:
    return (
        f"Scheduled sampling was not tested in {_listed(list(methods), ',')}: fewer than 2 % of "
        "the training prompts showed a label other than the gold one, so nothing here speaks "
        "for or against it."
    )


def _counted(seeds: Sequence[int]) -> str:
    few, many = min(seeds), max(seeds)
    if few != many:
        return f"{few} to {many} seeds"
    return "1 seed" if many == 1 else f"{many} seeds"


def _seeds(count: int) -> str:
    if count == 1:
        return (
            "Each method was trained with one seed only. The intervals reflect the spread of the "
            "test rows, not that of training: another seed may reverse any of these differences."
        )
    return (
        f"Each method was trained with {count} seeds, fewer than {FEW_SEEDS}: the spread of "
        "training is barely known, and the intervals are likely too narrow."
    )


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}"


def _interval(finding: Finding) -> str:
    return f"95 % interval {_signed(finding.low)} to {_signed(finding.high)}"


def _p(value: float | None) -> str:
    if value is None:
        return "not tested"
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _listed(parts: Sequence[str], mark: str) -> str:
    """Return parts as a list in words."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{(mark + ' ').join(parts[:-1])}{mark if mark == ';' else ''} and {parts[-1]}"
