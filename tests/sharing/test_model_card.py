"""The card of an exported model: the hub reads it; people find scores, limits and working code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_config, toy_info
from huggingface_hub import ModelCard

from r2d_ray.config import TrainConfig
from r2d_ray.data.prepare import open_prepared
from r2d_ray.model.t5 import load_model
from r2d_ray.records import StudyInfo, TrialRecord
from r2d_ray.sharing.best import export_best
from r2d_ray.sharing.model_card import model_card, write_card
from r2d_ray.study.books import trial_record

ROWS = {"train": 1400, "validation": 300, "test": 300}
RESULT = {
    "bag_of_words": {"says": "No model beats the bag of words."},
    "test": {
        "best (trial 3)": {"macro_f1": 0.875, "accuracy": 0.9, "bleu": 5.0, "support[no]": 29.0},
        "trial 0 (the defaults)": {"macro_f1": 0.1},
        "best without context": {"macro_f1": 0.5, "accuracy": 0.5},
        "majority label (no)": {"macro_f1": 1 / 3, "accuracy": 0.5},
        "coin, training balance": {"macro_f1": 0.49, "accuracy": 0.5},
        "bag of words, question": {"macro_f1": 0.6, "accuracy": 0.6},
        "a random training rationale": {"bleu": 1.0},
    },
}


def study(config: TrainConfig | None = None, **changes: Any) -> StudyInfo:
    info = toy_info("notes", config or tiny_config(), {"metric": "macro_f1", "mode": "max"}, 4)
    card = {"labels": ["yes", "no"], "rows": ROWS}
    return info.model_copy(update={"data_card": card, **changes})


def trial(info: StudyInfo, **more: Any) -> TrialRecord:
    known = {"metrics": {"macro_f1": 0.87654}, "selected_step": 8, **more}
    return trial_record(info, 3, {}, "done", **known)


def card_of(info: StudyInfo, **more: Any) -> str:
    return model_card(info, trial(info), RESULT, **more)


def test_test_scores_stand_beside_the_controls() -> None:
    assert (
        "| model | macro-F1 | accuracy | BLEU |\n|---|---:|---:|---:|\n"
        "| this model | 0.875 | 0.900 | 5.000 |\n"
        "| best without context | 0.500 | 0.500 |  |\n"
        "| majority label (no) | 0.333 | 0.500 |  |\n"
        "| coin, training balance | 0.490 | 0.500 |  |\n"
        "| bag of words, question | 0.600 | 0.600 |  |\n\n"
        "No model beats the bag of words.\n\n"
        "Step 8 was selected for its validation `macro_f1` of 0.8765; "
        "the test split had no part in it.\n"
    ) in card_of(study())


def test_of_several_seeds_the_scores_are_those_of_the_seed_that_was_exported() -> None:
    info = study()
    table = {
        "best (trial 3)": {"macro_f1": 0.5},
        "best (trial 3), seed 1": {"macro_f1": 0.4},
        "best (trial 3), seed 2": {"macro_f1": 0.6},
    }
    text = model_card(info, trial(info, seed=2), {"test": table})
    assert "| this model | 0.600 |" in text
    assert "0.400" not in text


def test_the_hub_reads_its_metadata() -> None:
    origin = {"kind": "hub", "address": "toy/rows@main", "licence": "MIT"}
    config = tiny_config(model="google/t5-v1_1-base")
    info = study(config, dataset="pubmedqa", provenance=origin)
    data = ModelCard(card_of(info, licence="mit")).data
    assert (data.base_model, data.datasets) == ("google/t5-v1_1-base", ["toy/rows"])
    assert (data.language, data.license, data.library_name) == ("en", "mit", "transformers")
    assert {"t5", "r2d"} <= set(data.tags or [])
    scores = {one.metric_name: one.metric_value for one in data.eval_results or []}
    assert scores == {"macro-F1": 0.875, "accuracy": 0.9, "BLEU": 5.0}


def test_what_is_not_known_is_not_claimed() -> None:
    text = card_of(study(provenance={"kind": "file", "address": "/home/me/clinic/notes.csv"}))
    data = ModelCard(text).data
    assert (data.base_model, data.language, data.license, data.datasets) == (None,) * 4
    assert "- Licence of the weights: not stated" in text
    assert "- Licence of the data: not stated" in text
    assert "(file notes.csv)" in text
    assert "/home" not in text


def test_a_model_of_a_folder_is_named_without_its_path() -> None:
    text = card_of(study(tiny_config(model="/home/me/models/my-t5")))
    assert "A T5 (my-t5)" in text
    assert "/home" not in text


def test_random_weights_and_an_embedded_sample_are_said() -> None:
    text = card_of(study())
    said = (
        "andom weights: scratch-tiny was not pretrained; it learned only from 1,400 training rows."
    )
    assert text.count(said) == 2
    assert "- The data is a sample embedded in r2d_ray" in text
    other = card_of(study(tiny_config(model="google/t5-v1_1-base"), provenance={"kind": "file"}))
    assert "andom weights" not in other
    assert "embedded" not in other.replace("profile: embedded", "")


def test_versions_are_a_list() -> None:
    text = card_of(study(versions={"python": "3.11.7", "torch": "2.13.0"}))
    assert text.endswith("\n- python 3.11.7\n- torch 2.13.0\n")


def test_a_label_cannot_break_the_table() -> None:
    info = study()
    table = {"best (trial 3)": {"macro_f1": 1.0}, "majority label (a|b\n)": {"macro_f1": 0.5}}
    text = model_card(info, trial(info), {"test": table})
    assert "| majority label (a\\|b?) | 0.500 |" in text


@pytest.fixture(scope="module")
def best(tmp_path_factory: pytest.TempPathFactory, prepared_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("card")
    load_model(tiny_config(), open_prepared(prepared_dir).tokenizer).save_pretrained(folder / "w")
    info = study()
    export_best(folder / "w", prepared_dir / "tokenizer", folder / "best", info, trial(info))
    write_card(folder / "best", info, trial(info), RESULT)
    return folder / "best"


@pytest.mark.parametrize("place", [0, 1], ids=["r2d_ray", "transformers"])
def test_its_code_runs_as_printed(
    best: Path, place: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = re.findall(r"```python\n(.*?)```", (best / "README.md").read_text(), re.DOTALL)
    assert len(codes) == 2
    monkeypatch.chdir(best)
    exec(compile(codes[place], "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert ("predicted_label" in printed) if place == 0 else printed.count("\n") == 1
