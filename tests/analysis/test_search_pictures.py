"""Pictures of a search show its trials under their own numbers, and pruned ones apart."""

from __future__ import annotations

import pytest
from studies_by_hand import SEARCH, SPACE, Pictures, drawn, printed, search, shown, traces, trial

from analysis.pictures.every_picture import draw_pictures
from r2d_ray.records import TrialRecord


@pytest.fixture(scope="module")
def searched() -> Pictures:
    return drawn(SEARCH)


def test_history_holds_finished_trials_under_their_own_numbers(searched: Pictures) -> None:
    picture = searched["history"]
    points = [(0, 0.6), (1, 0.8), (4, 0.7)]  # trial 3 has no record, 2 was pruned, 5 failed
    assert shown(traces(picture, "macro_f1")[0]) == points
    offsets = picture.print_figure.axes[0].collections[0].get_offsets()
    assert [tuple(point) for point in offsets.tolist()] == points  # type: ignore[union-attr]
    assert "3 finished, 1 pruned, 1 failed" in picture.description
    assert "Best: trial 1 with 0.800" in picture.description


def test_curves_and_rung_show_pruned_trials_apart(searched: Pictures) -> None:
    pictures = searched
    (pruned,) = traces(pictures["search-curves"], "pruned")
    assert shown(pruned) == [(10, 0.5), (20, 0.4)]
    assert shown(traces(pictures["rung"], "finished")[0]) == [(0.3, 0.6), (0.4, 0.8), (0.35, 0.7)]
    assert traces(pictures["rung"], "pruned")[0]["x"] == [0.2]
    assert (
        "Spearman's rank correlation is 1.00 over 3 finished trials" in pictures["rung"].description
    )


def both(number: int, label: float, loss: float, status: str = "done") -> TrialRecord:
    scores = {"macro_f1": label, "rationale_loss": loss}
    return trial(number, label, status).model_copy(update={"metrics": scores})


def test_the_pareto_front_holds_the_trials_that_no_finished_one_beats_in_both() -> None:
    study = search(
        both(0, 0.6, 2.5),  # beaten by 1 in both
        both(1, 0.7, 2.0),
        both(2, 0.9, 3.0),
        both(3, 0.7, 2.2),  # as good as 1 on labels, worse on rationales
        both(4, 0.95, 1.0, "pruned"),
        both(5, 0.5, 1.5),
    )
    picture = drawn(study)["pareto"]
    front = [(1.5, 0.5), (2.0, 0.7), (3.0, 0.9)]
    (line,) = traces(picture, "Pareto front")
    assert shown(line) == front
    assert line["line"]["shape"] == "hv"
    axes = picture.print_figure.axes[0]
    (drawn_line,) = [x for x in axes.lines if x.get_label() == "Pareto front"]
    assert drawn_line.get_drawstyle() == "steps-post"
    assert printed(picture, "Pareto front") == front
    assert shown(traces(picture, "best, trial 2")[0]) == [(3.0, 0.9)]
    assert shown(traces(picture, "defaults, trial 0")[0]) == [(2.5, 0.6)]
    assert shown(traces(picture, "pruned trial")[0]) == [(1.0, 0.95)]
    assert (
        "better on the other: trial 5: 0.500 at 1.500; trial 1: 0.700 at 2.000; trial 2: 0.900 at "
        "3.000. The best trial, 2, is on the front. The defaults, trial 0, are not on the front"
    ) in picture.description


def test_a_search_that_trains_no_rationales_has_no_pareto_front() -> None:
    _, left_out = draw_pictures([search(trial(0, 0.6), trial(1, 0.7))])
    assert (
        "label against rationale score: 0 finished trials with macro_f1 and rationale_loss on "
        "validation (needed: 2)"
    ) in left_out


def test_every_finished_trial_has_its_mark_in_print() -> None:
    records = [trial(number, 0.5 + number / 100) for number in range(20)]
    axes = drawn(search(*records))["rung"].print_figure.axes[0]
    (dots,) = [x for x in axes.lines if x.get_label() == "finished"]
    assert dots.get_markevery() is None
    assert len(dots.get_xdata()) == 20  # type: ignore[arg-type]


def test_parallel_coordinates_end_at_the_best_and_worst_values(searched: Pictures) -> None:
    picture = searched["parallel"]
    assert picture.page_figure is not None
    scores = [trace["x"][0] for trace in picture.page_figure["data"]]
    assert scores == pytest.approx([0.0, 1.0, 0.5])  # 0.6, 0.8 and 0.7 between 0.6 and 0.8
    lines = [line.get_xdata()[0] for line in picture.print_figure.axes[0].lines]  # type: ignore[index]
    assert lines == pytest.approx(scores)


def test_slices_hold_every_finished_trial_of_every_field(searched: Pictures) -> None:
    picture = searched["slices"]
    assert picture.page_figure is not None
    rate, decay = picture.page_figure["data"]
    assert shown(rate) == [(1e-3, 0.6), (5e-3, 0.8), (2e-4, 0.7)]
    assert set(shown(decay)) == {("linear", 0.6), ("exponential", 0.8), ("linear", 0.7)}
    assert "learning_rate tried at 0.0002 to 0.005, best at 0.005" in picture.description


def test_one_trial_is_drawn_and_its_importance_is_left_out_with_the_reason() -> None:
    pictures, left_out = draw_pictures([search(trial(0, 0.6))])
    names = [picture.name for picture in pictures]
    assert names == ["history", "parallel", "slices", "search-curves", "rung"]
    assert left_out == (
        "label against rationale score: 0 finished trials with macro_f1 and rationale_loss on "
        "validation (needed: 2)",
        "importance: 1 setting and 1 score among finished trials (needed: 2 of each that differ)",
        "labels: result.json has no test scores of the search's models",
    )
    assert "No rank correlation" in pictures[-1].description


def ended(count: int):
    return search(*(trial(i, 0.6 + i / 100, learning_rate=1e-3 * (1 + i)) for i in range(count)))


def test_an_importance_takes_ten_finished_trials() -> None:
    assert "PED-ANOVA over 10 finished trials" in drawn(ended(10))["importance"].description
    _, left_out = draw_pictures([ended(9)])
    assert "importance: 9 finished trials (needed: 10; of fewer, shares are chance)" in left_out


def test_the_best_so_far_is_drawn_in_steps(searched: Pictures) -> None:
    (best,) = traces(searched["history"], "best so far")
    assert best["line"]["shape"] == "hv"
    assert searched["history"].print_figure.axes[0].lines[0].get_drawstyle() == "steps-post"


def test_a_search_without_a_finished_trial_says_so() -> None:
    pictures, left_out = draw_pictures([search(trial(0, 0.0, "failed"))])
    assert not pictures
    assert left_out == ("pictures of the search: none of 1 trial finished",)


def test_a_searched_grid_has_a_heat_map_of_validation_scores() -> None:
    fields = {
        "sampling_decay": {"type": "categorical", "choices": ["linear", "exponential"]},
        "sampling_decay_ratio": {"type": "categorical", "choices": [0.2, 0.6]},
    }
    records = [trial(0, 0.6), trial(1, 0.7, sampling_decay="exponential", sampling_decay_ratio=0.2)]
    picture = drawn(search(*records, space={**SPACE, "search": fields}))["sensitivity-r2d"]
    assert picture.page_figure is not None
    assert picture.page_figure["data"][0]["z"] == [[None, 0.6], [0.7, None]]
