"""Panels of lines: one order of methods, lines that cannot hide one another, axes that say what."""

from __future__ import annotations

import pytest
from studies_by_hand import arm, comparison, drawn, traces

from analysis.pictures.looks import styles
from analysis.pictures.panels import Line, Panel, apart, legend_of

LOOKS = styles({name: name for name in ("sft", "dss", "r2d", "teacher_forcing")})


def line(name: str, *values: float) -> Line:
    return Line(name, range(len(values)), values, LOOKS[name])


def panel(*lines: Line, log: bool = False) -> Panel:
    return Panel("", "step", "nats per token", lines, log=log)


def test_a_legend_names_methods_in_one_order_whatever_is_drawn_first() -> None:
    panels = [panel(line("sft", 1, 2)), panel(line("teacher_forcing", 1, 2), line("r2d", 2, 3))]
    assert legend_of(panels) == ["r2d", "sft", "teacher_forcing"]


def test_the_pictures_of_a_report_share_one_order() -> None:
    arms = [arm(0, "teacher_forcing-1", 0.5, (0.2, 0.4)), arm(1, "sft-1", 0.5)]
    pictures = drawn(comparison([*arms, arm(2, "r2d-1", 0.5, (0.2, 0.4))]))
    for name in ("dose", "training"):
        figure = pictures[name].page_figure
        assert figure is not None
        named = [trace["name"] for trace in figure["data"] if trace.get("showlegend")]
        order = ["r2d", "sft", "teacher_forcing"]
        assert named == [method for method in order if traces(pictures[name], method)]


def test_of_lines_on_one_another_the_lower_is_wide_and_the_upper_dashed() -> None:
    given = panel(line("r2d", 0, 1, 2), line("teacher_forcing", 0, 1.01, 2), line("sft", 2, 1, 0))
    (found,) = apart([given])
    below, above, other = (x.style for x in found.lines)
    assert below.width > above.width
    assert below.dash == 0 != above.dash
    assert other == LOOKS["sft"]  # they only cross


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((1.9, 5.7), [2, 3, 4, 5]),
        ((0.4, 2.0), [0.5, 1, 2]),
        ((0.01, 90.0), [0.01, 0.1, 1, 10]),
        ((0.02, 0.09), [0.02, 0.03, 0.05]),
    ],
)
def test_a_logarithmic_axis_says_so_and_has_ticks(
    values: tuple[float, float], ticks: list[float]
) -> None:
    found = panel(line("r2d", *values), log=True)
    assert found.y_words == "nats per token, log scale"
    assert len(found.ticks()) >= 3
    assert set(ticks) <= set(found.ticks())


def test_values_within_a_factor_of_three_or_below_0_need_no_logarithm() -> None:
    for values in ((1.0, 2.9), (0.0, 9.0)):
        found = panel(line("r2d", *values), log=True)
        assert (found.scale, found.y_words) == ("linear", "nats per token")


def test_lines_of_one_kind_are_not_told_apart_however_many_they_are() -> None:
    trials = [line("r2d", *([0.5] * 20)) for _ in range(2_000)]
    given = panel(*trials, line("sft", *([0.5] * 20)))
    assert apart([given]) == [given]
