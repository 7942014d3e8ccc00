"""Official files to be labelled: rows with their ids, and without the answers they may give."""

import json
from pathlib import Path

import pytest

from r2d_ray.data.location import DataRequest
from r2d_ray.data.official.bioasq import read_bioasq
from r2d_ray.data.official.pubmedqa import read_pubmedqa
from r2d_ray.data.official.readers import layout_of, unlabelled_rows
from r2d_ray.data.sources import load_splits
from r2d_ray.errors import UserError


def question(row_id, kind="yesno", **more):
    return {
        "id": row_id,
        "type": kind,
        "body": f"Is {row_id}?",
        "snippets": [{"text": "T."}],
    } | more


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


ABSTRACT = {"QUESTION": "Does it?", "CONTEXTS": ["One.", "Two."], "LABELS": ["A", "B"]}


def test_a_bioasq_test_file_gives_its_yes_no_questions(tmp_path):
    questions = [question("a"), question("b", "list"), question("c", snippets=None)]
    file = write_json(tmp_path / "testset.json", {"questions": questions})
    source = unlabelled_rows(file, "bioasq")
    assert [(row.id, row.question, row.context) for row in source.rows] == [
        ("a", "Is a?", "T."),
        ("c", "Is c?", ""),
    ]
    assert source.notes == ("questions of other types, not used: 1",)


def test_answers_that_a_bioasq_file_gives_are_left_out(tmp_path):
    answered = question("a", exact_answer="yes", ideal_answer=["So."], documents=["http://x/1"])
    file = write_json(tmp_path / "11B1_golden.json", {"questions": [answered]})
    (row,) = unlabelled_rows(file, "bioasq").rows
    (trained,) = read_bioasq(file).rows
    assert (row.label, row.rationales) == ("", {})
    assert (row.id, row.question, row.context) == (trained.id, trained.question, trained.context)


def test_a_bioasq_folder_gives_each_question_once(tmp_path):
    write_json(tmp_path / "1.json", {"questions": [question("a"), question("b")]})
    write_json(tmp_path / "2.json", {"questions": [question("b"), question("c", "factoid")]})
    write_json(tmp_path / "info.json", {"default": {}})
    source = unlabelled_rows(tmp_path, "bioasq")
    assert [row.id for row in source.rows] == ["a", "b"]
    assert source.notes == (
        "questions of other types, not used: 1",
        "repeats of questions, left out: 1",
        "JSON files that are not Task B's, left out: 1, info.json",
    )


@pytest.mark.parametrize("decision", [{}, {"final_decision": "yes", "LONG_ANSWER": "It does."}])
def test_a_pubmedqa_file_gives_every_row(tmp_path, decision):
    file = write_json(tmp_path / "ori_pqau.json", {"11": ABSTRACT | decision, "12": ABSTRACT})
    rows = unlabelled_rows(file, "pubmedqa").rows
    assert [(row.id, row.label, row.rationales) for row in rows] == [("11", "", {}), ("12", "", {})]
    assert rows[0].context == "One. Two."


def test_the_text_to_be_labelled_is_the_text_that_is_trained_on(tmp_path):
    entry = ABSTRACT | {"final_decision": "no"}
    file = write_json(tmp_path / "test_set.json", {"11": entry})
    (row,), (trained,) = unlabelled_rows(file, "pubmedqa").rows, read_pubmedqa(file).rows
    assert (row.id, row.question, row.context) == (trained.id, trained.question, trained.context)


def test_the_public_copy_of_pubmedqa_gives_every_row(tmp_path):
    rows = [{"pubid": n, "question": "Q?", "context": {"contexts": ["C."]}} for n in (1, 2)]
    file = write_lines(tmp_path / "unlabelled.jsonl", rows)
    assert [row.id for row in unlabelled_rows(file, "pubmedqa").rows] == ["1", "2"]


def test_medmcqas_test_set_gives_every_question_with_its_options(tmp_path):
    options = {f"op{letter}": letter for letter in "abcd"}
    rows = [{"id": f"m{n}", "question": f"Q{n}?", **options} for n in (1, 2)]
    rows[1]["cop"] = 3
    file = write_lines(tmp_path / "test.json", rows)
    found = unlabelled_rows(file, "medmcqa").rows
    assert [(row.id, row.choices, row.label) for row in found] == [
        ("m1", ("a", "b", "c", "d"), ""),
        ("m2", ("a", "b", "c", "d"), ""),
    ]


TABLE = [{"id": "a", "question": "Q?", "context": "C."}]


@pytest.mark.parametrize("dataset", ["bioasq", "pubmedqa", "medmcqa", "triage", "notes"])
@pytest.mark.parametrize("name", ["t.jsonl", "t.json"])
def test_an_ordinary_table_is_none_of_them(tmp_path, dataset, name):
    assert layout_of(write_lines(tmp_path / name, TABLE * 2), dataset) is None


LAYOUTS = {
    "a test set": ({"questions": [question("a")]}, "bioasq"),
    "golden, with a name first": ({"name": "x", "questions": [question("a")]}, "bioasq"),
    "no question yet": ({"questions": []}, "bioasq"),
    "abstracts": ({"11": ABSTRACT}, "pubmedqa"),
    "abstracts without a context first": ({"11": {"YEAR": "2001", **ABSTRACT}}, "pubmedqa"),
    "rows with questions": ([{"questions": ["a", "b"], "context": "c"}], None),
    "one row with questions": ({"questions": ["a", "b"], "context": "c"}, None),
    "a text called questions": ({"questions": "a?", "context": "c"}, None),
    "rows with QUESTION": ([{"QUESTION": "a", "CONTEXTS": "b"}], None),
    "rows by number": ({"0": {"question": "a"}}, None),
}


@pytest.mark.parametrize("case", LAYOUTS)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("in_folder", [False, True])
def test_a_layout_is_told_by_the_keys_of_its_file(tmp_path, case, indent, in_folder):
    content, named = LAYOUTS[case]
    file = tmp_path / "set.json"
    file.write_text(json.dumps(content, indent=indent))
    assert layout_of(tmp_path if in_folder else file) == named


def test_a_file_without_keys_of_a_set_is_what_is_expected_and_a_missing_one_nothing(tmp_path):
    file = write_json(tmp_path / "testset.json", {"items": []})
    assert layout_of(file, "bioasq") == "bioasq"
    assert layout_of(file, "notes") is None
    assert layout_of(tmp_path / "absent.json", "bioasq") is None


@pytest.mark.parametrize(
    ("dataset", "data", "said"),
    [
        ("set.json", None, "--dataset set.json: in the layout of BioASQ Task B (allowed: "),
        ("pubmedqa", "set.json", "--data set.json: in the layout of BioASQ Task B (allowed: "),
        ("medmcqa", ".", "--data .: in the layout of BioASQ Task B (allowed: "),
    ],
)
def test_training_names_the_set_whose_layout_it_is_given(
    tmp_path, monkeypatch, dataset, data, said
):
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "set.json", {"questions": [question("a", exact_answer="yes")]})
    with pytest.raises(UserError) as refused:
        load_splits(DataRequest(dataset, data=data and Path(data)))
    assert str(refused.value) == f"{said}--dataset bioasq --data {data or dataset})"


def test_what_is_no_row_is_refused_with_its_place(tmp_path):
    file = write_json(tmp_path / "b.json", {"questions": [question("a", body=None)]})
    with pytest.raises(UserError, match=r"b\.json: questions\.0: body: missing"):
        unlabelled_rows(file, "bioasq")
    only = write_json(tmp_path / "c.json", {"questions": [question("a", "list")]})
    with pytest.raises(UserError, match="no questions of type yesno"):
        unlabelled_rows(only, "bioasq")
