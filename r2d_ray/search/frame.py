"""The frame of a search and of a comparison: folder, lock, data, cluster, trials, result.

It stands in `search/` because it drives Ray Tune; `comparison/` comes after and uses it too.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

from r2d_ray.config import TrainConfig, may_use_hub
from r2d_ray.data.card import with_tokens
from r2d_ray.data.examples import Splits
from r2d_ray.data.prepare import check_tokenizer, open_prepared, prepare
from r2d_ray.distributed.cluster import Capacity, check_shared_storage, connect
from r2d_ray.evaluation.bertscore import check_encoder
from r2d_ray.records import StudyInfo, TrialRecord
from r2d_ray.search.trial import step_left
from r2d_ray.search.tuner import Session, StatelessSearcher, drive
from r2d_ray.storage import write_json
from r2d_ray.study.books import Bookkeeper
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.lock import StudyLock
from r2d_ray.study.opening import find_study, open_study
from r2d_ray.study.progress.events import (
    EndedTrial,
    PlannedTrial,
    Show,
    StudyNote,
    StudyPlanned,
)
from r2d_ray.study.settings import StudySettings
from r2d_ray.tracking.asked import check_trackers, open_trackers


class Plan(Protocol):
    """What a plan of either kind says; nothing is written or run before it stands."""

    @property
    def settings(self) -> StudySettings:
        """What was asked."""

    @property
    def splits(self) -> Splits:
        """The data."""

    @property
    def name(self) -> str:
        """The study's name."""

    @property
    def info(self) -> StudyInfo:
        """What study.json says."""

    def with_info(self, info: StudyInfo) -> Self:
        """Return the plan with another study.json."""


P = TypeVar("P", bound=Plan)


class Missing(NamedTuple):
    """Trials that have not ended yet: who hands them out, and how many."""

    searcher: StatelessSearcher
    trials: int


class StudyRun(ABC, Generic[P]):
    """From a plan to its result; the same plan again goes on where the last run ended."""

    keep_all: ClassVar[bool] = False  # the weights of every trial, not of the best alone

    def __init__(self, plan: P) -> None:
        self.plan = plan

    @abstractmethod
    def configs(self) -> Iterable[tuple[str, TrainConfig]]:
        """Return whose data is prepared: what trials call it (`""` in a search) and a config."""

    def extends(self) -> bool:
        """Return whether trials are to be added to a stored study."""
        return False

    def take_up(self, folder: StudyFolder, stored: StudyInfo) -> tuple[str, ...]:
        """Fit the plan to the stored study; return what to say of it."""
        return ()

    def check_stored(self, folder: StudyFolder) -> None:
        """Raise UserError where what a stored study holds, beside its records, cannot be read."""

    def check(self) -> None:
        """Raise UserError for all that `run` would refuse and this process can know.

        Nothing is written, so that a plan is printed only if it can be begun.
        """
        plan, asked = self.plan, self.plan.settings
        found = find_study(
            asked.storage_path, plan.name, plan.info, asked.resume, extend=self.extends()
        )
        if found is not None:
            self.check_stored(found.folder)
        for _, config in self.configs():
            check_tokenizer(plan.splits, config)
        check_trackers(asked.trackers)
        check_encoder(allow_hub=may_use_hub(plan.info.profile))

    @abstractmethod
    def planned(self) -> list[PlannedTrial]:
        """Return the trials that the study is to have, by number."""

    @abstractmethod
    def missing(self, session: Session) -> Missing | None:
        """Return what is still to be trained, None if it is nothing."""

    @abstractmethod
    def finish(self, session: Session) -> dict[str, Any] | None:
        """Evaluate and return the result, None if trials are still missing."""

    def run(
        self,
        address: str | None,
        capacity: Capacity,
        concurrency: int,
        show: Show,
    ) -> dict[str, Any] | None:
        """Run or resume the study; return its result, None if it was stopped and can be resumed.

        Raises:
            UserError: for data that cannot be tokenised, a folder in use or of another study.
        """
        plan, storage = self.plan, self.plan.settings.storage_path
        absent = absent_folders(storage)
        opened = open_study(
            storage, plan.name, plan.info, plan.settings.resume, extend=self.extends()
        )
        folder = opened.folder
        with StudyLock(folder.root):
            for note in opened.notes:
                show(StudyNote(f"resumed with another version: {note}"))
            for note in self.take_up(folder, opened.info):
                show(StudyNote(note))
            try:
                prepared = {
                    data: self.prepare(data, config, folder) for data, config in self.configs()
                }
            except Exception:
                if not opened.resumed:
                    remove_new(folder.root, absent)
                raise
            if not opened.resumed:
                self.note_tokens(folder, next(iter(prepared.values())))
            if address is None:
                connect(None, capacity)
            check_shared_storage(folder.root)
            books = Bookkeeper(folder, self.plan.info, self.keep_all)
            trackers = self.plan.settings.trackers
            open_trackers(trackers, self.plan.info.name)
            session = Session(books, prepared, concurrency, show, trackers=trackers)
            self.train(session, opened.resumed)
            return self.finish(session)

    def splits_of(self, data: str) -> Splits:
        """Return the splits that trials call so."""
        return self.plan.splits

    def prepare(self, data: str, config: TrainConfig, folder: StudyFolder) -> Path:
        """Tokenise the data for a config unless it is there; return its folder."""
        return prepare(self.splits_of(data), config, folder.prepared_dir)

    def note_tokens(self, folder: StudyFolder, prepared_dir: Path) -> None:
        """Enter the token lengths and cut shares into a new study's data card."""
        card = with_tokens(self.plan.info.data_card, open_prepared(prepared_dir).info["tokens"])
        info = self.plan.info.model_copy(update={"data_card": card})
        self.plan = self.plan.with_info(info)
        write_json(folder.info_path, info.model_dump(mode="json"))

    def train(self, session: Session, resumed: bool) -> None:
        """Say what is there and what is to come; run the trials that are still missing."""
        missing = self.missing(session)
        session.show(said_of(session, self.planned(), resumed))
        if missing is not None:
            drive(session, *missing)


def said_of(session: Session, planned: Sequence[PlannedTrial], resumed: bool) -> StudyPlanned:
    """Return what is said of a study before its trials of this session."""
    info, folder, records = session.books.info, session.folder, session.books.records
    objective = info.objective
    left = {
        number: max(map(step_left, folder.run_dirs(number)))
        for number in range(len(planned))
        if number not in records and folder.trial_dir(number).exists()
    }
    searched = info.space.get("search", {})
    return StudyPlanned(
        study=info.name,
        folder=str(folder.root),
        resumed=resumed,
        metric=objective.metric,
        mode=objective.mode,
        trials=planned,
        ended={
            number: ended_trial(record, objective.metric, searched)
            for number, record in records.items()
        },
        goes_on=left,
        at_once=session.concurrency,
        searched=tuple(searched),
    )


def ended_trial(record: TrialRecord, metric: str, searched: Mapping[str, Any]) -> EndedTrial:
    """Return what is said of a trial that ended in a former session."""
    values = {name: record.config.get(name) for name in searched}
    score = record.metrics.get(metric)
    return EndedTrial(record.status, score, record.wall_s, record.steps_done, values)


def absent_folders(storage_path: str) -> list[Path]:
    """Return the folders of a storage path that are not there yet, the innermost first."""
    storage = Path(storage_path).expanduser().absolute()
    return [place for place in (storage, *storage.parents) if not place.exists()]


def remove_new(root: Path, absent: Sequence[Path]) -> None:
    """Remove a study that was just made, and the folders that were made for it: nothing is left."""
    shutil.rmtree(root)
    with suppress(OSError):  # another study may lie there by now
        for place in absent:
            place.rmdir()
