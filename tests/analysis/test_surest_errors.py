"""The surest errors: each row once, with the wrong answer given with most confidence."""

from studies_by_hand import GOOD, POOR, arm, comparison, rows

from analysis.notebook import Reading
from analysis.page.render import Content, render
from analysis.studies import Study
from analysis.surest import surest_errors

SEEDS = [arm(0, "r2d-1", 0.5), arm(1, "r2d-2", 0.5)]
FIRST = rows(("yes", "no", 0.6), ("yes", "no", 0.9), ("no", "yes", 0.7), ("no", "no", 0.99))
SECOND = rows(("yes", "no", 0.95), ("yes", "yes", 0.9), ("no", "yes", 0.6), ("no", "no", 0.99))


def made(*answers: tuple) -> Study:
    return comparison(SEEDS[: len(answers)], dict(zip(("r2d-1", "r2d-2"), answers, strict=False)))


def test_each_row_is_there_once_with_its_surest_wrong_answer() -> None:
    found = surest_errors(made(FIRST, SECOND))
    assert [(e.id, e.probability, e.run, e.wrong, e.runs) for e in found] == [
        ("0", 0.95, "r2d-2", 2, 2),
        ("1", 0.9, "r2d-1", 1, 2),
        ("2", 0.7, "r2d-1", 2, 2),
    ]
    assert (found[0].gold_label, found[0].label) == ("yes", "no")


def test_there_are_at_most_so_many_and_none_where_nothing_is_wrong() -> None:
    assert [error.id for error in surest_errors(made(FIRST), 2)] == ["1", "2"]
    assert surest_errors(made(GOOD)) == []


def test_without_probabilities_nothing_is_sure() -> None:
    bare = tuple(row.model_copy(update={"probabilities": {}}) for row in POOR)
    assert surest_errors(made(bare)) == []


def test_as_a_frame_it_has_a_row_an_error() -> None:
    frame = Reading(made(FIRST, SECOND)).surest_errors(2)
    assert list(frame.index) == ["0", "1"]
    assert list(frame["probability"]) == [0.95, 0.9]
    assert Reading(made(GOOD)).surest_errors().empty


def test_the_page_shows_them_with_the_rationale_as_text() -> None:
    said = [row.model_copy(update={"rationale": "<b>because</b>"}) for row in FIRST]
    page = render(Content([made(tuple(said))], [], [], [], static=True))
    assert "<h3>Surest errors</h3>" in page
    assert "&lt;b&gt;because&lt;/b&gt;" in page
    assert "<td>0.900</td><td>1 of 1</td>" in page
    nothing = render(Content([made(GOOD)], [], [], [], static=True))
    assert "Surest errors" not in nothing
