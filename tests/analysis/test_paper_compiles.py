"""A paper's folder in a real pdfLaTeX: no error, no box too wide, every table and picture in it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from many_arms import write_many

from analysis.paper.letters import ESCAPES, LETTERS, MATHS, tex
from analysis.paper.paper import PREAMBLE, write_paper
from analysis.paper.widths import WIDTH, width
from analysis.pictures.every_picture import draw_pictures
from analysis.studies import open_studies
from analysis.tables.every_table import report_tables

PDFLATEX = shutil.which("pdflatex")
STORED = Path(__file__).parents[2] / "examples" / "studies"
CASES = ("comparison", "search", "both", "many")
DOCUMENTS = ("main", "twocolumn")
COMPLAINTS = re.compile(r"^!.*|Overfull .*|.*Float too large.*|Missing character.*", re.MULTILINE)

pytestmark = [
    pytest.mark.skipif(PDFLATEX is None, reason="no pdflatex here: `make latex` installs it"),
    pytest.mark.timeout(300),  # reports with all pictures, then pdfLaTeX
]


def compiled(folder: Path, name: str) -> str:
    """Return the log of a document, compiled until its references hold."""
    for _ in range(3):
        subprocess.run(
            [str(PDFLATEX), "-interaction=nonstopmode", "-no-shell-escape", f"{name}.tex"],
            cwd=folder, capture_output=True, check=False, timeout=120,
            env={**os.environ, "max_print_line": "1000"},
        )  # fmt: skip
        log = (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        if "Rerun" not in log and "Table widths have changed" not in log:
            break
    return log


@pytest.fixture(scope="module", params=CASES)
def paper(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp(str(request.param))
    folders = {
        "comparison": [STORED / "comparison"],
        "search": [STORED / "search"],
        "both": [STORED / "comparison", STORED / "search"],
    }.get(request.param) or [write_many(root)]
    studies = open_studies(folders)
    (root / "paper").mkdir()
    write_paper(studies, report_tables(studies), *draw_pictures(studies), root / "paper")
    return root / "paper"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_it_compiles_and_nothing_is_too_wide_or_too_tall(paper: Path, document: str) -> None:
    log = compiled(paper, document)
    assert COMPLAINTS.findall(log) == []
    assert (paper / f"{document}.pdf").stat().st_size > 50_000
    for folder, ending in (("tables", "tex"), ("pictures", "pdf")):
        held = {path.stem for path in (paper / folder).glob(f"*.{ending}")}
        read = set(re.findall(rf"{folder}/([\w-]+?)(?:\.{ending})?[\s)>,]", log))
        kinds = {re.sub("-(single|double)$", "", name) for name in held}
        assert {re.sub("-(single|double)$", "", name) for name in read} == kinds


def test_pictures_are_vectors_with_their_letters(paper: Path) -> None:
    for path in (paper / "pictures").glob("*.pdf"):
        found = path.read_bytes()
        assert b"/Subtype /Type3" not in found
        assert b"/Subtype /Image" not in found or "confusion" in path.name or "sens" in path.name
        wide = float(re.findall(rb"/MediaBox \[ 0 0 ([\d.]+)", found)[0])
        assert wide == pytest.approx(72 * (3.3 if "single" in path.name else 7.0))


def test_every_letter_that_is_set_as_it_is_can_be_set(tmp_path: Path) -> None:
    signs = sorted({*LETTERS, *MATHS, *ESCAPES, *map(chr, range(33, 127))})
    lines = [f"{tex(sign)} x" for sign in signs]
    text = f"\\documentclass{{article}}\n{PREAMBLE}\\begin{{document}}\n" + "\n\n".join(lines)
    (tmp_path / "all.tex").write_text(text + "\n\\end{document}\n", encoding="utf-8")
    assert COMPLAINTS.findall(compiled(tmp_path, "all")) == []


def test_widths_are_those_of_the_font(tmp_path: Path) -> None:
    words = ["Consistency", "teacher forcing", "49.2", "WMmw", "fi ff", *map(str, WIDTH)]
    words = [word for word in words if word.strip() and word != "`"]
    setting = [rf"\setbox0\hbox{{{tex(word)}}}\typeout{{=\the\wd0=}}" for word in words]
    text = f"\\documentclass{{article}}\n{PREAMBLE}\\begin{{document}}\\footnotesize\n"
    text += "\n".join(setting) + "\n\\end{document}\n"
    (tmp_path / "wide.tex").write_text(text, encoding="utf-8")
    found = [float(points) for points in re.findall(r"=([\d.]+)pt=", compiled(tmp_path, "wide"))]
    assert len(found) == len(words)
    for word, points in zip(words, found, strict=True):
        assert points <= width(word) <= 1.12 * points + 0.5, word
