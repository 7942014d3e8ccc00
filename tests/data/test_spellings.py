"""Labels that are one to a reader are refused with both spellings; others stay apart."""

import pytest

from r2d_ray.data.reading.choices import answers, options_of
from r2d_ray.data.reading.spellings import check_spellings
from r2d_ray.errors import UserError
from r2d_ray.storage import printable

ALIKE = {
    "letter case": ("Yes", "yes", "'Yes' (1 row) and 'yes' (2 rows)"),
    "a whole float": ("1", "1.0", "'1' (1 row) and '1.0' (2 rows)"),
    "the form of an accent": ("n\u00e9e", "ne\u0301e", r"'n\xe9e' (1 row) and 'ne\u0301e'"),
    "a zero-width space": ("no", "no\u200b", r"'no' (1 row) and 'no\u200b' (2 rows)"),
    "a no-break space": ("no pain", "no\u00a0pain", r"'no pain' (1 row) and 'no\xa0pain'"),
}


@pytest.mark.parametrize("case", ALIKE)
def test_refused_with_both_spellings(case):
    one, two, said = ALIKE[case]
    with pytest.raises(UserError) as error:
        check_spellings("set", (one, two, "other"), {one: 1, two: 2, "other": 3})
    assert said in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "labels", [("A+", "A-"), ("<=50K", ">50K"), ("250.1", "250.10"), ("07", "7"), ("ne", "né")]
)
def test_labels_that_differ_to_a_reader_stay_apart(labels):
    check_spellings("set", labels, dict.fromkeys(labels, 1))


def test_signs_without_a_picture_are_spelt_out_and_controls_are_not_printed():
    assert printable("no\u200b a\u00a0b \x1b[31m\n") == r"no\u200b a\xa0b ?[31m?"


FORMS = {
    "a list": ["w", "x", "y"],
    "bars": "w|x|y",
    "an object": {"A": "w", "B": "x", "C": "y", "D": None},
    "an object as text": '{"A": "w", "B": "x", "C": "y"}',
    "texts and labels": {"text": ["w", "x", "y"], "label": ["A", "B", "C"]},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("labels", [("x", "y"), ("B", "C"), ("b", "c"), ("1", "2")])
def test_an_answer_becomes_the_text_of_its_option(form, labels):
    options = options_of(FORMS[form], "f:1", "choices")
    assert answers((label, options) for label in labels)[0] == ["x", "y"]


def test_all_rows_decide_together_what_an_answer_is():
    numbers = options_of(["3", "2", "1", "0"], "f:1", "choices")
    words = options_of(["w", "x", "y", "z"], "f:2", "choices")
    assert answers([("2", numbers), ("1", numbers)])[0] == ["2", "1"]
    assert answers([("2", numbers), ("1", words)])[0] == ["1", "x"]
    assert answers([("2", numbers), ("9", words)])[0] == ["2", "9"]
