"""A prediction that is killed anywhere goes on and ends with the bytes of an undisturbed run."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from made_answers import SAVERS, HashPredictor, Rows, model_folder

from r2d_ray.errors import UserError
from r2d_ray.prediction import predictor
from r2d_ray.prediction.part import ANSWERS, Part, part_folder
from r2d_ray.prediction.request import PredictRequest
from r2d_ray.prediction.run import Listener, predict_file
from r2d_ray.study.model_file import MODEL_FILE

ROWS: Rows = [{"id": str(n), "q": "How urgent?", "note": f"Day {n}"} for n in range(45)]
CHUNKS = [8, 8, 8, 8, 8, 5]  # batches of one row, eight of them a chunk
OUTPUTS = ("out.csv", "out.jsonl.gz", "out.parquet")


class Heard(Listener):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.progress: list[tuple[int, int, int]] = []

    def say(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)

    def done(self, rows: int, total: int, earlier: int) -> None:
        """Keep the progress."""
        self.progress.append((rows, total, earlier))


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PredictRequest:
    monkeypatch.setattr(predictor, "Predictor", HashPredictor)
    monkeypatch.setattr(HashPredictor, "seen", [])
    monkeypatch.setattr(HashPredictor, "stop_after", None)
    SAVERS["in.csv"](ROWS, tmp_path / "in.csv")
    return PredictRequest(model_folder(tmp_path / "model"), batch_size=1, device="cpu")


def interrupted(request: PredictRequest, source: Path, output: Path, after: int) -> None:
    HashPredictor.seen.clear()
    HashPredictor.stop_after = after
    with pytest.raises(KeyboardInterrupt):
        predict_file(request, source, output, Listener())
    HashPredictor.stop_after = None
    HashPredictor.seen.clear()


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("after", range(len(CHUNKS)))
def test_after_an_interruption_only_the_rest_is_answered(
    request_: PredictRequest, tmp_path: Path, after: int, name: str
) -> None:
    source = tmp_path / "in.csv"
    predict_file(request_, source, tmp_path / f"whole-{name}", Listener())
    assert HashPredictor.seen == CHUNKS
    interrupted(request_, source, tmp_path / name, after)
    assert not (tmp_path / name).exists()
    heard = Heard()
    predict_file(request_, source, tmp_path / name, heard)
    assert HashPredictor.seen == CHUNKS[after:]
    assert ("8 rows have their answers already" in heard.lines) == (after == 1)
    assert heard.progress[-1] == (45, 45, 8 * after)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    assert not part_folder(tmp_path / name).exists()


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def torn_line(part: Part, answers: object) -> None:
    """Write a part of a chunk's line, as a kill may leave it."""
    with (part.folder / ANSWERS).open("ab") as file:
        file.write(b'[{"label": "home", "proba')
        file.flush()
        die()


KILLS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "before the first answer": lambda p: p.setattr(HashPredictor, "answers", die),
    "in the middle of a chunk's line": lambda p: p.setattr(Part, "append", torn_line),
    "while the output is written": lambda p: p.setattr("r2d_ray.prediction.run.write_all", die),
    "before the output takes its place": lambda p: p.setattr(Path, "replace", die),
}


@pytest.mark.parametrize("kill", KILLS)
def test_a_kill_loses_nothing_that_was_kept(
    request_: PredictRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: str
) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    predict_file(request_, source, tmp_path / "whole.csv", Listener())
    if kill != "before the first answer":
        interrupted(request_, source, output, after=2)
    with monkeypatch.context() as patch:
        KILLS[kill](patch)
        run = (request_, source, output, Listener())
        child = multiprocessing.get_context("fork").Process(target=predict_file, args=run)
        child.start()
        child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert not output.exists()
    predict_file(request_, source, output, Listener())
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not part_folder(output).exists()


CHANGES: dict[str, Callable[[Path, PredictRequest], PredictRequest]] = {
    "another batch": lambda _, asked: replace(asked, batch_size=2),
    "a threshold": lambda _, asked: replace(asked, abstain_below=0.5),
    "strictness": lambda _, asked: replace(asked, long_inputs="refuse"),
    "columns": lambda _, asked: replace(asked, columns={"context": "id"}),
    "the model": lambda place, asked: (touched(asked.model / MODEL_FILE), asked)[1],
    "the input": lambda place, asked: (touched(place / "in.csv"), asked)[1],
}


def touched(path: Path) -> None:
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize("change", CHANGES)
def test_answers_to_something_else_are_discarded_and_that_is_said(
    request_: PredictRequest, tmp_path: Path, change: str
) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    interrupted(request_, source, output, after=2)
    asked = CHANGES[change](tmp_path, request_)
    heard = Heard()
    predict_file(asked, source, output, heard)
    assert sum(HashPredictor.seen) == len(ROWS)
    assert any("the answers so far are discarded" in line for line in heard.lines)
    predict_file(asked, source, tmp_path / "again.csv", Listener())
    assert output.read_bytes() == (tmp_path / "again.csv").read_bytes()


def test_two_at_once_are_refused(request_: PredictRequest, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    with Part(output, {}), pytest.raises(UserError, match="another process is writing it"):
        predict_file(request_, tmp_path / "in.csv", output, Listener())


def test_an_input_that_changes_meanwhile_is_refused(
    request_: PredictRequest, tmp_path: Path
) -> None:
    class Meddler(Listener):
        def done(self, rows: int, total: int, earlier: int) -> None:
            touched(tmp_path / "in.csv")

    with pytest.raises(UserError, match="it changed while it was read"):
        predict_file(request_, tmp_path / "in.csv", tmp_path / "out.csv", Meddler())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "model"]


def test_a_row_that_is_refused_late_leaves_nothing(
    request_: PredictRequest, tmp_path: Path
) -> None:
    rows = [*ROWS, {"id": "x", "q": "a question that is too long", "note": "n"}]
    SAVERS["in.jsonl"](rows, tmp_path / "late.jsonl")
    with pytest.raises(UserError, match="too long"):
        predict_file(
            replace(request_, long_inputs="refuse"),
            tmp_path / "late.jsonl",
            tmp_path / "out.csv",
            Listener(),
        )
    assert not (tmp_path / "out.csv").exists()
    assert not part_folder(tmp_path / "out.csv").exists()


def test_a_manifest_that_is_none_begins_anew(request_: PredictRequest, tmp_path: Path) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    for text in ("", "[]", "{", json.dumps({"key": 3})):
        interrupted(request_, source, output, after=2)
        (part_folder(output) / "manifest.json").write_text(text)
        predict_file(request_, source, output, Listener())
        assert sum(HashPredictor.seen) == len(ROWS)
