"""The controls of a study: made once of its rows, made again equal after a kill, read by both."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import toy_splits

from r2d_ray.distributed import controls as module
from r2d_ray.distributed.controls import beats_bag_of_words, control_file, label_controls
from r2d_ray.evaluation.scoring import score
from r2d_ray.records import Prediction, read_jsonl
from r2d_ray.study.folder import StudyFolder

NAMES = ["bag of words, question", "bag of words, question and context"]


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes of the data that bags of words were fitted to."""
    made: list[str] = []
    really = module.out_of_fold

    def counted(folds, metric):
        made.extend(fold.hash for fold in folds)
        return really(folds, metric)

    monkeypatch.setattr(module, "out_of_fold", counted)
    return made


def test_they_are_made_once_of_the_same_rows(tmp_path: Path, fits: list[str]) -> None:
    folder, splits = StudyFolder(tmp_path), toy_splits()
    found = label_controls(folder, [splits], "macro_f1")
    assert list(found) == ["majority label (no)", "coin, training balance", *NAMES]
    assert label_controls(folder, [splits], "macro_f1") == found
    assert fits == [splits.hash]
    json.dumps(found, allow_nan=False)
    other = replace(splits, test=splits.test[:4])
    label_controls(folder, [other], "macro_f1")
    assert fits == [splits.hash, other.hash]
    label_controls(folder, [other], "accuracy")
    assert len(fits) == 3, "another metric may choose another setting"


def test_their_predictions_are_a_run_that_gives_their_scores(tmp_path: Path) -> None:
    folder, splits = StudyFolder(tmp_path), toy_splits()
    found = label_controls(folder, [splits], "macro_f1")
    for name in NAMES:
        rows = list(read_jsonl(control_file(folder, name), Prediction))
        assert [row.id for row in rows] == [row.id for row in splits.test]
        again = score(rows, splits.labels)
        for key, value in found[name].items():
            assert key in ("setting", "validation") or again[key] == value


HARMS: dict[str, Callable[[Path], object]] = {
    "lost": Path.unlink,
    "empty": lambda file: file.write_text(""),
    "short of its last row": lambda file: file.write_text(
        "".join(file.read_text().splitlines(keepends=True)[:-1])
    ),
    "of another kind": lambda file: file.write_text("{}"),
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("folds", [1, 2])
def test_a_file_that_is_no_longer_what_was_written_is_made_again_and_equal(
    tmp_path: Path, fits: list[str], harm: str, folds: int
) -> None:
    folder, splits = StudyFolder(tmp_path), [toy_splits()] * folds
    found = label_controls(folder, splits, "macro_f1")
    files = {f: f.read_bytes() for f in folder.predictions_dir.glob("*.jsonl")}
    assert {file.name.rpartition("-")[2] for file in files} == {
        ("test", "oof")[folds - 1] + ".jsonl"
    }
    HARMS[harm](min(files))
    assert label_controls(folder, splits, "macro_f1") == found
    assert len(fits) == 2 * folds
    assert {f: f.read_bytes() for f in folder.predictions_dir.glob("*.jsonl")} == files


def test_scores_that_a_kill_left_unwritten_are_made_again(tmp_path: Path, fits: list[str]) -> None:
    folder, splits = StudyFolder(tmp_path), toy_splits()
    found = label_controls(folder, [splits], "macro_f1")
    (folder.predictions_dir / "controls.scores.json").unlink()
    assert label_controls(folder, [splits], "macro_f1") == found
    assert len(fits) == 2


def test_open_labels_have_none_and_say_why(tmp_path: Path) -> None:
    splits = replace(toy_splits(), labels=())
    found = label_controls(StudyFolder(tmp_path), [splits], "macro_f1")
    assert list(found) == ["majority label (no)"]
    said = beats_bag_of_words([splits], found, {"r2d": 0.5}, "macro_f1", "arm")
    assert "not applicable" in said["says"]
