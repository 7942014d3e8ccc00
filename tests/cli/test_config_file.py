"""A command as a YAML file: what `--config` reads, and what `--show-config` prints."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from r2d_ray import compare, predict, train, tune
from r2d_ray.cli.arguments import COMMANDS, parser_for
from r2d_ray.cli.command import parse, settings_from
from r2d_ray.errors import EXIT_BAD_INPUT, EXIT_DONE, UserError
from r2d_ray.search.plan import read_data
from r2d_ray.study.asked import Asked
from r2d_ray.study.settings import StudySettings

MAINS = {"tune": tune.main, "compare": compare.main, "train": train.main, "predict": predict.main}
NEEDED = {
    "tune": {"--dataset": "a"},
    "compare": {"--dataset": "a", "--methods": "r2d"},
    "train": {"--dataset": "a"},
    "predict": {"--model": "a", "--input": "b", "--output": "c"},
    "export": {"--to": "a"},
}
Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes c.yaml in the working folder and returns its name."""
    monkeypatch.chdir(tmp_path)

    def put(text: str) -> str:
        Path("c.yaml").write_text(text, encoding="utf-8")
        return "c.yaml"

    return put


def read(command: str, *argv: str) -> tuple[argparse.Namespace, Asked]:
    args = parse(command, argv)
    return args, settings_from(args, COMMANDS[command].settings)


def asked(command: str, *argv: str) -> dict[str, Any]:
    return read(command, *argv)[1].given()


def said(capsys: pytest.CaptureFixture[str], command: str, *argv: str) -> str:
    """The one line of a refusal, without its `error: `."""
    capsys.readouterr()
    try:
        code = MAINS[command]([*argv])
    except SystemExit as end:
        code = end.code
    out, error = capsys.readouterr()
    assert (code, out, error.count("\n")) == (EXIT_BAD_INPUT, "", 1), error
    return error.removeprefix("error: ").removesuffix("\n")


def test_a_file_asks_for_what_flags_ask_for(write: Write) -> None:
    name = write("""
dataset: notes.csv
columns:
  question: note
  context: "history, free text"
  rationale.human: why
keep-columns: [site, age_band]
sample_rows: [60, 20, 20]
num_samples: 3
sampler: random
smoke-test: true
epochs: 2.5
model: google/t5-v1_1-base
set:
  learning-rate: 1e-3
  max_steps: 1e3
""")
    flags = [
        *("--dataset", "notes.csv", "--keep-columns", "site,age_band"),
        *("--sample-rows", "60", "20", "20", "--num-samples", "3", "--sampler", "random"),
        *("--smoke-test", "--epochs", "2.5", "--model", "google/t5-v1_1-base"),
        *("--set", "learning_rate=0.001", "--set", "max_steps=1000"),
    ]
    columns = 'question=note,context="history, free text",rationale.human=why'
    assert asked("tune", "--config", name) == asked("tune", *flags, "--columns", columns)


@pytest.mark.parametrize(
    ("text", "flags", "expected"),
    [
        ("limit: 8", ["--limit", "9"], {"limit": 9}),
        ("seed: 1", [], {"seed": 1, "overrides": {"seed": 1}}),
        ("set: {seed: 1}", ["--seed", "2"], {"seed": 2, "overrides": {"seed": 2}}),
        ("set: {model: x}", ["--model", "y"], {"overrides": {"model": "y"}}),
        ("model: x", ["--set", "model=y"], {"overrides": {"model": "y"}}),
        (
            "set: {max_steps: 1, eval_steps: 2}",
            ["--set", "max_steps=3"],
            {"overrides": {"max_steps": 3, "eval_steps": 2}},
        ),
        ("pruner: halving", ["--scheduler", "none"], {"pruner": "none"}),
        ("dataset: b", ["--dataset", "a"], {}),
    ],
)
def test_flags_win_over_the_file(
    write: Write, text: str, flags: list[str], expected: dict[str, Any]
) -> None:
    found = asked("tune", "--config", write(text), "--dataset", "a", *flags)
    assert found == {"overrides": {}, **expected, "dataset": "a"}


def test_lists_are_replaced_not_joined(write: Write) -> None:
    name = write("dataset: a\nmethods: [r2d, sft]\nseeds: [1, 2]")
    assert asked("compare", "--config", name)["seeds"] == (1, 2)
    assert asked("compare", "--config", name, "--seeds", "7")["seeds"] == (7,)
    assert asked("compare", "--config", write("dataset: a\nmethods: sft"))["methods"] == ("sft",)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("name: no", "name", "no"),
        ("name: 007", "name", "007"),
        ("name: 2026-11-28", "name", "2026-11-28"),
        ("name: 2024-13-45", "name", "2024-13-45"),
        ("name: 1e-3", "name", "1e-3"),
        ("name: 0x10", "name", "0x10"),
        ("name: 12:30", "name", "12:30"),
        ("name: 'null'", "name", "null"),
        ("name: $HOME", "name", "$HOME"),
        ("columns: {question: no, label: 1}", "columns", "question=no,label=1"),
        ("columns: question=q,label=y", "columns", "question=q,label=y"),
        ("time_budget: 1e-3", "time_budget_s", 1e-3),
        ("limit: 010", "limit", 10),
        ("limit: 1_000", "limit", 1000),
        ("limit: 1e3", "limit", 1000),
        ("limit: '12'", "limit", 12),
        ("smoke_test: on", "smoke_test", True),
        ("smoke_test: Yes", "smoke_test", True),
        ("set: {bf16: yes}", "overrides", {"bf16": True}),
        ("set: {model_revision: 007}", "overrides", {"model_revision": "007"}),
        ("set: {model_revision: ~}", "overrides", {"model_revision": None}),
        (
            "set:\n  deepspeed_config:\n    fp16: {enabled: false}\n    a: [1, 'no']",
            "overrides",
            {"deepspeed_config": {"fp16": {"enabled": False}, "a": [1, "no"]}},
        ),
    ],
)
def test_values_are_what_their_flag_makes_of_them_whatever_yaml_would(
    write: Write, text: str, name: str, value: object
) -> None:
    assert asked("tune", "--config", write(f"dataset: a\n{text}"))[name] == value


@pytest.mark.parametrize("text", ["limit:", "limit: ~", "limit: null", "smoke_test: off"])
def test_no_value_and_a_switch_that_is_off_ask_for_nothing(write: Write, text: str) -> None:
    found = asked("tune", "--config", write(f"dataset: a\n{text}"))
    assert found == {"dataset": "a", "overrides": {}}


REFUSED = {
    "datset: a": "c.yaml:1: unknown key 'datset' (did you mean dataset?)",
    "dataset: a\n\nxyz: 1": "c.yaml:3: unknown key 'xyz' (allowed: the flags of --help)",
    "dataset: a\ngrid: x": "c.yaml:2: key 'grid' belongs to python -m r2d_ray.compare (see --help)",
    "batch_size: 3": "c.yaml:1: unknown key 'batch_size' (did you mean "
    "per_device_train_batch_size below set (rows of one worker's pass)?)",
    "config: b.yaml": "c.yaml:1: config stands on the command line only "
    "(allowed: names of other flags)",
    "limit: 9\nlimit: 9": "c.yaml:2: key 'limit' appears twice (allowed: once)",
    "num_samples: 3\nnum-samples: 3": "c.yaml:2: key 'num-samples' appears twice, as "
    "'num_samples' before (allowed: once)",
    "pruner: none\nscheduler: asha": "c.yaml:2: scheduler: pruner sets it too "
    "(allowed: one of them)",
    "set: {model: x}\nmodel: y": "c.yaml:1: model: it stands outside set too, at c.yaml:2 "
    "(allowed: once)",
    "set:\n  bf16: true\n  bf16: true": "c.yaml:3: key 'bf16' appears twice (allowed: once)",
    "set: 3": "c.yaml:1: set: one value (allowed: a mapping, NAME: VALUE)",
    "dataset: a\nlimit: 3": "c.yaml:2: --limit 3: too small (allowed: at least 8)",
    "dataset: a\nlimit: some": "c.yaml:2: --limit 'some': not a whole number (allowed: one)",
    "limit: [8]": "c.yaml:1: limit: a list (allowed: one value)",
    "limit: {a: 8}": "c.yaml:1: limit: a mapping (allowed: one value)",
    "sample_rows: [60, 20]": "c.yaml:1: sample_rows: 2 values (allowed: 3 values)",
    "sample_rows: 60": "c.yaml:1: sample_rows: 1 value (allowed: 3 values)",
    "columns: [q]": "c.yaml:1: columns: a list (allowed: a mapping, TARGET: COLUMN)",
    "columns: {question: [q]}": "c.yaml:1: question: a list (allowed: one value)",
    "keep_columns: ['a,b']": "c.yaml:1: keep_columns: 'a,b' has a comma "
    "(allowed: columns without one)",
    "smoke_test: maybe": "c.yaml:1: smoke_test: 'maybe' is neither true nor false "
    "(allowed: one of them)",
    "sampler: tpee": "c.yaml:1: unknown --sampler 'tpee'; did you mean 'tpe'? "
    "(allowed: gp, grid, qmc, random, tpe)",
    "name: ''": "c.yaml:1: name: an empty value (allowed: a value, or no key)",
    "": "c.yaml: no value in it (allowed: a mapping, FLAG: VALUE)",
    "# only a word": "c.yaml: no value in it (allowed: a mapping, FLAG: VALUE)",
    "- dataset": "c.yaml:1: a list (allowed: a mapping, FLAG: VALUE)",
    "\njust words": "c.yaml:2: one value (allowed: a mapping, FLAG: VALUE)",
    "[a]: b": "c.yaml:1: a list as a key (allowed: a name)",
    "dataset: a\n  b: c": "c.yaml:2: mapping values are not allowed here",
    "dataset: &x a": "c.yaml:1: YAML anchor 'x' (allowed: plain values only)",
    "dataset: !x a": "c.yaml:1: YAML tag '!x' (allowed: plain values only)",
    "a: 1\n---\nb: 2": "c.yaml:2: but found another document",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_meant_is_refused_in_one_line_with_its_place(
    write: Write, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert said(capsys, "tune", "--config", write(text), "--dry-run") == REFUSED[text]


def test_an_unknown_field_is_refused_with_its_line_and_what_may_be_meant(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    line = said(capsys, "tune", "--config", write("dataset: a\nset:\n  lr: 1e-3"))
    assert line.startswith(
        "c.yaml:3: unknown field 'lr'; did you mean 'learning_rate' or 'stage1_learning_rate' "
        "(the peak of stage 2; of stage 1)?"
    )


def test_files_that_cannot_be_read_are_refused(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write("dataset: a")
    tail = "(allowed: a readable YAML file)"
    assert said(capsys, "tune", "--config", "d.yaml") == f"d.yaml: No such file or directory {tail}"
    assert said(capsys, "tune", "--config", ".") == f".: Is a directory {tail}"
    twice = ["--config", "c.yaml", "--config", "c.yaml"]
    assert said(capsys, "tune", *twice) == "--config: 2 files (allowed: one)"
    Path("c.yaml").write_bytes(b"dataset: \xff")
    assert said(capsys, "tune", "--config", "c.yaml").startswith("c.yaml: ")


def test_a_wrong_value_of_a_flag_is_not_laid_to_the_file(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    name = write("dataset: a\nlimit: 9")
    line = said(capsys, "tune", "--config", name, "--limit", "3")
    assert line == "--limit 3: too small (allowed: at least 8)"


def test_paths_in_a_file_are_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "c.yaml").write_text("dataset: notes.csv\nmethod: sft")
    rows = "".join(f"is {i} so?,{'yes' if i % 2 else 'no'}\n" for i in range(40))
    (tmp_path / "notes.csv").write_text(f"question,label\n{rows}")
    monkeypatch.chdir(tmp_path)
    _, settings = read("train", "--config", "configs/c.yaml")
    assert isinstance(settings, StudySettings)
    assert len(read_data(settings).train) == 28
    monkeypatch.chdir(tmp_path / "configs")
    with pytest.raises(UserError, match=r"notes\.csv"):
        read_data(settings)


TEXT = st.text("ab01 -:#{}[],'\"~&*!|>%@`=é.\u2028", min_size=1, max_size=6) | st.sampled_from(
    ["no", "null", "~", "007", "1e-3", "2024-01-01", "2024-13-45", "12:30", "0x1f", "$HOME", "<<"]
)
NUMBERS = {
    "limit": st.integers(8, 10**6).map(str),
    "epochs": st.floats(1e-6, 10_000).map(repr),
    "abstain_below": st.floats(0, 1).map(repr),
    "cluster_gpus": st.floats(0, 1e6).map(repr),
    "folds": st.integers(2, 1000).map(str),
    "seeds_per_config": st.integers(1, 100).map(str),
    "sample_rows": st.integers(1, 10**6).map(str),
}
SETS = st.fixed_dictionaries(
    {},
    optional={
        "max_steps": st.integers(1, 10**7).map(str) | st.just("1e3"),
        "learning_rate": st.floats(1e-9, 1).map(repr),
        "bf16": st.sampled_from(["true", "no", "False"]),
        "model": TEXT,
        "sampling_decay": st.sampled_from(["none", "linear"]),
        "deepspeed_config": st.dictionaries(TEXT, st.integers() | st.booleans() | TEXT).map(
            lambda value: json.dumps(value)
        ),
    },
)


def words_for(action: argparse.Action, draw: Any) -> list[str]:
    """Words for a flag that its class accepts."""
    if action.nargs == 0:
        return []
    if action.dest == "columns":
        return [draw(st.sampled_from(["question=q", "label=y,question=q", "question=q, label=y"]))]
    shown = str(action.metavar)
    if shown.startswith("{"):
        one = st.sampled_from(shown.strip("{}").split(","))
    else:
        number = {"N": st.integers(1, 1000).map(str), "X": st.floats(0, 1).map(repr)}
        number["S"] = st.floats(1e-3, 1e9).map(repr)
        one = NUMBERS.get(action.dest, number.get(shown, TEXT))
    if action.nargs == 3:
        one = NUMBERS["sample_rows"]
        return [draw(one) for _ in range(3)]
    if action.nargs == "+":
        return list(draw(st.lists(one, min_size=1, max_size=3, unique_by=str.strip)))
    return [draw(one)]


@st.composite
def command_lines(draw: Any) -> tuple[str, list[str]]:
    """A command and words that it accepts: any of its flags, fields by `--set`."""
    command = draw(st.sampled_from(sorted(COMMANDS)))
    actions = {a.dest: (flag, a) for flag, a in parser_for(command).flags().items()}
    free = actions.keys() - {"help", "version", "config", "show_config", "deepspeed_config", "set"}
    picked = draw(st.lists(st.sampled_from(sorted(free)), unique=True, max_size=6))
    words: list[str] = []
    for flag, value in NEEDED[command].items():
        words += [flag, value]
    for name in picked:
        flag, action = actions[name]
        values = words_for(action, draw)
        joined = len(values) == 1 and action.nargs is None
        words += [f"{flag}={values[0]}"] if joined else [flag, *values]
    if "set" in actions:
        words += [f"--set={name}={text}" for name, text in draw(SETS).items()]
    return command, words


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=command_lines())
@example(line=("compare", ["--dataset", "a", "--methods", "r2d", "--address=\u2028"]))
@example(line=("tune", ["--dataset", "a\x85b", "--name=n\u2029"]))
@example(line=("train", ["--dataset", "a", "--model=0", "--set=model=00"]))
@example(line=("tune", ["--dataset", "=", "--set=model=!", "--set=model_revision=<<"]))
def test_the_shown_file_asks_for_the_same(
    write: Write, capsys: pytest.CaptureFixture[str], line: tuple[str, list[str]]
) -> None:
    command, words = line
    try:
        args, wanted = read(command, *words)
    except (UserError, SystemExit):
        return  # refused: there is nothing to show
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        parse(command, [*words, "--show-config"])
    text = capsys.readouterr().out
    assert end.value.code == EXIT_DONE
    again, found = read(command, "--config", write(text))
    assert found == wanted
    assert found.model_dump() == wanted.model_dump()
    for name in COMMANDS[command].output.model_fields:
        assert getattr(again, name) == getattr(args, name)
    with pytest.raises(SystemExit):
        parse(command, ["--config", "c.yaml", "--show-config"])
    assert capsys.readouterr().out == text


def test_the_file_is_shown_with_the_defaults_as_comments(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write("")
    with pytest.raises(SystemExit) as end:
        MAINS["compare"](
            [
                *("--dataset", "notes.csv", "--methods", "r2d", "sft", "--equal", "none"),
                *("--columns", "question=no,label=y", "--set", "max_steps=7", "--show-config"),
            ]
        )
    assert end.value.code == EXIT_DONE
    assert (
        capsys.readouterr().out
        == """\
# python -m r2d_ray.compare --config THIS_FILE
dataset: notes.csv
columns:
  question: 'no'
  label: y
methods: [r2d, sft]
equal: none
set:
  max_steps: 7

# defaults in force, of what can be asked for:
# split_seed: 42
# long_inputs: cut
# storage_path: ./studies
# trackers: [tensorboard]
# resume: auto
# address: auto
# seeds: [1, 2, 3]
"""
    )
    assert sorted(path.name for path in Path().iterdir()) == ["c.yaml"]


def test_nothing_is_shown_of_what_is_refused(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write("")
    line = said(capsys, "tune", "--dataset", "a", "--limit", "3", "--show-config")
    assert line == "--limit 3: too small (allowed: at least 8)"
    assert "--columns" in said(capsys, "tune", "--dataset", "a", "--columns", "x", "--show-config")
