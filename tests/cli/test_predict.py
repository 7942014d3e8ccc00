from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_config, toy_info, toy_rows
from transformers import AutoTokenizer

import r2d_ray.predict  # noqa: F401  heavy: imported here rather than by the first test that runs
from r2d_ray.config import TrainConfig
from r2d_ray.data.encode import set_tokens, text_table
from r2d_ray.data.prepare import open_prepared
from r2d_ray.errors import EXIT_BAD_INPUT, EXIT_DONE
from r2d_ray.evaluation.evaluator import Evaluator
from r2d_ray.method.labels import prompt_table
from r2d_ray.model.t5 import load_model, load_weights
from r2d_ray.predict import main as predict_main
from r2d_ray.sharing.best import export_best
from r2d_ray.study.books import trial_record
from r2d_ray.study.model_file import MODEL_FILE, add_calibration, read_model_file

ROWS = toy_rows("new", 7)
Predict = Callable[..., tuple[int, str]]


TABLE_CARD = {
    "label_kind": "fixed",
    "rows": {"train": 24},
    "contexts": {"train": 24},
    "columns": {"question": "question", "context": "context", "label": "label"},
}
"""What the data card of a study says of a table with contexts."""


def exported(
    folder: Path, prepared_dir: Path, card: dict[str, Any] = TABLE_CARD, **values: Any
) -> Path:
    """Export an untrained model as a study would its best trial's."""
    config = tiny_config(**values)
    prepared = open_prepared(prepared_dir)
    load_model(config, prepared.tokenizer).save_pretrained(folder / "weights")
    info = toy_info("s", config, {"metric": "macro_f1", "mode": "max"}, 1)
    info = info.model_copy(update={"data_card": {**info.data_card, **card}})
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


def load_evaluator(folder: Path, config: TrainConfig) -> Evaluator:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = set_tokens(tokenizer, ["yes", "no"], ROWS, config)
    table = prompt_table(tokenizer, tokens, torch.device("cpu"))
    return Evaluator(load_weights(str(folder)), tokenizer, table, config)


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_row_gets_label_probability_and_rationale_in_its_place(
    model: Path, notes: Path, predict: Predict, tmp_path: Path
) -> None:
    code, error = predict(model, notes, "--probabilities")
    assert (code, error.splitlines()) == (
        EXIT_DONE,
        [
            "random weights: scratch-tiny was not pretrained; it learns only from your 24 training "
            "rows",
            f"7 rows of {notes}; columns: question <- question, context <- context",
            f"7 predictions: {tmp_path / 'out.jsonl'}",
        ],
    )
    found = written(tmp_path / "out.jsonl")
    for row, given in zip(found, written(notes), strict=True):
        assert list(row.items())[:3] == list(given.items())
        both = {label: row[f"probability_{label}"] for label in ("yes", "no")}
        assert sum(both.values()) == pytest.approx(1.0, abs=2e-6)
        assert row["predicted_label"] == max(both, key=lambda label: both[label])
        assert row["probability"] == max(both.values())
        assert row["margin"] == pytest.approx(max(both.values()) - min(both.values()), abs=2e-6)
        assert isinstance(row["predicted_rationale"], str)
        assert row["cut_tokens"] >= 0


def test_labels_and_rationales_are_those_of_the_evaluator(
    model: Path, notes: Path, predict: Predict, tmp_path: Path
) -> None:
    kept = read_model_file(model)
    assert predict(model, notes)[0] == EXIT_DONE
    evaluator = load_evaluator(model, kept.config)
    table = text_table(ROWS, evaluator.tokenizer, kept.labels, kept.config)
    outputs = evaluator.labels(table)
    texts = evaluator.rationales(table, [output.label for output in outputs])
    for row, output, text in zip(written(tmp_path / "out.jsonl"), outputs, texts, strict=True):
        assert row["predicted_label"] == output.label
        assert row["probability"] == pytest.approx(max(output.probabilities), abs=1e-6)
        assert row["predicted_rationale"] == text


def test_probabilities_are_those_of_the_stored_calibration(
    model: Path, notes: Path, predict: Predict, tmp_path: Path
) -> None:
    assert predict(model, notes)[0] == EXIT_DONE
    raw = written(tmp_path / "out.jsonl")
    fitted = {"temperature": 2.0, "rows": 10, "rule": "most probable label"}
    again = damaged(model, tmp_path / "fitted", lambda folder: add_calibration(folder, fitted))
    assert predict(again, notes)[0] == EXIT_DONE
    for row, before in zip(written(tmp_path / "out.jsonl"), raw, strict=True):
        p = before["probability"]
        by_hand = p**0.5 / (p**0.5 + (1 - p) ** 0.5)  # two labels, T = 2
        assert row["predicted_label"] == before["predicted_label"]
        assert row["probability"] == pytest.approx(by_hand, abs=2e-6)


def test_a_former_model_is_read_with_a_warning(
    notes: Path, predict: Predict, tmp_path: Path, prepared_dir: Path
) -> None:
    code, error = predict(exported(tmp_path, prepared_dir, card={}), notes)
    assert code == EXIT_DONE
    random, former = error.splitlines()[:2]
    assert random.startswith("random weights: ")
    assert "version 0.2 or before" in former


@pytest.mark.parametrize("size", [1, 3, 7])
def test_the_batch_size_changes_no_prediction(
    model: Path, notes: Path, predict: Predict, tmp_path: Path, size: int
) -> None:
    assert predict(model, notes, "--batch-size", "64")[0] == EXIT_DONE
    whole = written(tmp_path / "out.jsonl")
    assert predict(model, notes, "--batch-size", str(size))[0] == EXIT_DONE
    for one, other in zip(written(tmp_path / "out.jsonl"), whole, strict=True):
        assert one.pop("probability") == pytest.approx(other.pop("probability"), abs=1e-5)
        assert one.pop("margin") == pytest.approx(other.pop("margin"), abs=1e-5)
        assert one == other


def test_a_model_trained_on_labels_only_writes_no_rationale(
    notes: Path, predict: Predict, tmp_path: Path, prepared_dir: Path
) -> None:
    sft = {"label_loss_weight": 1.0, "stage1_max_steps": 0}
    folder = exported(tmp_path, prepared_dir, **sft)
    assert predict(folder, notes)[0] == EXIT_DONE
    assert not any("predicted_rationale" in row for row in written(tmp_path / "out.jsonl"))


def test_an_older_output_is_replaced_whole(
    model: Path, notes: Path, predict: Predict, tmp_path: Path
) -> None:
    (tmp_path / "out.jsonl").write_text("older\n" * 100)
    assert predict(model, notes)[0] == EXIT_DONE
    assert len(written(tmp_path / "out.jsonl")) == 7
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
    row = {"id": "x", "question": f"{long}. Is it gout?", "context": "It helped."}
    source.write_text(json.dumps(row) + "\n")
    code, error = predict(model, source)
    assert code == EXIT_DONE
    assert "1 row is longer than the model reads and was cut" in error
    assert written(tmp_path / "out.jsonl")[0]["cut_tokens"] > 100
    (tmp_path / "out.jsonl").unlink()
    code, error = predict(model, source, "--long-inputs", "refuse")
    assert code == EXIT_BAD_INPUT
    assert "notes.jsonl:1: the question is" in error
    assert "--set" not in error
    assert [p.name for p in tmp_path.iterdir()] == ["notes.jsonl"]


BAD_INPUT: dict[str, tuple[str, Sequence[str], Sequence[str]]] = {
    "empty": ("", [], ["notes.jsonl", "empty"]),
    "no JSON": ("question\n", [], ["notes.jsonl:1", "JSON"]),
    "no question": (
        '{"id": "a", "note": "x"}\n',
        [],
        ["notes.jsonl: no column", "'question'", "note"],
    ),
    "no question at all": (
        '{"id": "a", "question": " "}\n',
        [],
        ["notes.jsonl: column 'question' is empty", "--columns question=COLUMN"],
    ),
    "an empty question": (
        '{"question": "q", "context": "c"}\n{"question": " ", "context": "c"}\n',
        [],
        ["notes.jsonl:2", "'question'", "empty"],
    ),
    "a list": ('{"question": [3], "context": "c"}\n', [], ["notes.jsonl:1", "'question'", "list"]),
    "no context": (
        '{"question": "q", "note": "c"}\n',
        [],
        ["notes.jsonl: no column 'context'", "with contexts", "--columns context=COLUMN"],
    ),
    "contexts without a word": (
        '{"question": "q", "context": null}\n{"question": "q", "context": " "}\n',
        [],
        ["notes.jsonl: column 'context' is empty", "--columns context=COLUMN"],
    ),
    "a probability": ('{"question": "q"}\n', ["--abstain-below", "1.5"], ["abstain"]),
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
    [
        (".", "is a folder"),
        ("no/out", "does not exist"),
        ("x" * 250, "name too long"),
        ("out.xlsx", ".csv, .tsv"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    notes: Path, predict: Predict, tmp_path: Path, output: str, said: str
) -> None:
    code, error = predict(tmp_path / "no model either", notes, output=output)
    assert code == EXIT_BAD_INPUT
    assert error.startswith(f"error: --output {tmp_path / output}: ")
    assert said in error
    assert [p.name for p in tmp_path.iterdir()] == ["notes.jsonl"]


NOT_PLAIN: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a link to a device": lambda place: place.symlink_to("/dev/full"),
    "a link to stdout": lambda place: place.symlink_to("/dev/null"),
    "a ring of links": lambda place: place.symlink_to(place),
    "a link to a folder": lambda place: place.symlink_to(place.parent),
    "a link out of sight": lambda place: place.symlink_to("no/where.jsonl"),
}


@pytest.mark.parametrize("way", ["/dev/fd", "/proc/self/fd", "a link"])
def test_an_output_into_a_pipe_is_refused_by_its_own_name(
    notes: Path, predict: Predict, tmp_path: Path, way: str
) -> None:
    reading, writing = os.pipe()
    try:
        place = Path(f"{way}/{writing}")
        if way == "a link":
            place = tmp_path / "out.jsonl"
            place.symlink_to(f"/proc/self/fd/{writing}")
        code, error = predict(tmp_path / "no model either", notes, output=str(place))
    finally:
        os.close(reading)
        os.close(writing)
    assert code == EXIT_BAD_INPUT
    assert error == (
        f"error: --output {place}: it is no plain file, and an output appears when it is whole "
        "(allowed: a file to write)\n"
    )


@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_an_output_that_is_no_plain_file_is_refused_and_stays(
    notes: Path, predict: Predict, tmp_path: Path, kind: str
) -> None:
    place = tmp_path / "out.jsonl"
    NOT_PLAIN[kind](place)
    before = os.lstat(place)
    code, error = predict(tmp_path / "no model either", notes, output="out.jsonl")
    assert (code, error.count("\n")) == (EXIT_BAD_INPUT, 1)
    assert error.startswith(f"error: --output {place}")
    assert re.search("no plain file|is a folder|folder does not exist", error)
    assert os.lstat(place) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.jsonl", "out.jsonl"]


@pytest.mark.parametrize("there", [True, False])
def test_an_output_that_is_a_link_is_written_at_its_end(
    model: Path, notes: Path, predict: Predict, tmp_path: Path, there: bool
) -> None:
    (tmp_path / "large").mkdir()
    end, link = tmp_path / "large" / "out.jsonl", tmp_path / "out.jsonl"
    link.symlink_to(end)
    if there:
        end.write_text("of yesterday")
    assert predict(model, notes)[0] == EXIT_DONE
    assert link.is_symlink()
    assert written(end) == written(link)
    assert [p.name for p in end.parent.iterdir()] == ["out.jsonl"]


LINKS: dict[str, Callable[[Path, Path], object]] = {
    "the same name": lambda file, link: None,
    "a symbolic link": lambda file, link: link.symlink_to(file),
    "a hard link": lambda file, link: link.hardlink_to(file),
}


@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("of_a_folder", [False, True])
def test_an_output_that_is_its_input_is_refused_and_the_input_stays(
    model: Path, notes: Path, predict: Predict, tmp_path: Path, kind: str, of_a_folder: bool
) -> None:
    file = notes
    if of_a_folder:
        (tmp_path / "in").mkdir()
        file = notes.rename(tmp_path / "in" / "notes.jsonl")
    LINKS[kind](file, tmp_path / "link.jsonl")
    before = file.read_bytes()
    output = "link.jsonl" if (tmp_path / "link.jsonl").exists() else str(file)
    code, error = predict(model, file.parent if of_a_folder else file, output=output)
    assert (code, error.count("\n")) == (EXIT_BAD_INPUT, 1)
    assert "it is the input, or lies in it" in error
    assert file.read_bytes() == before


def test_a_new_file_in_the_folder_of_the_input_is_refused(
    model: Path, notes: Path, predict: Predict, tmp_path: Path
) -> None:
    (tmp_path / "in" / "data").mkdir(parents=True)
    notes.rename(tmp_path / "in" / "data" / "notes.jsonl")
    for place in ("in/out.csv", "in/data/out.csv"):
        code, error = predict(model, tmp_path / "in", output=place)
        assert code == EXIT_BAD_INPUT
        assert "it is the input, or lies in it" in error
    assert [p.name for p in (tmp_path / "in").rglob("*") if p.is_file()] == ["notes.jsonl"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_refused(
    model: Path, notes: Path, predict: Predict, tmp_path: Path
) -> None:
    code, error = predict(model, notes, "--device", "cuda")
    assert (code, error.count("\n")) == (EXIT_BAD_INPUT, 1)
    assert "--device cuda" in error
    assert not (tmp_path / "out.jsonl").exists()
