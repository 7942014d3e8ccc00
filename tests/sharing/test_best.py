from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_config
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from r2d_ray.data.prepare import open_prepared
from r2d_ray.errors import UserError
from r2d_ray.model.t5 import load_model, load_weights
from r2d_ray.records import StudyInfo, TrialRecord
from r2d_ray.sharing import best as module
from r2d_ray.sharing.best import export_best
from r2d_ray.sharing.model_card import model_card
from r2d_ray.study.books import trial_record
from r2d_ray.study.model_file import MODEL_FILE, described, read_model_file


def study() -> StudyInfo:
    return StudyInfo(
        name="toy-r2d-scratch-tiny",
        method="r2d",
        dataset="toy",
        profile="embedded",
        config=tiny_config().model_dump(),
        space={"metric": "macro_f1", "mode": "max"},
        study={"num_samples": 1},
        data_card={"labels": ["yes", "no"]},
        data_hash="0123abc",
        provenance={"kind": "sample"},
        versions={"python": "3.11"},
    )


def trial(**more: Any) -> TrialRecord:
    values = {"learning_rate": 2e-3}
    metrics = {"macro_f1": 0.87654, "accuracy": 0.9}
    known = {"metrics": metrics, "selected_step": 8, **more}
    return trial_record(study(), 3, values, "done", **known)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, prepared_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    load_model(tiny_config(seed=7), open_prepared(prepared_dir).tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def best(tmp_path_factory: pytest.TempPathFactory, weights: Path, prepared_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("study") / "best"
    export_best(weights, prepared_dir / "tokenizer", folder, study(), trial())
    return folder


def test_it_loads_with_plain_transformers_and_is_the_same_model(best: Path, weights: Path) -> None:
    plain = AutoModelForSeq2SeqLM.from_pretrained(best)
    trained = load_weights(str(weights))
    assert plain.config.model_type == "t5"
    for (name, one), (_, other) in zip(
        plain.state_dict().items(), trained.state_dict().items(), strict=True
    ):
        assert torch.equal(one, other), name


def test_its_tokenizer_is_the_trained_one(best: Path, prepared_dir: Path) -> None:
    text = "given label: yes, explain: Does alpren treat gout?"
    own = AutoTokenizer.from_pretrained(best)(text)["input_ids"]
    assert own == open_prepared(prepared_dir).tokenizer(text)["input_ids"]


def test_it_answers_a_prompt_with_plain_transformers(best: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(best)
    model = AutoModelForSeq2SeqLM.from_pretrained(best)
    ids = tokenizer("predict: Does alpren treat gout? It helped.", return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=3)
    assert out.shape[0] == 1
    assert out[0, 0] == model.config.decoder_start_token_id


def test_there_is_no_pickle_in_it(best: Path) -> None:
    assert {path.suffix for path in best.iterdir()} == {".json", ".safetensors", ".md"}
    for path in best.iterdir():
        start = path.read_bytes()[:2]
        assert start != b"PK", path  # torch's zip
        assert start[:1] != b"\x80", path  # a bare pickle


def test_what_predict_needs_is_in_it(best: Path) -> None:
    kept = read_model_file(best)
    assert kept.labels == ["yes", "no"]
    assert kept.config == tiny_config(learning_rate=2e-3)
    values = json.loads((best / MODEL_FILE).read_text())
    assert (values["study"], values["trial"], values["dataset"]) == (
        *("toy-r2d-scratch-tiny", 3),
        "toy",
    )


def test_the_card_says_what_it_is_made_of(best: Path) -> None:
    card = (best / "README.md").read_text()
    assert card == model_card(study(), trial())
    assert card.startswith("---\n")
    for part in (
        "# toy-r2d-scratch-tiny, trial 3",
        "`yes`, `no`",
        "Step 8 was selected for its validation `macro_f1` of 0.8765",
        "Not scored on test rows yet.",
        "`0123abc`",
        "`r2d`",
    ):
        assert part in card


@pytest.mark.parametrize(
    ("card", "columns", "context"),
    [
        ({}, None, None),  # version 0.2: it does not say
        ({"contexts": {"train": 0}, "rows": {"train": 4}}, {}, False),
        ({"contexts": {"train": 1}, "rows": {"train": 4}}, {}, False),
        ({"contexts": {"train": 2}, "rows": {"train": 4}, "columns": {"question": "q"}}, "q", True),
    ],
)
def test_the_columns_of_training_are_kept_and_whether_it_had_contexts(
    tmp_path: Path, card: dict[str, Any], columns: Any, context: bool | None
) -> None:
    info = study().model_copy(update={"data_card": {"labels": ["yes", "no"], **card}})
    (tmp_path / MODEL_FILE).write_text(json.dumps(described(info, trial())))
    kept = read_model_file(tmp_path)
    assert kept.columns == ({"question": "q"} if columns == "q" else columns)
    assert kept.context is context


@pytest.mark.parametrize(
    ("kind", "said"), [("choices", "one of the row's own options"), ("open", "a free text")]
)
def test_the_card_says_where_labels_come_from(kind: str, said: str) -> None:
    card = {"labels": [], "label_kind": kind}
    text = model_card(study().model_copy(update={"data_card": card}), trial())
    assert f"- Label: {said}\n" in text


def test_an_export_that_fails_leaves_the_one_before(
    tmp_path: Path, weights: Path, prepared_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "best"
    tokenizer = prepared_dir / "tokenizer"
    export_best(weights, tokenizer, folder, study(), trial())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def killed(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "model_card", killed)
        with pytest.raises(KeyboardInterrupt):
            export_best(weights, tokenizer, folder, study(), trial(selected_step=4))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    export_best(weights, tokenizer, folder, study(), trial(selected_step=4))
    assert "Step 4" in (folder / "README.md").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", "{}", "\ud83d"),
        '{"labels": 3, "config": {}}',
        '{"labels": [], "config": []}',
        '{"labels": ["yes"], "config": {"learning_rat": 1}}',
    ],
)
def test_a_description_that_is_none_is_refused_with_its_folder(tmp_path: Path, text: str) -> None:
    (tmp_path / MODEL_FILE).write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(
        UserError, match=r"--model .*allowed: the best/ folder of a study"
    ) as caught:
        read_model_file(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
