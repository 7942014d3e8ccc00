"""The stored studies, which an earlier version wrote, still open and still give their tables."""

from pathlib import Path

import pytest

from analysis.report import write_report
from analysis.studies import Study, open_studies
from analysis.tables.every_table import report_tables
from r2d_ray.evaluation.label_metrics import label_scores
from r2d_ray.records import SCHEMA_VERSION

STORED = Path(__file__).parents[2] / "examples" / "studies"
METHODS = ("sft", "dss", "r2d", "teacher_forcing")
ARMS = [f"{method}-{seed}" for method in METHODS for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def studies() -> tuple[Study, ...]:
    return open_studies([STORED / "comparison", STORED / "search"])


def test_they_open(studies: tuple[Study, ...]) -> None:
    comparison, search = studies
    assert comparison.is_comparison
    assert [record.arm for record in comparison.done()] == ARMS
    assert len(search.records) == 8
    assert {study.info.schema_version for study in studies} == {SCHEMA_VERSION}


def test_what_they_predicted_gives_the_scores_they_recorded(studies: tuple[Study, ...]) -> None:
    comparison, _ = studies
    labels = comparison.info.data_card["labels"]
    for record in comparison.done():
        assert record.arm is not None
        rows = comparison.predictions(record.arm)
        found = label_scores(
            [row.gold_label or "" for row in rows], [r.label for r in rows], labels
        )
        assert found["macro_f1"] == pytest.approx(record.test_metrics["macro_f1"])


def test_what_the_rows_ask_is_there_once(studies: tuple[Study, ...]) -> None:
    comparison, _ = studies
    assert set(comparison.texts()) == {row.id for row in comparison.predictions("r2d-1")}


def test_their_tables_are_filled(studies: tuple[Study, ...]) -> None:
    tables = {table.name: table for table in report_tables(studies)}
    for name in ("main", "differences", "controls", "alignment", "calibration", "searches", "cost"):
        assert tables[name].rows, name


@pytest.mark.timeout(180)
def test_their_static_page_fits_into_a_mail(tmp_path: Path) -> None:
    folders = [STORED / "comparison", STORED / "search"]
    page = write_report(folders, tmp_path / "report", static=True).page
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 1_500_000
    assert "Plotly.newPlot = " not in text
    assert "data-figure=" not in text
    assert text.count("<figure>") == len(list((tmp_path / "report" / "pictures").glob("*.svg")))


def test_they_are_small_and_hold_no_path_of_the_machine_that_made_them() -> None:
    files = [path for path in STORED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_500_000
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "/tmp/" not in text, path
        assert "/home/" not in text, path
