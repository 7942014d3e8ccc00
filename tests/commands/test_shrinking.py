"""Commands by hand: their rules, their size, their files; a wrong one does not pass."""

import csv
import json
from pathlib import Path

import pytest
from fenced import Block
from quick_checks import in_process, make_knows, plan, ray_reads
from shell_lines import Command
from shown_tables import grown, toy_rows, write_table
from shrink import by_module, flag_values, for_this_machine, replaced, rule_of, small
from workplace import Workplace

TUNE = "python -m r2d_ray.tune"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    made = Workplace(tmp_path / "work")
    monkeypatch.chdir(made.folder)
    return made


def whole(line: str) -> str:
    words = line.split()
    return " ".join(small(for_this_machine(words, rule_of(words)), rule_of(words)))


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (f"{TUNE} --dataset x", TUNE),
        ("python -m benchmarks.step --json x", "python -m benchmarks."),
        ("python -m pip install x", "python -m pip"),
        ("make tune", "make"),
    ],
)
def test_the_rule_of_most_words_counts(line: str, rule: str) -> None:
    assert rule_of(line.split()).words == rule


@pytest.mark.parametrize("line", ["rm -rf x", f"{TUNE}s", "maker", "trials: 4 done"])
def test_an_unknown_command_says_where_to_add_it(line: str) -> None:
    with pytest.raises(ValueError, match=r"add one to tests/commands/budget\.py"):
        rule_of(line.split())


def test_names_of_one_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert by_module(["python3", "-m", "analysis"]) == ("python", "-m", "analysis")
    scripts = '[project]\n[project.scripts]\nr2d-go = "r2d_ray.go_on:main"\n'
    (tmp_path / "pyproject.toml").write_text(scripts)
    monkeypatch.setattr("shrink.ROOT", tmp_path)
    assert by_module(["r2d-go", "--x"]) == ("python", "-m", "r2d_ray.go_on", "--x")
    with pytest.raises(ValueError, match="r2d-nothing is no console name"):
        by_module(["r2d-nothing", "--x"])


def test_a_command_run_whole_is_small() -> None:
    more = "--smoke-test --address local"
    assert whole(f"{TUNE} --dataset a --num-samples 24 --set max_steps=9000 --set seed=3") == (
        f"{TUNE} --dataset a --num-samples 2 --set max_steps=8 --set seed=3 {more} --num-samples 2"
    )
    compare = "python -m r2d_ray.compare"
    assert whole(f"{compare} --seeds 1 2 3 --methods a b --grid=ablation --json") == (
        f"{compare} --seeds 1 --methods a b --grid small/ablation.yaml --json {more}"
    )


def test_dots_models_of_the_hub_and_other_machines() -> None:
    def here(line: str) -> str:
        return " ".join(for_this_machine(line.split(), rule_of(line.split())))

    assert here(f"{TUNE} ...") == f"{TUNE} --dataset bioasq"
    assert here(f"{TUNE} --model google/t5 --model-revision 1 --num-workers 8 --json") == (
        f"{TUNE} --model scratch-tiny --num-workers 1 --json"
    )
    assert here(f"{TUNE} --dataset hub:a/b@1 --storage-path /mnt/x") == (
        f"{TUNE} --dataset hub.csv --storage-path studies"
    )
    assert here(f"{TUNE} --model scratch-small") == f"{TUNE} --model scratch-small"
    for line in ("python -m analysis ...", f"{TUNE} --name a..."):
        with pytest.raises(ValueError, match=r"\.\.\."):
            here(line)


def test_values_of_flags() -> None:
    words = ["x", "--a", "1", "2", "--b", "--c=3", "--a_b", "4"]
    assert [flag_values(words, f) for f in ("--a", "--b", "--c", "--a-b")] == [
        ["1", "2"],
        [],
        ["3"],
        ["4"],
    ]
    assert replaced(words, {"--a": ("9",), "--c": ()}) == ["x", "--a", "9", "--b", "--a_b", "4"]


@pytest.mark.parametrize("name", ["notes.csv", "notes.jsonl", "notes.parquet"])
def test_a_table_is_made_for_the_columns_that_a_command_names(work: Workplace, name: str) -> None:
    columns = "question=q,rationale.human=why.said"
    words = [*TUNE.split(), "--dataset", name, "--columns", columns, "--profile", "embedded"]
    assert plan(work.words(words, with_studies=False), {}) == 0
    assert plan([*words[:-4], "--profile", "embedded"], {}) == 2, "there is no column `question`"


def test_a_shown_table_is_written_and_grown(work: Workplace) -> None:
    lines = ("q,answer,why", "Does it help?,yes,It did so.", "Was it safe?,no,Not for all.")
    work.write_shown([Block("csv", "mine.csv", 1, lines), Block("yaml", "a/b.yaml", 1, ("a: 1",))])
    with (work.folder / "mine.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[:2] == [
        {"q": "Does it help?", "answer": "yes", "why": "It did so."},
        {"q": "Was it safe?", "answer": "no", "why": "Not for all."},
    ]
    assert len({row["q"] for row in rows}) == len(rows) == 60
    assert {row["answer"] for row in rows} == {"yes", "no"}
    assert (work.folder / "a" / "b.yaml").read_text() == "a: 1\n"
    command = f"{TUNE} --dataset mine.csv --columns question=q,label=answer,rationale.human=why"
    assert plan(work.words(command.split(), with_studies=False), {}) == 0


def test_rows_of_json_keep_what_is_no_text() -> None:
    text = json.dumps({"id": "a", "question": "Is it so?", "choices": ["b c", "d"], "label": "d"})
    rows = grown("x.jsonl", text + "\n")
    assert [(row["id"], row["question"]) for row in rows[:2]] == [
        ("a", "Is it so?"),
        ("a 1", "Is it so? 1"),
    ]
    assert all(row["choices"] == ["b c", "d"] and row["label"] == "d" for row in rows)


def test_options_of_rows(tmp_path: Path) -> None:
    write_table(tmp_path / "o.jsonl", toy_rows("choices=options"))
    first = json.loads((tmp_path / "o.jsonl").read_text().splitlines()[0])
    assert first["options"] == ["yes", "no"]
    assert set(first["rationale"]) == {"human", "llm"}


def test_folders_and_variables_of_a_document(work: Workplace) -> None:
    dots = {"R2D_DATA": "/data", "MLFLOW_TRACKING_URI": "..."}
    assert work.variables(Command(1, ("x",), dots)) == {"R2D_DATA": str(work.data)}
    assert work.place("/data/bioasq") == f"{work.data}/bioasq"
    absent = [*TUNE.split(), "--dataset", "triage", "--data", "/data/triage"]
    assert work.words(absent, with_studies=False) == absent[:-2], "the sample stands for the files"
    for refused in ({"KEY": "..."}, {"HOME": "/elsewhere"}):
        with pytest.raises(ValueError, match=r"add it to .*budget\.py"):
            work.variables(Command(1, ("x",), refused))


def test_nothing_is_written_into_the_repository(work: Workplace) -> None:
    for flag in ("--out", "--output", "--storage-path"):
        with pytest.raises(ValueError, match="docs/x would be written into the repository"):
            work.words(["x", flag, "docs/x"], with_studies=False)
    assert work.words(["x", "--out", "report"], with_studies=False) == ["x", "--out", "report"]


def test_a_small_grid_has_the_name_of_the_one_it_stands_for(work: Workplace) -> None:
    line = "python -m r2d_ray.compare --dataset bioasq --profile embedded --grid sensitivity"
    words = work.words(whole(line).split(), with_studies=False)
    assert words[words.index("--grid") + 1] == "small/sensitivity.yaml"
    assert plan(words, {}) == 0


def test_studies_by_name_then_by_what_they_hold(work: Workplace) -> None:
    studies = work.folder / "studies"
    for name in ("a", "b"):
        (studies / name).mkdir(parents=True)
        (studies / name / "study.json").touch()
    (studies / "a" / "best").mkdir()
    said = work.words(["studies/b", "~/studies/{x}/best", "./studies/c"], with_studies=True)
    assert said == [str(studies / "b"), str(studies / "a" / "best"), str(studies / "a")]
    with pytest.raises(ValueError, match="studies/c/nothing: no command makes it"):
        work.words(["studies/c/nothing"], with_studies=True)


def test_a_wrong_command_does_not_pass(work: Workplace, capfd: pytest.CaptureFixture[str]) -> None:
    assert plan(f"{TUNE} --dataset bioasq --profile embedded".split(), {}) == 0
    assert plan(f"{TUNE} --dataset bioasq --no-such-flag".split(), {}) == 2
    assert plan(f"{TUNE} --dataset bioasq --extend 3 --no-such-flag".split(), {}) == 2
    assert in_process(["python", "-m", "analysis", "a", "b", "--out", "c"], {}, act=False) == 0
    assert in_process(["python", "-m", "analysis", "a", "--outer", "c"], {}, act=False) == 2
    assert not (work.folder / "studies").exists(), "nothing was run"
    make_knows(["make", "test", "BENCH=--full"])
    with pytest.raises(ValueError, match="nothing"):
        make_knows(["make", "nothing"])


def test_ray_reads_its_own_flags() -> None:
    inner = "python -m r2d_ray.tune --dataset bioasq"
    assert ray_reads(["ray", "exec", "cluster.yaml", "--tmux", inner]) == [inner]
    assert ray_reads(["ray", "down", "cluster.yaml", "-y"]) == []
    for wrong in ("upp cluster.yaml", "up cluster.yaml --no-such", "up no-such.yaml"):
        with pytest.raises(ValueError, match="ray"):
            ray_reads(["ray", *wrong.split()])
