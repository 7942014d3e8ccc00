"""Checks of a command in this process: its plan, its flags, make's recipe, Ray's flags."""

from __future__ import annotations

import argparse
import os
import runpy
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import budget
import pytest
from shrink import ROOT

from r2d_ray.cli.flags import Parser


class ParsedError(BaseException):
    """Raised in place of what a command does once its flags are read."""


def in_process(words: Sequence[str], variables: Mapping[str, str], *, act: bool) -> int:
    """Run `python -m MODULE ...` here and return its exit code; if not `act` read its flags only.

    It is what `python -m` does, so that a module may keep its `main` where it likes.
    """
    _, _, module, *arguments = words

    def only(parse: Callable[..., Any]) -> Callable[..., Any]:
        def only_parse(*args: Any, **more: Any) -> None:
            parse(*args, **more)
            raise ParsedError

        return only_parse

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*found in sys.modules after import")
        for name, value in {"RAY_ADDRESS": "", **variables}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", [module, *arguments])
        if not act:
            for kind in (argparse.ArgumentParser, Parser):
                patch.setattr(kind, "parse_args", only(kind.parse_args))
        try:
            runpy.run_module(module, run_name="__main__")
        except ParsedError:
            return 0
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
    raise AssertionError(f"{module} ended without an exit code")


def plan(words: Sequence[str], variables: Mapping[str, str]) -> int:
    """Return the exit code of a dry run; of a command that reads a study the flags are read."""
    flags = {word.partition("=")[0] for word in words}
    if budget.READS_A_STUDY & flags:
        return in_process(words, variables, act=False)
    return in_process([*words, "--address", "local", "--dry-run"], variables, act=True)


def make_knows(words: Sequence[str]) -> None:
    """Raise ValueError unless make has a recipe for these words."""
    quiet = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    said = subprocess.run(
        ["make", "--dry-run", *words[1:]],
        cwd=ROOT,
        env=quiet,
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode:
        raise ValueError(said.stderr.strip())


def ray_reads(words: Sequence[str]) -> list[str]:
    """Return the command that `ray exec` or `ray submit` would run, after Ray has read its flags.

    Raises:
        ValueError: for what Ray does not know, or a cluster file that is not there.
    """
    import click
    from ray.scripts.scripts import cli

    name, *arguments = words[1:]
    command = cli.get_command(click.Context(cli), name)
    if command is None:
        raise ValueError(f"ray has no command {name}")
    try:
        read = command.make_context(name, arguments).params
    except click.UsageError as error:
        raise ValueError(f"ray {name}: {error.format_message()}") from None
    file = read.get("cluster_config_file")
    if file and not (ROOT / file).is_file():
        raise ValueError(f"ray {name}: no file {file}")
    return [read["cmd"]] if name == "exec" else []
