"""A comparison's scores are made once: whatever a kill left out is made again, and nothing else."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from test_arms import record
from test_comparison_run import settings

from r2d_ray.comparison import run as compare
from r2d_ray.comparison import scores as arm_scores
from r2d_ray.comparison import searcher
from r2d_ray.comparison.plan import ComparePlan, make_compare_plan
from r2d_ray.comparison.rationales import RationaleScores, file_of
from r2d_ray.comparison.run import finish
from r2d_ray.comparison.searcher import run_again
from r2d_ray.config import TrainConfig
from r2d_ray.distributed import controls
from r2d_ray.distributed.tasks import Job, predictions_file
from r2d_ray.evaluation.controls.bag_of_words import BagOfWords, out_of_fold
from r2d_ray.records import Prediction, TrialRecord, read_jsonl, write_jsonl
from r2d_ray.storage import write_json
from r2d_ray.study import books as kept
from r2d_ray.study.books import OUTCOME, Bookkeeper, ScoreCache, key_of, save_outcome
from r2d_ray.study.folder import StudyFolder


class KilledError(BaseException):
    """The process is gone."""


class Work:
    """Stands for the models: every score tells of the weights; dies at a given moment."""

    def __init__(self, plan: ComparePlan) -> None:
        self.plan = plan
        self.done: list[str] = []
        self.moments = 0
        self.kill_at: int | None = None

    def moment(self) -> None:
        self.moments += 1
        if self.moments == self.kill_at:
            raise KilledError

    def write_json(self, path: Path, value: Any) -> None:
        self.moment()
        write_json(path, value)
        self.moment()

    def evaluate(self, jobs: Sequence[Job], folder: StudyFolder) -> Iterator[dict[str, Any]]:
        for wanted, _, _ in jobs:
            outcome = TrialRecord.model_validate_json(
                (wanted.model_dir.parent / OUTCOME).read_text()
            )
            self.moment()
            row = Prediction(id="a", group="g", rationale=f"{wanted.name} {outcome.wall_s}")
            write_jsonl(predictions_file(folder, wanted), [row])
            self.moment()
            self.done.append(f"{wanted.name} {wanted.table}")
            yield {"macro_f1": outcome.wall_s / 3, "signature": "of something"}

    def compare_texts(
        self, plan: ComparePlan, folder: StudyFolder, done: Sequence[int], _: bool
    ) -> RationaleScores:
        self.done.append("texts")
        wrote = [n for n in done if plan.arms[n].config.trains_rationales]
        self.add([file_of(plan, folder, n) for n in wrote], "bertscore")
        scores = {n: {"bertscore": 0.1 * n} for n in wrote}
        return RationaleScores(scores, {"trivial": {"bertscore": 0.3}}, {"bertscore_model": "m"})

    def read(
        self, config: TrainConfig, prepared: Path, weights: Path, name: str, files: list[Path]
    ) -> list[dict[str, Any]]:
        self.done += [f"read {file.name}" for file in files]
        self.add(files, "reader")
        return [{"reader_sufficiency": 1 / 3, "reader_nothing": None} for _ in files]

    def add(self, files: Sequence[Path], name: str) -> None:
        for file in files:
            [row] = read_jsonl(file, Prediction)
            self.moment()
            write_jsonl(
                file, [row.model_copy(update={"statistics": {**row.statistics, name: [1.0]}})]
            )
            self.moment()

    def reader(
        self, plan: ComparePlan, folder: StudyFolder, source: str | None, fold: int | None
    ) -> tuple[TrainConfig, Path, Path]:
        place = folder.root / "readers" / "nurse"
        place.mkdir(parents=True, exist_ok=True)
        (place / OUTCOME).write_text("trained")
        return plan.arms[0].config, place, place / "best"


@pytest.fixture(scope="module")
def plan() -> ComparePlan:
    return make_compare_plan(settings("r2d sft", (1, 2)))


@pytest.fixture(scope="module")
def bags(plan: ComparePlan) -> dict[str, BagOfWords]:
    """The bags of words of the plan's data, fitted once for every test."""
    return out_of_fold(plan.parts, "macro_f1")


@pytest.fixture
def work(plan: ComparePlan, bags: dict[str, BagOfWords], monkeypatch: pytest.MonkeyPatch) -> Work:
    made = Work(plan)
    monkeypatch.setattr(arm_scores, "evaluate_each", made.evaluate)
    monkeypatch.setattr(arm_scores, "read_files", made.read)
    monkeypatch.setattr(arm_scores, "train_reader", made.reader)
    monkeypatch.setattr(compare, "compare_rationales", made.compare_texts)
    monkeypatch.setattr(controls, "out_of_fold", lambda folds, metric: bags)
    monkeypatch.setattr(kept, "write_json", made.write_json)
    monkeypatch.setattr(compare, "write_json", made.write_json)
    return made


def trained(root: Path, plan: ComparePlan, failed: Sequence[int] = ()) -> StudyFolder:
    """Return a comparison all of whose arms have ended."""
    folder = StudyFolder(root)
    folder.predictions_dir.mkdir(parents=True)
    for number in range(len(plan.arms)):
        end(folder, plan, number, "failed" if number in failed else "done", 1.0 + number)
    return folder


def end(folder: StudyFolder, plan: ComparePlan, number: int, status: str, wall: float) -> None:
    steps = {"steps_done": 500, "reason": "CUDA" if status == "failed" else None}
    save_outcome(folder, record(number, status=status, arm=plan.arms[number].name, **steps), 0.0)
    place = folder.trial_dir(number) / OUTCOME
    ended = TrialRecord.model_validate_json(place.read_text())
    place.write_text(ended.model_copy(update={"wall_s": wall}).model_dump_json())
    Bookkeeper(folder, plan.info, keep_all=True).ended(number, {})


def finished(folder: StudyFolder, plan: ComparePlan) -> dict[str, bytes]:
    """Finish the comparison and return every file that a reader of it would open."""
    prepared = {"": folder.prepared_dir / "p"}
    finish(plan, folder, prepared, Bookkeeper(folder, plan.info, keep_all=True))
    files = [folder.root / "result.json", folder.records_path]
    files += sorted(folder.predictions_dir.glob("*.jsonl"))
    return {path.name: path.read_bytes() for path in files}


def test_a_repeated_comparison_makes_nothing_again(
    tmp_path: Path, plan: ComparePlan, work: Work
) -> None:
    folder = trained(tmp_path / "c", plan)
    first = finished(folder, plan)
    made = [f"{arm.name} {split}" for arm in plan.arms for split in ("validation", "test")]
    assert work.done == [*made, "texts", "read r2d-1-test.jsonl", "read r2d-2-test.jsonl"]
    assert len(first) == 3 + len(made) + 2  # result, records, rows; two bags of words
    work.done.clear()
    assert finished(folder, plan) == first
    assert work.done == []


def test_killed_at_any_moment_and_repeated_gives_the_same_files(
    tmp_path: Path, plan: ComparePlan, work: Work
) -> None:
    untouched = trained(tmp_path / "untouched", plan)
    shutil.copytree(untouched.root, tmp_path / "whole")
    want = finished(StudyFolder(tmp_path / "whole"), plan)
    moments = work.moments
    assert moments > 40
    for moment in range(1, moments + 1):
        root = tmp_path / str(moment)
        shutil.copytree(untouched.root, root)
        work.moments, work.kill_at = 0, moment
        with pytest.raises(KilledError):
            finished(StudyFolder(root), plan)
        work.kill_at = None
        assert finished(StudyFolder(root), plan) == want


def test_an_evaluation_whose_predictions_are_gone_is_made_again_with_what_was_made_of_it(
    tmp_path: Path, plan: ComparePlan, work: Work
) -> None:
    folder = trained(tmp_path / "c", plan)
    first = finished(folder, plan)
    work.done.clear()
    (folder.predictions_dir / "r2d-2-test.jsonl").unlink()
    assert finished(folder, plan) == first
    assert work.done == ["r2d-2 test", "texts", "read r2d-2-test.jsonl"]


def test_without_an_encoder_rationales_are_scored_again(
    tmp_path: Path, plan: ComparePlan, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained(tmp_path / "c", plan)
    none: Callable[..., RationaleScores] = lambda *_: RationaleScores({0: {"bertscore": None}})  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(compare, "compare_rationales", none)
        finished(folder, plan)
    work.done.clear()
    finished(folder, plan)
    assert work.done == ["texts"]


# Failed arms


def test_a_failed_arm_is_run_again_and_counted_once(
    tmp_path: Path, plan: ComparePlan, work: Work
) -> None:
    whole = finished(trained(tmp_path / "whole", plan), plan)
    folder = trained(tmp_path / "c", plan, failed=[2])
    before = finished(folder, plan)
    assert b'"failed": 1' in before["result.json"]
    books = Bookkeeper(folder, plan.info, keep_all=True)
    assert run_again(folder, books) == [2]
    assert run_again(folder, books) == []
    assert sorted(books.records) == [0, 1, 3]
    assert not (folder.trial_dir(2) / OUTCOME).exists()
    assert books.ended(2, {}).reason == "the trial's driver died", "not the reason of last time"

    assert run_again(folder, books) == [2]
    end(folder, plan, 2, "done", 3.0)
    work.done.clear()
    assert finished(folder, plan) == whole
    assert work.done == ["sft-1 validation", "sft-1 test", "texts"]


def test_a_kill_while_failed_arms_are_struck_strikes_them_the_next_time(
    tmp_path: Path, plan: ComparePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained(tmp_path / "c", plan, failed=[1, 3])

    def die(*_: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(searcher, "write_jsonl", die)
        with pytest.raises(KilledError):
            run_again(folder, Bookkeeper(folder, plan.info, keep_all=True))
    assert run_again(folder, Bookkeeper(folder, plan.info, keep_all=True)) == [1, 3]
    assert sorted(Bookkeeper(folder, plan.info, keep_all=True).records) == [0, 2]


# What is kept


def test_a_part_is_kept_under_its_key_and_gets_a_new_stamp_each_time(tmp_path: Path) -> None:
    scores = ScoreCache.beside(tmp_path / "r2d-1-test.jsonl")
    assert scores.path == tmp_path / "r2d-1-test.scores.json"
    assert (scores.scores("a", "k"), scores.stamp("a")) == (None, None)
    scores.write("a", "k", {"f1": 0.1 + 0.2, "none": None})
    first = scores.stamp("a")
    scores.write("b", "l", {})
    assert scores.scores("a", "k") == {"f1": 0.1 + 0.2, "none": None}
    assert (scores.scores("a", "l"), scores.scores("b", "l"), scores.stamp("a")) == (
        None,
        {},
        first,
    )
    scores.write("a", "k", {"f1": 1.0})
    assert scores.stamp("a") != first
    scores.clear()
    assert scores.scores("b", "l") is None


def test_a_key_tells_what_it_was_made_of_and_the_version_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = {key_of(), key_of("a"), key_of("a", "b"), key_of(["a", "b"]), key_of(None)}
    assert len(keys) == 5
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    before = key_of("a")
    monkeypatch.setattr(kept, "SCHEMA_VERSION", -1)
    assert key_of("a") != before
