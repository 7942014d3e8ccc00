"""The folder for a paper: written whole or not at all, it compiles as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis import names
from analysis.paper.decimals import RULE
from analysis.paper.fit import Sheet, sheets
from analysis.paper.latex import latex
from analysis.paper.letters import tex, written_out
from analysis.paper.pictures import WIDTHS, figures, picture_sheets, write_pictures
from analysis.pictures.style import Picture
from analysis.studies import Study
from analysis.tables.cells import one_line
from analysis.tables.table import Table
from r2d_ray.storage import write_atomically

FILES = {"README.md", "preamble.tex", "main.tex", "twocolumn.tex", "tables.tex", "pictures.tex"}
"""The files of a paper's folder, beside its folders `tables` and `pictures`."""

PREAMBLE = r"""\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{lmodern}
\usepackage{textcomp}
\usepackage{array}
\usepackage{booktabs}
\usepackage{longtable}
\usepackage{graphicx}
\extrafloats{100}
\setcounter{topnumber}{4}
\setcounter{dbltopnumber}{4}
\setcounter{totalnumber}{6}
\renewcommand{\topfraction}{0.95}
\renewcommand{\dbltopfraction}{0.95}
\renewcommand{\textfraction}{0.05}
\renewcommand{\floatpagefraction}{0.6}
\renewcommand{\dblfloatpagefraction}{0.6}
"""
DOCUMENT = r"""\documentclass[%s]{article}
\usepackage[a4paper,margin=2cm]{geometry}
\input{preamble}
\newcommand{\rdsize}{%s}
\begin{document}
{\raggedright\section*{%s}}
\input{pictures}
\clearpage
\input{tables}
\end{document}
"""


def write_paper(
    studies: Sequence[Study],
    tables: Sequence[Table],
    pictures: Sequence[Picture],
    left_out: Sequence[str],
    part: Path,
) -> int:
    """Write everything to an empty folder; return the number of tables."""
    parts = {table.name: sheets(table) for table in tables}
    pages = [sheet for found in parts.values() for sheet in found]
    empty = [table for table in tables if not parts[table.name]]
    (part / "tables").mkdir()
    for sheet in pages:
        write_atomically(part / "tables" / f"{sheet.name}.tex", latex(sheet))
    drawn = picture_sheets(pictures)
    write_pictures(drawn, part / "pictures")
    write_atomically(part / "pictures.tex", figures(drawn))
    write_atomically(part / "tables.tex", _tables(pages, empty))
    write_atomically(part / "preamble.tex", PREAMBLE)
    title = f"Tables and pictures of {', '.join(tex(study.info.name) for study in studies)}"
    for name, options, size in (
        ("main", "10pt", "double"),
        ("twocolumn", "10pt,twocolumn", "single"),
    ):
        write_atomically(part / f"{name}.tex", DOCUMENT % (options, size, title))
    write_atomically(part / "README.md", _readme(tables, empty, left_out))
    return len(pages)


def _tables(pages: Sequence[Sheet], empty: Sequence[Table]) -> str:
    """Return the file that reads every table, those of several pages last and across the page."""
    floats = [sheet for sheet in pages if sheet.place != "long"]
    long = [sheet for sheet in pages if sheet.place == "long"]
    lines = [rf"\input{{tables/{sheet.name}}}" for sheet in floats]
    if long:
        lines += [r"\clearpage", r"\onecolumn"]
        lines += [rf"\input{{tables/{sheet.name}}}" for sheet in long]
    lines += [f"% not written: {table.name}: {_reason(table)}" for table in empty]
    return "\n".join(lines) + "\n"


def _reason(table: Table) -> str:
    return one_line("; ".join(table.notes)) or "no values"


def _readme(tables: Sequence[Table], empty: Sequence[Table], left_out: Sequence[str]) -> str:
    """Return what a reader of the folder must know."""
    sizes = " and ".join(f"{inches:g} inches (`-{size}`)" for size, inches in WIDTHS.items())
    texts = [t for table in tables for row in table.rows for t in row.values() if type(t) is str]
    notes = [note for table in tables for note in table.notes]
    lines = [
        "# For a paper",
        "",
        "`pdflatex main` (one column) and `pdflatex twocolumn` show everything. Take single tables",
        "with `\\input{tables/NAME}` and the packages of `preamble.tex`. No table is wider than an",
        "A4 page with margins of 2 cm: `table` fits one of two columns, `table*` spans both, and",
        f"`longtable` needs `\\onecolumn`. Pictures are PDF and SVG: {sizes} wide.",
        "",
        f"{RULE} What all rows share stands in the caption. n/a: there is no such value.",
        "",
        *[f"- Table not written: {table.name}: {_reason(table)}" for table in empty],
        *[f"- Picture not drawn: {names.in_words(one_line(reason))}" for reason in left_out],
        *[f"- Written out, as pdfLaTeX has no `{sign}`: {words or 'nothing'}"
          for sign, words in written_out([*texts, *notes]).items()],
    ]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"
