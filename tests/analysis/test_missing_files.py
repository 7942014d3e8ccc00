"""Each file of a study folder taken away: the report says so, or one line refuses the study."""

import shutil
from pathlib import Path

import pytest

from analysis.page.findings import summarise
from analysis.page.limits import limits
from analysis.studies import Study, open_study
from analysis.tables.every_table import report_tables
from r2d_ray.errors import UserError
from r2d_ray.records import file_slug

STORED = Path(__file__).parents[2] / "examples" / "studies"
REFUSED = {
    "study.json": "not a study (allowed: a folder with study.json)",
    "records.jsonl": "records.jsonl is missing (allowed: a study with its records)",
}
SAID = {
    "result.json": "result.json is missing: the study has not ended, or the file was taken away",
    "predictions/rows-test.jsonl": "rows-test.jsonl is missing: what the test rows ask cannot be",
    "predictions/best-without-context-test_without_context.jsonl": "missing: best without context",
    "predictions/best-trial-4-test.jsonl": "predictions on test are missing: best (trial 4)",
    "predictions/trial-0-the-defaults-test.jsonl": "missing: trial 0 (the defaults)",
}
SAID |= {
    f"predictions/{arm}-test.jsonl": f"predictions on test are missing: {arm}"
    for method in ("sft", "dss", "r2d", "teacher_forcing")
    for arm in (f"{method}-1", f"{method}-2", f"{method}-3")
}
FILES = [
    (name, path.relative_to(STORED / name).as_posix())
    for name in ("search", "comparison")
    for path in sorted((STORED / name).rglob("*"))
    if path.is_file()
]


def told(study: Study) -> str:
    """Return everything that a report says in sentences."""
    tables = report_tables([study], ())
    notes = [note for table in tables for note in table.notes]
    return "\n".join([*summarise([study], tables), *limits(study), *notes])


@pytest.mark.parametrize(("name", "gone"), FILES)
def test_a_file_that_is_taken_away_is_named(name: str, gone: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(STORED / name, tmp_path / name))
    words = REFUSED.get(gone) or SAID.get(gone, "")
    (folder / gone).unlink()
    if gone in REFUSED:
        with pytest.raises(UserError) as refused:
            open_study(folder)
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)
        return
    said = told(open_study(folder))
    assert words in said
    control = gone.removeprefix("predictions/control-").removesuffix("-test.jsonl")
    slugs = [file_slug(line) for line in said.splitlines() if "missing: " in line]
    assert gone in SAID or any(control in slug for slug in slugs), slugs
    assert " 0 test rows" not in said
    assert " 0 of 0 " not in said


@pytest.mark.parametrize("name", ["search", "comparison"])
def test_of_a_whole_study_nothing_is_said_to_be_missing(name: str) -> None:
    assert " missing" not in "\n".join(limits(open_study(STORED / name)))


def test_without_its_result_a_search_has_the_scores_of_its_records(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(STORED / "search", tmp_path / "search"))
    whole = {table.name: table for table in report_tables([open_study(folder)], ())}
    (folder / "result.json").unlink()
    study = open_study(folder)
    bare = {table.name: table for table in report_tables([study], ())}
    for name in ("main", "differences", "per_class", "confidence"):
        assert bare[name].rows == whole[name].rows, name
    models = [row for row in whole["sub_populations"].rows if "trial" in str(row["method"])]
    assert list(bare["sub_populations"].rows) == models
    assert "no control was run in these studies; of " in told(study)
    assert "that is not known: result.json is missing" in told(study)


def test_an_empty_file_is_not_a_missing_one(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(STORED / "search", tmp_path / "search"))
    (folder / "predictions" / "best-trial-4-test.jsonl").write_text("")
    said = told(open_study(folder))
    assert "predictions on test hold no row: best (trial 4)" in said
    assert "predictions on test are missing" not in said


def test_without_any_prediction_scores_stand_and_rows_are_not_counted(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(STORED / "comparison", tmp_path / "comparison"))
    shutil.rmtree(folder / "predictions")
    study = open_study(folder)
    main = next(table for table in report_tables([study], ()) if table.name == "main")
    assert all(row["macro_f1"].mean > 0 and row["macro_f1"].low is None for row in main.rows)
    assert "On the test rows of bioasq-sample, nothing can be compared with r2d" in told(study)


def test_missing_not_applicable_and_zero_look_different(tmp_path: Path) -> None:
    """sft writes no rationale: n/a. A BLEU of 0 is a number. A file that is gone is a note."""
    folder = Path(shutil.copytree(STORED / "comparison", tmp_path / "comparison"))
    records = folder / "records.jsonl"
    study = open_study(folder)
    zero = [
        record.model_copy(update={"test_metrics": {**record.test_metrics, "bleu": 0.0}})
        if record.arm and record.arm.startswith("dss")
        else record
        for record in study.records
    ]
    records.write_text("".join(record.model_dump_json() + "\n" for record in zero))
    for file in folder.glob("predictions/dss-*"):
        file.unlink()
    study = open_study(folder)
    main = next(table for table in report_tables([study], ()) if table.name == "main")
    bleu = {str(row["method"]): row["bleu"] for row in main.rows}
    assert bleu["sft"] is None
    assert bleu["dss"].mean == 0
    assert "predictions on test are missing: dss-1, dss-2, dss-3" in told(study)
