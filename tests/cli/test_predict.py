from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import torch
from conftest import tiny_config, toy_info, toy_rows

import r2d_ray.predict  # noqa: F401  heavy: imported here rather than by the first test that runs
from r2d_ray.data.prepare import open_prepared
from r2d_ray.errors import EXIT_BAD_INPUT, EXIT_DONE
from r2d_ray.model.t5 import load_model
from r2d_ray.predict import main as predict_main
from r2d_ray.records import Prediction, read_jsonl
from r2d_ray.study.books import trial_record
from r2d_ray.study.export import export_best
from r2d_ray.study.model_file import MODEL_FILE

ROWS = toy_rows("new", 7)
Predict = Callable[..., tuple[int, str]]


def exported(folder: Path, prepared_dir: Path, **values: Any) -> Path:
    """Export an untrained model as a study would its best trial's."""
    config = tiny_config(**values)
    prepared = open_prepared(prepared_dir)
    load_model(config, prepared.tokenizer).save_pretrained(folder / "weights")
    info = toy_info("s", config, {"metric": "macro_f1", "mode": "max"}, 1)
    record = trial_record(info, 0, {}, "done", metrics={"macro_f1": 0.5}, selected_step=8)
    export_best(folder / "weights", prepared_dir / "tokenizer", folder / "best", info, record)
    return folder / "best"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, prepared_dir: Path) -> Path:
    return exported(tmp_path_factory.mktemp("model"), prepared_dir)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.jsonl"
    lines = [{"id": r.id, "question": r.question, "context": r.context} for r in ROWS]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def predict(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Predict:
    """Runs the command in this process; returns exit code and stderr, nothing is on stdout."""

    def go(model: Path, source: Path, *more: str, output: str = "out.jsonl") -> tuple[int, str]:
        capfd.readouterr()
        target = tmp_path / output
        words = ["--model", str(model), "--input", str(source), "--output", str(target)]
        code = predict_main([*words, "--device", "cpu", *more])
        out, error = capfd.readouterr()
        assert out == ""
        return code, error

    return go


def written(tmp_path: Path) -> list[Prediction]:
    return list(read_jsonl(tmp_path / "out.jsonl", Prediction))


def test_every_row_gets_label_probabilities_and_rationale_in_its_place(
    model: Path, notes: Path, predict: Predict, tmp_path: Path
) -> None:
    code, error = predict(model, notes)
    assert (code, error) == (EXIT_DONE, f"7 predictions: {tmp_path / 'out.jsonl'}\n")
    found = written(tmp_path)
    assert [row.id for row in found] == [row.id for row in ROWS]
    for row in found:
        assert row.probabilities.keys() == {"yes", "no"}
        assert sum(row.probabilities.values()) == pytest.approx(1.0, abs=1e-6)
        assert row.label == max(row.probabilities, key=lambda label: row.probabilities[label])
        assert isinstance(row.rationale, str)
        assert row.gold_label is None
        assert row.reference is None


@pytest.mark.parametrize("size", [1, 3, 7])
def test_the_batch_size_changes_no_prediction(
    model: Path, notes: Path, predict: Predict, tmp_path: Path, size: int
) -> None:
    assert predict(model, notes, "--batch-size", "64")[0] == EXIT_DONE
    whole = written(tmp_path)
    assert predict(model, notes, "--batch-size", str(size))[0] == EXIT_DONE
    for one, other in zip(written(tmp_path), whole, strict=True):
        assert (one.id, one.label, one.rationale) == (other.id, other.label, other.rationale)
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_csv_and_parquet_with_other_column_names_predict_alike(
    model: Path, notes: Path, predict: Predict, tmp_path: Path
) -> None:
    predict(model, notes)
    expected = written(tmp_path)
    columns = {"key": "id", "q": "question", "note": "context"}
    renamed = {name: [getattr(row, own) for row in ROWS] for name, own in columns.items()}
    pyarrow.parquet.write_table(pyarrow.table(renamed), tmp_path / "notes.parquet")
    with (tmp_path / "notes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([renamed, *zip(*renamed.values(), strict=True)])
    flags = ["--columns", "id=key,question=q,context=note"]
    for name in ("notes.csv", "notes.parquet"):
        assert predict(model, tmp_path / name, *flags)[0] == EXIT_DONE
        assert [(r.id, r.label, r.rationale) for r in written(tmp_path)] == [
            (r.id, r.label, r.rationale) for r in expected
        ]


def test_rows_need_no_id_no_context_and_no_known_label(
    model: Path, predict: Predict, tmp_path: Path
) -> None:
    (tmp_path / "bare.jsonl").write_text('{"question": "Is it?", "label": "maybe"}\n')
    assert predict(model, tmp_path / "bare.jsonl", "--verbosity", "quiet") == (EXIT_DONE, "")
    [row] = written(tmp_path)
    assert (row.id, row.gold_label) == ("row-1", "maybe")
    assert row.label in ("yes", "no")


def test_a_model_trained_on_labels_only_writes_no_rationale(
    notes: Path, predict: Predict, tmp_path: Path, prepared_dir: Path
) -> None:
    sft = {"label_loss_weight": 1.0, "stage1_max_steps": 0}
    folder = exported(tmp_path, prepared_dir, **sft)
    assert predict(folder, notes)[0] == EXIT_DONE
    assert {row.rationale for row in written(tmp_path)} == {None}


def test_an_older_output_is_replaced_whole(
    model: Path, notes: Path, predict: Predict, tmp_path: Path
) -> None:
    (tmp_path / "out.jsonl").write_text("older\n" * 100)
    assert predict(model, notes)[0] == EXIT_DONE
    assert len(written(tmp_path)) == 7
    assert {p.name for p in tmp_path.iterdir()} == {"notes.jsonl", "out.jsonl"}


def damaged(model: Path, folder: Path, change: Callable[[Path], object]) -> Path:
    shutil.copytree(model, folder)
    change(folder)
    return folder


BAD_MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "none": (shutil.rmtree, "best/ folder of a study"),
    "no description": (lambda f: (f / MODEL_FILE).unlink(), "best/ folder of a study"),
    "a torn description": (lambda f: (f / MODEL_FILE).write_text('{"la'), MODEL_FILE),
    "a list": (lambda f: (f / MODEL_FILE).write_text("[]"), MODEL_FILE),
    "no labels": (lambda f: (f / MODEL_FILE).write_text('{"config": {}}'), MODEL_FILE),
    "another config": (
        lambda f: (f / MODEL_FILE).write_text('{"labels": ["a"], "config": {"x": 1}}'),
        MODEL_FILE,
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "safetensors"),
    "damaged weights": (lambda f: (f / "model.safetensors").write_bytes(b"x" * 99), "safetensors"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "tokenizer"),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_a_folder_that_is_no_exported_model_is_refused(
    model: Path, notes: Path, predict: Predict, tmp_path: Path, case: str
) -> None:
    change, said = BAD_MODELS[case]
    code, error = predict(damaged(model, tmp_path / "bad", change), notes)
    assert code == EXIT_BAD_INPUT
    assert error.startswith(f"error: --model {tmp_path / 'bad'}")
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.jsonl").exists()


def test_a_long_question_is_cut_and_answered(model: Path, predict: Predict, tmp_path: Path) -> None:
    source = tmp_path / "notes.jsonl"
    long = " ".join(f"word{i}" for i in range(200))
    source.write_text(json.dumps({"id": "x", "question": f"{long}. Is it gout?"}) + "\n")
    assert predict(model, source)[0] == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1


BAD_INPUT: dict[str, tuple[str, Sequence[str], Sequence[str]]] = {
    "empty": ("", [], ["notes.jsonl", "empty"]),
    "no JSON": ("question\n", [], ["notes.jsonl:1", "JSON"]),
    "no question": (
        '{"id": "a", "note": "x"}\n',
        [],
        ["notes.jsonl: no column", "'question'", "note"],
    ),
    "an empty question": (
        '{"id": "a", "question": " "}\n',
        [],
        ["notes.jsonl:1", "'question'", "empty"],
    ),
    "a number": ('{"question": 3}\n', [], ["notes.jsonl:1", "'question'", "int"]),
    "an id twice": ('{"question": "q", "id": "a"}\n' * 2, [], ["notes.jsonl:2", "'a'"]),
    "columns": ('{"question": "q"}\n', ["--columns", "question=ask"], ["question=ask"]),
    "batch size": ('{"question": "q"}\n', ["--batch-size", "0"], ["--batch-size 0", "1"]),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(
    model: Path, predict: Predict, tmp_path: Path, case: str
) -> None:
    text, more, said = BAD_INPUT[case]
    source = tmp_path / "notes.jsonl"
    source.write_text(text)
    code, error = predict(model, source, *more)
    assert code == EXIT_BAD_INPUT
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for part in said:
        assert part in error
    assert [p.name for p in tmp_path.iterdir()] == ["notes.jsonl"]


def test_a_missing_input_is_named(model: Path, predict: Predict, tmp_path: Path) -> None:
    code, error = predict(model, tmp_path / "none.jsonl")
    assert code == EXIT_BAD_INPUT
    assert "none.jsonl" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "said"),
    [(".", "is a folder"), ("no/out", "does not exist"), ("x" * 250, "name too long")],
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    notes: Path, predict: Predict, tmp_path: Path, output: str, said: str
) -> None:
    code, error = predict(tmp_path / "no model either", notes, output=output)
    assert code == EXIT_BAD_INPUT
    assert error.startswith(f"error: --output {tmp_path / output}: ")
    assert said in error
    assert [p.name for p in tmp_path.iterdir()] == ["notes.jsonl"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_refused(
    model: Path, notes: Path, predict: Predict, tmp_path: Path
) -> None:
    code, error = predict(model, notes, "--device", "cuda")
    assert (code, error.count("\n")) == (EXIT_BAD_INPUT, 1)
    assert "--device cuda" in error
    assert not (tmp_path / "out.jsonl").exists()
