"""Official layouts: BioASQ Task B, PubMedQA, MedMCQA, and texts of language models beside them."""

import json
from collections import Counter
from pathlib import Path

import pytest

from r2d_ray.data.columns import table_rows
from r2d_ray.data.files import Record
from r2d_ray.data.official.bioasq import edition_of, read_bioasq
from r2d_ray.data.official.medmcqa import medmcqa_parts
from r2d_ray.data.official.pubmedqa import pubmedqa_of_hub, read_pubmedqa
from r2d_ray.errors import UserError


def question(row_id, answer="yes", documents=(), **more):
    return {
        "id": row_id,
        "type": "yesno",
        "body": f"Is {row_id} so?",
        "exact_answer": answer,
        "ideal_answer": [f"Because of {row_id}.", "A second answer."],
        "snippets": [{"text": "First."}, {"text": " Second. "}],
        "documents": [f"http://site/pubmed/{number}" for number in documents],
        **more,
    }


def batch(path, *questions):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"questions": list(questions)}))
    return path


def abstract(answer="yes", **more):
    return {
        "QUESTION": "Does it?",
        "CONTEXTS": ["Methods.", "Results."],
        "LABELS": ["METHODS", "RESULTS"],
        "LONG_ANSWER": "It does.",
        "final_decision": answer,
        **more,
    }


def write_json(path, value):
    path.write_text(json.dumps(value))
    return path


def written(row_id, source="llm", label="yes", text="Said so."):
    return {"id": row_id, "source": source, "text": text, "label": label}


def write_written(folder, *rows):
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "llm_rationales.jsonl").write_text(lines)


def test_a_yes_no_question_of_bioasq(tmp_path):
    file = batch(
        tmp_path / "b.json", question("a"), question("b", type="list"), question("c", "no")
    )
    source = read_bioasq(file)
    first, second = source.rows
    assert (first.id, first.question, first.label) == ("a", "Is a so?", "yes")
    assert first.context == "First. Second."
    assert first.rationales == {"human": "Because of a."}
    assert (second.label, first.choices) == ("no", None)
    assert source.notes == ("questions of other types, not used: 1",)
    assert source.assigned == {}


@pytest.mark.parametrize("answer", ["Yes", "yes ", "YES.", ["yes"], [["Yes"]]])
def test_a_label_is_normalised(tmp_path, answer):
    (row,) = read_bioasq(batch(tmp_path / "b.json", question("a", answer))).rows
    assert row.label == "yes"


@pytest.mark.parametrize(
    ("ideal", "rationales"),
    [
        ("One text.", {"human": "One text."}),
        ([], {}),
        ("", {}),
        ([["Nested."]], {"human": "Nested."}),
    ],
)
def test_the_first_ideal_answer_is_the_human_rationale(tmp_path, ideal, rationales):
    (row,) = read_bioasq(batch(tmp_path / "b.json", question("a", ideal_answer=ideal))).rows
    assert row.rationales == rationales


def test_a_question_without_snippets_has_an_empty_context(tmp_path):
    asked = question("a")
    del asked["snippets"]
    assert read_bioasq(batch(tmp_path / "b.json", asked)).rows[0].context == ""


def test_questions_that_cite_a_common_document_are_one_group(tmp_path):
    file = batch(
        tmp_path / "b.json",
        question("b", documents=(1, 2)),
        question("d", documents=(4,)),
        question("c", documents=(2, 3)),
        question("a", documents=(3,)),
        question("e"),
    )
    assert {row.id: row.group for row in read_bioasq(file).rows} == {
        "a": "a",
        "b": "a",
        "c": "a",
        "d": "d",
        "e": "e",
    }


def test_a_document_is_the_same_under_any_address_style(tmp_path):
    one = question("a", documents=(5,))
    other = question("b") | {"documents": ["https://other.site/5/"]}
    rows = read_bioasq(batch(tmp_path / "b.json", one, other)).rows
    assert {row.group for row in rows} == {"a"}


EDITIONS = {
    "Task11BGoldenEnriched/11B1_golden.json": 11,
    "11B1_golden.json": 11,
    "9B5_golden.json": 9,
    "Task7B/batch1.json": 7,
    "BioASQ-training11b.json": 10,
    "BioASQ-training11b/training11b.json": 10,
    "golden.json": None,
    "2011-results.json": None,
}


@pytest.mark.parametrize("name", EDITIONS)
def test_the_edition_is_in_the_name(name):
    assert edition_of(Path(name)) == EDITIONS[name]


def test_of_three_editions_the_newest_is_test_and_the_one_before_validation(tmp_path):
    for edition in (8, 9, 10, 11):
        for part in (1, 2):
            asked = question(f"{edition}-{part}")
            batch(tmp_path / f"Task{edition}B" / f"{edition}B{part}_golden.json", asked)
    assigned = read_bioasq(tmp_path).assigned
    assert {row_id: split for row_id, split in assigned.items() if row_id.endswith("-1")} == {
        "8-1": "train",
        "9-1": "train",
        "10-1": "validation",
        "11-1": "test",
    }
    assert len(assigned) == 8


def test_of_two_editions_the_newest_is_test_and_validation_is_drawn_later(tmp_path):
    batch(tmp_path / "training11b.json", question("a"))
    batch(tmp_path / "11B1_golden.json", question("b"))
    assert read_bioasq(tmp_path).assigned == {"a": "train", "b": "test"}


def test_one_edition_names_no_split(tmp_path):
    batch(tmp_path / "11B1_golden.json", question("a"))
    batch(tmp_path / "11B2_golden.json", question("b"))
    assert read_bioasq(tmp_path).assigned == {}


def test_hidden_files_are_left_alone(tmp_path):
    batch(tmp_path / "11B1_golden.json", question("a"))
    (tmp_path / "._11B1_golden.json").write_bytes(b"\x00\xff")
    assert len(read_bioasq(tmp_path).rows) == 1


BIOASQ_REFUSED = {
    "no question list": ({"data": []}, ": questions: missing"),
    "not an object": ([1], ": not an object"),
    "no yes/no question": (
        {"questions": [question("a", type="list")]},
        ": no questions of type yesno",
    ),
    "no answer": (
        {"questions": [{k: v for k, v in question("a").items() if k != "exact_answer"}]},
        ": none of its 1 yes/no questions has an answer (to train: golden or training files; ",
    ),
    "another answer": (
        {"questions": [question("a"), question("b", "perhaps")]},
        ": questions.1: exact_answer 'perhaps' (allowed: yes, no)",
    ),
    "empty question": (
        {"questions": [question("a", body=" ")]},
        ": questions.0: body: too short (allowed: at least 1)",
    ),
    "wrong type": (
        {"questions": [question("a", snippets=["text"])]},
        ": questions.0: snippets.0: not an object",
    ),
    "repeated id": (
        {"questions": [question("a"), question("a")]},
        ": questions.1: id 'a' appears twice in this file",
    ),
}


@pytest.mark.parametrize("case", BIOASQ_REFUSED)
def test_bioasq_refused_with_file_and_entry(tmp_path, case):
    content, message = BIOASQ_REFUSED[case]
    file = write_json(tmp_path / "b.json", content)
    with pytest.raises(UserError) as error:
        read_bioasq(file)
    assert str(error.value).startswith(f"{file}{message}")
    assert "\n" not in str(error.value)


def test_broken_json_is_refused_with_its_line(tmp_path):
    file = tmp_path / "b.json"
    file.write_text('{"questions": [\n  {"id": }\n]}')
    with pytest.raises(UserError, match=r"b\.json:2: not JSON at column 10: Expecting value$"):
        read_bioasq(file)


def test_a_folder_without_files_or_with_half_named_editions_is_refused(tmp_path):
    with pytest.raises(UserError, match="no BioASQ file"):
        read_bioasq(tmp_path)
    for number, name in enumerate(("10B1.json", "11B1.json", "other.json")):
        batch(tmp_path / name, question(str(number)))
    with pytest.raises(UserError, match="some file names give an edition"):
        read_bioasq(tmp_path)


def test_a_language_models_text_is_a_source_only_where_its_label_is_the_gold_one(tmp_path):
    batch(tmp_path / "7B" / "7B1.json", question("a"), question("b", "no"))
    batch(tmp_path / "8B" / "8B1.json", question("c"))
    batch(tmp_path / "9B" / "9B1.json", question("d"))
    write_written(
        tmp_path,
        written("a", label="Yes"),
        written("a", source="other", label=None),
        written("b"),
        written("c", label="no"),
        written("d", text=""),
        written("not here"),
    )
    source = read_bioasq(tmp_path)
    assert {row.id: set(row.rationales) for row in source.rows} == {
        "a": {"human", "llm"},
        "b": {"human"},
        "c": {"human"},
        "d": {"human"},
    }
    assert source.notes == (
        "LLM texts whose label matches the gold label: llm 1 of 3, other 0 of 1",
    )


WRITTEN_REFUSED = {
    "twice": ([written("a"), written("a")], ":2: 'llm' of id 'a' appears twice"),
    "no source": ([{"id": "a", "text": "T", "label": "yes"}], ":1: source: missing"),
    "hostile source": ([written("a", source="../x")], ":1: rationale source '../x' (allowed"),
}


@pytest.mark.parametrize("case", WRITTEN_REFUSED)
def test_written_texts_refused_with_file_and_line(tmp_path, case):
    rows, message = WRITTEN_REFUSED[case]
    file = batch(tmp_path / "b.json", question("a"))
    write_written(tmp_path, *rows)
    with pytest.raises(UserError) as error:
        read_bioasq(file)
    assert str(error.value).startswith(f"{tmp_path / 'llm_rationales.jsonl'}{message}")


def test_a_pubmedqa_abstract(tmp_path):
    write_json(tmp_path / "ori_pqal.json", {"11": abstract(), "12": abstract("Maybe")})
    write_json(tmp_path / "test_ground_truth.json", {"12": "maybe"})
    source = read_pubmedqa(tmp_path)
    first, second = source.rows
    assert (first.id, first.group, first.question, first.label) == ("11", "11", "Does it?", "yes")
    assert first.context == "Methods. Results."
    assert first.rationales == {"human": "It does."}
    assert second.label == "maybe"
    assert source.assigned == {"12": "test"}


def test_texts_for_the_test_half_are_on_test_rows_only(tmp_path):
    write_json(tmp_path / "ori_pqal.json", {"11": abstract(), "12": abstract()})
    write_json(tmp_path / "test_ground_truth.json", {"12": "yes"})
    write_written(tmp_path, written("12"))
    rows = {row.id: row.rationales for row in read_pubmedqa(tmp_path).rows}
    assert rows == {"11": {"human": "It does."}, "12": {"human": "It does.", "llm": "Said so."}}


@pytest.mark.parametrize("ids", [None, {"99": "yes"}])
def test_without_its_own_test_ids_the_test_split_is_drawn_and_said(tmp_path, ids):
    write_json(tmp_path / "ori_pqaa.json", {"11": abstract()})
    if ids:
        write_json(tmp_path / "test_ground_truth.json", ids)
    source = read_pubmedqa(tmp_path)
    assert source.assigned == {}
    assert "drawn" in source.notes[-1]


PUBMEDQA_REFUSED = {
    "missing field": ({"11": {"QUESTION": "Q?"}}, ": 11.CONTEXTS: missing"),
    "another decision": ({"11": abstract("no way")}, ": 11.final_decision 'no way' (allowed: yes"),
    "a list": ([abstract()], ": not an object"),
}


@pytest.mark.parametrize("case", PUBMEDQA_REFUSED)
def test_pubmedqa_refused_with_file_and_entry(tmp_path, case):
    content, message = PUBMEDQA_REFUSED[case]
    file = write_json(tmp_path / "ori_pqal.json", content)
    with pytest.raises(UserError) as error:
        read_pubmedqa(tmp_path)
    assert str(error.value).startswith(f"{file}{message}")


def test_a_test_id_that_is_no_row_is_refused(tmp_path):
    write_json(tmp_path / "ori_pqal.json", {"11": abstract()})
    write_json(tmp_path / "test_ground_truth.json", {"11": "yes", "99": "no"})
    with pytest.raises(UserError, match=r"id '99' is not in ori_pqal\.json"):
        read_pubmedqa(tmp_path)


def test_a_folder_without_pubmedqa_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no ori_pqal\.json in this folder"):
        read_pubmedqa(tmp_path)


def test_the_hubs_pubmedqa_reads_as_the_official_file_does(tmp_path):
    values = {
        "pubid": 11,
        "question": "Does it?",
        "context": {"contexts": ["Methods.", "Results."], "labels": ["METHODS", "RESULTS"]},
        "long_answer": "It does.",
        "final_decision": "yes",
    }
    source = pubmedqa_of_hub({"train": [Record("row 1", values)]})
    official = read_pubmedqa(write_json(tmp_path / "ori_pqal.json", {"11": abstract()}))
    assert source.rows == official.rows
    assert source.assigned == {}


def medmcqa(row_id, cop, **more):
    values = {"id": row_id, "question": f"Q {row_id}?", "cop": cop, "exp": "Why.", **more}
    return Record(f"f:{row_id}", values | dict(opa="one", opb="two", opc="three", opd="four"))


@pytest.mark.parametrize(
    ("first", "last"), [(1, 4), (0, 3), ("a", "d")], ids=["from 1", "from 0", "letters"]
)
def test_medmcqa_answers_are_option_texts_however_they_are_counted(first, last):
    parts, _ = medmcqa_parts({"train": [medmcqa("x", first), medmcqa("y", last)]})
    rows = table_rows(parts, {}).rows
    assert [row.label for row in rows] == ["one", "four"]
    assert rows[0].choices == ("one", "two", "three", "four")
    assert rows[0].rationales == {"human": "Why."}


@pytest.mark.parametrize("hidden", [None, -1])
def test_medmcqas_hidden_answers_make_its_development_set_the_test(hidden):
    parts, notes = medmcqa_parts(
        {
            "train": [medmcqa("x", 1), medmcqa("y", 4)],
            "validation": [medmcqa("z", 2)],
            "test": [medmcqa("w", hidden)],
        }
    )
    assert Counter(table_rows(parts, {}).assigned.values()) == {"train": 2, "test": 1}
    assert notes == (
        "test questions without an answer (cop), left out: 1",
        "the test set has no answers: the development set is the test split",
    )


def test_medmcqa_refusals():
    with pytest.raises(UserError, match="does it count from 0 or from 1"):
        medmcqa_parts({"": [medmcqa("x", 1), medmcqa("y", 2)]})
    with pytest.raises(UserError, match="f:y: cop 9 is not an option's number"):
        medmcqa_parts({"": [medmcqa("x", 0), medmcqa("y", 9)]})


def test_a_table_in_medmcqas_place_passes_unchanged():
    parts = {"": [Record("f:1", {"question": "Q?", "choices": ["a", "b"], "label": "a"})]}
    assert medmcqa_parts(parts)[0] is parts
