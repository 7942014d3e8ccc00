"""Where a set comes from, in which order, and what `load_splits` promises of any source."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from r2d_ray.data import sources
from r2d_ray.data.examples import content_hash
from r2d_ray.data.files import Record
from r2d_ray.data.location import DataRequest, locate
from r2d_ray.data.sources import check_source, load_splits
from r2d_ray.errors import UserError


def table_row(number, label="yes", **more):
    return {
        "id": f"r{number}",
        "question": f"Question {number}?",
        "context": f"Context {number}.",
        "label": label,
        "rationale": f"Reason {number}.",
        **more,
    }


def write_table(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def table(tmp_path):
    rows = [table_row(i, "yes" if i % 2 else "no") for i in range(40)]
    return write_table(tmp_path / "my notes.jsonl", rows)


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch):
    monkeypatch.delenv("R2D_DATA", raising=False)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(sources, "hub_parts", refuse)


def test_a_given_path_comes_before_the_data_folder(tmp_path, monkeypatch):
    (tmp_path / "bioasq").mkdir()
    monkeypatch.setenv("R2D_DATA", str(tmp_path))
    given_path = tmp_path / "mine.json"
    given_path.write_text("{}")
    place = locate(DataRequest("bioasq", data=given_path))
    assert (place.kind, place.address, place.name) == ("file", str(given_path), "bioasq")


@pytest.mark.parametrize("profile", ["embedded", "finetune", "paper"])
def test_the_data_folder_comes_before_hub_and_sample(tmp_path, monkeypatch, profile):
    (tmp_path / "pubmedqa").mkdir()
    monkeypatch.setenv("R2D_DATA", str(tmp_path))
    place = locate(DataRequest("pubmedqa", profile=profile))
    assert (place.kind, place.address) == ("folder", str(tmp_path / "pubmedqa"))
    assert locate(DataRequest("triage")).kind == "sample"


ELSEWHERE = {
    ("pubmedqa", "paper"): ("hub", "qiaojin/PubMedQA@main", "pubmedqa"),
    ("medmcqa", "paper"): ("hub", "openlifescienceai/medmcqa@main", "medmcqa"),
    ("hub:owner/set@v1", "paper"): ("hub", "owner/set@v1", "owner-set-v1"),
    ("pubmedqa", "finetune"): ("hub", "qiaojin/PubMedQA@main", "pubmedqa"),
    ("medmcqa", "finetune"): ("hub", "openlifescienceai/medmcqa@main", "medmcqa"),
    ("hub:owner/set@v1", "finetune"): ("hub", "owner/set@v1", "owner-set-v1"),
    ("bioasq", "embedded"): ("sample", "bioasq", "bioasq-sample"),
    ("pubmedqa", "embedded"): ("sample", "pubmedqa", "pubmedqa-sample"),
    ("triage", "embedded"): ("sample", "triage", "triage-sample"),
}


@pytest.mark.parametrize(("dataset", "profile"), ELSEWHERE)
def test_without_a_path_embedded_takes_the_sample_and_the_others_ask_the_hub(dataset, profile):
    place = locate(DataRequest(dataset, profile=profile))
    assert (place.kind, place.address, place.name) == ELSEWHERE[dataset, profile]


NOWHERE = {
    ("bioasq", "finetune"): "--dataset bioasq: not available with --profile finetune: register at ",
    ("triage", "finetune"): "--dataset triage: not available with --profile finetune: no public",
    ("bioasq", "paper"): "--dataset bioasq: not available with --profile paper: register at ",
    ("triage", "paper"): "--dataset triage: not available with --profile paper: no public copy",
    (
        "medmcqa",
        "embedded",
    ): "--dataset medmcqa: not available with --profile embedded: download",
    (
        "medreason",
        "paper",
    ): "--dataset medreason: not available with --profile paper: get Med",
    (
        "ddxplus",
        "embedded",
    ): "--dataset ddxplus: not available with --profile embedded: get DDX",
    ("biaosq", "embedded"): "unknown dataset 'biaosq'; did you mean 'bioasq'? (allowed: ",
    ("no/such.csv", "embedded"): "--dataset no/such.csv: no such file or folder",
    ("nosuch.csv", "embedded"): "--dataset nosuch.csv: no such file or folder",
    ("hub:owner/set", "paper"): "--dataset 'hub:owner/set': expected hub:NAME@REVISION",
    ("hub:@v1", "paper"): "--dataset 'hub:@v1': expected hub:NAME@REVISION",
    (
        "hub:owner/set@v1",
        "embedded",
    ): "--dataset 'hub:owner/set@v1': needs --profile finetune or paper",
}


@pytest.mark.parametrize(("dataset", "profile"), NOWHERE)
def test_a_set_that_is_nowhere_is_refused_with_the_way_to_get_it(dataset, profile):
    with pytest.raises(UserError) as error:
        load_splits(DataRequest(dataset, profile=profile))
    assert str(error.value).startswith(NOWHERE[dataset, profile])


def test_paths_that_do_not_exist_are_refused_by_flag(monkeypatch, table):
    with pytest.raises(UserError, match=r"^--data /no/such: no such file or folder$"):
        locate(DataRequest("bioasq", data=Path("/no/such")))
    with pytest.raises(UserError, match="for a named set only"):
        locate(DataRequest(str(table), data=table))
    monkeypatch.setenv("R2D_DATA", "/no/such")
    with pytest.raises(UserError, match=r"^R2D_DATA=/no/such: no such folder$"):
        locate(DataRequest("bioasq"))


@pytest.mark.parametrize("dataset", ["bioasq", "pubmedqa", "triage"])
def test_a_sample_is_loaded_without_the_network_and_does_not_depend_on_the_seed(
    dataset, no_network
):
    splits = load_splits(DataRequest(dataset, sample_rows=(140, 30, 30), split_seed=1))
    assert splits.name == f"{dataset}-sample"
    assert splits.provenance.kind == "sample"
    assert splits.dropped == {}
    assert sum(len(rows) for _, rows in splits.items()) == 200
    again = load_splits(DataRequest(dataset, sample_rows=(140, 30, 30), split_seed=2))
    assert content_hash(again) == content_hash(splits)


def test_a_file_is_split_checked_and_named(table):
    splits = load_splits(DataRequest(str(table)))
    assert splits.name == "my-notes"
    assert [len(rows) for _, rows in splits.items()] == [28, 6, 6]
    assert splits.labels == ("yes", "no")
    assert splits.rationale_sources() == ("human",)
    assert (splits.provenance.kind, splits.provenance.address) == ("file", str(table))


def test_the_same_request_gives_the_same_content_and_another_seed_another(table):
    first, second = (load_splits(DataRequest(str(table))) for _ in range(2))
    assert content_hash(first) == content_hash(second)
    assert content_hash(load_splits(DataRequest(str(table), split_seed=1))) != content_hash(first)


def test_a_named_set_may_be_a_table(table):
    splits = load_splits(DataRequest("bioasq", data=table))
    assert (splits.name, splits.provenance.licence) == ("bioasq", "CC BY 2.5")


def test_a_planted_repeat_is_dropped_from_training_and_counted(tmp_path):
    rows = [table_row(i, "yes" if i % 2 else "no", split="train") for i in range(20)]
    rows += [table_row(i, "yes" if i % 2 else "no", split="dev") for i in range(20, 30)]
    rows += [table_row(i, "yes" if i % 2 else "no", split="test") for i in range(30, 40)]
    rows += [table_row(40, split="train", question="QUESTION 35"), table_row(41, split="train")]
    rows[-1] |= {"question": "question 24?"}
    splits = load_splits(DataRequest(str(write_table(tmp_path / "a.jsonl", rows))))
    assert [len(part) for _, part in splits.items()] == [20, 10, 10]
    assert splits.dropped == {
        "train row: its question is in test": 1,
        "train row: its question is in validation": 1,
    }


@pytest.mark.parametrize(
    ("label", "split"), [("maybe", "test"), ("maybe", "validation")], ids=lambda value: value
)
def test_a_label_without_a_training_row_is_refused(tmp_path, label, split):
    rows = [table_row(i, "yes" if i % 2 else "no", split="train") for i in range(8)]
    rows += [table_row(8, "yes", split="validation"), table_row(9, "yes", split="test")]
    rows += [table_row(10, label, split=split)]
    path = write_table(tmp_path / "a.jsonl", rows)
    with pytest.raises(UserError, match=r"^a: label 'maybe' is in no training row$"):
        load_splits(DataRequest(str(path)))


def test_two_rows_are_too_few_for_three_splits(tmp_path):
    path = write_table(tmp_path / "a.jsonl", [table_row(1), table_row(2)])
    with pytest.raises(UserError, match=r"^a: the \w+ split has no rows$"):
        load_splits(DataRequest(str(path)))


def test_a_limit_holds_for_every_split_and_keeps_the_label_set(table):
    splits = load_splits(DataRequest(str(table), limit=4))
    assert [len(rows) for _, rows in splits.items()] == [4, 4, 4]
    assert splits.labels == ("yes", "no")


@pytest.mark.parametrize(
    ("limit", "message"), [(0, "--limit 0: expected at least 1"), (1, "--limit 1: .* has 2 labels")]
)
def test_a_limit_below_the_labels_is_refused(table, limit, message):
    with pytest.raises(UserError, match=message):
        load_splits(DataRequest(str(table), limit=limit))


def test_rationales_are_kept_on_as_many_training_rows_as_asked():
    sizes = (140, 30, 30)
    whole = load_splits(DataRequest("triage", sample_rows=sizes))
    few = load_splits(DataRequest("triage", sample_rows=sizes, rationale_rows=30))
    kept = [row for row in few.train if row.rationales]
    assert len(kept) == 30
    assert set(row.id for row in kept) < set(row.id for row in whole.train)
    assert [(row.id, row.label) for row in few.train] == [(r.id, r.label) for r in whole.train]
    assert (few.validation, few.test) == (whole.validation, whole.test)
    assert few.provenance.notes[-1] == "training rows that keep their rationales: at most 30"


def test_sizes_of_a_sample_are_refused_elsewhere(table):
    with pytest.raises(UserError, match=r"^--sample-rows: my-notes is not an embedded sample"):
        load_splits(DataRequest(str(table), sample_rows=(140, 30, 30)))
    with pytest.raises(UserError, match="--rationale-rows 0: expected at least 1"):
        load_splits(DataRequest("triage", rationale_rows=0))


def test_columns_belong_to_tables(tmp_path):
    columns = {"question": "q"}
    with pytest.raises(UserError, match="--columns: bioasq-sample has fixed columns"):
        load_splits(DataRequest("bioasq", columns=columns))
    file = tmp_path / "11B1_golden.json"
    file.write_text('{"questions": []}')
    with pytest.raises(UserError, match="--columns: official bioasq files have fixed columns"):
        load_splits(DataRequest("bioasq", data=file, columns=columns))


@pytest.fixture
def hub(monkeypatch):
    """Stand in for the hub: which sets were asked for, and records to give back."""
    asked: list[tuple[str, str | None, str]] = []
    given_back: dict[str, list[Record]] = {}

    def hub_parts(name, config, revision, choose):
        asked.append((name, config, revision))
        return given_back

    monkeypatch.setattr(sources, "hub_parts", hub_parts)
    return asked, given_back


def test_a_hub_set_with_columns(hub):
    asked, parts = hub
    parts["train"] = [Record(f"row {i}", {"q": f"Q{i}?", "label": "ab"[i % 2]}) for i in range(40)]
    request = DataRequest("hub:owner/set@v1", profile="paper", columns={"question": "q"})
    splits = load_splits(request)
    assert asked == [("owner/set", None, "v1")]
    assert [len(rows) for _, rows in splits.items()] == [28, 6, 6]
    assert (splits.provenance.kind, splits.provenance.address) == ("hub", "owner/set@v1")


def test_pubmedqa_and_medmcqa_of_the_hub(hub):
    asked, parts = hub
    parts["train"] = [
        Record(
            f"row {i}",
            {
                "pubid": i,
                "question": f"Does {i}?",
                "context": {"contexts": [f"Text {i}."]},
                "long_answer": "So it is.",
                "final_decision": ("yes", "no")[i % 2],
            },
        )
        for i in range(20)
    ]
    splits = load_splits(DataRequest("pubmedqa", profile="paper"))
    assert splits.labels == ("yes", "no")
    assert "the test split is drawn" in splits.provenance.notes[0]
    options = {f"op{letter}": f"option {letter}" for letter in "abcd"}
    parts["train"] = [
        Record(f"row {i}", {"id": f"m{i}", "question": f"Which {i}?", "cop": i % 4, **options})
        for i in range(20)
    ]
    splits = load_splits(DataRequest("medmcqa", profile="paper"))
    assert splits.labels == ()
    assert {row.label for row in splits.train} <= set(options.values())
    assert asked == [
        ("qiaojin/PubMedQA", "pqa_labeled", "main"),
        ("openlifescienceai/medmcqa", None, "main"),
    ]


def test_an_unreachable_hub_copy_says_what_else_can_be_done(monkeypatch):
    def fail(*args):
        raise UserError("hub:x@main: cannot be loaded: ConnectionError: no route")

    monkeypatch.setattr(sources, "hub_parts", fail)
    with pytest.raises(
        UserError, match=r"no route; or download ori_pqal.* PATH; or .*: --profile embedded$"
    ):
        load_splits(DataRequest("pubmedqa", profile="paper"))
    with pytest.raises(UserError, match=r"no route$"):
        load_splits(DataRequest("hub:owner/set@v1", profile="paper"))


def test_a_source_of_test_rows_only_is_refused_for_training(splits):
    with_llm = replace(splits.test[0], rationales={"human": "H", "gpt": "L"})
    some = replace(splits, test=(with_llm, *splits.test[1:]))
    check_source(some, "human")
    with pytest.raises(UserError) as error:
        check_source(some, "gpt")
    assert str(error.value) == (
        "rationale source 'gpt' is in no training row "
        "(it exists for test rows only; training sources: human, llm)"
    )
    with pytest.raises(UserError, match="unknown rationale source 'humna'; did you mean 'human'"):
        check_source(some, "humna")


@pytest.mark.parametrize("dataset", ["bioasq", "pubmedqa"])
def test_only_the_triage_sample_deals_ambiguous_notes(dataset: str) -> None:
    with pytest.raises(UserError, match=f"^--sample-ambiguous: {dataset}-sample has no such rows"):
        load_splits(DataRequest(dataset, sample_ambiguous=0.4))


@pytest.mark.parametrize("named", ["bioasq", "pubmedqa", "triage"])
def test_samples_and_tables_alike_warn_of_labels_with_few_test_rows(
    named: str, tmp_path: Path
) -> None:
    sample = load_splits(DataRequest(named, sample_rows=(60, 20, 9)))
    rows = [
        {**{"id": r.id, "question": r.question, "context": r.context}, "label": r.label, "split": s}
        for s, part in sample.items()
        for r in part
    ]
    table = tmp_path / "rows.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = [
        {
            frozenset(few.partition(";")[0].split(": ")[1].split(", "))
            for few in splits.warnings
            if few.startswith("labels with fewer than 10 test rows: ")
        }
        for splits in (sample, load_splits(DataRequest(str(table))))
    ]
    assert len(said[0]) == 1
    assert said[0] == said[1]  # a table's labels are sorted
