"""Every command has the flags that it heeds, and no other."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from r2d_ray import compare, export, predict, train, tune
from r2d_ray.cli.arguments import COMMANDS, parser_for
from r2d_ray.cli.command import parse, settings_from
from r2d_ray.cli.config_file.listed import profile_of
from r2d_ray.cli.overrides import CONFIG_FLAGS
from r2d_ray.cli.screen import run as screen_run
from r2d_ray.config import TrainConfig, build_config
from r2d_ray.errors import EXIT_BAD_INPUT, EXIT_DONE, OTHER_WORDS, UserError, meaning, meant
from r2d_ray.method.variants import METHODS
from r2d_ray.search.space import SearchSpace, load_search_space
from r2d_ray.study.asked import Asked, flag_in
from r2d_ray.study.settings import SearchSettings, TrainSettings, build_settings

VERBS = {"tune": tune, "compare": compare, "train": train, "predict": predict, "export": export}
NEEDED = {
    "tune": ["--dataset", "a"],
    "compare": ["--dataset", "a", "--methods", "r2d"],
    "train": ["--dataset", "a"],
    "predict": ["--model", "a", "--input", "a", "--output", "a"],
    "export": ["a", "--to", "a"],
}
ENDS = {"help", "version"}  # argparse prints and ends
FILE = {"config", "show_config", "list_fields"}  # tests/cli/test_config_file.py
FOLLOWS = {  # what changes with a flag
    "profile": {"profile", "num_samples"},
    "smoke_test": {"smoke_test", "num_samples", "limit"},
}
WIDTH = 100


def values_of(action: argparse.Action) -> list[str]:
    """Words for a flag that are not its default."""
    if action.nargs == 0:
        return []
    if action.dest == "set":
        return ["max_steps=7"]
    if action.dest == "deepspeed_config":
        return ["zero.json"]
    shown = str(action.metavar)
    word = {"N": "9", "STEPS": "9", "X": "0.5", "P": "0.5", "S": "9"}.get(shown, "b")
    if shown.startswith("{"):
        word = shown.strip("{}").split(",")[-1]  # the default of none
    if isinstance(action.metavar, tuple):
        return ["9"] * len(action.metavar)
    return [word]


def every_flag() -> Iterator[tuple[str, str]]:
    for command in COMMANDS:
        for flag, action in parser_for(command).flags().items():
            if action.dest not in ENDS | FILE:
                yield command, flag


def asked(command: str, *extra: str) -> tuple[argparse.Namespace, Asked]:
    args = parser_for(command).parse_args([*NEEDED[command], *extra])
    return args, settings_from(args, COMMANDS[command].settings)


@pytest.mark.parametrize(("command", "flag"), list(every_flag()))
def test_every_flag_changes_the_settings_or_what_the_verb_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, flag: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("zero.json").write_text('{"a": 1}')
    action = parser_for(command).flags()[flag]
    plain, usual = asked(command)
    args, settings = asked(command, flag, *values_of(action))
    if settings != usual:
        fields = COMMANDS[command].settings.model_fields
        changed = {name for name in fields if getattr(settings, name) != getattr(usual, name)}
        assert changed <= FOLLOWS.get(action.dest, {action.dest, "overrides"})
        return
    assert getattr(args, action.dest) != getattr(plain, action.dest)
    sources = [VERBS[command], tune] if command == "train" else [VERBS[command]]
    sources += [] if command == "predict" else [screen_run]
    assert any(f"args.{action.dest}" in inspect.getsource(source) for source in sources)


def test_every_setting_has_a_flag() -> None:
    for command, made in COMMANDS.items():
        dests = {action.dest for action in parser_for(command).flags().values()}
        alone = {name for name in made.settings.model_fields if name != "overrides"}
        alone = {name for name in alone if flag_in(made.settings, name).positional}
        assert made.settings.model_fields.keys() - dests <= {"overrides", *alone}


BELONGS = {
    "tune": {"methods", "seeds", "grid", "list", "equal", "tuned-from", "input"},
    "compare": {
        *("method", "num-samples", "sampler", "pruner", "scheduler", "time-budget"),
        *("warm-start", "extend", "output", "device"),
    },
    "train": {
        *("num-samples", "space", "sampler", "pruner", "scheduler", "time-budget", "extend"),
        *("warm-start", "max-concurrent-trials", "methods", "seeds", "grid", "tuned-from"),
    },
    "predict": {"dataset", "set", "seed", "dry-run", "json", "resume", "method", "limit"},
}


def refused(command: str, *words: str) -> str:
    with pytest.raises(UserError) as caught:
        parser_for(command).parse_args([*NEEDED[command], *words])
    return str(caught.value)


@pytest.mark.parametrize(
    ("command", "flag"), [(c, f"--{f}") for c, names in BELONGS.items() for f in sorted(names)]
)
def test_a_flag_of_another_command_does_not_exist(command: str, flag: str) -> None:
    said = refused(command, flag, "1")
    owners = [c for c in COMMANDS if c != command and flag in parser_for(c).flags()]
    assert owners
    everywhere = ", ".join(f"python -m r2d_ray.{owner}" for owner in owners)
    assert said == f"{flag} belongs to {everywhere} (see --help)"


def test_search_flags_of_a_comparison_and_a_run_are_bad_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--dataset", "triage", "--sample-rows", "60", "20", "20", "--dry-run"]
    for main, extra in [
        (compare.main, ["--methods", "r2d", "--seeds", "1", "--num-samples", "7"]),
        (train.main, ["--num-samples", "9"]),
    ]:
        with pytest.raises(SystemExit) as end:
            main([*small, *extra])
        assert end.value.code == EXIT_BAD_INPUT
        said = "error: --num-samples belongs to python -m r2d_ray.tune (see --help)\n"
        assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_flag_can_be_abbreviated(command: str) -> None:
    flags = parser_for(command).flags()
    for flag, action in flags.items():
        for end in range(3, len(flag)):
            if flag[:end] not in flags:
                value = values_of(action) if action.dest not in ENDS else []
                assert flag[:end] in refused(command, flag[:end], *value)


@pytest.mark.parametrize(
    ("command", "flag", "said"),
    [
        ("tune", "--num-sample", "unknown flag --num-sample (did you mean --num-samples?)"),
        ("tune", "--num", "unknown flag --num (did you mean --num-samples or --num-workers?)"),
        ("tune", "--datset=a", "unknown flag --datset (did you mean --dataset?)"),
        (
            "tune",
            "--lr",
            "unknown flag --lr (did you mean --set learning_rate=VALUE or "
            "--set stage1_learning_rate=VALUE (the peak of stage 2; of stage 1)?)",
        ),
        (
            "compare",
            "--learning-rate",
            "unknown flag --learning-rate (did you mean --set learning_rate=VALUE?)",
        ),
        (
            "train",
            "--batch-size",
            "unknown flag --batch-size (did you mean --set per_device_train_batch_size=VALUE "
            "(rows of one worker's pass)?)",
        ),
        ("train", "--revision", "unknown flag --revision (did you mean --model-revision?)"),
        ("compare", "--study", "unknown flag --study (now --tuned-from)"),
        ("tune", "--xyz", "unknown flag --xyz (see --help)"),
        ("predict", "--modle", "unknown flag --modle (did you mean --model?)"),
        ("predict", "-x", "unknown flag -x (see --help)"),
    ],
)
def test_an_unknown_flag_is_refused_with_what_may_be_meant(
    command: str, flag: str, said: str
) -> None:
    assert refused(command, flag, "1") == said


def test_other_words_name_fields_and_are_none() -> None:
    for word, fields in OTHER_WORDS.items():
        assert word not in TrainConfig.model_fields
        assert set(fields) <= TrainConfig.model_fields.keys(), word
        assert meant(word, TrainConfig.model_fields) == fields


def test_one_set_takes_several_fields_and_may_be_repeated() -> None:
    for words in (["max_steps=60", "eval_steps=20"], ["max_steps=60", "--set", "eval_steps=20"]):
        _, settings = asked("tune", "--set", *words, "--set", "max_steps=70")
        assert settings.overrides == {"max_steps": 70, "eval_steps": 20}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("lr", "'learning_rate' or 'stage1_learning_rate' (the peak of stage 2; of stage 1)"),
        ("batch_size", "'per_device_train_batch_size' (rows of one worker's pass)"),
        ("epochs", "'max_steps' or 'stage1_max_steps' (steps; or --epochs N)"),
        (
            "patience",
            "'early_stopping_patience' or 'stage1_early_stopping_patience' (in evaluations of "
            "stage 2; of stage 1)",
        ),
        ("alpha", "'label_loss_weight' (rationales have 1 - it)"),
        (
            "warmup_steps",
            "'warmup_ratio' or 'label_warmup_ratio' (shares of the steps, of the learning rate; of "
            "alpha)",
        ),
    ],
)
def test_a_hint_says_what_differs_in_a_set_and_in_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, said: str
) -> None:
    with pytest.raises(UserError, match="unknown field") as caught:
        asked("tune", "--set", f"{word}=1")
    assert f"did you mean {said}?" in str(caught.value)
    file = tmp_path / "study.yaml"
    file.write_text(f"dataset: bioasq\nset:\n  {word}: 1\n")
    with pytest.raises(SystemExit):
        parse("tune", ["--config", str(file)])
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file}:3: unknown field '{word}'; did you mean {said}?")


@pytest.mark.parametrize("text", ["1e3", "1000.0", "1000", "1.5e2"])
def test_a_whole_number_may_be_spelt_as_a_float_wherever_it_is_set(
    tmp_path: Path, text: str
) -> None:
    number = int(float(text))
    _, settings = asked("tune", "--set", f"max_steps={text}", "--num-samples", text)
    assert settings.overrides == {"max_steps": number}
    assert settings.num_samples == number
    file, space = tmp_path / "study.yaml", tmp_path / "space.yaml"
    file.write_text(f"dataset: bioasq\nnum_samples: {text}\nset: {{max_steps: {text}}}\n")
    settings = settings_from(parse("tune", ["--config", str(file)]), SearchSettings)
    assert settings.overrides == {"max_steps": number}
    assert settings.num_samples == number
    space.write_text(
        f"metric: macro_f1\nmode: max\nfixed: {{eval_steps: {text}}}\n"
        f"search:\n  max_steps: {{type: int, low: {text}, high: 1e4}}\n"
        f"  gate_window_steps: {{type: categorical, choices: [{text}, 7]}}\n"
    )
    loaded = load_search_space(str(space))
    assert loaded.fixed == {"eval_steps": number}
    assert loaded.search["max_steps"].bounds == (number, 10_000)
    assert loaded.search["gate_window_steps"].choices == (number, 7)


@pytest.mark.parametrize("place", ["set", "flag", "file", "fixed", "low", "choices"])
def test_a_broken_number_is_refused_in_one_line_where_a_whole_one_is_needed(
    tmp_path: Path, place: str
) -> None:
    file = tmp_path / "given.yaml"
    head = "metric: macro_f1\nmode: max\n"
    said = r"not a whole number \(allowed: one\)$"
    if place == "set":
        with pytest.raises(UserError, match=said):
            build_config(asked("tune", "--set", "max_steps=1.5")[1].overrides)
    elif place == "flag":
        with pytest.raises(UserError, match=said):
            asked("tune", "--num-samples", "1.5")
    elif place == "file":
        file.write_text("dataset: bioasq\nset: {max_steps: 1.5}\n")
        settings = settings_from(parse("tune", ["--config", str(file)]), SearchSettings)
        with pytest.raises(UserError, match=said):
            build_config(settings.overrides)
    else:
        domain = {
            "fixed": "fixed: {max_steps: 1.5}\nsearch:\n  eval_steps: {type: int, low: 1, high: 9}",
            "low": "search:\n  max_steps: {type: int, low: 1.5, high: 9}",
            "choices": "search:\n  max_steps: {type: categorical, choices: [1.5, 2]}",
        }[place]
        file.write_text(f"{head}{domain}\n")
        with pytest.raises(UserError, match=said):
            load_search_space(str(file))


@pytest.mark.parametrize("command", ["tune", "compare", "train"])
def test_list_fields_has_every_field_once_in_a_hundred_columns(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(command, ["--list-fields", "--profile", "finetune"])
    assert ended.value.code == EXIT_DONE
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    fields = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert fields == list(TrainConfig.model_fields)
    assert "  learning_rate = 0.0003                      number > 0, ≤ 1" in lines
    assert "      Peak learning rate of stage 2. Authors: 5e-5." in lines
    assert "  max_steps = from the data                   whole number ≥ 1, ≤ 10,000,000" in lines
    assert not [line for line in lines if "`" in line]


def test_the_list_follows_the_profile_that_flags_and_file_ask_for(tmp_path: Path) -> None:
    assert profile_of(None, {}) == profile_of(None, {"model": "scratch-tiny"}) == "embedded"
    assert profile_of(None, {"model": "google/t5-v1_1-base"}) == "finetune"
    assert profile_of("paper", {"model": "scratch-tiny"}) == "paper"


@pytest.mark.parametrize("word", ["batch_size", "epochs", "patience", "alpha", "max_length"])
def test_other_words_are_understood_in_sets_and_spaces_alike(word: str) -> None:
    fields = OTHER_WORDS[word]
    hint = f"did you mean {' or '.join(map(repr, fields))}{meaning(word, fields)}?"
    with pytest.raises(UserError) as caught:
        asked("tune", "--set", f"{word}=1")
    assert hint in str(caught.value)
    domain = {"type": "int", "low": 1, "high": 2}
    with pytest.raises(UserError) as caught:
        SearchSpace.model_validate(
            {"name": "s", "metric": "macro_f1", "mode": "max", "search": {word: domain}}
        )
    assert hint in str(caught.value)


def test_flags_of_fields_have_the_fields_help_and_type() -> None:
    flags = parser_for("tune").flags()
    for name in CONFIG_FLAGS:
        text = TrainConfig.model_fields[name].description
        assert text
        assert str(flags[f"--{name.replace('_', '-')}"].help)[:20] == text.replace("`", "")[:20]
    read = {name: flags[name].type for name in ("--num-workers", "--gpus-per-worker")}
    assert read["--num-workers"]("2") == 2
    assert read["--gpus-per-worker"]("0.5") == 0.5


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_flag_with_a_value_that_may_be_left_out_names_its_default(
    command: str,
) -> None:
    parser, settings = parser_for(command), COMMANDS[command].settings
    needed = {name for name, field in settings.model_fields.items() if field.is_required()}
    silent = [
        flag
        for flag, action in parser.flags().items()
        if action.help not in (None, argparse.SUPPRESS)
        and action.nargs != 0  # says yes or no
        and action.dest not in needed
        and "default" not in str(action.help)
    ]
    assert silent == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_shows_every_flag_with_its_words_within_the_width(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    parser = parser_for(command)
    text = parser.format_help()
    assert max(map(len, text.splitlines())) <= WIDTH
    for flag, action in parser.flags().items():
        former = "--seed" if command == "compare" else "--scheduler"
        assert bool(re.search(rf"{flag}[ ,\n]", text)) == (flag != former)
        assert action.help
    headings = [line for line in text.splitlines() if line[:1].isalpha() and line.endswith(":")]
    assert headings[-1] == "output:"
    if "--method" in parser.flags() or "--methods" in parser.flags():
        assert all(name in text for name in METHODS)
    if "--sampler" in parser.flags():
        assert "--sampler {tpe,random,gp,qmc,grid}" in text


@pytest.mark.parametrize(
    ("words", "pruner"),
    [
        ([], "halving"),
        (["--pruner", "none"], "none"),
        (["--scheduler", "none"], "none"),
        (["--scheduler", "asha"], "halving"),
        (["--pruner", "none", "--scheduler", "asha"], "halving"),
    ],
)
def test_scheduler_is_another_spelling_of_pruner(words: Sequence[str], pruner: str) -> None:
    _, settings = asked("tune", *words)
    assert isinstance(settings, SearchSettings)
    assert settings.pruner == pruner


def test_underscores_are_dashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--dataset", "bioasq", "--sample_rows", "60", "20", "20", "--dry_run"]
    assert tune.main([*small, "--num_samples=3"]) == EXIT_DONE
    assert "trials 3," in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "gpus", "profile", "samples"),
    [
        ({}, 0.0, "embedded", 4),
        ({}, 2.0, "finetune", 12),
        ({"overrides": {"model": "scratch-small"}}, 2.0, "embedded", 4),
        ({"overrides": {"model": "a/folder"}}, 0.0, "finetune", 12),
        ({"overrides": {"model": "google/t5-v1_1-base"}}, 2.0, "finetune", 12),
        ({"profile": "finetune"}, 0.0, "finetune", 12),
        ({"profile": "embedded", "overrides": {"model": "a/folder"}}, 2.0, "embedded", 4),
        ({"profile": "embedded"}, 2.0, "embedded", 4),
        ({"profile": "paper"}, 0.0, "paper", 24),
        ({"num_samples": 7}, 2.0, "finetune", 7),
        ({"smoke_test": True}, 2.0, "finetune", 2),
    ],
)
def test_the_profile_follows_model_and_gpus_and_the_trials_the_profile(
    given: dict[str, Any], gpus: float, profile: str, samples: int
) -> None:
    settings = build_settings({"dataset": "bioasq", **given}).for_gpus(gpus)
    assert (settings.profile, settings.num_samples) == (profile, samples)
    assert settings.limit == (64 if settings.smoke_test else None)


def test_a_single_run_is_a_search_of_one_trial() -> None:
    given = {"dataset": "triage", "method": "sft", "seed": 3, "name": "one", "data": "d"}
    run = build_settings({**given, "overrides": {"max_steps": 7}}, TrainSettings)
    same = build_settings({**given, "overrides": {"max_steps": 7}, "num_samples": 1})
    assert run.as_search() == same
    assert run.as_search().for_gpus(1.0).profile == "finetune"
