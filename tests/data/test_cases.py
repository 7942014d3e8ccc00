"""Inputs that were seen to fail, each with its right outcome; read where `../shared/cases` is."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from r2d_ray.config import TrainConfig
from r2d_ray.data.columns import table_rows
from r2d_ray.data.encode import text_table
from r2d_ray.data.lengths import check_lengths, token_lengths
from r2d_ray.data.location import DataRequest
from r2d_ray.data.official.readers import unlabelled_rows
from r2d_ray.data.sources import load_splits
from r2d_ray.data.tables import read_parts
from r2d_ray.errors import UserError
from r2d_ray.model.scratch import train_tokenizer

CASES = Path(
    os.environ.get("R2D_CASES") or Path(__file__).resolve().parents[3] / "shared" / "cases"
)
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"no cases at {CASES} (set R2D_CASES)")


@dataclass(frozen=True)
class Read:
    """A case that is read: rows of train, validation and test, and a part of a note of the card."""

    sizes: tuple[int, int, int]
    dataset: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    note: str = ""


READ = {
    "b3_pubmedqa_hub.parquet": Read((42, 9, 9), "pubmedqa", note="no official test ids"),
    "b3_pubmedqa_fold/pqal_fold0": Read((35, 5, 20), "pubmedqa", note="test test_set.json"),
    "b3_pubmedqa_fold/pqal_fold0/train_set.json": Read((35, 5, 20), "pubmedqa"),
    "b3_pubmedqa_fold": Read((35, 5, 20), "pubmedqa"),
    "c1_bioasq_null_ideal.json": Read((28, 6, 6), "bioasq"),
    "d1_bioasq_training_overlaps_golden": Read((40, 20, 20), "bioasq", note="20 repeats"),
    "d2_bioasq_testset_without_answers": Read((34, 6, 20), "bioasq", note="answer, left out: 5"),
    "g2_medmcqa.csv": Read((42, 9, 9), "medmcqa"),
}
"""By path below the cases' folder; without a dataset the path is the dataset."""


@pytest.mark.parametrize("case", READ)
def test_a_case_is_read(case):
    right, path = READ[case], CASES / case
    request = DataRequest(
        right.dataset or str(path), data=path if right.dataset else None, columns=right.columns
    )
    splits = load_splits(request)
    assert tuple(len(rows) for _, rows in splits.items()) == right.sizes
    assert splits.dropped == {}
    assert right.note in " ".join(splits.provenance.notes)


def test_f4_a_bioasq_test_file_is_read_for_prediction():
    source = unlabelled_rows(CASES / "f4_bioasq_testset.json", "bioasq")
    assert [row.id for row in source.rows] == [f"q0500{number}" for number in range(4)]
    assert source.notes == ("1 questions of other types are not used",)


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
