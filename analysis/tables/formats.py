"""One table, four forms: Markdown, HTML, CSV and tidy Parquet, none of them live.

A label or a note may hold anything a data set holds: markup and formulas come out as the text that
they are. Numbers are rounded for people; the tidy form keeps the raw values. LaTeX is made by
`analysis/paper`, for its page.
"""

from __future__ import annotations

import csv
import html
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.tables.cells import NOT_THERE, heading, is_numeric, one_line, rounded, shown
from analysis.tables.table import Cell, Column, Number, Table

if TYPE_CHECKING:
    import pandas as pd


FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001
"""Beginnings that a spreadsheet may run as a formula. Source: OWASP, CSV injection."""

PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
MARKDOWN = str.maketrans(
    {c: f"\\{c}" for c in "\\`*_[]|~$#"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
)


def write_table(table: Table, folder: Path) -> tuple[Path, ...]:
    """Write `<name>.md`, `.html`, `.csv` and `.parquet` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {".md": to_markdown, ".html": to_html, ".csv": to_csv}
    paths = []
    for ending, form in texts.items():
        path = folder / f"{table.name}{ending}"
        path.write_text(form(table), encoding="utf-8", newline="")
        paths.append(path)
    path = folder / f"{table.name}.parquet"
    to_parquet(table, path)
    return (*paths, path)


def to_markdown(table: Table) -> str:
    """Return the table in GitHub's Markdown: heading, rows of constant width, notes as a list."""
    lines = [f"### {one_line(table.title).translate(MARKDOWN)}", ""]
    if table.rows:
        heads = [one_line(heading(column)).translate(MARKDOWN) for column in table.columns]
        rules = ["---:" if is_numeric(table, column) else "---" for column in table.columns]
        cells = [
            [_markdown_cell(row.get(column.key)) for column in table.columns] for row in table.rows
        ]
        lines += [f"| {' | '.join(row)} |" for row in (heads, rules, *cells)] + [""]
    lines += [f"- {one_line(note).translate(MARKDOWN)}" for note in table.notes]
    return "\n".join(lines).rstrip("\n") + "\n"


def _markdown_cell(value: Cell | Number) -> str:
    text = shown(value)
    return one_line(text).translate(MARKDOWN) if isinstance(value, str) else text


def to_html(table: Table) -> str:
    """Return the table as a `<figure>`, to stand in a page; its id is `table-<name>`."""
    lines = [
        f'<figure class="table" id="table-{html.escape(table.name)}">',
        f"<figcaption>{html.escape(table.title)}</figcaption>",
    ]
    if table.rows:
        lines += ['<div class="scroll"><table>', "<thead><tr>"]
        lines += [
            f'<th scope="col"{_html_class(table, column)}>{html.escape(heading(column))}</th>'
            for column in table.columns
        ]
        lines += ["</tr></thead>", "<tbody>"]
        for row in table.rows:
            lines.append("<tr>")
            lines += [
                f"<td{_html_class(table, column)}>{html.escape(shown(row.get(column.key)))}</td>"
                for column in table.columns
            ]
            lines.append("</tr>")
        lines += ["</tbody>", "</table></div>"]
    if table.notes:
        notes = [f"<li>{html.escape(note)}</li>" for note in table.notes]
        lines += ['<ul class="notes">', *notes, "</ul>"]
    return "\n".join([*lines, "</figure>"]) + "\n"


def _html_class(table: Table, column: Column) -> str:
    numeric = is_numeric(table, column)
    names = [name for name, on in (("number", numeric), ("published", column.published)) if on]
    return f' class="{" ".join(names)}"' if names else ""


def to_csv(table: Table) -> str:
    """Return the rows as CSV (RFC 4180); a spread has cells of its own, so numbers stay numbers.

    A text that a spreadsheet would run as a formula gets a leading apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    parts = {column.key: _csv_parts(table, column) for column in table.columns}
    writer.writerow(
        [
            inert(heading(column) + (f", {part}" if part != "mean" else ""))
            for column in table.columns
            for part in parts[column.key]
        ]
    )
    for row in table.rows:
        writer.writerow(
            [
                _csv_cell(row.get(column.key), part)
                for column in table.columns
                for part in parts[column.key]
            ]
        )
    return out.getvalue()


def _csv_parts(table: Table, column: Column) -> tuple[str, ...]:
    """Return the parts of a column that are there: the mean, and sd, low and high where known."""
    values = [row.get(column.key) for row in table.rows]
    numbers = [value for value in values if isinstance(value, Number)]
    spread = ("sd", "low", "high")
    return (
        "mean",
        *(part for part in spread if any(getattr(n, part) is not None for n in numbers)),
    )


def _csv_cell(value: Cell | Number, part: str) -> str:
    if isinstance(value, Number):
        return rounded(getattr(value, part), value)
    return inert(shown(value)) if part == "mean" else NOT_THERE


def inert(text: str) -> str:
    """Return the text with a leading apostrophe where a spreadsheet would run it as a formula."""
    if text.startswith(FORMULA) and not PLAIN_NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def tidy(table: Table) -> pd.DataFrame:
    """Return one line per row and number column, beside the row's texts.

    Columns: `row` (from 0), the table's text columns by key, then `column`, `published`, and the
    raw `mean`, `sd`, `low`, `high` (missing where there is none).
    """
    import pandas as pd

    texts = [column for column in table.columns if not is_numeric(table, column)]
    lines: list[dict[str, object]] = []
    for place, row in enumerate(table.rows):
        known = {c.key: None if row.get(c.key) is None else shown(row.get(c.key)) for c in texts}
        for column in table.columns:
            if column in texts:
                continue
            value = row.get(column.key)
            number = value if isinstance(value, Number) else Number(_as_float(value))
            spread = {name: getattr(number, name) for name in ("mean", "sd", "low", "high")}
            what = {"column": column.key, "published": column.published}
            lines.append({"row": place, **known, **what, **spread})
    numbers = dict.fromkeys(("mean", "sd", "low", "high"), "float64")
    words = dict.fromkeys((*(column.key for column in texts), "column"), "str")
    kinds = {"row": "int64", **words, "published": "bool", **numbers}
    return pd.DataFrame(lines, columns=list(kinds)).astype(kinds)


def _as_float(value: Cell) -> float | None:
    return None if value is None else float(value)


def to_parquet(table: Table, path: Path) -> None:
    """Write `tidy(table)`, its title and notes beside it as metadata."""
    frame = tidy(table)
    frame.attrs = {"title": table.title, "notes": list(table.notes)}
    frame.to_parquet(path, index=False)
