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
