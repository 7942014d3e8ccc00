"""A comparison as a user runs it, and the same command again: nothing is run twice."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY
from toy_table import write_csv

from r2d_ray.distributed.tasks import predictions_file
from r2d_ray.evaluation.plausibility import plausibility_scores
from r2d_ray.evaluation.scoring import EvaluationJob
from r2d_ray.records import Prediction, TrialRecord, read_jsonl
from r2d_ray.study.folder import StudyFolder

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
ARMS = ["no_stage1-1", "sft-1"]


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    values = {name: value for name, value in TINY.items() if name != "stage1_learning_rate"}
    sets = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    command = [
        *(sys.executable, "-m", "r2d_ray.compare", "--dataset", str(folder / "notes.csv")),
        *("--methods", "no_stage1", "sft", "--seeds", "1", "--equal", "none"),
        *("--storage-path", str(folder), "--name", "c", "--address", "local", *sets),
    ]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, check=False, timeout=300
    )


def scores(out: str, method: str) -> dict[str, str]:
    """Return a method's row of the printed table by column."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines()]
    [names] = [cells for cells in lines if cells[:1] == ["method"]]
    [row] = [cells for cells in lines if cells and cells[0].split(" (")[0] == method]
    return dict(zip(names, row, strict=True))


def test_a_comparison_ends_with_a_table_and_runs_nothing_again(tmp_path: Path) -> None:
    write_csv(tmp_path / "notes.csv")
    first = run(tmp_path)
    assert first.returncode == 0, first.stdout[-2000:] + first.stderr[-3000:]
    study = tmp_path / "c"
    stored = (study / "records.jsonl").read_bytes()
    records = list(read_jsonl(study / "records.jsonl", TrialRecord))
    assert [(r.arm, r.status, r.steps_done) for r in records] == [(arm, "done", 8) for arm in ARMS]

    for arm, writes in zip(ARMS, (True, False), strict=True):
        for split in ("validation", "test"):
            file = predictions_file(StudyFolder(study), EvaluationJob(arm, study, split, writes))
            rows = list(read_jsonl(file, Prediction))
            assert len(rows) == 16
            assert {row.label for row in rows} <= {"yes", "no"}
            assert all((row.rationale is not None) == writes for row in rows)
    two_tasks, sft = records
    predictions = StudyFolder(study).predictions_dir
    assert 0 <= two_tasks.test_metrics["bleu"] <= 100  # type: ignore[operator]
    assert not {"bleu", "rouge_l", "bertscore"} & set(sft.test_metrics)
    trivial = scores(first.stdout, "first context sentence")
    assert trivial["macro-F1"] == "n/a"
    assert "n/a" not in (trivial["BLEU"], trivial["ROUGE-L"])
    kept = plausibility_scores(list(read_jsonl(predictions / "no_stage1-1-test.jsonl", Prediction)))
    assert kept.items() <= two_tasks.test_metrics.items(), "the files say it all"
    assert (predictions / "control-first-context-sentence-test.jsonl").exists()
    shown = scores(first.stdout, "sft")
    assert [shown[name] for name in ("BLEU", "ROUGE-L", "dose %")] == ["n/a"] * 3
    assert "n/a" not in (shown["macro-F1"], scores(first.stdout, "no_stage1")["BLEU"])
    assert "arms: 2 done" in first.stdout

    again = run(tmp_path)
    assert again.returncode == 0, again.stdout[-2000:] + again.stderr[-3000:]
    assert "started" not in again.stdout
    assert (study / "records.jsonl").read_bytes() == stored
    assert scores(again.stdout, "sft") == shown
