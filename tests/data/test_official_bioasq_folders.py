"""BioASQ folders as people have them: overlaps, unanswered questions, files of another kind."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2d_ray.data.location import DataRequest
from r2d_ray.data.official.bioasq import read_bioasq
from r2d_ray.data.sources import load_splits
from r2d_ray.errors import UserError


def question(row_id, answer="yes", **more):
    values = {
        "id": row_id,
        "type": "yesno",
        "body": f"Is {row_id} so?",
        "exact_answer": answer,
        "ideal_answer": [f"Because of {row_id}."],
        "snippets": [{"text": f"Text of {row_id}."}],
        "documents": [f"http://site/pubmed/{row_id}"],
        **more,
    }
    return {key: value for key, value in values.items() if value is not MISSING}


MISSING = object()


def batch(path, *questions, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"questions": list(questions), **more}))
    return path


def by_split(source):
    found = {}
    for row in source.rows:
        found.setdefault(source.assigned.get(row.id, "free"), []).append(row.id)
    return found


OVERLAPS = {
    "a training file and golden files of its last edition": (
        {"training12b_new": "abcd", "11B1_golden": "c", "11B2_golden": "d", "12B1_golden": "e"},
        {"train": ["a", "b"], "validation": ["c", "d"], "test": ["e"]},
        2,
    ),
    "a training file and a golden file of its last edition alone": (
        {"training12b_new": "abc", "11B1_golden": "c"},
        {"train": ["a", "b"], "test": ["c"]},
        1,
    ),
    "two training files, the newer holds the older": (
        {"training11b": "ab", "training12b_new": "abc"},
        {"free": ["a", "b", "c"]},
        2,
    ),
    "two training files and a golden file": (
        {"training11b": "ab", "training12b_new": "abc", "12B1_golden": "d"},
        {"train": ["a", "b", "c"], "test": ["d"]},
        2,
    ),
    "two copies of a golden file": (
        {"11B1_golden": "ab", "copy/11B1_golden": "ab", "12B1_golden": "c"},
        {"train": ["a", "b"], "test": ["c"]},
        2,
    ),
    "files without an edition": ({"one": "ab", "two": "bc"}, {"free": ["a", "b", "c"]}, 1),
    "a file without an edition that repeats one": (
        {"11B1_golden": "ab", "12B1_golden": "c", "backup": "ab"},
        {"train": ["a", "b"], "test": ["c"]},
        2,
    ),
}


@pytest.mark.parametrize("case", OVERLAPS)
def test_a_question_of_several_files_is_read_once_in_its_newest_edition(tmp_path, case):
    files, splits, again = OVERLAPS[case]
    for name, ids in files.items():
        batch(tmp_path / f"{name}.json", *(question(row_id) for row_id in ids))
    source = read_bioasq(tmp_path)
    assert by_split(source) == splits
    assert source.notes == (
        "questions that several files have, read once as the newest edition has them: "
        f"{again} repeats",
    )


def test_the_newest_edition_gives_the_text(tmp_path):
    batch(tmp_path / "training12b.json", question("a", snippets=[{"text": "Old."}]))
    batch(tmp_path / "11B1_golden.json", question("a", "Yes.", snippets=[{"text": "New."}]))
    (row,) = read_bioasq(tmp_path).rows
    assert (row.context, row.label) == ("New.", "yes")


def test_answers_that_differ_are_refused_with_both_places(tmp_path):
    first = batch(tmp_path / "11B1_golden.json", question("a"))
    second = batch(tmp_path / "training12b.json", question("b"), question("a", "no"))
    with pytest.raises(UserError) as error:
        read_bioasq(tmp_path)
    assert str(error.value) == (
        f"{second}: questions.1: id 'a' is answered 'no', but 'yes' in {first}"
    )


@pytest.mark.parametrize("answer", [MISSING, None, "", " ", [], [[]], [None], float("nan")])
def test_questions_without_an_answer_are_left_out_and_counted(tmp_path, answer):
    batch(tmp_path / "11B1_golden.json", question("a"), question("d", answer))
    batch(tmp_path / "12B1_golden.json", question("b"))
    batch(tmp_path / "BioASQ-task13bPhaseB-testset1.json", question("c", answer))
    source = read_bioasq(tmp_path)
    assert by_split(source) == {"train": ["a"], "test": ["b"]}
    assert source.notes == ("yes/no questions without an answer, left out: 2",)


def test_a_question_that_another_file_answers_is_not_counted_as_unanswered(tmp_path):
    batch(tmp_path / "11B1_golden.json", question("a"))
    batch(tmp_path / "task11b-testset1.json", question("a", MISSING))
    assert read_bioasq(tmp_path).notes == ()


@pytest.mark.parametrize("as_folder", [True, False])
def test_files_without_any_answer_are_refused_in_one_line(tmp_path, as_folder):
    file = batch(tmp_path / "testset1.json", question("a", MISSING), question("b", None))
    path = tmp_path if as_folder else file
    with pytest.raises(UserError) as error:
        read_bioasq(path)
    assert str(error.value).startswith(f"{path}: none of its 2 yes/no questions has an answer (")
    assert "r2d_ray.predict" in str(error.value)


FOREIGN = {
    "no list of questions": [
        {"default": {"features": {}}},
        {"questions": 3},
        {"questions": ["text"]},
        [1, 2],
        [{"id": "a", "label": "yes"}],
        "text",
    ],
    "a file of BioASQ Synergy": [
        {"questions": [question("s", MISSING, answer_ready=False)]},
        {"questions": [question("s", documents=[{"id": "1", "golden": True}])]},
        {"questions": [question("s", snippets=[{"text": "T", "golden": False}])]},
    ],
    "a system's submission": [
        {"questions": [{"id": "a", "exact_answer": "no", "ideal_answer": "T"}]},
        {"questions": [question("a", "no")], "username": "u", "system": "s"},
    ],
}


@pytest.mark.parametrize(
    ("kind", "content"), [(kind, content) for kind, each in FOREIGN.items() for content in each]
)
def test_a_file_of_another_kind_is_left_out_and_named(tmp_path, kind, content):
    batch(tmp_path / "11B1_golden.json", question("a"))
    other = tmp_path / "more" / "other.json"
    other.parent.mkdir()
    other.write_text(json.dumps(content))
    source = read_bioasq(tmp_path)
    assert [row.id for row in source.rows] == ["a"]
    assert source.notes == (
        f"JSON files that are not Task B's, left out: 1, more/other.json ({kind})",
    )
    with pytest.raises(UserError) as error:
        read_bioasq(other)
    assert str(error.value).startswith(f"{other}: ")
    assert "\n" not in str(error.value)


def test_many_files_of_another_kind_are_counted_and_the_first_are_named(tmp_path):
    batch(tmp_path / "11B1_golden.json", question("a"))
    for number in range(8):
        (tmp_path / f"extra{number}.json").write_text("{}")
    (note,) = read_bioasq(tmp_path).notes
    assert note.startswith("JSON files that are not Task B's, left out: 8, extra0.json (")
    assert note.endswith("extra4.json (no list of questions), 3 more")


@pytest.mark.parametrize("torn", ['{"questions": [{"id": "b"', "", '{"quest'])
def test_a_torn_golden_file_is_refused_and_not_left_out(tmp_path, torn):
    batch(tmp_path / "11B1_golden.json", question("a"))
    (tmp_path / "11B2_golden.json").write_text(torn)
    with pytest.raises(UserError, match=r"11B2_golden\.json"):
        read_bioasq(tmp_path)


def test_a_folder_of_files_of_another_kind_only_is_refused(tmp_path):
    (tmp_path / "dataset_infos.json").write_text('{"default": {}}')
    with pytest.raises(UserError, match="no BioASQ file"):
        read_bioasq(tmp_path)


MISSING_VALUES = {
    "ideal_answer": [MISSING, None, "", [], [None], [[None]], float("nan")],
    "snippets": [MISSING, None, [], [None], [{"text": None}], [{}], [{"text": ""}]],
    "documents": [MISSING, None, [], [None]],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, each in MISSING_VALUES.items() for value in each]
)
def test_null_is_read_as_a_missing_value_is(tmp_path, key, value):
    (row,) = read_bioasq(batch(tmp_path / "b.json", question("a", **{key: value}))).rows
    (bare,) = read_bioasq(batch(tmp_path / "c.json", question("a", **{key: MISSING}))).rows
    assert row == bare


ANSWERS = st.sampled_from(["yes", "no"])


@given(
    ANSWERS,
    st.sampled_from([str, str.upper, str.title, "{}.".format, " {} ".format]),
    st.integers(0, 3),
)
def test_an_answer_is_read_however_it_is_written(answer, style, depth):
    from r2d_ray.data.official.bioasq_files import Question

    value = style(answer)
    for _ in range(depth):
        value = [value]
    read = Question.model_validate({"id": "a", "body": "B?", "exact_answer": value})
    assert read.exact_answer.lower().strip(" .") == answer


@pytest.mark.parametrize(("answer", "label"), [(True, "yes"), (False, "no"), ([True], "yes")])
def test_a_truth_value_is_an_answer(tmp_path, answer, label):
    assert read_bioasq(batch(tmp_path / "b.json", question("a", answer))).rows[0].label == label


@pytest.mark.parametrize("kind", ["yesno", "YesNo", "yes/no", " yesno "])
def test_a_type_is_read_in_any_spelling_and_a_number_is_an_id(tmp_path, kind):
    (row,) = read_bioasq(batch(tmp_path / "b.json", question(7, type=kind))).rows
    assert row.id == "7"


def test_a_named_folder_of_tables_is_read_as_tables(tmp_path):
    (tmp_path / "dataset_infos.json").write_text('{"default": {}}')
    rows = [{"question": f"Q{n}?", "label": ("yes", "no")[n % 2]} for n in range(20)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "train.jsonl").write_text(lines)
    splits = load_splits(DataRequest("bioasq", data=Path(tmp_path)))
    assert sum(len(part) for _, part in splits.items()) == 20
    alone = tmp_path / "rows.json"
    alone.write_text(lines)
    again = load_splits(DataRequest("bioasq", data=alone))
    assert sum(len(part) for _, part in again.items()) == 20


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.sets(st.integers(0, 3), min_size=1), st.booleans()),
        unique_by=lambda entry: entry[0],
        min_size=1,
    )
)
def test_questions_are_the_same_however_files_share_them(entries):
    alone = [
        question(f"q{number}", "yes" if number % 2 else "no") for number, _, _ in sorted(entries)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = read_bioasq(batch(folder / "whole" / "all.json", *alone))
        for place in range(4):
            # A file has a question with its answer or, as a test set does, without; one has it.
            held = [
                question(f"q{n}", ("no", "yes")[n % 2] if place == min(at) or told else None)
                for n, at, told in entries
                if place in at
            ]
            batch(folder / "shared" / f"part{place}.json", *held)
        shared = read_bioasq(folder / "shared")
    assert {row.id: row for row in shared.rows} == {row.id: row for row in whole.rows}
    again = sum(len(at) - 1 for _, at, told in entries if told)
    assert shared.notes == (
        (
            "questions that several files have, read once as the newest edition has them: "
            f"{again} repeats",
        )
        if again
        else ()
    )
