"""Runs of a study that differ only in their seed, and their scores over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.runs import Run, runs_in
from analysis.stats.intervals import Difference, hierarchical_interval, mean_sd, paired_bootstrap
from analysis.stats.row_sums import Statistics, row_statistics
from analysis.studies import Study
from analysis.tables.table import Number
from r2d_ray.errors import UserError
from r2d_ray.records import TrialRecord

FEW_SEEDS = 3
"""Below so many seeds a spread over seeds is no more than a hint."""


@dataclass(frozen=True, slots=True)
class Score:
    """A score of the records: its key, its heading, and how people read it."""

    key: str
    heading: str
    factor: float = 100.0
    digits: int = 2


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A comparison's arms of one method, setting and source, by seed, or a search's model.

    `setting` is empty for the method as it is, of a search the model's name; `source` is empty
    where none are compared. `files` name the predictions of seeds that are not called by the arm.
    """

    study: Study
    name: str
    method: str
    setting: str
    source: str
    records: tuple[TrialRecord, ...] = field(repr=False)
    files: Mapping[int, str] = field(default_factory=dict, repr=False)
    _runs: dict[str, dict[int, Statistics]] = field(default_factory=dict, repr=False)

    @property
    def done(self) -> dict[int, TrialRecord]:
        """The finished arms, by seed."""
        return {r.seed: r for r in self.records if r.status == "done"}

    @property
    def searched(self) -> bool:
        """Whether it is a search's best model or its defaults."""
        return not self.study.is_comparison

    @property
    def defaults(self) -> bool:
        """Whether it is a search's trial 0, which was not chosen as the best."""
        return self.searched and self.name.startswith("trial 0")

    def run(self, seed: int) -> str:
        """Return the name of a seed's run, under which its predictions lie."""
        return self.files.get(seed, f"{self.name}-{seed}")

    @property
    def model(self) -> str:
        """The model that all arms start from."""
        return str(self.config["model"])

    @property
    def config(self) -> Mapping[str, Any]:
        """The arms' settings; their seeds differ."""
        return self.records[0].config

    def values(self, score: str, place: str = "test_metrics") -> list[float]:
        """Return the finished arms' values of a score, those that have one."""
        found = [getattr(record, place).get(score) for record in self.done.values()]
        return [float(value) for value in found if value is not None]

    @property
    def sampling_untested(self) -> bool:
        """Whether labels were sampled, but too few of them changed in some seed."""
        sampled = any(self.values("sampled_share", "counts"))
        return sampled and not all(self.values("sampling_tested", "counts"))


def groups_of(study: Study) -> tuple[Group, ...]:
    """Return a comparison's groups in the order of its trials, or a search's best and defaults.

    Raises:
        UserError: if an arm's name does not end with its seed, or two records are the same arm.
    """
    if not study.is_comparison:
        return _of_search(study)
    sources = study.info.study.get("rationale_sources") or []
    planned = study.info.space.get("arms", [])
    members: dict[str, dict[int, TrialRecord]] = {}
    for record in study.records:
        # A driver that died before the comparison's end could not say which arm it was.
        arm = record.arm or (planned[record.trial] if record.trial < len(planned) else "")
        name, _, seed = arm.rpartition("-")
        where = f"{study.folder}: trial {record.trial}: arm {arm!r}"
        if not name or not seed.isdecimal():
            raise UserError(f"{where} (allowed: a name that ends with its seed)")
        if int(seed) in members.setdefault(name, {}):
            raise UserError(f"{where} appears twice")
        members[name][int(seed)] = record
    return tuple(
        Group(study, name, *parts_of(name, sources), tuple(records.values()))
        for name, records in members.items()
    )


def _of_search(study: Study) -> tuple[Group, ...]:
    members: dict[str, list[tuple[Run, TrialRecord]]] = {}
    for run in runs_in(study):
        if run.record is not None:
            members.setdefault(run.base, []).append((run, run.record))
    return tuple(
        Group(
            *(study, base, study.info.method, base, ""),
            records=tuple(record for _, record in found),
            files={record.seed: run.name for run, record in found},
        )
        for base, found in members.items()
    )


def parts_of(name: str, sources: Sequence[str]) -> tuple[str, str, str]:
    """Return method, setting and source of a group's name `method[-setting][-source]`."""
    method, _, rest = name.partition("-")
    for source in sorted(sources, key=len, reverse=True):
        if rest == source or rest.endswith(f"-{source}"):
            return method, rest.removesuffix(source).removesuffix("-"), source
    return method, rest, ""


def over_seeds(group: Group, score: Score, place: str = "test_metrics") -> Number | None:
    """Return a score's mean and standard deviation over finished seeds; None if none has it."""
    values = group.values(score.key, place)
    if not values:
        return None
    mean, sd = mean_sd(values)
    return Number(mean, sd, factor=score.factor, digits=score.digits)


def with_interval(group: Group, score: Score) -> Number | None:
    """Return `over_seeds` with the interval over seeds and test groups, if rows are there."""
    number = over_seeds(group, score)
    runs = list(runs_of(group, score.key).values())
    if number is None or not runs or len(set(runs[0].groups)) < 2:
        return number
    interval = hierarchical_interval(runs)
    return Number(number.mean, number.sd, interval.low, interval.high, score.factor, score.digits)


def runs_of(group: Group, metric: str) -> dict[int, Statistics]:
    """Return the test rows' statistics of a metric by finished seed, of arms that have some.

    Raises:
        UserError: if the rows do not give the score that the arm's record holds.
    """
    if metric in group._runs:
        return group._runs[metric]
    runs = group._runs.setdefault(metric, {})
    for seed, record in group.done.items():
        recorded = record.test_metrics.get(metric)
        rows = group.study.predictions(group.run(seed))
        if recorded is None or not rows:
            continue
        try:
            runs[seed] = row_statistics(rows, metric, labels_of(record))
        except ValueError as error:
            where = f"{group.study.folder}: predictions of {group.run(seed)}"
            raise UserError(f"{where}: {error}") from None
        if not math.isclose(runs[seed].value, recorded, rel_tol=1e-6, abs_tol=1e-9):
            raise UserError(
                f"{group.study.folder}: {group.run(seed)}: {metric} is {recorded} in its record "
                f"but {runs[seed].value} from its predictions (allowed: the same)"
            )
    return runs


def labels_of(record: TrialRecord) -> list[str]:
    """Return the label set that a record was scored over, in its order."""
    return [key[3:-1] for key in record.test_metrics if key.startswith("f1[")]


def paired(first: Group, second: Group, metric: str) -> Difference | None:
    """Return first - second on their common seeds' test rows; None without any, or one group.

    Raises:
        UserError: if the two were scored on different rows.
    """
    one, other = runs_of(first, metric), runs_of(second, metric)
    seeds = [seed for seed in one if seed in other]
    if not seeds or len(set(one[seeds[0]].groups)) < 2:
        return None
    try:
        return paired_bootstrap([one[s] for s in seeds], [other[s] for s in seeds])
    except ValueError as error:
        raise UserError(
            f"{first.study.folder}: {first.name} against {second.name}: {error}"
        ) from None


def notes_on(
    groups: Iterable[Group], scores: Iterable[Score] = (), *, seeds: bool = True
) -> tuple[str, ...]:
    """Return what a reader must know of these groups: their studies' notes, few `seeds`, gaps."""
    groups = list(groups)
    studies = {group.study.folder: group.study for group in groups}
    notes = [
        f"{study.info.name}: {note}" if len(studies) > 1 else note
        for study in studies.values()
        for note in study.notes
    ]
    few = [f"{g.name} ({len(g.done)})" for g in groups if len(g.done) < FEW_SEEDS]
    if few and seeds:
        notes.append(f"fewer than {FEW_SEEDS} finished seeds: {', '.join(dict.fromkeys(few))}")
    notes += [note for group in groups for note in _known_for_some(group, scores)]
    return tuple(notes)


def _known_for_some(group: Group, scores: Iterable[Score]) -> list[str]:
    """Return a note for each number of seeds that some scores are known for, but not for all."""
    known: dict[int, list[str]] = {}
    for score in scores:
        have = len(group.values(score.key))
        if 0 < have < len(group.done):
            known.setdefault(have, []).append(score.key)
    notes = []
    for have, keys in known.items():
        # A score stands for its parts, `bleu` for `bleu[right]`.
        named = [key for key in keys if "[" not in key or key.partition("[")[0] not in keys]
        verb = "is" if len(named) == 1 else "are"
        notes.append(f"{group.name}: {', '.join(named)} {verb} known for {have} of its seeds only")
    return notes
