"""Pictures show the records' values, alike in print and on the page, and say them in words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from studies_by_hand import (
    COMPARISON,
    POOR,
    POOR_F1,
    SEARCH,
    Pictures,
    arm,
    comparison,
    drawn,
    grid_of_r2d,
    printed,
    shown,
    traces,
)

from analysis.pictures.every_picture import draw_pictures, report_pictures, write_picture
from analysis.pictures.looks import METHODS_SHOWN, styles


@pytest.fixture(scope="module")
def searched() -> Pictures:
    return drawn(SEARCH)


@pytest.fixture(scope="module")
def compared() -> Pictures:
    return drawn(COMPARISON)


def test_a_search_has_these_pictures_and_a_comparison_those(
    searched: Pictures, compared: Pictures
) -> None:
    names = ["history", "parallel", "slices", "search-curves", "rung"]
    assert list(searched) == names
    names = ["differences", "confusion", "calibration", "schedules", "dose", "training"]
    assert list(compared) == names


def test_differences_are_first_minus_r2d_in_points(compared: Pictures) -> None:
    picture = compared["differences"]
    (mark,) = traces(picture, "sft")
    assert mark["x"] == pytest.approx([100 * (1 - POOR_F1)])
    assert printed(picture, "sft")[0][0] == pytest.approx(100 * (1 - POOR_F1))
    assert "sft +26.7 [0.0, " in picture.description
    assert "(2 seeds)" in picture.description


def test_without_rows_differences_confusion_and_calibration_are_left_out_with_reasons() -> None:
    study = comparison([arm(0, "r2d-1", 0.5), arm(1, "sft-1", 0.5)])
    pictures, left_out = draw_pictures([study])
    assert [picture.name for picture in pictures] == ["schedules", "training"]
    heads = [reason.partition(":")[0] for reason in left_out]
    assert heads == ["differences", "confusion matrices", "calibration", "effective dose"]


def test_confusion_pools_seeds_and_counts_in_100_of_a_gold_label(compared: Pictures) -> None:
    picture = compared["confusion"]
    (matrix,) = traces(picture, "r2d")
    assert matrix["y"] == ["no", "yes"]
    assert matrix["z"] == [[1.0, 0.0], [0.5, 0.5]]
    assert picture.print_figure.axes[0].images[0].get_array().tolist() == matrix["z"]  # type: ignore[union-attr]
    assert "yes is mistaken for no (2 rows)" in picture.description


def test_an_output_outside_the_set_has_a_column_of_its_own() -> None:
    odd = (*POOR[1:], POOR[0].model_copy(update={"label": "maybe"}))
    # f1[no] = 1, f1[yes] = 2 x 1 / (2 + 1)
    study = comparison([arm(0, "r2d-1", (1 + 2 / 3) / 2)], {"r2d-1": odd})
    (matrix,) = traces(drawn(study)["confusion"], "r2d")
    assert matrix["x"] == ["no", "yes", "none of them"]
    assert matrix["z"] == [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]


def test_calibration_bins_are_tenths_closed_above(compared: Pictures) -> None:
    picture = compared["calibration"]
    (line,) = traces(picture, "r2d")
    # Per seed: 0.6 lies in (0.5, 0.6] and is right; of three at 0.9, in (0.8, 0.9], two are right.
    points = [(0.6, 1.0), (0.9, 2 / 3)]
    assert [p for point in shown(line) for p in point] == pytest.approx([0.6, 1.0, 0.9, 2 / 3])
    assert [p for point in printed(picture, "r2d") for p in point] == pytest.approx(
        [p for point in points for p in point]
    )
    assert line["text"] == ["2 rows", "6 rows"]


def test_schedules_are_those_of_the_config(compared: Pictures) -> None:
    picture = compared["schedules"]
    gold, weight = traces(picture, "r2d")
    assert dict(shown(gold))[5] == 1.0  # 0.05 of the steps with gold labels only
    assert dict(shown(gold))[35] == pytest.approx(0.5)  # half of 0.6 later
    assert dict(shown(gold))[100] == pytest.approx(0.1)  # the floor
    assert dict(shown(weight))[5] == pytest.approx(0.7)
    assert dict(printed(picture, "r2d"))[35.0] == pytest.approx(0.5)
    assert len(traces(picture, "sft")) == 1  # no rationale, so no gold probability
    assert "No label in a rationale prompt, so no such curve: sft" in picture.description


def test_arms_with_the_same_schedules_share_a_line() -> None:
    picture = drawn(comparison([arm(0, "r2d-1", 0.5), arm(1, "random_wrong-1", 0.5)]))["schedules"]
    assert len(traces(picture, "r2d, random_wrong")) == 2


def test_dose_is_the_mean_over_seeds_with_their_range(compared: Pictures) -> None:
    picture = compared["dose"]
    sampled, changed = traces(picture, "r2d")
    assert shown(sampled) == [(10, 50), (20, 100)]
    assert [y for _, y in shown(changed)] == pytest.approx([30, 60])
    _, ranges = traces(picture, "r2d, range")
    assert ranges["y"] == [pytest.approx(20), pytest.approx(40), None, 40, pytest.approx(80), None]
    assert [y for _, y in printed(picture, "r2d", 1)] == pytest.approx([30, 60])
    assert "None sampled by sft" in picture.description


def test_a_seed_without_a_series_is_left_out_of_the_mean_and_one_seed_has_no_band() -> None:
    bare = arm(1, "r2d-2", 0.5).model_copy(update={"series": {}})
    picture = drawn(comparison([arm(0, "r2d-1", 0.5, (0.2, 0.4)), bare]))["dose"]
    assert [y for _, y in shown(traces(picture, "r2d")[1])] == pytest.approx([20, 40])
    assert not traces(picture, "r2d, range")


def test_a_value_that_is_none_of_a_number_is_left_out() -> None:
    first = arm(0, "r2d-1", 0.5)
    series = {**first.series, "label_loss": [None, 1.0]}
    study = comparison([first.model_copy(update={"series": series})])
    losses = traces(drawn(study)["training"], "r2d")[1]
    assert shown(losses) == [(20, 1.0)]


def test_training_shows_scores_and_losses_and_no_rationale_loss_where_there_is_none(
    compared: Pictures,
) -> None:
    picture = compared["training"]
    score, loss = traces(picture, "r2d")
    assert shown(score) == [(20, pytest.approx((POOR_F1 + POOR_F1 / 2) / 2))]
    assert shown(loss) == [(10, 2.0), (20, 0.75)]
    assert "Rationale loss" not in picture.description


def test_sensitivity_is_the_mean_over_seeds_of_each_point_and_names_what_is_missing() -> None:
    picture = drawn(comparison(grid_of_r2d()))["sensitivity-r2d"]
    assert picture.page_figure is not None
    (matrix,) = picture.page_figure["data"]
    assert (matrix["y"], matrix["x"]) == (["linear", "exponential"], ["0.1", "0.3"])
    assert matrix["z"] == [pytest.approx([0.5, 0.6]), [pytest.approx(0.7), None]]
    assert matrix["text"][0][0] == "0.500<br>±0.141"  # 0.1 x sqrt(2)
    assert matrix["text"][1][1] == "not run"
    assert "0.700 ±0.141 at sampling_decay exponential, gold_probability_floor 0.1" in (
        picture.description
    )
    assert "1 cell without a score" in picture.description


def test_of_many_arms_those_of_a_grid_stand_in_the_map_alone() -> None:
    floors = [f"gold_probability_floor=0.{i}" for i in range(2, 10)]
    arms = [arm(0, "r2d-1", 0.5, (0.2, 0.4))]
    arms += [
        arm(i, f"r2d-{floor}-1", 0.5, (0.2, 0.4), gold_probability_floor=float(floor[-3:]))
        for i, floor in enumerate(floors, start=1)
    ]
    pictures, left_out = draw_pictures([comparison(arms)])
    (dose,) = [picture for picture in pictures if picture.name == "dose"]
    assert {line.get_label() for line in dose.print_figure.axes[0].lines} == {"r2d"}
    assert any("training of 8 settings of a grid" in reason for reason in left_out)


def test_settings_keep_their_methods_colour_and_differ_in_dash() -> None:
    found = styles({"r2d": "r2d", "r2d-tuned": "r2d", "sft": "sft"})
    assert found["r2d"].colour == found["r2d-tuned"].colour != found["sft"].colour
    assert found["r2d"].dash != found["r2d-tuned"].dash
    assert styles({"sft": "sft"})["sft"] == found["sft"]  # whoever else is there


def test_every_method_has_a_look_of_its_own() -> None:
    from r2d_ray.method.variants import METHODS

    assert set(METHODS_SHOWN) == set(METHODS)
    assert len(set(METHODS_SHOWN.values())) == len(METHODS)


def test_the_same_study_makes_the_same_bytes(
    searched: Pictures, compared: Pictures, tmp_path: Path
) -> None:
    again = drawn(COMPARISON)
    pairs = [(compared[name], again[name]) for name in ("dose", "confusion")]  # lines, a map
    pairs.append((searched["history"], drawn(SEARCH)["history"]))
    for pair in pairs:
        written = []
        for place, picture in enumerate(pair):
            folder = tmp_path / str(place)
            folder.mkdir(exist_ok=True)
            files = write_picture(picture, folder)
            assert files == {end: folder / f"{picture.name}.{end}" for end in ("svg", "png")}
            written.append([path.read_bytes() for path in files.values()])
        assert written[0] == written[1]
        assert b"<dc:date>" not in written[0][0]


@pytest.mark.parametrize("kind", ["searched", "compared"])
def test_pages_choose_background_and_ink(kind: str, request: pytest.FixtureRequest) -> None:
    for picture in request.getfixturevalue(kind).values():
        layout = picture.page_figure["layout"]
        assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"
        assert "color" not in layout["font"]
        assert "width" not in layout
        assert "template" not in layout


def test_studies_of_one_name_have_pictures_of_different_names() -> None:
    pictures, _ = draw_pictures([SEARCH, SEARCH])
    names = [picture.name for picture in pictures]
    assert names[:1] + names[5:6] == ["s-history", "s-history-2"]
    assert pictures[0].title == "History of the search: s"


def test_drawing_leaves_no_trace_in_matplotlib_or_optuna() -> None:
    import matplotlib as mpl
    from matplotlib import pyplot

    settings, loud = dict(mpl.rcParams), optuna.logging.get_verbosity()
    report_pictures([SEARCH])
    assert dict(mpl.rcParams) == settings
    assert not pyplot.get_fignums()
    assert optuna.logging.get_verbosity() == loud


def test_pictures_need_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from studies_by_hand import SEARCH, COMPARISON; "
        "from analysis.pictures.every_picture import report_pictures; "
        "report_pictures([SEARCH, COMPARISON]); "
        "print(sorted({'torch', 'ray', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    here = Path(__file__).parents[1] / "helpers"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=here, check=True
    )
    assert done.stdout.strip() == "[]"
