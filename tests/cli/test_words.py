"""Every refusal of a value is in our words: flag or field, the value, what is allowed.

The tables are over kinds: each flag and field of a type is given each wrong value of that type.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
import ray.exceptions

from r2d_ray import compare, export, predict, train, tune
from r2d_ray.cli.arguments import COMMANDS, parser_for
from r2d_ray.cli.command import ERROR_WIDTH, run_command, settings_from
from r2d_ray.cli.flags import kind_of
from r2d_ray.config import TrainConfig, build_config
from r2d_ray.errors import (
    EXIT_BAD_INPUT,
    EXIT_FAULT,
    EXIT_READER_LEFT,
    EXIT_STOPPED_RESUMABLE,
    UserError,
    unknown,
)
from r2d_ray.study.asked import flag_in, flag_of
from r2d_ray.study.settings import CompareSettings, TrainSettings, build_settings
from r2d_ray.train import train_command
from r2d_ray.tune import end_lines

PHRASES = ("Input should", "Field required", "unable to", "Value error", "instance of", "invalid")
"""What pydantic and argparse say."""
NEEDED = {
    "tune": ["--dataset", "a"],
    "compare": ["--dataset", "a", "--methods", "r2d"],
    "train": ["--dataset", "a"],
    "predict": ["--model", "a", "--input", "a", "--output", "a"],
    "export": ["a", "--to", "a"],
}
NO_NUMBER = ("many", "1.2.3", "0x1z", "1e400x", "--")


def beyond(metadata: list[Any]) -> Iterator[Any]:
    """Yield a value on the wrong side of each bound."""
    for bound in (part for said in metadata for part in getattr(said, "metadata", [said])):
        for name, step in (("ge", -1), ("gt", 0), ("le", 1), ("lt", 0)):
            if (end := getattr(bound, name, None)) is not None:
                yield end + step


def wrong_values(kind: Any, metadata: list[Any]) -> Iterator[Any]:
    """Yield values of another type, out of bounds or not among the choices."""
    if kind in (int, float):
        yield from ("many", True, [1], *beyond(metadata))
        yield from (1.5, "1.5") if kind is int else (float("nan"), "inf")
    elif kind is bool:
        yield from ("maybe", 7, [True])
    elif get_origin(kind) is Literal:
        yield from (get_args(kind)[0] + "x", "zzz", None, 3)
    elif kind is dict or get_origin(kind) is dict:
        yield from (3, "text", [1])
    else:
        yield from (3, ["a"])


def field_cases() -> Iterator[tuple[str, Any]]:
    for name, field in TrainConfig.model_fields.items():
        kind = field.annotation
        inner = [part for part in get_args(kind) if part is not type(None)]
        if get_origin(kind) is not Literal and inner and type(None) in get_args(kind):
            kind = get_args(inner[0])[0] if get_origin(inner[0]) is not None else inner[0]
        yield from ((name, value) for value in wrong_values(kind, field.metadata))


@pytest.mark.parametrize(("name", "value"), list(field_cases()), ids=str)
def test_a_wrong_value_of_a_field_is_named_with_what_is_allowed(name: str, value: Any) -> None:
    with pytest.raises(UserError) as caught:
        build_config({name: value})
    said = str(caught.value)
    assert said.startswith(f"{name} = {value!r}" if not isinstance(value, list) else name)
    assert "(allowed: " in said
    assert not any(phrase in said for phrase in PHRASES), said
    assert "\n" not in said


def flag_cases() -> Iterator[tuple[str, str, str]]:
    for command, made in COMMANDS.items():
        for owner in (made.settings, made.output):
            for name, field in owner.model_fields.items():
                if name == "overrides":
                    continue
                kind, flag = kind_of(field.annotation), flag_of(flag_in(owner, name).name or name)
                if kind.choices:
                    yield from ((command, flag, word) for word in ("zzz", kind.choices[0] + "x"))
                elif kind.type in (int, float):
                    ends = [str(end) for end in beyond(field.metadata)]
                    single = kind.nargs is None
                    words = (*NO_NUMBER[:-1], *ends, *(("1.5",) if kind.type is int else ("nan",)))
                    yield from ((command, flag, word) for word in words if single)


def refused(command: str, *words: str) -> str:
    def ask() -> None:
        args = parser_for(command).parse_args([*NEEDED[command], *words])
        settings_from(args, COMMANDS[command].settings)

    with pytest.raises(UserError) as caught:
        ask()
    return str(caught.value)


@pytest.mark.parametrize(("command", "flag", "word"), list(flag_cases()))
def test_a_wrong_value_of_a_flag_is_named_with_what_is_allowed(
    command: str, flag: str, word: str
) -> None:
    said = refused(command, flag, word)
    assert flag in said
    assert word in said
    assert "(allowed: " in said
    assert not any(phrase in said for phrase in PHRASES), said


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("tune", ["--seed"], "--seed: no value (allowed: one value)"),
        ("compare", ["--seeds"], "--seeds: no value (allowed: at least one value)"),
        ("tune", ["--sample-rows", "1", "2"], "--sample-rows: no value (allowed: 3 values)"),
        ("tune", ["--dry-run=3"], "--dry-run '3': it takes no value (allowed: --dry-run alone)"),
        ("compare", ["--seeds", "1", "x"], "--seeds 'x': not a whole number (allowed: one)"),
        ("tune", ["--seed", "x"], "--seed 'x': not a whole number (allowed: one)"),
        ("tune", ["--epochs", "x"], "--epochs 'x': not a number (allowed: one)"),
        ("tune", ["--seed", "-1"], "--seed -1: too small (allowed: at least 0)"),
    ],
)
def test_flags_without_their_values(command: str, words: list[str], said: str) -> None:
    assert refused(command, *words) == said


@pytest.mark.parametrize("text", ["1000", "1e3", "1000.0", "1.0e3", " 1e3 ", 1000.0, 1000])
def test_a_whole_number_may_be_written_as_a_float(text: Any) -> None:
    assert build_config({"max_steps": text}).max_steps == 1000
    if isinstance(text, str):
        args = parser_for("tune").parse_args(["--dataset", "a", "--seed", text])
        assert args.seed == 1000


@pytest.mark.parametrize("text", ["1e-3", "1.5", "1e400", "inf", "nan", "1e", ""])
def test_what_is_not_whole_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"max_steps = .*not a whole number \(allowed: one\)"):
        build_config({"max_steps": text})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"methods": ("sft", "r2d", "sft")}, "--methods sft r2d sft: sft appears twice"),
        ({"seeds": (1, 2, 1)}, "--seeds 1 2 1: 1 appears twice"),
        ({"rationale_sources": ("llm", "llm")}, "--rationale-sources llm llm: llm appears twice"),
    ],
)
def test_what_is_compared_is_named_once(more: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        build_settings({"dataset": "a", "methods": ("r2d",), **more}, CompareSettings)
    assert str(caught.value) == f"{said} (allowed: each once)"


def test_a_run_is_not_sent_to_a_flag_that_it_lacks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    words = ["--dataset", "bioasq", "--profile", "embedded", "--set", "selection_metric=accuracy"]
    args = parser_for("train").parse_args(words)
    assert run_command(lambda: train_command(args), "normal") == EXIT_BAD_INPUT
    said = capsys.readouterr().err
    assert "selection_metric = 'accuracy'" in said
    assert "(allowed: 'macro_f1'" in said
    flags = parser_for("train").flags()
    assert all(word in flags for word in said.replace(")", " ").split() if word.startswith("--"))
    assert TrainSettings.model_fields.keys().isdisjoint({"space"})


@pytest.mark.parametrize("word", ["learning_rat", "zzz", "steps", "x" * 60])
def test_of_many_names_the_line_has_whole_ones_and_the_number_of_the_rest(word: str) -> None:
    names = list(TrainConfig.model_fields)
    line = str(unknown("field", word, names))
    assert len(line) < ERROR_WIDTH
    *shown, rest = line.rpartition("(allowed: ")[2].removesuffix(")").split(", ")
    assert set(shown) <= set(names)
    assert len(set(shown)) == len(shown)
    assert rest == f"and {len(names) - len(shown)} more"


def test_few_names_are_all_shown() -> None:
    assert str(unknown("x", "q", ["b", "a"])) == "unknown x 'q' (allowed: a, b)"


def test_a_fault_of_ours_is_one_line_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    def act() -> int:
        return len(end_lines({}, ""))

    assert run_command(act, "normal") == EXIT_FAULT
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("error: KeyError: 'trials' (a fault of r2d_ray, at ")
    assert "r2d_ray/tune.py:" in said
    assert "--verbosity debug" in said
    assert run_command(act, "debug") == EXIT_FAULT
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert shown.endswith(said)


@pytest.mark.parametrize("broken", ["parser_for", "normalise"])
@pytest.mark.parametrize("main", [tune.main, compare.main, train.main, predict.main, export.main])
def test_a_fault_before_the_arguments_are_known_is_one_line_too(
    broken: str,
    main: Callable[[list[str]], int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(f"r2d_ray.cli.command.{broken}", fail)
    for words, traced in (([], False), (["--verbosity", "debug"], True)):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == EXIT_FAULT
        said = capsys.readouterr().err
        assert said.startswith("Traceback") is traced
        last = said.splitlines()[-1]
        assert last.startswith("error: KeyError: 'lost' (a fault of r2d_ray, at ")
        assert traced or said.count("\n") == 1


def test_a_signal_within_a_library_s_c_code_stops_and_is_no_fault(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ctrl-C while Ray took a task: `SystemError: __new__ returned a result with an exception`."""

    def act() -> int:
        try:
            signal.raise_signal(signal.SIGINT)
        except BaseException as stopped:
            raise SystemError("returned a result with an exception set") from stopped
        raise AssertionError

    assert run_command(act, "normal") == EXIT_STOPPED_RESUMABLE
    assert capsys.readouterr().err == "saved; the same command resumes\n"


def test_a_fault_before_any_signal_is_still_one(capsys: pytest.CaptureFixture[str]) -> None:
    def act() -> int:
        raise SystemError("broken") from ValueError("cause")

    assert run_command(act, "normal") == EXIT_FAULT
    assert capsys.readouterr().err.startswith("error: SystemError: broken (a fault of r2d_ray")


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), ray.exceptions.RaySystemError("gone")]
)
def test_what_the_machine_refuses_keeps_its_traceback(error: Exception) -> None:
    def act() -> int:
        raise error

    with pytest.raises(type(error)):
        run_command(act, "normal")


@pytest.mark.parametrize(
    "words",
    [
        ["r2d_ray"],
        ["r2d_ray.tune", "--help"],
        ["r2d_ray.tune", "--version"],
        ["r2d_ray.compare", "--list"],
        ["analysis", "--help"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_left_is_no_traceback(words: list[str], unbuffered: str) -> None:
    there, here = os.pipe()
    os.close(there)  # `| head -1` that has read enough
    try:
        command = [sys.executable, "-m", *words]
        done = subprocess.run(
            command,
            stdout=here,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    finally:
        os.close(here)
    assert (done.returncode, done.stderr) == (EXIT_READER_LEFT, "")


def test_a_report_of_nothing_is_one_line() -> None:
    command = [sys.executable, "-m", "analysis"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = "error: STUDY is missing (allowed: the folders of one or more studies)\n"
    assert (done.returncode, done.stdout, done.stderr) == (EXIT_BAD_INPUT, "", said)
