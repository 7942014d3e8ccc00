"""What the user reads of refused values."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, field_validator
from pydantic.dataclasses import dataclass

from r2d_ray.errors import from_validation


@dataclass
class Point:
    x: int


class Model(BaseModel):
    count: Annotated[int, Field(ge=1)] = 1
    word: str = "a"
    inner: dict[str, Point] = {}

    @field_validator("word")
    @classmethod
    def lower(cls, word: str) -> str:
        if not word.islower():
            raise ValueError("has capitals (allowed: none)")
        return word


def refused(values: Any, kind: Any = Model) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(values)
    return caught.value


AT_LEAST = "too small (allowed: at least 1)"
NO_INTEGER = "not a whole number (allowed: one)"
CASES = {
    "a bound": ({"count": 0}, f"count: {AT_LEAST}", f"count = 0: {AT_LEAST}"),
    "a word of ours": (
        {"word": "A"},
        "word: has capitals (allowed: none)",
        "word = 'A': has capitals (allowed: none)",
    ),
    "a place within": (
        {"inner": {"k": {"x": "secret"}}},
        f"inner.k.x: {NO_INTEGER}",
        f"inner.k.x = 'secret': {NO_INTEGER}",
    ),
    "a missing entry": (
        {"inner": {"k": {}}},
        "inner.k.x: missing (allowed: a value)",
        "inner.k.x: missing (allowed: a value)",
    ),
    "no object": (
        {"inner": {"k": 1}},
        "inner.k: not an object (allowed: names with values)",
        "inner.k = 1: not an object (allowed: names with values)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_line_says_where_and_what_and_the_value_if_asked(case: str) -> None:
    values, without, with_value = CASES[case]
    error = refused(values)
    assert str(from_validation(error)) == without
    assert str(from_validation(error, "f.json:3")) == f"f.json:3: {without}"
    assert str(from_validation(error, with_value=True)) == with_value


def test_of_several_faults_the_first_is_named() -> None:
    assert str(from_validation(refused({"count": 0, "word": "A"}))) == f"count: {AT_LEAST}"


def test_what_is_refused_as_a_whole_has_no_field() -> None:
    said = "not a whole number (allowed: one)"
    assert str(from_validation(refused([], int), "x.json", with_value=True)) == f"x.json: {said}"


def test_a_long_value_is_cut() -> None:
    line = str(from_validation(refused({"count": "9" * 10_000}), with_value=True))
    assert line.startswith("count = '999")
    assert len(line) < 200
