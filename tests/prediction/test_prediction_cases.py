"""Inputs of predictions that were seen to fail, and files in official layouts."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from made_answers import HashPredictor, model_folder

from r2d_ray.errors import UserError
from r2d_ray.prediction import predictor
from r2d_ray.prediction.request import PredictRequest
from r2d_ray.prediction.run import Listener, predict_file

CASES = Path(
    os.environ.get("R2D_CASES") or Path(__file__).resolve().parents[3] / "shared" / "cases"
)
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"no cases at {CASES} (set R2D_CASES)")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor, "Predictor", HashPredictor)
    monkeypatch.setattr(HashPredictor, "seen", [])
    monkeypatch.setattr(HashPredictor, "stop_after", None)


def predicted(place: Path, source: Path, **says: Any) -> list[dict[str, Any]]:
    says = {"columns": {}, "context": None, "label_kind": "fixed", **says}
    model = model_folder(place / "model", **says)
    output = place / "out.jsonl"
    predict_file(PredictRequest(model, device="cpu"), source, output, Listener())
    return [json.loads(line) for line in output.read_text().splitlines()]


@needs_cases
@pytest.mark.parametrize(
    ("case", "dataset", "rows"),
    [
        ("f1_predict_float_label.jsonl", "notes", 6),
        ("f3_predict_rows.jsonl", "notes", None),
        ("f4_bioasq_testset.json", "bioasq", 4),
        ("f4_bioasq_testset.json", "bioasq-sample", 4),
        ("f5_predict_long_question.jsonl", "notes", None),
        ("b3_pubmedqa_hub.parquet", "pubmedqa", 60),
    ],
)
def test_a_case_is_predicted(tmp_path: Path, case: str, dataset: str, rows: int | None) -> None:
    found = predicted(tmp_path, CASES / case, dataset=dataset)
    assert rows is None or len(found) == rows
    assert all(row["predicted_label"] for row in found)


@needs_cases
def test_f3_the_input_is_not_overwritten(tmp_path: Path) -> None:
    source = Path(shutil.copy(CASES / "f3_predict_rows.jsonl", tmp_path / "out.jsonl"))
    before = source.read_bytes()
    with pytest.raises(UserError, match="it is the input"):
        predicted(tmp_path, source)
    assert source.read_bytes() == before


BIOASQ = {
    "questions": [
        {"id": "a", "type": "yesno", "body": "Is it?", "snippets": [{"text": "It is."}]},
        {"id": "b", "type": "list", "body": "Which?", "snippets": [{"text": "These."}]},
        {"id": "c", "type": "yesno", "body": "Was it?", "snippets": [{"text": "It was."}]},
    ]
}
PUBMEDQA = {"1": {"QUESTION": "Is it?", "CONTEXTS": ["It is.", "So."]}}


def test_official_files_of_the_set_of_training_are_read(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text(json.dumps(BIOASQ))
    found = predicted(tmp_path, tmp_path / "test.json", dataset="bioasq", context=True)
    assert [(row["id"], row["question"], row["context"]) for row in found] == [
        ("a", "Is it?", "It is."),
        ("c", "Was it?", "It was."),
    ]
    shutil.rmtree(tmp_path / "model")
    (tmp_path / "test.json").write_text(json.dumps(PUBMEDQA))
    found = predicted(tmp_path, tmp_path / "test.json", dataset="pubmedqa", context=True)
    assert [(row["id"], row["question"]) for row in found] == [("1", "Is it?")]


HUB = {"pubid": 1, "question": "Is it?", "context": {"contexts": ["It is.", "So."]}}
OPTIONS = {"id": "m", "question": "Which?", "opa": "w", "opb": "x", "opc": "y", "opd": "z"}
ELSEWHERE: dict[str, tuple[Any, str, tuple[str, str]]] = {
    "bioasq.json": (BIOASQ, "BioASQ Task B", ("Is it?", "It is.")),
    "pubmedqa.json": (PUBMEDQA, "PubMedQA", ("Is it?", "It is. So.")),
    "hub.json": ([HUB], "PubMedQA", ("Is it?", "It is. So.")),
}


class Heard(Listener):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Take a line."""
        self.lines.append(line)


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("dataset", ["notes", "medmcqa", "triage-sample"])
def test_a_layout_is_read_whatever_the_model_was_trained_on_and_said(
    tmp_path: Path, name: str, dataset: str
) -> None:
    content, title, row = ELSEWHERE[name]
    (tmp_path / name).write_text(json.dumps(content))
    output, heard = tmp_path / "out.jsonl", Heard()
    model = model_folder(tmp_path / "model", dataset=dataset)
    predict_file(PredictRequest(model, device="cpu"), tmp_path / name, output, heard)
    first = json.loads(output.read_text().splitlines()[0])
    assert (first["question"], first["context"]) == row
    said = f"{name} has the layout of {title}, on which this model was not trained"
    assert said in heard.lines


def test_a_layout_that_has_not_what_the_model_needs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(json.dumps([OPTIONS]))
    with pytest.raises(UserError, match=r"\(layout of MedMCQA\): .*trained with contexts"):
        predicted(tmp_path, tmp_path / "in.json", context=True)


def test_a_table_with_the_columns_of_training_is_read_as_in_training(tmp_path: Path) -> None:
    row = {"pubid": 1, "question": "Is it?", "context": '["It is."]', "final_decision": "yes"}
    pd.DataFrame([row]).to_csv(tmp_path / "in.csv", index=False)
    columns = {"question": "question", "context": "context"}
    for dataset in ("pubmedqa", "notes"):
        [found] = predicted(tmp_path, tmp_path / "in.csv", dataset=dataset, columns=columns)
        assert (found["pubid"], found["context"]) == ("1", '["It is."]')
        shutil.rmtree(tmp_path / "model")


def test_medmcqa_in_its_own_columns_brings_its_options(tmp_path: Path) -> None:
    row = {"id": "m", "question": "Which?", "opa": "w", "opb": "x", "opc": "y", "opd": "z"}
    pd.DataFrame([{**row, "cop": -1, "exp": None}]).to_csv(tmp_path / "test.csv", index=False)
    says = {"dataset": "medmcqa", "labels": [], "label_kind": "choices", "context": False}
    [found] = predicted(tmp_path, tmp_path / "test.csv", **says)
    assert (found["id"], found["choices"]) == ("m", ["w", "x", "y", "z"])


def test_a_table_is_a_table_whatever_the_model_was_trained_on(tmp_path: Path) -> None:
    table = pyarrow.table({"question": ["a"], "context": ["b"], "key": [7]})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    for dataset in ("bioasq", "pubmedqa", "medmcqa", "triage-sample"):
        [found] = predicted(tmp_path, tmp_path / "rows.parquet", dataset=dataset, context=True)
        assert found["key"] == 7
        shutil.rmtree(tmp_path / "model")
