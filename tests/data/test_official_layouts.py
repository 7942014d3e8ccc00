"""PubMedQA's folds and public copy, MedMCQA's answers: one set, one result, whatever the file."""

import csv
import json
from dataclasses import replace

import pytest

from r2d_ray.data.columns import table_rows
from r2d_ray.data.examples import content_hash
from r2d_ray.data.files import Record
from r2d_ray.data.location import DataRequest
from r2d_ray.data.official.medmcqa import medmcqa_parts
from r2d_ray.data.official.pubmedqa import pubmedqa_of_hub, read_pubmedqa
from r2d_ray.data.sources import load_splits
from r2d_ray.errors import UserError

DECISIONS = ("yes", "no", "maybe")


def abstract(number, **more):
    return {
        "QUESTION": f"Does drug {number} help?",
        "CONTEXTS": [f"We gave drug {number}.", "Results."],
        "LABELS": ["METHODS", "RESULTS"],
        "LONG_ANSWER": f"Drug {number} does.",
        "final_decision": DECISIONS[number % 3],
        **more,
    }


def abstracts(numbers):
    return {str(number): abstract(number) for number in numbers}


def hub_row(number):
    entry = abstract(number)
    return {
        "pubid": number,
        "question": entry["QUESTION"],
        "context": {
            "contexts": entry["CONTEXTS"],
            "labels": entry["LABELS"],
            "meshes": ["Humans"],
            "reasoning_required_pred": ["y", "e", "s"],
        },
        "long_answer": entry["LONG_ANSWER"],
        "final_decision": entry["final_decision"],
    }


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def fold(root, name="pqal_fold0"):
    write_json(root / name / "train_set.json", abstracts(range(12)))
    write_json(root / name / "dev_set.json", abstracts(range(12, 18)))
    write_json(root / "test_set.json", abstracts(range(18, 24)))
    return root / name


def sizes(splits):
    return [len(rows) for _, rows in splits.items()]


@pytest.mark.parametrize("given", ["pqal_fold0", ".", "pqal_fold0/train_set.json"])
def test_a_fold_of_the_split_script_names_its_splits(tmp_path, given):
    fold(tmp_path)
    splits = load_splits(DataRequest("pubmedqa", data=tmp_path / given))
    assert sizes(splits) == [12, 6, 6]
    assert [row.id for row in splits.test] == [str(number) for number in range(18, 24)]
    assert splits.provenance.notes == (
        "splits: train train_set.json, validation dev_set.json, test test_set.json",
    )


def test_a_test_set_inside_the_fold_is_its_own(tmp_path):
    folder = fold(tmp_path)
    write_json(folder / "test_set.json", abstracts(range(30, 33)))
    assert [row.id for row in load_splits(DataRequest("pubmedqa", data=folder)).test] == [
        "30",
        "31",
        "32",
    ]


def test_of_several_folds_one_must_be_named(tmp_path):
    for number in (0, 2, 10):
        fold(tmp_path, f"pqal_fold{number}")
    with pytest.raises(UserError) as error:
        load_splits(DataRequest("pubmedqa", data=tmp_path))
    assert str(error.value) == (
        f"{tmp_path}: 3 folds of PubMedQA (pqal_fold0, pqal_fold2, pqal_fold10); "
        f"name one: --data {tmp_path / 'pqal_fold0'}"
    )


def test_a_fold_without_a_test_set_says_that_test_is_drawn(tmp_path):
    folder = fold(tmp_path)
    (tmp_path / "test_set.json").unlink()
    source = read_pubmedqa(folder)
    assert set(source.assigned.values()) == {"train", "validation"}
    assert source.notes[-1] == "no test_set.json: the test split is drawn"


def test_an_id_in_two_files_of_a_fold_is_refused(tmp_path):
    folder = fold(tmp_path)
    write_json(tmp_path / "test_set.json", abstracts([3, 30]))
    with pytest.raises(UserError) as error:
        read_pubmedqa(folder)
    assert str(error.value) == (
        f"{tmp_path / 'test_set.json'}: id '3' is also in {folder / 'train_set.json'}"
    )


def test_the_published_file_takes_its_test_ids_from_the_split_scripts_test_set(tmp_path):
    fold(tmp_path)
    write_json(tmp_path / "ori_pqal.json", abstracts(range(24)))
    source = read_pubmedqa(tmp_path)
    assert set(source.assigned) == {str(number) for number in range(18, 24)}


@pytest.mark.parametrize("missing", ["absent", None, "", " "])
def test_rows_without_a_decision_are_left_out_and_counted(tmp_path, missing):
    open_row = abstract(99, final_decision=missing)
    if missing == "absent":
        del open_row["final_decision"]
    file = write_json(tmp_path / "ori_pqal.json", abstracts(range(3)) | {"99": open_row})
    source = read_pubmedqa(file)
    assert [row.id for row in source.rows] == ["0", "1", "2"]
    assert "rows without a final_decision, left out: 1" in source.notes
    only = write_json(tmp_path / "ori_pqau.json", {"99": open_row})
    with pytest.raises(UserError) as error:
        read_pubmedqa(only)
    assert str(error.value).startswith(f"{only}: none of its rows (1) has a final_decision, as in")


def test_a_null_long_answer_is_a_missing_one(tmp_path):
    file = write_json(tmp_path / "ori_pqal.json", {"1": abstract(1, LONG_ANSWER=None)})
    assert read_pubmedqa(file).rows[0].rationales == {}


def as_parquet(folder, rows):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "copy.parquet")
    return folder / "copy.parquet"


def as_jsonl(folder, rows, name="copy.jsonl"):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


def as_json_lines(folder, rows):
    return as_jsonl(folder, rows, "copy.json")


def as_csv(folder, rows):
    with (folder / "copy.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows({**row, "context": json.dumps(row["context"])} for row in rows)
    return folder / "copy.csv"


def as_folder(folder, rows):
    (folder / "copy").mkdir()
    as_jsonl(folder / "copy", rows, "train.jsonl")
    return folder / "copy"


def as_official(folder, rows):
    return write_json(folder / "ori_pqal.json", abstracts(row["pubid"] for row in rows))


@pytest.mark.parametrize(
    "write", [as_parquet, as_jsonl, as_json_lines, as_csv, as_folder, as_official]
)
def test_pubmedqas_public_copy_gives_the_same_set_in_every_container(tmp_path, write):
    rows = [hub_row(number) for number in range(30)]
    source = pubmedqa_of_hub({"train": [Record(f"row {n}", row) for n, row in enumerate(rows)]})
    splits = load_splits(DataRequest("pubmedqa", data=write(tmp_path, rows)))
    assert sorted(row.id for _, part in splits.items() for row in part) == sorted(
        row.id for row in source.rows
    )
    (tmp_path / "reference").mkdir()
    reference = load_splits(DataRequest("pubmedqa", data=as_official(tmp_path / "reference", rows)))
    assert content_hash(splits) == content_hash(reference)


def test_the_public_copy_beside_the_official_test_ids_uses_them(tmp_path):
    file = as_parquet(tmp_path, [hub_row(number) for number in range(30)])
    write_json(tmp_path / "test_ground_truth.json", {str(n): "yes" for n in range(24, 30)})
    splits = load_splits(DataRequest("pubmedqa", data=file))
    assert [row.id for row in splits.test] == [str(number) for number in range(24, 30)]


def test_of_a_downloaded_copy_with_several_configurations_the_labelled_one_is_read(tmp_path):
    for name, numbers in (("pqa_labeled", range(30)), ("pqa_artificial", range(100, 200))):
        (tmp_path / name).mkdir()
        as_jsonl(tmp_path / name, [hub_row(n) for n in numbers], "train.jsonl")
    splits = load_splits(DataRequest("pubmedqa", data=tmp_path))
    assert sum(sizes(splits)) == 30


def test_the_public_copys_own_splits_are_kept(tmp_path):
    as_jsonl(tmp_path, [hub_row(n) for n in range(12)], "train.jsonl")
    as_jsonl(tmp_path, [hub_row(n) for n in range(12, 18)], "validation.jsonl")
    as_jsonl(tmp_path, [hub_row(n) for n in range(18, 24)], "test.jsonl")
    assert sizes(load_splits(DataRequest("pubmedqa", data=tmp_path))) == [12, 6, 6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"final_decision": "perhaps"}, "final_decision 'perhaps' (allowed: yes, no, maybe)"),
        ({"question": None}, "QUESTION: missing"),
        ({"context": "{'contexts': array"}, "context: not JSON at column 2"),
        ({"context": {"labels": []}}, "CONTEXTS: missing"),
    ],
)
def test_a_row_of_the_public_copy_is_refused_with_its_place(change, message):
    records = [Record("f: row 1", hub_row(1)), Record("f: row 2", hub_row(2) | change)]
    with pytest.raises(UserError) as error:
        pubmedqa_of_hub({"": records})
    assert str(error.value).startswith("f: row 2: ")
    assert message in str(error.value)


def test_an_id_that_the_public_copy_repeats_is_refused():
    records = [Record("f: row 1", hub_row(1)), Record("f: row 2", hub_row(1))]
    with pytest.raises(UserError, match=r"^f: row 2: id '1' was already used at f: row 1$"):
        pubmedqa_of_hub({"": records})


def medmcqa(row_id, cop, **more):
    options = dict(opa="one", opb="two", opc="three", opd="four")
    return Record(
        f"f:{row_id}",
        {"id": row_id, "question": f"Q {row_id}?", "cop": cop, "exp": "Why.", **options, **more},
    )


WRITINGS = {
    "numbers": [1, 2, 3, 4],
    "from 0": [0, 1, 2, 3],
    "text": ["1", "2", "3", "4"],
    "text from 0": ["0", "1", "2", "3"],
    "whole floats": [1.0, 2.0, 3.0, 4.0],
    "text of floats": ["1.0", "2.0", "3.0", "4.0"],
    "small letters": ["a", "b", "c", "d"],
    "capitals": ["A", "B", "C", "D"],
    "spaces": [" a ", "B ", " 3", "4."],
}


@pytest.mark.parametrize("writing", [name for name in WRITINGS if name != "spaces"])
def test_medmcqas_answers_are_the_same_however_they_are_written(writing):
    records = [medmcqa(f"r{n}", cop) for n, cop in enumerate(WRITINGS[writing])]
    parts, notes = medmcqa_parts({"": records})
    rows = table_rows(parts, {}).rows
    assert [row.label for row in rows] == ["one", "two", "three", "four"]
    assert notes == ()


def test_spaces_around_an_answer_do_not_matter():
    records = [medmcqa(f"r{n}", cop) for n, cop in enumerate([" a ", "B ", " 3", "4."])]
    rows = table_rows(medmcqa_parts({"": records})[0], {}).rows
    assert [row.label for row in rows] == ["one", "two", "three", "four"]


HIDDEN = [None, -1, "-1", -1.0, "-1.0", "", " ", float("nan"), "nan"]


@pytest.mark.parametrize("hidden", HIDDEN)
def test_medmcqas_unanswered_rows_are_left_out_and_counted(hidden):
    parts, notes = medmcqa_parts(
        {"train": [medmcqa("x", 1), medmcqa("y", 4), medmcqa("z", hidden)]}
    )
    assert [record.values["id"] for record in parts["train"]] == ["x", "y"]
    assert notes == ("train questions without an answer (cop), left out: 1",)


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("split", ["", "train"])
def test_a_medmcqa_file_without_answers_is_refused_by_the_column(hidden, split):
    records = {split: [medmcqa("x", hidden), medmcqa("y", hidden)]}
    more = {"test": [medmcqa("t", 0)]} if split else {}
    with pytest.raises(UserError) as error:
        medmcqa_parts(records | more)
    assert str(error.value).startswith("f:x: this and every other row of ")
    assert "no answer in column 'cop'" in str(error.value)


@pytest.mark.parametrize("cop", ["e", "perhaps", 1.5, "1.5", True, -2, "inf", float("inf"), [1]])
def test_what_is_no_answer_of_medmcqa_is_refused_with_its_place(cop):
    with pytest.raises(UserError, match=r"^f:y: cop .* \(allowed: an option's number or letter\)"):
        medmcqa_parts({"": [medmcqa("x", 0), medmcqa("y", cop)]})


def test_medmcqa_as_csv_jsonl_and_parquet_is_one_set(tmp_path):
    rows = [
        {
            "id": f"m{n}",
            "question": f"Which is drug {n}?",
            **{f"op{letter}": f"{letter}{n}" for letter in "abcd"},
            "cop": n % 4 + 1,
            "exp": f"Because {n}.",
        }
        for n in range(30)
    ]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    files = [tmp_path / "a.csv", as_jsonl(tmp_path, rows), as_parquet(tmp_path, rows)]
    loaded = [load_splits(DataRequest("medmcqa", data=file, split_seed=0)) for file in files]
    assert len({content_hash(splits) for splits in loaded}) == 1
    assert sizes(loaded[0]) == [22, 4, 4]
    assert loaded[0].train[0] == replace(loaded[0].train[0], rationales={"human": "Because 0."})


def test_medmcqa_without_explanations_and_choice_types_is_read():
    records = [medmcqa("x", 0), medmcqa("y", 1)]
    for record in records:
        del record.values["exp"]
    rows = table_rows(medmcqa_parts({"": records})[0], {}).rows
    assert [row.rationales for row in rows] == [{}, {}]
