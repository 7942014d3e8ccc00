"""A sheet as LaTeX: `table`, `table*` or `longtable`, with rules of booktabs."""

from __future__ import annotations

import re
from itertools import pairwise

from analysis.paper.columns import Set
from analysis.paper.fit import BETWEEN, PAGE, Sheet
from analysis.paper.letters import tex
from analysis.paper.widths import pieces, width

NOTE_WORD = 90.0  # points: longer words of a note (addresses, hashes) may be broken
ENVIRONMENTS = {"column": ("table", "[!htbp]"), "page": ("table*", "[!tbp]")}


def latex(sheet: Sheet) -> str:
    """Return the sheet as the content of a file, to be read by LaTeX's `input`."""
    label = re.sub("[^A-Za-z0-9]+", "-", sheet.name)
    heads = rf"\caption{{{_prose(sheet.caption)}}}\label{{tab:{label}}}"
    return _long(sheet, heads) if sheet.place == "long" else _float(sheet, heads)


def _float(sheet: Sheet, heads: str) -> str:
    kind, place = ENVIRONMENTS[sheet.place]
    lines = [
        rf"\begin{{{kind}}}{place}",
        r"\centering",
        r"\setlength{\belowcaptionskip}{4pt}",
        heads,
        r"\footnotesize",
        rf"\setlength{{\tabcolsep}}{{{BETWEEN / 2:g}pt}}",
        rf"\begin{{tabular}}{{@{{}}{_spec(sheet)}@{{}}}}",
        r"\toprule",
        _heads(sheet),
        r"\midrule",
        *_rows(sheet),
        r"\bottomrule",
        r"\end{tabular}",
        *_notes(sheet),
        rf"\end{{{kind}}}",
    ]
    return "\n".join(lines) + "\n"


def _long(sheet: Sheet, heads: str) -> str:
    columns = len(sheet.columns)
    lines = [
        r"\begingroup",
        r"\footnotesize",
        rf"\setlength{{\tabcolsep}}{{{BETWEEN / 2:g}pt}}",
        rf"\setlength{{\LTcapwidth}}{{{PAGE:g}pt}}",
        rf"\begin{{longtable}}{{@{{}}{_spec(sheet)}@{{}}}}",
        rf"{heads}\\",
        r"\toprule",
        _heads(sheet),
        r"\midrule",
        r"\endfirsthead",
        r"\toprule",
        _heads(sheet),
        r"\midrule",
        r"\endhead",
        r"\midrule",
        rf"\multicolumn{{{columns}}}{{@{{}}l@{{}}}}{{\emph{{continued}}}}\\",
        r"\endfoot",
        r"\bottomrule",
        r"\endlastfoot",
        *_rows(sheet),
        r"\end{longtable}",
        *_notes(sheet),
        r"\endgroup",
    ]
    return "\n".join(lines) + "\n"


def _spec(sheet: Sheet) -> str:
    return "".join(
        rf">{{\raggedright\arraybackslash}}p{{{column.room:.1f}pt}}"
        if column.room is not None
        else "l"
        if column.words
        else "r"
        for column in sheet.columns
    )


def _heads(sheet: Sheet) -> str:
    return " & ".join(_head(column) for column in sheet.columns) + r" \\"


def _head(column: Set) -> str:
    """Return a head on its lines, which stand on the lowest one."""
    lines = [tex(line) for line in column.head_lines]
    if len(lines) == 1:
        return lines[0]
    side = "l" if column.words else "r"
    words = r"\\".join(lines)
    return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{words}\end{{tabular}}"


def _rows(sheet: Sheet) -> list[str]:
    """Return the rows; a name that the row above has too is not said again."""
    rows = list(zip(*(column.cells for column in sheet.columns), strict=True))
    grouped = sheet.columns[0].names and len({row[0] for row in rows}) < len(rows)
    found = []
    for above, row in pairwise([None, *rows]):
        assert row is not None
        again = grouped and above is not None and above[0] == row[0]
        if grouped and above is not None and not again:
            found.append(r"\addlinespace")
        cells = [_cell(c, column) for c, column in zip(row, sheet.columns, strict=True)]
        found.append(" & ".join(["" if again else cells[0], *cells[1:]]) + r" \\")
    return found


def _cell(text: str, column: Set) -> str:
    if column.words:
        return _broken(text, column.room) if column.room is not None else tex(text)
    found = tex(text)
    return re.sub(r" \$\\pm\$ ", r"\\,$\\pm$\\,", found)


def _broken(text: str, room: float) -> str:
    """Return words of which those too long for the room may be broken."""
    return " ".join(
        r"\allowbreak{}".join(tex(piece) for piece in pieces(word, room - 1))
        for word in text.split()
    )


def _prose(text: str) -> str:
    return " ".join(
        _broken(word, NOTE_WORD) if width(word) > NOTE_WORD else tex(word) for word in text.split()
    )


def _sentence(note: str) -> str:
    """Return a note with a capital, but for one that begins with a name."""
    named = re.match(r"\S*[:\d_-]", note)
    return note if named else note[:1].upper() + note[1:]


def _notes(sheet: Sheet) -> list[str]:
    if not sheet.notes:
        return []
    lines = [rf"{_prose(_sentence(note))}.\par" for note in sheet.notes]
    return [
        r"\par\smallskip",
        r"\noindent\begin{minipage}{\linewidth}\raggedright\scriptsize",
        *lines,
        r"\end{minipage}",
    ]
