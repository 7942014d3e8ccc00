"""Flags: any value of any flag plans a run or is refused in one line; nothing is written."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz_cases import cases, files, harmless, run, sandbox
from hypothesis import given
from hypothesis import strategies as st

import r2d_ray.search.run  # noqa: F401  heavy: imported here rather than by the first case
from r2d_ray import predict
from r2d_ray.cli.arguments import compare_parser, predict_parser, study_parser
from r2d_ray.compare import main as compare_main
from r2d_ray.config import SELECTION_METRICS, TrainConfig
from r2d_ray.errors import EXIT_BAD_INPUT, EXIT_DONE
from r2d_ray.method.variants import METHODS
from r2d_ray.predict import main as predict_main
from r2d_ray.study.export import MODEL_FILE
from r2d_ray.tune import main as tune_main

BASE = ["--dataset", "table.csv", "--verbosity", "quiet", "--dry-run"]
HEADER = ["question", "context", "label", "split", "rationale.human"]
OWN = {"dry_run", "verbosity", "help", "version", "json", "list", "address"}
"""Flags that are given, that end the command, or (`--address`) would join a running cluster."""
WORDS = st.sampled_from(
    [
        *("-1", "0", "1", "2", "8", "1e3", "1e-320", "1e400", "nan", "inf", "-0.0", "0x10"),
        *(
            "9" * 30,
            "9" * 5000,
            "0x" + "f" * 5000,
            "true",
            "null",
            "~",
            "~nobody/x",
            ".",
            "..",
            "/",
        ),
        *("../x", "a/b/c", "a" * 300, "a/" * 3000, "a\nb", "\x1b[2J", "é", "\udce9", "\u202e", " "),
        *("s3://b/x", "hub:a/b@c", "hub:", "@", "=", "--", "-x", "%s", "{}", "[bold]", "$HOME"),
        *("embedded", "paper", "r2d", "table.csv", "space.yaml", "folder", "model", "deep.json"),
        *(
            "nan.json",
            "/dev/null",
            "http://user:secret@host/",
            "2020-01-01",
            "!!set {a}",
            "&a [*a]",
        ),
    ]
) | st.text(st.characters(exclude_characters="\x00"), max_size=8)
GOOD = {
    "dataset": ["bioasq", "triage", "table.csv"],
    "columns": ["context=question", "rationale.x=context"],
    "rationale_source": ["human"],
    "stage1_rationale_source": ["human"],
    "method": sorted(METHODS),
    "methods": sorted(METHODS),
    "model": ["scratch-tiny", "scratch-small"],
    "profile": ["embedded"],
    "space": ["bioasq", "embedded", "stage1", "ablation", "sensitivity"],
    "grid": ["ablation", "sensitivity"],
    "sampler": ["tpe", "random", "gp", "qmc", "grid"],
    "scheduler": ["asha", "none"],
    "resume": ["auto", "never", "must"],
    "name": ["a", "a.b-c_D"],
    "storage_path": ["studies", "/nowhere", "~"],
    "rationale_sources": ["human"],
    "deepspeed_config": ["good.json"],
    "cluster_gpus": ["0", "4"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with sandbox(tmp_path_factory.mktemp("flags")) as place:
        splits = ["train"] * 12 + ["validation"] * 4 + ["test"] * 4
        rows = [(f"Is {i}?", "It is.", "yn"[i % 2], split, "So.") for i, split in enumerate(splits)]
        with Path("table.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([HEADER, *rows])
        Path("folder").mkdir()
        Path("space.yaml").write_text("metric: [")
        Path("good.json").write_text('{"zero_optimization": {"stage": 1}}')
        Path("nan.json").write_text('{"a": NaN}')
        Path("deep.json").write_text('{"a":' * 900 + "1" + "}" * 900)
        Path("model").mkdir()
        described = {"labels": ["y", "n"], "config": TrainConfig().model_dump()}
        (Path("model") / MODEL_FILE).write_text(json.dumps(described))
        yield place


def actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.dest not in OWN]


@st.composite
def flags(draw: st.DrawFn, parser: argparse.ArgumentParser) -> list[str]:
    argv: list[str] = []
    for action in draw(st.lists(st.sampled_from(actions(parser)), max_size=4)):
        flag = action.option_strings[0]
        good = [*GOOD.get(action.dest, ["1", "8", "20"]), *(action.choices or ())]
        value = st.sampled_from(good) | WORDS
        if action.dest == "set":
            field = draw(st.sampled_from([*TrainConfig.model_fields, "fp16", "x"]))
            value = st.builds(f"{field}={{}}".format, st.sampled_from(SETTINGS) | WORDS)
        if action.nargs == 0:
            argv.append(flag)
        elif action.nargs in ("+", 3):
            least, most = (3, 3) if action.nargs == 3 else (1, 3)
            argv += [flag, *draw(st.lists(value, min_size=least, max_size=most))]
        elif draw(st.booleans()):
            argv += [flag, draw(value)]
        else:
            argv.append(f"{flag.replace('-', '_').replace('__', '--', 1)}={draw(value)}")
    return argv


SETTINGS = [
    *SELECTION_METRICS,
    "false",
    "0.5",
    "1",
    "10",
    "linear",
    "{a: 1}",
    "{a: .nan}",
    "{1: 2}",
]


@cases(share=25)
@given(argv=flags(study_parser("tune", "")))
def test_any_flags_of_a_search_are_planned_or_refused(folder: Path, argv: list[str]) -> None:
    planned(tune_main, argv, folder)


@cases(share=20)
@given(argv=flags(compare_parser()))
def test_any_flags_of_a_comparison_are_planned_or_refused(folder: Path, argv: list[str]) -> None:
    planned(compare_main, ["--methods", "r2d", *argv], folder)


def planned(main: object, argv: list[str], folder: Path) -> None:
    assert callable(main)
    done = harmless(main, [*BASE, *argv], folder)
    if done.code == EXIT_DONE:
        assert "at once" in done.out


@cases(share=10)
@given(argv=flags(predict_parser()), out=st.sampled_from(["out.jsonl", "folder", "no/x"]) | WORDS)
def test_any_flags_of_a_prediction_are_used_or_refused(
    folder: Path, argv: list[str], out: str
) -> None:
    given_first = ["--model", "model", "--input", "table.csv", f"--output={out}", *argv]
    before = files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "predict_rows", lambda *given: [])
        done = run(predict_main, given_first)
    assert done.code in (EXIT_DONE, EXIT_BAD_INPUT)
    if done.code == EXIT_BAD_INPUT:
        assert done.err.startswith("error: ")
        assert done.err[:-1].isprintable()
        assert files(folder) == before
        return
    made = [folder / name for name in files(folder).keys() - before.keys()]
    assert all(path.read_bytes() == b"" for path in made)
    for path in made:
        path.unlink()
