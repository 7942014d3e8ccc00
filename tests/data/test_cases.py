"""Inputs that were seen to fail, each with its right outcome; read where `../shared/cases` is."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from r2d_ray.cli.overrides import read_json_file
from r2d_ray.config import TrainConfig
from r2d_ray.data.card import card_lines, data_card
from r2d_ray.data.columns import parse_columns, table_rows
from r2d_ray.data.encode import text_table
from r2d_ray.data.lengths import check_lengths, token_lengths
from r2d_ray.data.location import DataRequest
from r2d_ray.data.official.readers import unlabelled_rows
from r2d_ray.data.sources import load_splits
from r2d_ray.data.tables import read_parts
from r2d_ray.errors import UserError
from r2d_ray.model.portable import save_model
from r2d_ray.model.scratch import train_tokenizer
from r2d_ray.model.t5 import load_weights
from r2d_ray.search.checks import with_model
from r2d_ray.training.deepspeed_file import check_deepspeed

CASES = Path(
    os.environ.get("R2D_CASES") or Path(__file__).resolve().parents[3] / "shared" / "cases"
)
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"no cases at {CASES} (set R2D_CASES)")


@dataclass(frozen=True)
class Read:
    """Rows in all, those of splits that the case names, labels, and words of the card."""

    rows: int
    of: dict[str, int] = field(default_factory=dict)
    labels: tuple[str, ...] = ("yes", "no")
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """Words of the one line."""

    said: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A file or folder below the cases, asked for as a set of its own or as a named one."""

    path: str
    outcome: Read | Refused
    columns: str = ""
    named: str = ""


FOLD = Read(
    60,
    {"train": 35, "validation": 5, "test": 20},
    ("yes", "no", "maybe"),
    ("test test_set.json",),
)

TABLE = {
    "the index that pandas writes": Case(
        "a1_pandas_index.csv", Read(40, said=("1 column without a name is left out",))
    ),
    "semicolons": Case(
        "a2_semicolon.csv", Read(40, said=("values are separated by ';', not ','",))
    ),
    "a JSON array": Case("a3_array.json", Read(40)),
    "blank rows at the end": Case(
        "a4_blank_rows_at_end.csv", Read(40, said=("rows without a value are left out",))
    ),
    "class names in Parquet": Case("b1_classlabel.parquet", Read(40)),
    "a snapshot of the hub": Case("b2_hub_snapshot", Read(40, {"test": 10})),
    "the data folder of a snapshot": Case("b2_hub_snapshot/data", Read(40, {"test": 10})),
    "one file of a snapshot": Case("b2_hub_snapshot/data/train-00000-of-00001.parquet", Read(30)),
    "a saved DatasetDict": Case("b2_saved_dataset_dict", Read(40, {"test": 10})),
    "a saved Dataset": Case("b2_saved_dataset_dict/train", Read(30)),
    "NaN for a missing rationale": Case("c2_nan_rationale.jsonl", Read(40)),
    "rows without a split": Case(
        "c3_empty_split_cells.csv", Read(40, {"test": 6}, said=("rows that name no split: 10 (",))
    ),
    "labels in two letter cases": Case(
        "e1_label_case.csv", Refused(("labels 'Yes' (", "and 'yes' (", "write one of them"))
    ),
    "one label": Case("e2_one_class.csv", Refused(("one label ('yes') is nothing to learn",))),
    "a far date that is not used": Case(
        "f2_unused_far_date.parquet", Read(40, said=("not used: ",))
    ),
    "options as an object": Case(
        "g1_options_dict.jsonl", Read(40, labels=()), "choices=options,label=answer"
    ),
    "answers that are keys": Case(
        "g1_options_dict.jsonl",
        Read(40, labels=(), said=("labels are the keys of options",)),
        "choices=options,label=answer_idx",
    ),
    "ids that restart": Case(
        "i1_ids_restart", Read(40, {"test": 12}, said=("every id has its split's name before it",))
    ),
    "PubMedQA of the hub": Case(
        "b3_pubmedqa_hub.parquet",
        Read(60, labels=("yes", "no", "maybe"), said=("no official test ids",)),
        named="pubmedqa",
    ),
    "a fold of PubMedQA": Case("b3_pubmedqa_fold/pqal_fold0", FOLD, named="pubmedqa"),
    "a fold's training file": Case(
        "b3_pubmedqa_fold/pqal_fold0/train_set.json", FOLD, named="pubmedqa"
    ),
    "a folder with one fold": Case("b3_pubmedqa_fold", FOLD, named="pubmedqa"),
    "BioASQ with null": Case("c1_bioasq_null_ideal.json", Read(40), named="bioasq"),
    "training and golden files": Case(
        "d1_bioasq_training_overlaps_golden",
        Read(80, {"train": 40, "validation": 20, "test": 20}, said=("20 repeats",)),
        named="bioasq",
    ),
    "a test set without answers": Case(
        "d2_bioasq_testset_without_answers",
        Read(60, {"test": 20}, said=("answer, left out: 5",)),
        named="bioasq",
    ),
    "MedMCQA as text": Case("g2_medmcqa.csv", Read(60, labels=()), named="medmcqa"),
    "whole floats as labels": Case("j1_float_labels.parquet", Read(40, labels=("1", "2", "3"))),
}


@pytest.mark.parametrize("name", TABLE)
def test_case(name):
    case = TABLE[name]
    path = CASES / case.path
    request = DataRequest(
        case.named or str(path),
        data=path if case.named else None,
        columns=parse_columns(case.columns),
    )
    if isinstance(case.outcome, Refused):
        with pytest.raises(UserError) as error:
            load_splits(request)
        assert all(words in str(error.value) for words in case.outcome.said), error.value
        assert "\n" not in str(error.value)
        return
    splits = load_splits(request)
    card = "\n".join(card_lines(data_card(splits)))
    sizes = {split: len(rows) for split, rows in splits.items()}
    assert sum(sizes.values()) == case.outcome.rows, card
    assert {split: sizes[split] for split in case.outcome.of} == case.outcome.of, card
    assert splits.labels == case.outcome.labels
    assert splits.dropped == {}
    assert all(words in card for words in case.outcome.said), card


def test_f4_a_bioasq_test_file_is_read_for_prediction():
    source = unlabelled_rows(CASES / "f4_bioasq_testset.json", "bioasq")
    assert [row.id for row in source.rows] == [f"q0500{number}" for number in range(4)]
    assert source.notes == ("questions of other types, not used: 1",)


def test_h1_a_long_question_is_read_cut_and_counted_or_refused_on_request():
    splits = load_splits(DataRequest(str(CASES / "h1_long_question.csv")))
    config = TrainConfig(model="scratch-tiny", max_input_length=192)
    assert [len(rows) for _, rows in splits.items()] == [28, 6, 6]
    cut = {
        name: found["share_question_cut"] for name, found in token_lengths(splits, config).items()
    }
    assert cut == {"train": 0.0, "validation": 0.0, "test": pytest.approx(1 / 6)}
    check_lengths(splits, config, refuse=False)
    with pytest.raises(UserError, match=r"1 in test \(allowed: --set max_input_length=\d+"):
        check_lengths(splits, config, refuse=True)


def test_f5_a_long_question_is_cut_for_prediction():
    records = read_parts(CASES / "f5_predict_long_question.jsonl")
    rows = table_rows(records, {}, labelled=False).rows
    config = TrainConfig(model="scratch-tiny", max_input_length=48)
    tokenizer = train_tokenizer(row.question for row in rows)
    table = text_table(rows, tokenizer, ("yes", "no"), config)
    assert len(table) == len(rows)
    assert any(cut > 0 for cut in table["cut_tokens"])


TOKENIZER = Path(os.environ.get("R2D_DATA") or CASES.parent / "data") / "t5_tokenizer"
MODELS = {
    "more words than rows of the embedding": Case(
        "m1_added_tokens", Refused(("m1_added_tokens", "32,161 ids", "32,128 rows"))
    ),
    "no decoder": Case("m2_missing_decoder", Refused(("m2_missing_decoder", "decoder."))),
    "a pointer of Git LFS": Case("m3_lfs_pointer", Refused(("model.safetensors", "LFS"))),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    if not TOKENIZER.is_dir():
        pytest.skip(f"no tokenizer at {TOKENIZER} (set R2D_DATA)")
    made = tmp_path_factory.mktemp("models")
    command = [sys.executable, str(CASES / "make_models.py"), str(TOKENIZER), str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made


@pytest.mark.parametrize("name", MODELS)
def test_a_model_folder_of_a_case_is_refused_by_the_plan(name, models):
    case = MODELS[name]
    with pytest.raises(UserError) as error:
        with_model(TrainConfig(model=str(models / case.path)), "finetune")
    assert all(words in str(error.value) for words in case.outcome.said), error.value
    assert "\n" not in str(error.value)


def test_a_head_with_weights_of_its_own_stays_apart_in_the_export_too(models, tmp_path):
    folder = models / "ok_untied_head"
    assert with_model(TrainConfig(model=str(folder)), "embedded").model == str(folder)
    model = load_weights(str(folder))
    assert not model.lm_head.weight.equal(model.shared.weight)
    save_model(model, tmp_path)
    again = load_weights(str(tmp_path))
    assert again.lm_head.weight.equal(model.lm_head.weight)
    assert again.shared.weight.equal(model.shared.weight)
    assert json.loads((tmp_path / "config.json").read_text())["tie_word_embeddings"] is False


def test_h2_fp16_in_a_deepspeed_file_is_refused_by_the_plan():
    path = str(CASES / "h2_deepspeed_fp16.json")
    users = read_json_file("--deepspeed-config", path)
    with pytest.raises(UserError, match=r"fp16\.enabled = True contradicts fp16"):
        check_deepspeed(TrainConfig(zero_stage=2, deepspeed_config=users))
