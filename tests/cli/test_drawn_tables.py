"""Result tables on a terminal: aligned, every cell whole, in blocks where it is narrow."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from r2d_ray.cli.screen.tables import print_drawn

LINES = [
    "No model beats a bag of words.",
    "",
    "| test split | macro-F1 | out of set | BLEU |",
    "|---|---|---|---|",
    "| best (trial 0, the defaults) | 0.916 | 0.000 | 16.1 |",
    "| majority label (no) | 0.333 | n/a | n/a |",
    "trials: 2 done",
]


def drawn(lines: list[str], width: int) -> list[str]:
    out = StringIO()
    print_drawn(Console(file=out, width=width, force_terminal=True, color_system=None), lines)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_markdown_table_is_aligned_and_other_lines_stay() -> None:
    assert drawn(LINES, 80) == [
        "No model beats a bag of words.",
        "",
        "                                            out",
        "                                             of",
        "test split                     macro-F1     set   BLEU",
        "──────────────────────────────────────────────────────",
        "best (trial 0, the defaults)      0.916   0.000   16.1",
        "majority label (no)               0.333     n/a    n/a",
        "trials: 2 done",
    ]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_wide_table_loses_no_number_and_fits(width: int) -> None:
    heads = ["method", "seeds", *(f"score {n}" for n in range(11))]
    cells = ["reason2decide-with-a-long-name", "3", *(f"{n}9.2 ± 17.{n}" for n in range(11))]
    lines = [f"| {' | '.join(heads)} |", "|---" * 13 + "|", f"| {' | '.join(cells)} |"]
    shown = drawn(lines, width)
    assert all(len(line) <= width for line in shown)
    text = "\n".join(shown)
    for cell in cells[2:]:
        assert text.count(cell) == 1


def test_a_long_line_is_not_cut_so_that_it_can_be_copied() -> None:
    command = "  python -m r2d_ray.predict " + "x" * 100
    assert drawn([command], 80) == [command]
