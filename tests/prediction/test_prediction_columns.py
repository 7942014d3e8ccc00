"""Which columns a model reads: those of its training, others by name, and no more than it needs."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import tiny_config

from r2d_ray.data.files import Record
from r2d_ray.data.reading.streams import stream_of
from r2d_ray.errors import UserError
from r2d_ray.prediction.columns import example_of, needs, resolve
from r2d_ray.prediction.inputs import stream_input
from r2d_ray.study.model_file import ModelFile

TRAINED: dict[str, Any] = {
    "columns": {"question": "q", "context": "note", "label": "triage", "id": "key"},
    "context": True,
    "label_kind": "fixed",
}
ALONE: dict[str, Any] = {**TRAINED, "columns": {"question": "q"}, "context": False}
OPTIONS: dict[str, Any] = {
    "columns": {"question": "q", "choices": "opts"},
    "context": False,
    "label_kind": "choices",
    "labels": [],
}
OFFICIAL: dict[str, Any] = {"columns": {}, "context": True, "label_kind": "fixed"}
FORMER: dict[str, Any] = {}
"""Models of version 0.2 say none of it."""


def model(**says: Any) -> ModelFile:
    return ModelFile(**{"labels": ["yes", "no"], "config": tiny_config(), **says})


def read(says: dict[str, Any], named: dict[str, str], *rows: dict[str, Any]) -> dict[str, str]:
    stream = stream_of([Record(f"in:{n}", row) for n, row in enumerate(rows, start=1)], "in")
    return dict(resolve(stream, needs(model(**says), named)))


OWN = {"question": "q", "context": "note"}
PLAIN = {"question": "question", "context": "context"}
READ: dict[str, tuple[dict[str, Any], dict[str, str], list[dict[str, Any]], dict[str, str]]] = {
    "the columns of training": (TRAINED, {}, [{"q": "a", "note": "b"}], OWN),
    "plain names in their place": (TRAINED, {}, [{"question": "a", "context": "b"}], PLAIN),
    "both: those of training": (TRAINED, {}, [{"question": "x", "q": "a", "note": "b"}], OWN),
    "others by name": (
        TRAINED,
        {"context": "text", "id": "not there"},
        [{"q": "a", "text": "b", "note": "c"}],
        {"question": "q", "context": "text"},
    ),
    "the first row has no context": (TRAINED, {}, [{"q": "a"}, {"q": "a", "note": "b"}], OWN),
    "an empty column of training": (
        TRAINED,
        {},
        [{"q": "a", "note": " ", "context": "b"}],
        {"question": "q", "context": "context"},
    ),
    "trained without contexts": (ALONE, {}, [{"q": "a", "context": "b"}], {"question": "q"}),
    "official training": (OFFICIAL, {}, [{"question": "a", "context": "b"}], PLAIN),
    "a member of an object": (
        TRAINED,
        {"context": "more.text"},
        [{"q": "a", "more": {"text": "b"}}],
        {"question": "q", "context": "more.text"},
    ),
    "options": (OPTIONS, {}, [{"q": "a", "opts": "x|y"}], {"question": "q", "choices": "opts"}),
    "a former model": (FORMER, {}, [{"question": "a", "context": "b"}], PLAIN),
    "a former model, no context": (FORMER, {}, [{"question": "a"}], {"question": "question"}),
}


@pytest.mark.parametrize("case", READ)
def test_the_columns_that_are_read(case: str) -> None:
    says, named, rows, right = READ[case]
    assert read(says, named, *rows) == right


REFUSED: dict[str, tuple[dict[str, Any], dict[str, str], dict[str, Any], str]] = {
    "no question": (TRAINED, {}, {"x": "a"}, r"no column 'q' or 'question'.*question=COLUMN"),
    "no context": (TRAINED, {}, {"q": "a"}, r"'note' or 'context', and .* with contexts"),
    "an empty context": (TRAINED, {}, {"q": "a", "note": None}, r"column 'note' is empty"),
    "not the named one": (TRAINED, {"context": "z"}, {"q": "a", "note": "b"}, r"context=z: in: no"),
    "a context for none": (ALONE, {"context": "c"}, {"q": "a", "c": "b"}, r"without contexts"),
    "no options": (OPTIONS, {}, {"q": "a"}, r"'opts' or 'choices', and .*row's options"),
    "one option": (OPTIONS, {}, {"q": "a", "opts": "x"}, r"in:1: .*at least two options"),
    "no row": (TRAINED, {}, {"q": None, "note": ""}, r"in: no row has a value"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_input_that_lacks_what_the_model_needs_is_refused_in_one_line(case: str) -> None:
    says, named, row, said = REFUSED[case]
    with pytest.raises(UserError, match=said) as caught:
        example_of(Record("in:1", row), read(says, named, row))
    assert "\n" not in str(caught.value)
    assert "--set" not in str(caught.value)


UNUSED = [1.0, float("nan"), None, ["a", "b"], {"x": 1}, True, "holdout", 7]


@pytest.mark.parametrize("value", UNUSED, ids=repr)
@pytest.mark.parametrize("column", ["label", "split", "rationale", "group", "id", "choices"])
def test_columns_that_the_model_does_not_read_may_hold_anything(column: str, value: Any) -> None:
    row = {"q": "a", "note": "b", column: value}
    example = example_of(Record("in:1", row), read(TRAINED, {}, row))
    assert (example.question, example.context, example.label) == ("a", "b", "")


def test_a_former_model_is_read_with_a_warning() -> None:
    stream = stream_of([Record("in:1", {"question": "a"})], "in")
    assert any("version 0.2" in note for note in stream_input(stream, model(), {}).notes)
    own = stream_of([Record("in:1", {"q": "a", "note": "b"})], "in")
    assert stream_input(own, model(**TRAINED), {}).notes == ()
