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
from made_answers import HashPredictor

import r2d_ray.search.run  # noqa: F401  heavy: imported here rather than by the first case
from r2d_ray.cli.arguments import parser_for
from r2d_ray.compare import main as compare_main
from r2d_ray.config import SELECTION_METRICS, TrainConfig
from r2d_ray.errors import EXIT_BAD_INPUT, EXIT_DONE
from r2d_ray.method.variants import METHODS
from r2d_ray.predict import main as predict_main
from r2d_ray.prediction import predictor
from r2d_ray.study.model_file import MODEL_FILE
from r2d_ray.train import main as train_main
from r2d_ray.tune import main as tune_main

BASE = ["--dataset", "table.csv", "--verbosity", "quiet", "--dry-run"]
HEADER = ["question", "context", "label", "split", "rationale.human"]
OWN = {"dry_run", "verbosity", "help", "version", "as_json"}
OWN |= {"list_methods", "list_fields", "address"}
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
    "pruner": ["halving", "asha", "none"],
    "resume": ["auto", "never", "must"],
    "device": ["auto", "cpu"],
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


@st.composite
def near_flags(draw: st.DrawFn) -> str:
    """A flag of any command, whole or with some letters lost or doubled."""
    every = sorted({flag for command in MAINS for flag in parser_for(command).flags()})
    flag = draw(st.sampled_from([flag for flag in every if flag.startswith("--")]))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(2, max(2, len(flag) - 1)))
        flag = flag[:at] + draw(st.sampled_from(["", flag[at : at + 1] * 2])) + flag[at + 1 :]
    return flag if len(flag) > 2 else "--x"


MAINS = {"tune": tune_main, "compare": compare_main, "train": train_main, "predict": predict_main}
NEEDED = {
    "compare": ["--methods", "r2d", *BASE],
    "predict": ["--model", "model", "--input", "table.csv", "--output", "no/x"],
}
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


@cases(share=15)
@given(argv=flags(parser_for("tune")))
def test_any_flags_of_a_search_are_planned_or_refused(folder: Path, argv: list[str]) -> None:
    planned(tune_main, argv, folder)


@cases(share=15)
@given(argv=flags(parser_for("compare")))
def test_any_flags_of_a_comparison_are_planned_or_refused(folder: Path, argv: list[str]) -> None:
    planned(compare_main, ["--methods", "r2d", *argv], folder)


@cases(share=8)
@given(argv=flags(parser_for("train")))
def test_any_flags_of_a_run_are_planned_or_refused(folder: Path, argv: list[str]) -> None:
    planned(train_main, argv, folder)


@cases(share=7)
@given(flag=near_flags(), command=st.sampled_from(sorted(MAINS)))
def test_what_is_like_a_flag_is_one_or_is_refused_by_its_name(
    folder: Path, flag: str, command: str
) -> None:
    if flag in parser_for(command).flags():
        return
    done = harmless(MAINS[command], [*NEEDED.get(command, BASE), flag], folder)
    assert done.code == EXIT_BAD_INPUT
    assert flag in done.err


def planned(main: object, argv: list[str], folder: Path) -> None:
    assert callable(main)
    done = harmless(main, [*BASE, *argv], folder)
    if done.code == EXIT_DONE:
        shown = {"--show-config": "--config THIS_FILE", "--list-fields": "learning_rate = "}
        said = [words for flag, words in shown.items() if flag in argv] or ["at once"]
        assert any(words in done.out for words in said)


@cases(share=10)
@given(
    argv=flags(parser_for("predict")),
    out=st.sampled_from(["out.jsonl", "out.csv", "folder", "no/x"]) | WORDS,
)
def test_any_flags_of_a_prediction_are_used_or_refused(
    folder: Path, argv: list[str], out: str
) -> None:
    given_first = ["--model", "model", "--input", "table.csv", f"--output={out}", *argv]
    before = files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictor, "Predictor", HashPredictor)
        done = run(predict_main, given_first)
    assert done.code in (EXIT_DONE, EXIT_BAD_INPUT)
    if done.code == EXIT_BAD_INPUT:
        assert done.err.startswith("error: ")
        assert done.err[:-1].isprintable()
        assert files(folder) == before
        return
    made = [folder / name for name in files(folder).keys() - before.keys()]
    assert all(path.name.startswith(Path(out).name) for path in made)
    assert all(path.stat().st_size for path in made)
    for path in made:
        path.unlink()
