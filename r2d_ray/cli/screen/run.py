"""Running a study with its progress shown, and printing what a person or a program wants of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from typing import Any

from r2d_ray.cli.console import print_lines, screen
from r2d_ray.cli.screen.progress import Progress
from r2d_ray.cli.screen.words import STDOUT
from r2d_ray.study.progress.events import Show

Result = dict[str, Any]


def for_program(args: argparse.Namespace) -> bool:
    """Return whether stdout is kept for JSON: all that a person reads then goes to stderr."""
    return bool(args.as_json or args.json_events == STDOUT)


def run_shown(
    run: Callable[[Show], Result | None], metric: str, args: argparse.Namespace, no_more: str = ""
) -> Result | None:
    """Return the result of a study whose progress is shown meanwhile, None if it was stopped.

    Args:
        run: Runs the study; takes what is told of events.
        metric: What decides between trials.
        args: `verbosity`, `as_json`, `json_events`.
        no_more: What a study is told in which nothing is left to do.
    """
    stdout_kept = for_program(args)
    quiet = args.verbosity == "quiet"
    showing = Progress(screen(stdout_kept), metric, quiet, args.json_events, no_more)
    # What libraries print (Ray's warnings) must not stand between lines of JSON.
    with showing as progress, redirect_stdout(sys.stderr) if stdout_kept else nullcontext():
        result = run(progress.show)
        progress.over(result)
    return result


def print_result(result: Result, lines: Sequence[str], args: argparse.Namespace) -> None:
    """Print a result: as JSON where that was asked for, else these lines."""
    if args.as_json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        print_lines(lines, to_stderr=for_program(args))
