"""`python -m analysis`: a whole report or one clear line, and nothing half-written."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_study import write_comparison

from analysis.__main__ import main
from analysis.page.render import MAX_BYTES
from analysis.paper.paper import FILES
from analysis.paper.pictures import WIDTHS
from analysis.place import MADE_BY
from analysis.studies import open_studies
from r2d_ray.records import TrialRecord, write_jsonl

pytestmark = pytest.mark.timeout(180)  # whole reports, each with thousands of draws

Damage = Callable[[Path], None]
Capsys = pytest.CaptureFixture[str]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of the small study, with the study beside it."""
    root = tmp_path_factory.mktemp("written")
    write_comparison(root)
    assert main([str(root / "small"), "--out", str(root / "report")]) == 0
    return root / "report"


def test_a_report_is_a_page_with_tables_and_pictures_beside_it(written: Path) -> None:
    assert {path.name for path in written.iterdir()} == {
        *("index.html", "report.json", "tables", "pictures")
    }
    page = (written / "index.html").read_text(encoding="utf-8")
    assert len(page.encode()) <= MAX_BYTES
    endings = {path.suffix for path in (written / "tables").iterdir()}
    assert endings == {".md", ".html", ".csv", ".parquet"}
    assert {path.suffix for path in (written / "pictures").iterdir()} == {".svg", ".png"}
    for path in [*(written / "tables").glob("*.md"), *(written / "pictures").glob("*.svg")]:
        kind = path.parent.name.removesuffix("s")
        assert f'id="{kind}-{path.stem}"' in page


def test_a_paper_stands_beside_the_report(tmp_path: Path, capsys: Capsys) -> None:
    study, out, paper = write_comparison(tmp_path), tmp_path / "report", tmp_path / "paper"
    paper.mkdir()
    (paper / "paper.json").write_text(json.dumps({"made_by": MADE_BY}))
    (paper / "tables").mkdir()
    (paper / "tables" / "of-an-earlier-one.tex").write_text("x")
    code, said, _ = run(capsys, study, "--out", out, "--paper", paper)
    assert code == 0
    assert said.splitlines()[1].endswith(f"pictures: {paper / 'main.tex'}")
    assert {path.name for path in paper.iterdir()} == {*FILES, "paper.json", "tables", "pictures"}
    tables = (paper / "tables.tex").read_text(encoding="utf-8")
    for name in (path.stem for path in (paper / "tables").iterdir()):
        assert f"\\input{{tables/{name}}}" in tables
    assert "% not written: ablation: no ablation of r2d among these studies" in tables
    drawn = {path.stem for path in (out / "pictures").glob("*.svg")}
    for ending in ("pdf", "svg"):
        found = {path.name for path in (paper / "pictures").glob(f"*.{ending}")}
        assert found == {f"{name}-{size}.{ending}" for name in drawn for size in WIDTHS}


@pytest.mark.parametrize("place", ["report", "report/paper", ".", "small/x/..", "file", "other"])
def test_a_place_for_a_paper_that_holds_other_things_is_refused(
    place: str, tmp_path: Path, capsys: Capsys
) -> None:
    study = write_comparison(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    arguments = ("--out", tmp_path / "report", "--paper", tmp_path / place)
    code, _, err = run(capsys, study, *arguments)
    assert code == 2
    assert "--paper" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "report").exists()
    assert (tmp_path / "other" / "thesis.tex").read_text() == "x"


def test_the_summary_names_what_separates(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    assert "On the 12 test rows of toy, with 3 seeds, " in page
    assert "fewer than 3" not in page.split('id="limits"')[0]


def test_the_command_says_where_the_page_is_and_writes_it_alike_again(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "report"
    code, said, _ = run(capsys, write_comparison(tmp_path), "--out", out)
    assert code == 0
    assert said.rstrip().endswith(f"pictures: {out / 'index.html'}")
    assert (out / "index.html").read_bytes() == (written / "index.html").read_bytes()


def test_an_old_report_is_replaced_whole(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    shutil.copytree(written, out)
    (out / "index.html").write_text("old")
    (out / "tables" / "stale.csv").write_text("old")
    assert run(capsys, write_comparison(tmp_path), "--out", out)[0] == 0
    assert (out / "index.html").read_bytes() == (written / "index.html").read_bytes()
    assert not (out / "tables" / "stale.csv").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"small", "report"}


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (lambda out: out.write_text("x"), "a file (allowed: a new folder"),
        (lambda out: (out / "deep").mkdir(parents=True), "not a report (allowed: a new folder"),
        (
            lambda out: (out.mkdir(), (out / "report.json").write_text("[" * 100_000)),
            "not a report",
        ),
    ],
    ids=["file", "folder", "damaged marker"],
)
def test_what_is_not_a_report_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fill: Damage, said: str
) -> None:
    study, out = write_comparison(tmp_path), tmp_path / "report"
    fill(out)
    before = sorted(tmp_path.rglob("*"))
    code, printed, err = run(capsys, study, "--out", out)
    assert (code, printed) == (2, "")
    assert said in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_report_that_holds_a_strangers_file_is_not_replaced(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = written / "my_notes.txt"
    mine.write_text("mine")
    code, _, err = run(capsys, written.parent / "small", "--out", written)
    assert (code, mine.read_text()) == (2, "mine")
    assert "holds my_notes.txt, which is not part of a report" in err
    mine.unlink()


@pytest.mark.parametrize("place", [".", "small"])
def test_a_report_never_takes_the_place_of_a_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    study = write_comparison(tmp_path)
    code, _, err = run(capsys, study, "--out", tmp_path / place)
    assert code == 2
    assert "holds the study" in err
    assert (study / "records.jsonl").exists()


def last_line_torn(study: Path) -> None:
    path = study / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-40])


def test_a_torn_last_line_is_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_comparison(tmp_path)
    last_line_torn(study)
    assert run(capsys, study, "--out", tmp_path / "report")[0] == 0
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "the last line was cut off while being written and is left out" in page
    assert "arms that have not run: sft-3" in page
    assert "1 of the 6 planned arms failed or did not run" in page


def test_a_failed_arm_is_said_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_comparison(tmp_path)
    lines = (study / "records.jsonl").read_text(encoding="utf-8").splitlines()
    records = [TrialRecord.model_validate_json(line) for line in lines]
    failed = records[-1].model_copy(
        update={"status": "failed", "reason": "loss is <b>nan</b>", "test_metrics": {}}
    )
    write_jsonl(study / "records.jsonl", [*records[:-1], failed])
    assert run(capsys, study, "--out", tmp_path / "report")[0] == 0
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "sft-3 failed (loss is &lt;b&gt;nan&lt;/b&gt;) and is not scored" in page


def nan_in_scores(study: Path) -> None:
    path = study / "records.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    values = json.loads(lines[0])
    values["test_metrics"]["macro_f1"] = float("nan")
    path.write_text("\n".join([json.dumps(values), *lines[1:]]) + "\n", encoding="utf-8")


def another_schema(study: Path) -> None:
    path = study / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))


def no_records(study: Path) -> None:
    (study / "records.jsonl").write_text("")


def prediction_without_id(study: Path) -> None:
    path = study / "predictions" / "r2d-1-test.jsonl"
    path.write_text(path.read_text().replace('"id"', '"name"', 1))


def prediction_for_another_label(study: Path) -> None:
    path = study / "predictions" / "r2d-1-test.jsonl"
    path.write_text(path.read_text().replace('"label":"yes"', '"label":"no"', 1))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (nan_in_scores, "records.jsonl:1: "),
        (another_schema, "study.json: schema version 99 (allowed: 1)"),
        (no_records, "no trial has ended (allowed: a study with records)"),
        (prediction_without_id, "r2d-1-test.jsonl:1: id: missing"),
        (prediction_for_another_label, "r2d-1: "),
        (
            lambda study: (study / "study.json").unlink(),
            "not a study (allowed: a folder with",
        ),
        (lambda study: (study / "study.json").write_text("[" * 100_000), "study.json: "),
        (lambda study: (study / "study.json").write_text("null"), "schema version None"),
    ],
)
def test_a_damaged_study_is_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Damage, said: str
) -> None:
    study = write_comparison(tmp_path)
    damage(study)
    code, printed, err = run(capsys, study, "--out", tmp_path / "report")
    assert (code, printed) == (2, "")
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"small"}


def test_two_studies_on_different_data_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_comparison(tmp_path)
    other = write_comparison(tmp_path, name="other", data_hash="fedcba9876543210")
    code, _, err = run(capsys, one, other, "--out", tmp_path / "report")
    assert code == 2
    assert "has content fedcba9876543210, but 0123456789abcdef" in err


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (("small", "other"), ["small (small)", "small (other)"]),
        (("a/small", "b/small"), ["small (a/small)", "small (b/small)"]),
        (("a/small", "small"), ["small (a/small)", "small ({root}/small)"]),
    ],
)
def test_two_studies_of_one_name_are_told_apart_by_their_folders(
    tmp_path: Path, places: tuple[str, str], names: list[str]
) -> None:
    made = [write_comparison(tmp_path, name=x, changes={"name": "small"}) for x in places]
    found = [study.info.name for study in open_studies(made)]
    assert found == [name.format(root=tmp_path.name) for name in names]


def test_settings_that_all_share_are_folded_on_the_page_and_whole_in_the_files(
    written: Path,
) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    table = (written / "tables" / "settings.csv").read_text(encoding="utf-8")
    count = table.count("the same for all")
    assert count > 40
    (fold,) = re.findall(r"<summary>(.* the same for all)</summary>\s*<p>(.*)</p>", page)
    assert fold[0] == f"{count} settings are the same for all"
    assert "; max_input_length 64;" in fold[1]
    assert "the same for all</td>" not in page


def test_a_column_that_is_nowhere_known_is_left_out_and_named(written: Path) -> None:
    text = (written / "tables" / "main.md").read_text(encoding="utf-8")
    head = next(line for line in text.splitlines() if line.startswith("| Data"))
    assert "BERTScore" not in head
    assert "- left out, n/a in every row: BERTScore, %, BLEU, Consistency, %," in text


def test_a_hostile_folder_name_is_printed_as_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, err = run(capsys, tmp_path / "\x1b[2Jstudy\n2", "--out", tmp_path / "report")
    assert err.count("\n") == 1
    assert "\\x1b[2Jstudy\\n2" in err


def test_a_disk_that_refuses_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    code, _, err = run(capsys, write_comparison(tmp_path), "--out", tmp_path / "file" / "report")
    assert code == 2
    assert err == f"error: --out {tmp_path / 'file' / 'report'}: Not a directory\n"
