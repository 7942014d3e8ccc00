"""The real sets in every layout and container in which people have them: one set, one result."""

import csv
import json
import os
from pathlib import Path

import pytest

from r2d_ray.data.examples import content_hash
from r2d_ray.data.location import DataRequest
from r2d_ray.data.official.bioasq import read_bioasq
from r2d_ray.data.official.readers import unlabelled_rows
from r2d_ray.data.sources import load_splits

ROOT = Path(
    os.environ.get("R2D_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data"
)

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not ROOT.is_dir(), reason=f"no official files at {ROOT} (set R2D_DATA)"),
]


def real(name):
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"no {path}")
    return path


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def edition(number):
    files = sorted(real(f"bioasq/Task{number}BGoldenEnriched").glob("*.json"))
    return [q for file in files for q in json.loads(file.read_text())["questions"]]


def without_answers(questions):
    hidden = ("exact_answer", "ideal_answer")
    return [{key: q[key] for key in q if key not in hidden} for q in questions]


@pytest.fixture
def golden(tmp_path):
    """Editions 7 to 11, one file each, without other people's rationales beside them."""
    for number in range(7, 12):
        write_json(tmp_path / "golden" / f"{number}B_golden.json", {"questions": edition(number)})
    return tmp_path / "golden"


def texts(splits):
    return {
        name: {(r.id, r.question, r.context, r.label, r.rationales.get("human")) for r in rows}
        for name, rows in splits.items()
    }


def test_bioasq_as_a_training_file_with_golden_files_that_it_overlaps(tmp_path, golden):
    # training11b holds editions 1 to 10: here 7 to 10, of which 10 lies beside it as golden.
    every = [q for number in range(7, 11) for q in edition(number)]
    folder = tmp_path / "mixed"
    write_json(folder / "training11b.json", {"questions": every})
    for number in (10, 11):
        write_json(folder / f"{number}B_golden.json", {"questions": edition(number)})
    write_json(folder / "BioASQ-task12b-testset1.json", {"questions": without_answers(edition(9))})
    write_json(folder / "dataset_infos.json", {"default": {"features": {}}})
    source = read_bioasq(folder)
    assert source.notes[1].endswith("read once as the newest edition has them: 123 repeats")
    assert source.notes[2].startswith("JSON files that are not Task B's, left out: 1, dataset_in")
    mixed, plain = (load_splits(DataRequest("bioasq", data=f)) for f in (folder, golden))
    assert texts(mixed) == texts(plain)


@pytest.mark.parametrize("number", range(7, 12))
def test_bioasq_questions_are_labelled_as_they_are_trained_on(tmp_path, number):
    asked = write_json(tmp_path / "testset.json", {"questions": without_answers(edition(number))})
    found = unlabelled_rows(asked, "bioasq")
    trained = read_bioasq(real(f"bioasq/Task{number}BGoldenEnriched")).rows
    assert [(r.id, r.question, r.context) for r in found.rows] == [
        (r.id, r.question, r.context) for r in trained
    ]
    assert not any(row.label or row.rationales for row in found.rows)
    assert len(found.rows) + int(found.notes[0].rpartition(" ")[2]) == len(edition(number))


@pytest.fixture
def pubmedqa(tmp_path):
    """The official file and test ids, without other people's rationales beside them."""
    for name in ("ori_pqal.json", "test_ground_truth.json"):
        (tmp_path / "official").mkdir(exist_ok=True)
        (tmp_path / "official" / name).write_text((real("pubmedqa") / name).read_text())
    return tmp_path / "official"


def hub_rows(folder):
    content = json.loads((folder / "ori_pqal.json").read_text())
    return [
        {
            "pubid": int(row_id),
            "question": entry["QUESTION"],
            "context": {"contexts": entry["CONTEXTS"], "labels": entry["LABELS"]},
            "long_answer": entry["LONG_ANSWER"],
            "final_decision": entry["final_decision"],
        }
        for row_id, entry in content.items()
    ]


def as_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_parquet(path, rows):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def as_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        for row in rows:
            is_object = {key: isinstance(value, dict) for key, value in row.items()}
            table.writerow({k: json.dumps(v) if is_object[k] else v for k, v in row.items()})


CONTAINERS = {
    "copy.jsonl": as_jsonl,
    "copy.json": as_jsonl,
    "copy.parquet": as_parquet,
    "copy.csv": as_csv,
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_pubmedqas_public_copy_is_the_official_set_in_every_container(tmp_path, pubmedqa, name):
    CONTAINERS[name](pubmedqa / name, hub_rows(pubmedqa))
    copy = load_splits(DataRequest("pubmedqa", data=pubmedqa / name))
    official = load_splits(DataRequest("pubmedqa", data=pubmedqa / "ori_pqal.json"))
    assert content_hash(copy) == content_hash(official)


def test_pubmedqa_as_a_fold_has_the_folds_splits(tmp_path, pubmedqa):
    content = json.loads((pubmedqa / "ori_pqal.json").read_text())
    official = load_splits(DataRequest("pubmedqa", data=pubmedqa))
    fold = tmp_path / "data" / "pqal_fold3"
    for name, rows in official.items():
        file = {"train": "train_set", "validation": "dev_set", "test": "test_set"}[name]
        place = fold.parent if name == "test" else fold
        write_json(place / f"{file}.json", {row.id: content[row.id] for row in rows})
    for data in (fold, fold.parent):
        splits = load_splits(DataRequest("pubmedqa", data=data))
        assert content_hash(splits) == content_hash(official)


def test_pubmedqas_rows_are_labelled_as_they_are_trained_on(pubmedqa):
    found = unlabelled_rows(pubmedqa / "ori_pqal.json", "pubmedqa").rows
    official = load_splits(DataRequest("pubmedqa", data=pubmedqa))
    trained = {row.id: (row.question, row.context) for _, rows in official.items() for row in rows}
    assert {row.id: (row.question, row.context) for row in found} == trained
    assert not any(row.label or row.rationales for row in found)


ANSWERS = {"from 1": lambda i: i + 1, "from 0": lambda i: i, "capitals": lambda i: "ABCD"[i]}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("name", CONTAINERS)
def test_medmcqa_in_its_own_columns_is_one_set(tmp_path, name, answer):
    file = real("medmcqa/dev_human_and_llm_rationales.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    own = [
        {
            "id": row["id"],
            "question": row["question"],
            **{f"op{letter}": text for letter, text in zip("abcd", row["choices"], strict=True)},
            "cop": ANSWERS[answer](row["choices"].index(row["label"])),
            "exp": row["rationales"]["human"],
        }
        for row in rows
    ]
    CONTAINERS[name](tmp_path / name, own)
    splits = load_splits(DataRequest("medmcqa", data=tmp_path / name))
    columns = {"choices": "choices", "rationale.human": "rationales.human"}
    plain = load_splits(DataRequest("medmcqa", data=file, columns=columns))
    found, right = (
        {r.id: (r.choices, r.label, r.rationales) for _, rows in one.items() for r in rows}
        for one in (splits, plain)
    )
    assert found == right
