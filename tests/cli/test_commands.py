from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import ray

import r2d_ray.search.run  # noqa: F401  heavy: imported here rather than by the first test that runs
from r2d_ray import __version__
from r2d_ray.cli.arguments import normalise
from r2d_ray.cli.command import StopSignals
from r2d_ray.cli.overrides import parse_value
from r2d_ray.config import PROFILES
from r2d_ray.distributed import cluster
from r2d_ray.errors import EXIT_BAD_INPUT, EXIT_DONE
from r2d_ray.predict import main as predict_main
from r2d_ray.train import main as train_main
from r2d_ray.tune import TUNE, end_lines
from r2d_ray.tune import main as tune_main

BASE = ["--dataset", "bioasq", "--profile", "embedded", "--storage-path", "studies"]
TABLE = ["--dataset", "table.csv"]
REFUSED = ["--set", "max_input_length=12", "--long-inputs", "refuse"]
SPACE = "metric: macro_f1\nmode: max\n"
RATE = "learning_rate: {type: float, low: 1.0e-4, high: 1.0e-2}"
HEADER = ("question", "context", "label", "split", "rationale.human", "rationale.llm")
Run = Callable[[Sequence[str]], tuple[int, str, str]]


def table(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def toy_table(path: Path) -> None:
    """Forty rows; only test rows have an `llm` rationale."""
    splits = ["train"] * 24 + ["validation"] * 8 + ["test"] * 8
    rows = [
        (f"Does drug {i} help?", f"Drug {i} did.", ("yes", "no")[i % 2], split, "It did.", "")
        for i, split in enumerate(splits)
    ]
    table(path, HEADER, [(*row[:5], "Indeed." if row[3] == "test" else "") for row in rows])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with good and bad input files in it."""
    for name in ("R2D_DATA", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    toy_table(tmp_path / "table.csv")
    lone = [(f"Is {i}?", "", ("yes", "no")[i % 2], "train", "So.", "") for i in range(20)]
    held = [(f"Was {i}?", "", ("yes", "no")[i % 2], "validation", "So.", "") for i in range(4)]
    seen = [("Will it?", "", "maybe", "test", "So.", "")]
    table(tmp_path / "lone.csv", HEADER, [*lone, *held, *seen])
    table(tmp_path / "unlabelled.csv", ["question", "answer"], [["Is it?", "yes"]])
    table(tmp_path / "bare.csv", HEADER[:3], [[f"Is {i}?", "", "ab"[i % 2]] for i in range(40)])
    (tmp_path / "empty.csv").touch()
    (tmp_path / "folder").mkdir()
    spaces = {
        "key.yaml": f"{SPACE}searches: {{{RATE}}}",
        "far.yaml": f"{SPACE}search: {{learning_rate: {{type: float, low: 0.1, high: 0.2}}}}",
        "tag.yaml": f"{SPACE}search: !!python/object/apply:os.mkdir [pwned]",
        "loss.yaml": f"metric: rationale_loss\nmode: min\nsearch: {{{RATE}}}",
        "seeded.yaml": f"{SPACE}fixed: {{max_steps: 20, seed: 5}}\nsearch: {{{RATE}}}",
    }
    for name, text in spaces.items():
        (tmp_path / name).write_text(text)
    for name, kind in (("bert", "bert"), ("pickled", "t5")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"model_type": kind}))
        (tmp_path / name / "pytorch_model.bin").write_bytes(b"never read")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "nan.json").write_text('{"a": NaN}')
    (tmp_path / "twice.json").write_text('{"a": 1, "a": 2}')
    return tmp_path


@pytest.fixture
def run(folder: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process; returns exit code, stdout and stderr."""

    def go(extra: Sequence[str]) -> tuple[int, str, str]:
        capfd.readouterr()
        try:
            code = tune_main([*BASE, *extra])
        except SystemExit as end:
            code = end.code  # type: ignore[assignment]
        return code, *capfd.readouterr()

    return go


def files(folder: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


BAD = {
    # data
    "unknown dataset": (["--dataset", "bioask"], "'bioask'", "bioasq"),
    "no such file": (["--dataset", "none.csv"], "none.csv", "no such file"),
    "named set without a copy": (["--dataset", "medmcqa"], "medmcqa", "--data PATH"),
    "data of a file": ([*TABLE, "--data", "x"], "--data x", "named set"),
    "no such data": (["--data", "nowhere"], "--data nowhere", "no such file or folder"),
    "hub set": (["--dataset", "hub:a/b@c"], "hub:a/b@c", "--profile finetune or paper"),
    "empty file": (["--dataset", "empty.csv"], "empty.csv", "empty"),
    "missing column": (["--dataset", "unlabelled.csv"], "unlabelled.csv:1", "'label'", "answer"),
    "label without training row": (["--dataset", "lone.csv"], "'maybe'", "no training row"),
    "no rationale": (["--dataset", "bare.csv"], "bare", "--method sft"),
    "columns target": ([*TABLE, "--columns", "quest=question"], "'quest'", "question"),
    "columns pair": ([*TABLE, "--columns", "question"], "'question'", "target=column"),
    "columns column": ([*TABLE, "--columns", "label=lable"], "label=lable", "columns: question"),
    "columns twice": ([*TABLE, "--columns", "id=label,id=split"], "id=split", "twice"),
    "columns of a sample": (["--columns", "label=x"], "--columns", "bioasq-sample"),
    "limit": (["--limit", "3"], "--limit 3", "8"),
    "rationale source": (["--rationale-source", "gpt"], "'gpt'", "human, llm"),
    "source of test rows": ([*TABLE, "--rationale-source", "llm"], "'llm'", "test rows only"),
    "stage-1 source": ([*TABLE, "--stage1-rationale-source", "llm"], "'llm'", "human"),
    "question too long": ([*TABLE, *REFUSED], "24 in train", "max_input_length=14"),
    # model and training
    "method": (["--method", "r3d"], "'r3d'", "did you mean 'r2d'", "sft"),
    "field": (["--set", "learning_rat=1"], "'learning_rat'", "'learning_rate'"),
    "field without value": (["--set", "max_steps"], "--set max_steps", "FIELD=VALUE"),
    "value out of bounds": (["--set", "label_loss_weight=1.5"], "label_loss_weight = 1.5", "1"),
    "value of another type": (["--set", "max_steps=many"], "max_steps = 'many'", "whole number"),
    "no date": (["--set", "seed=2024-13-45"], "seed = '2024-13-45'", "whole number"),
    "not finite": (["--set", "learning_rate=nan"], "learning_rate = 'nan'", "finite"),
    "YAML tag in a value": (["--set", "model=!!python/name:os.abort"], "os.abort", "scratch-tiny"),
    "fp16": (["--set", "fp16=true"], "fp16", "bf16=true"),
    "ZeRO stage": (["--zero-stage", "7"], "zero_stage = 7", "3"),
    "what the method fixes": (
        ["--method", "sft", "--set", "label_loss_weight=0.5"],
        "label_loss_weight = 0.5",
        "1.0",
    ),
    "more workers than fit": (["--num-workers", "1000"], "--num-workers 1000", "CPUs and"),
    "more GPUs than fit": (["--gpus-per-worker", "16", "--num-workers", "64"], "1024 GPUs"),
    "hub name offline": (["--model", "no/model"], "--model no/model", "scratch-tiny"),
    "model of another family": (["--model", "bert"], "'bert'", "t5, mt5"),
    "model without safetensors": (["--model", "pickled"], "pickled", "model.safetensors"),
    "folder without a model": (["--model", "folder"], "--model folder", "config.json"),
    "no DeepSpeed file": (["--deepspeed-config", "no.json"], "--deepspeed-config no.json", "read"),
    "DeepSpeed list": (["--deepspeed-config", "list.json"], "list.json", "JSON object"),
    "DeepSpeed without JSON": (["--deepspeed-config", "nan.json"], "deepspeed_config", "finite"),
    "DeepSpeed key twice": (
        ["--deepspeed-config", "twice.json"],
        "twice.json",
        "appears twice",
    ),
    "DeepSpeed tag": (
        ["--set", "deepspeed_config={a: !!binary /w==}"],
        "deepspeed_config",
        "object",
    ),
    "share of a GPU": (["--gpus-per-worker", "1e-320"], "gpus_per_worker", "0.0001"),
    "part above one GPU": (["--gpus-per-worker", "1.5"], "gpus_per_worker = 1.5", "whole numbers"),
    "endless integer": (["--set", "seed=0x" + "f" * 5000], "seed = '0xff", "whole number"),
    "seed": (["--seed", "-1"], "--seed -1", "0"),
    # search
    "space": (["--space", "bioaskk"], "'bioaskk'", "bioasq"),
    "space file": (["--space", "./none.yaml"], "none.yaml", "readable YAML file"),
    "space key": (["--space", "key.yaml"], "'searches'", "search"),
    "range without the default": (["--space", "far.yaml"], "learning_rate", "[0.1, 0.2]"),
    "YAML tag": (["--space", "tag.yaml"], "tag.yaml:3", "plain values only"),
    "another metric": (["--set", "selection_metric=accuracy"], "'accuracy'", "'macro_f1'"),
    "metric that is not computed": (
        ["--space", "loss.yaml", "--set", "label_loss_weight=1.0"],
        "'rationale_loss'",
        "macro_f1, accuracy",
    ),
    "grid over a range": (["--sampler", "grid"], "--sampler grid", "learning_rate", "categorical"),
    "sampler": (["--sampler", "cma"], "unknown --sampler 'cma'", "tpe"),
    "no trial": (["--num-samples", "0"], "--num-samples 0", "1"),
    "number": (["--num-samples", "many"], "--num-samples 'many'", "whole number"),
    "none at once": (["--max-concurrent-trials", "0"], "--max-concurrent-trials 0", "1"),
    "time budget": (["--time-budget", "0"], "--time-budget 0", "0"),
    "endless time budget": (["--time-budget", "inf"], "--time-budget inf", "finite"),
    "choice": (["--pruner", "halve"], "unknown --pruner 'halve'", "did you mean 'halving'?"),
    "former choice": (["--scheduler", "hyperband"], "--scheduler", "'hyperband'", "asha"),
    "flag": (["--verbose"], "unknown flag --verbose (did you mean --verbosity?)"),
    "no flag": (["--wandb"], "unknown flag --wandb (see --help)"),
    "abbreviation": (["--num-s", "3"], "unknown flag --num-s (did you mean --num-samples?)"),
    "word without a flag": (["bioasq"], "'bioasq' has no flag in front of it"),
    "flag of two lines": (["--a\nb"], "--a?b", "--help"),
    # study
    "name above": (["--name", "../x"], "'../x'", "A-Z"),
    "name below": (["--name", "a/b"], "'a/b'", "A-Z"),
    "hidden name": (["--name", ".."], "'..'", "A-Z"),
    "URL": (["--storage-path", "s3://bucket/x"], "'s3://bucket/x'", "POSIX path"),
    "file as storage": (["--storage-path", "table.csv/x"], "table.csv", "folder"),
    "nothing to resume": (["--resume", "must"], "--resume must", "stored study"),
    "nothing to extend": (["--extend", "2"], "--extend", "stored study"),
    "extend by nothing": (["--extend", "0"], "--extend 0", "1"),
    "no study to learn from": (["--warm-start", "folder"], "folder", "study.json"),
    "cluster without GPUs": (["--cluster-gpus", "-3"], "--cluster-gpus -3", "0"),
    "cluster of no number": (["--cluster-gpus", "nan"], "--cluster-gpus nan", "finite"),
    "GPUs of no cluster": (["--cluster-gpus", "4"], "--cluster-gpus 4", "--address"),
    "empty value": (["--name", ""], "--name ''", "no flag"),
    "empty value behind =": (["--storage-path="], "--storage-path ''", "no flag"),
    "no value behind =": (["--name=--"], "--name '--'", "no flag"),
    "not UTF-8": (["--name", "caf\udce9"], "caf\\udce9", "UTF-8"),
    "endless file name": (["--dataset", "x" * 300], "unknown dataset", "bioasq"),
    "endless study name": (["--warm-start", "x" * 300], "xxx", "study.json"),
    "nobody's home": (["--space", "~nobody-of-this-name/x.yaml"], "x.yaml", "readable YAML"),
    "address": (["--address", "nowhere"], "--address nowhere", "HOST:PORT"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_that_names_it_and_writes_nothing(
    run: Run, folder: Path, case: str
) -> None:
    extra, *said = BAD[case]
    before = files(folder)
    code, _, error = run(extra)
    assert code == EXIT_BAD_INPUT
    assert error.startswith("error: ")
    assert error.count("\n") == 1, error
    assert error.endswith("\n")
    for part in said:
        assert part in error
    assert files(folder) == before
    assert not ray.is_initialized()


def test_no_dataset_is_bad_usage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_main([]) == EXIT_BAD_INPUT
    assert capsys.readouterr().err == (
        "error: --dataset is missing (allowed: a named set, FILE or hub:NAME@REV)\n"
    )


def test_a_storage_that_was_there_stays_as_it_was(run: Run, folder: Path) -> None:
    (folder / "studies").mkdir()
    (folder / "studies" / "mine.txt").write_text("kept")
    before = files(folder)
    code, _, error = run([*TABLE, *REFUSED])
    assert code == EXIT_BAD_INPUT, error
    assert files(folder) == before


def test_debug_shows_where_an_error_came_from_and_exits_alike(run: Run) -> None:
    code, _, error = run(["--method", "r3d", "--verbosity", "debug"])
    assert code == EXIT_BAD_INPUT
    assert "Traceback" in error
    assert error.splitlines()[-1].startswith("error: unknown method 'r3d'")


def trial_0(out: str) -> dict[str, str]:
    """What a dry run prints of trial 0, by field."""
    lines = out[out.index("trial 0:") : out.index("searched (")].splitlines()[1:]
    pairs = (line.strip().partition(": ") for line in lines)
    return {name: value for name, _, value in pairs}


def test_a_dry_run_prints_the_plan_and_does_nothing(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "local_capacity", lambda: cluster.Capacity(3.0, 0.0))
    before = files(folder)
    steps = ["--set", "stage1_max_steps=100", "--set", "max_steps=40"]
    code, out, error = run([*TABLE, "--dry-run", "--num-samples", "5", *steps])
    assert (code, error) == (EXIT_DONE, "")
    # Stage 1 once, 100 steps; 5 trials of 40.
    assert (
        "trials 5, 3 at once, at most 300 optimiser steps "
        "(stage 1, once: 100; stage 2: 40 per trial)" in out
    )
    assert "study table-r2d-scratch-tiny: method r2d on table" in out
    assert "train: 24 rows" in out
    # 1.4 million parameters: 3 trials x 3 checkpoints x 16 bytes each, and 6 weights of 4 bytes.
    assert "estimated disk: 0.2 GB" in out
    shown = trial_0(out)
    assert shown["learning_rate"] == str(PROFILES["embedded"]["learning_rate"])
    assert shown["label_loss_weight"] == "0.7"
    assert "sampling_decay" in out[out.index("searched (macro_f1, max):") :]
    assert files(folder) == before
    assert not ray.is_initialized()


@pytest.mark.parametrize(
    ("extra", "at_once"),
    [
        ([], 4),
        (["--num-workers", "3"], 2),
        (["--max-concurrent-trials", "2"], 2),
        (["--max-concurrent-trials", "9", "--num-samples", "3"], 3),
        (["--num-samples", "9"], 7),
    ],
)
def test_as_many_trials_at_once_as_fit_and_were_asked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch, extra: list[str], at_once: int
) -> None:
    monkeypatch.setattr(cluster, "local_capacity", lambda: cluster.Capacity(7.0, 0.0))
    _, out, _ = run([*TABLE, "--dry-run", "--num-samples", "4", *extra])
    assert f" {at_once} at once" in out


@pytest.mark.parametrize(
    ("extra", "field", "value"),
    [
        ([], "max_steps", str(PROFILES["embedded"]["max_steps"])),
        (["--space", "seeded.yaml"], "max_steps", "20"),  # YAML over profile
        (["--space", "seeded.yaml", "--set", "max_steps=30"], "max_steps", "30"),  # flag over YAML
        (["--space", "seeded.yaml"], "seed", "5"),
        (["--space", "seeded.yaml", "--seed", "7"], "seed", "7"),
        ([], "seed", "42"),
        (["--method", "sft"], "stage1_max_steps", "0"),  # method over profile
        (["--zero-stage", "1", "--set", "zero_stage=2"], "zero_stage", "2"),  # the last flag
        (["--set", "learning_rate=1e-3"], "learning_rate", "0.001"),
        (["--smoke-test"], "max_steps", "8"),
        (["--smoke-test", "--method", "sft"], "stage1_max_steps", "0"),
        (["--smoke-test", "--set", "max_steps=6"], "max_steps", "6"),
        (["--num_workers", "1", "--zero_stage=3", "--dry_run"], "zero_stage", "3"),
    ],
)
def test_flags_over_yaml_over_method_over_profile(
    run: Run, extra: list[str], field: str, value: str
) -> None:
    code, out, error = run([*TABLE, "--dry-run", *extra])
    assert (code, error) == (EXIT_DONE, "")
    assert trial_0(out)[field] == value


def test_a_searched_field_that_a_flag_or_the_method_sets_is_not_searched(run: Run) -> None:
    _, out, _ = run([*TABLE, "--dry-run", "--set", "label_loss_weight=0.5"])
    assert trial_0(out)["label_loss_weight"] == "0.5"
    assert "label_loss_weight" not in out[out.index("searched (") :]
    _, out, _ = run([*TABLE, "--dry-run", "--method", "sft"])
    [searched] = out[out.index("searched (") :].splitlines()[1:]
    assert searched.startswith("  learning_rate: ")
    [dropped] = [line for line in out.splitlines() if line.startswith("not searched")]
    assert "sampling_decay_ratio" in dropped


def test_a_grid_has_no_more_trials_than_points(run: Run) -> None:
    grid = ["--dry-run", "--sampler", "grid", "--space", "ablation"]
    assert "trials 4," in run([*TABLE, *grid])[1], "the profile's number"
    _, out, _ = run([*TABLE, *grid, "--num-samples", "9"])
    assert "trials 8," in out
    assert "  stage1_max_steps: [200, 0]" in out
    assert "trials 3," in run([*TABLE, *grid, "--num-samples", "3"])[1]


def test_a_train_run_is_a_study_of_one_trial(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_main([*BASE, *TABLE, "--dry-run"]) == EXIT_DONE
    out = capsys.readouterr().out
    assert "trials 1, 1 at once" in out
    assert "searched" not in out


@pytest.mark.parametrize("main", [tune_main, train_main, predict_main])
def test_help_tells_of_every_flag(
    capsys: pytest.CaptureFixture[str], main: Callable[[list[str]], int]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == EXIT_DONE
    assert "--verbosity" in capsys.readouterr().out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        tune_main(["--version"])
    assert end.value.code == EXIT_DONE
    assert capsys.readouterr().out == f"{__version__}\n"


def test_underscores_become_dashes_in_names_of_flags_only() -> None:
    given = ["--num_samples", "a_b", "--set=max_steps=3", "--set", "max_steps=3", "-x_y"]
    assert normalise(given) == ["--num-samples", "a_b", *given[2:]]


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("max_steps", "3", 3),
        ("max_steps", "1e3", 1000),
        ("max_steps", "010", 10),
        ("max_steps", "1_000", 1000),
        ("max_steps", "1:30", 90),
        ("max_steps", "1.5", 1.5),
        ("max_steps", "true", True),
        ("learning_rate", "0.5", 0.5),
        ("learning_rate", "1e-4", 1e-4),
        ("learning_rate", "fast", "fast"),
        ("bf16", "true", True),
        ("bf16", "no", False),
        ("model_revision", "null", None),
        ("model_revision", "2024-01-01", "2024-01-01"),
        ("model_revision", "007", "007"),
        ("model_revision", "no", "no"),
        ("sampling_decay", "linear", "linear"),
        ("sampling_decay", "none", "none"),
        ("deepspeed_config", "{a: [1, true]}", {"a": [1, True]}),
        ("deepspeed_config", "[", "["),
        ("model", "2024-13-45", "2024-13-45"),
        ("model", "!!python/name:os.abort", "!!python/name:os.abort"),
    ],
)
def test_a_field_is_read_as_its_type_asks_or_is_the_text_itself(
    field: str, text: str, value: object
) -> None:
    found = parse_value(text, field)
    assert (found, type(found)) == (value, type(value))


def test_the_last_lines_name_states_reasons_and_the_model() -> None:
    result = {
        "trials": {"failed": 1, "done": 3},
        "failures": {2: "NonFiniteError: loss = nan"},
        "best_trial": 1,
        "best_dir": "/studies/x/best",
    }
    assert end_lines(result, TUNE.failed) == [
        "trials: 3 done, 1 failed",
        "trial 2 failed: NonFiniteError: loss = nan",
        "failed trials count as tried and are not rerun; --extend N adds new ones",
        "best model: /studies/x/best",
    ]
    none = {"trials": {"failed": 1}, "failures": {0: "why"}}
    flat = {**none, "stopped": "no better value in 3 trials"}
    assert end_lines(flat, TUNE.failed)[1] == (
        "stopped: no better value in 3 trials; with a larger --patience-trials, or without it, the "
        "same command goes on"
    )
    assert end_lines(none, TUNE.failed)[-1] == "no trial finished: there is no best model"


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)]
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)] == before


STOPPED = """
import os, signal, sys, time
from r2d_ray.cli.command import run_command

number, times, tune_runs = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "tune"
if tune_runs:  # Tune's way to end a search in order is a handler of SIGUSR1
    signal.signal(signal.SIGUSR1, lambda *_: print("search ends", flush=True))

def act():
    for _ in range(times):
        os.kill(os.getpid(), number)
    print("went on", flush=True)
    return 0

sys.exit(run_command(act, "normal"))
"""


def stopped(number: int, times: int, where: str) -> tuple[int, str]:
    command = [sys.executable, "-c", STOPPED, str(int(number)), str(times), where]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_resumably_and_the_second_at_once(number: int) -> None:
    assert stopped(number, 1, "tune") == (75, "search ends\nwent on\n")
    assert stopped(number, 2, "tune") == (128 + number, "search ends\n")
    assert stopped(number, 1, "before") == (75, "")
