"""The official files, read whole: counts that are known of them, no leak, and seconds."""

import csv
import json
import os
import time
from collections import Counter
from math import comb
from pathlib import Path

import pytest

from r2d_ray.data.card import data_card
from r2d_ray.data.columns import parse_columns
from r2d_ray.data.examples import normalised
from r2d_ray.data.location import DataRequest
from r2d_ray.data.official.bioasq import read_bioasq
from r2d_ray.data.official.pubmedqa import read_pubmedqa
from r2d_ray.data.sources import check_source, load_splits
from r2d_ray.errors import UserError

ROOT = Path(
    os.environ.get("R2D_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data"
)

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not ROOT.is_dir(), reason=f"no official files at {ROOT} (set R2D_DATA)"),
]


def folder(name):
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"no {path}")
    return path


def load(name, **more):
    begin = time.perf_counter()
    splits = load_splits(DataRequest(name, data=folder(name), **more))
    assert time.perf_counter() - begin < 3.0
    return splits


def assert_no_leak(splits):
    parts = [rows for _, rows in splits.items()]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not {r.group for r in parts[one]} & {r.group for r in parts[other]}
        assert not {normalised(r.question) for r in parts[one]} & {
            normalised(r.question) for r in parts[other]
        }


def sizes(splits):
    return [len(rows) for _, rows in splits.items()]


def test_bioasq_yes_no_questions_by_edition():
    source = read_bioasq(folder("bioasq"))
    assert Counter(row.label for row in source.rows) == {"yes": 395, "no": 223}
    # Editions 7, 8 and 9 (140 + 152 + 117), 10 and 11.
    assert Counter(source.assigned.values()) == {"train": 409, "validation": 123, "test": 86}
    for edition, count in {7: 140, 8: 152, 9: 117, 10: 123, 11: 86}.items():
        alone = read_bioasq(folder("bioasq") / f"Task{edition}BGoldenEnriched")
        assert len(alone.rows) == count
        assert alone.assigned == {}


def test_bioasq_splits_share_no_document_and_lose_few_rows():
    splits = load("bioasq")
    assert sizes(splits) == [401, 121, 86]
    assert sum(splits.dropped.values()) == 10
    assert splits.labels == ("yes", "no")
    assert all(
        row.context and row.rationales["human"] for _, rows in splits.items() for row in rows
    )
    assert_no_leak(splits)


def test_bioasq_texts_of_language_models_argue_for_the_gold_label():
    source = read_bioasq(folder("bioasq"))
    counts = Counter(name for row in source.rows for name in row.rationales)
    assert counts == {
        "human": 618,
        "gpt35_cot": 457,
        "gpt4_cot": 518,
        "gpt35_rag32": 558,
        "gpt4_rag32": 572,
    }


def test_a_single_edition_is_split_by_the_hash_of_the_group():
    splits = load_splits(DataRequest("bioasq", data=folder("bioasq") / "Task9BGoldenEnriched"))
    assert sum(sizes(splits)) == 117
    assert splits.dropped == {}
    assert_no_leak(splits)


def test_pubmedqa_with_its_official_test_ids():
    splits = load("pubmedqa")
    assert sum(sizes(splits)) == 1000
    official = json.loads((folder("pubmedqa") / "test_ground_truth.json").read_text())
    assert {row.id: row.label for row in splits.test} == official
    assert Counter(row.label for row in splits.test) == {"yes": 276, "no": 169, "maybe": 55}
    assert splits.labels == ("yes", "no", "maybe")
    # 15 % of each label of the other 500: 276, 169 and 55 rows.
    assert Counter(row.label for row in splits.validation) == {"yes": 41, "no": 25, "maybe": 8}
    assert_no_leak(splits)


def test_pubmedqas_language_model_texts_cannot_train():
    splits = load("pubmedqa")
    assert splits.rationale_sources() == ("human",)
    assert any("gpt4_cot" in row.rationales for row in splits.test)
    with pytest.raises(UserError, match=r"exists for test rows only; training sources: human\)$"):
        check_source(splits, "gpt4_cot")


def test_pubmedqa_as_a_csv_with_other_columns_is_the_same_set(tmp_path):
    source = read_pubmedqa(folder("pubmedqa"))
    path = tmp_path / "abstracts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["pmid", "q", "text", "answer", "why", "fold"])
        for row in source.rows:
            fold = source.assigned.get(row.id, "train")
            human = row.rationales["human"]
            out.writerow([row.id, row.question, row.context, row.label, human, fold])
    columns = parse_columns(
        "id=pmid,question=q,context=text,label=answer,rationale.human=why,split=fold"
    )
    table = load_splits(DataRequest(str(path), columns=columns))
    official = load("pubmedqa")
    assert (table.train, table.validation) == (official.train, official.validation)
    assert [row.id for row in table.test] == [row.id for row in official.test]
    assert [row.context for row in table.test] == [row.context for row in official.test]


@pytest.mark.parametrize(
    "columns", ["", "choices=choices,rationale.*=rationales.*", "rationale.human=rationales.human"]
)
def test_medmcqa_rows_bring_their_choices_and_nested_rationales(columns):
    splits = load("medmcqa", columns=parse_columns(columns))
    assert sum(sizes(splits)) == 2159
    assert splits.labels == ()
    assert all(row.label in row.choices for row in splits.train)
    assert all(len(row.choices) == 4 for row in splits.train)
    named = "human" in columns
    assert len(splits.rationale_sources()) == (1 if named else 5)
    assert_no_leak(splits)


@pytest.mark.parametrize("name", ["bioasq", "pubmedqa", "medmcqa"])
def test_a_limited_set_has_a_card(name):
    splits = load(name, limit=50)
    card = data_card(splits)
    assert card["rows"] == {"train": 50, "validation": 50, "test": 50}
    assert card["provenance"]["kind"] == "folder"
    assert len(card["hash"]) == 16


def test_medmcqa_by_its_file_and_columns_trains_over_its_rows_options(tmp_path):
    pytest.importorskip("torch")
    from r2d_ray.config import PROFILES, build_config
    from r2d_ray.data.prepare import open_prepared, prepare
    from r2d_ray.search.checks import check_data
    from r2d_ray.training.stage import run_stage

    file = folder("medmcqa") / "dev_human_and_llm_rationales.jsonl"
    columns = parse_columns("choices=choices,rationale.human=rationales.human")
    splits = load_splits(DataRequest(str(file), columns=columns, limit=16))
    sizes_ = {"max_input_length": 512, "max_steps": 2, "eval_steps": 2, "logging_steps": 1}
    config = build_config({**PROFILES["embedded"], **sizes_, "per_device_train_batch_size": 8})
    check_data(splits, config)
    prepared = open_prepared(prepare(splits, config, tmp_path / "data"))
    assert prepared.label_tokens.classes == ("A", "B", "C", "D")
    out = run_stage(config, prepared, "stage2", output_dir=tmp_path / "o", best_dir=tmp_path / "b")
    scores = out.curve[-1]["scores"]
    assert 0 <= scores["accuracy"] <= 1
    assert scores["out_of_set_rate"] == 0
    support = sum(scores[f"support[{letter}]"] for letter in "ABCD")
    assert support == 16
    card = data_card(splits)
    assert card["most_options"] == {"train": 4, "validation": 4, "test": 4}
    assert set(card["rows_with_duplicate_options"]) == {"train", "validation", "test"}


@pytest.mark.parametrize("longest", [192, 512])
def test_bioasq_batches_are_nearly_full_and_mixed_as_by_chance(tmp_path, longest):
    pytest.importorskip("torch")
    import numpy as np

    from r2d_ray.config import PROFILES, build_config
    from r2d_ray.data.batches import Ragged
    from r2d_ray.data.prepare import open_prepared, prepare
    from r2d_ray.method.step_rows import StepRows

    splits = load("bioasq")
    config = build_config({**PROFILES["embedded"], "max_input_length": longest})
    table = open_prepared(prepare(splits, config, tmp_path / "data")).tables["train"]
    bodies, rationales = (Ragged(table, f"{name}_ids").lengths for name in ("body", "rationale"))
    size = config.global_batch_size
    none, ids, positions = [], 0, 0
    for seed in range(20):  # each keeps the rationales of other 60 of the 401 rows
        kept = np.random.default_rng(seed).permutation(401) < 60
        rows = StepRows(bodies, rationales * kept, size, config.length_group_size, seed)
        for step in range(rows.steps_per_epoch):
            none.append(not kept[rows[step]].any())
            ids += bodies[rows[step]].sum()
            positions += size * bodies[rows[step]].max()
    assert 1 - ids / positions < 0.05
    # 500 batches: three standard errors are 0.04.
    assert sum(none) / len(none) == pytest.approx(comb(341, size) / comb(401, size), abs=0.04)
