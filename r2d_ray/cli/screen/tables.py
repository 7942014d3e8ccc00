"""Markdown tables drawn for a terminal: aligned, in blocks of columns where it is narrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table

NAMES_SHARE = 0.45  # of the width, at most, for the first column, whose texts break between words
BETWEEN = 2  # columns of the screen between two of the table
RULE = "|---"


def print_drawn(console: Console, lines: Sequence[str]) -> None:
    """Print lines with their Markdown tables drawn to the console's width."""
    for is_row, part in groupby(lines, key=lambda line: line.startswith("|")):
        if not is_row:
            for line in part:
                console.print(line, markup=False, highlight=False, soft_wrap=True)
            continue
        rows = [cells(line) for line in part if not line.startswith(RULE)]
        for number, table in enumerate(blocks(rows, console.width)):
            if number:
                console.print()
            console.print(table)


def cells(line: str) -> list[str]:
    """Return the cells of a row of a Markdown table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def blocks(rows: Sequence[Sequence[str]], width: int) -> Iterator[Table]:
    """Yield tables of at most this width that have the rows' columns between them.

    The first column, whose texts are names, stands in each.
    """
    columns = [list(column) for column in zip(*rows, strict=True)]
    heads = [column[0].replace(" ", "\n") for column in columns]
    wide = [
        max(len(word) for cell in (head, *column[1:]) for word in cell.split("\n"))
        for head, column in zip(heads, columns, strict=True)
    ]
    names = min(wide[0], round(NAMES_SHARE * width))
    first = 1
    while first < len(columns):
        last, used = first + 1, names + BETWEEN + wide[first]
        while last < len(columns) and used + BETWEEN + wide[last] <= width:
            used += BETWEEN + wide[last]
            last += 1
        yield drawn([0, *range(first, last)], heads, columns, names)
        first = last


def drawn(
    shown: Sequence[int], heads: Sequence[str], columns: Sequence[Sequence[str]], names: int
) -> Table:
    """Return the table of these columns."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, BETWEEN, 0, 0))
    for number in shown:
        if number:
            numeric = any(cell[:1].isdigit() or cell[:1] == "-" for cell in columns[number][1:])
            table.add_column(
                heads[number],
                no_wrap=True,
                justify="right" if numeric else "left",
                vertical="bottom",
            )
        else:
            table.add_column(columns[0][0], max_width=names, overflow="fold")
    for row in range(1, len(columns[0])):
        table.add_row(*(columns[number][row] for number in shown))
    return table
