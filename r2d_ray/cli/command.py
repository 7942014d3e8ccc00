"""Running a command: arguments in, exit codes out, signals heard.

Exit codes: 0 done, 1 no usable trial, 2 bad usage or input, 3 finished but some trials failed, 75
stopped by the first SIGINT or SIGTERM and resumable, 130 / 143 by the second.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, TypeVar

from r2d_ray.cli.arguments import SMOKE_LIMIT, SMOKE_SAMPLES, field_overrides, normalise
from r2d_ray.errors import (
    EXIT_BAD_INPUT,
    EXIT_DONE,
    EXIT_NO_USABLE_TRIAL,
    EXIT_SOME_TRIALS_FAILED,
    EXIT_STOPPED_RESUMABLE,
    UserError,
)

if TYPE_CHECKING:
    from r2d_ray.distributed.cluster import Capacity
    from r2d_ray.study.settings import StudySettings


S = TypeVar("S", bound="StudySettings")
ERROR_WIDTH = 1000  # characters of an error's line


def run_command(act: Callable[[], int], verbosity: str) -> int:
    """Return the exit code of a command; a UserError is one line on stderr."""
    try:
        with StopSignals() as signals:
            code = act()
            return EXIT_STOPPED_RESUMABLE if signals.received else code
    except UserError as error:
        if verbosity == "debug":
            traceback.print_exc()
        print_error(error)
        return EXIT_BAD_INPUT
    except Stopped:
        print("stopped; the same command resumes", file=sys.stderr)
        return EXIT_STOPPED_RESUMABLE


def print_error(error: UserError) -> None:
    """Print an error as the one line that the user sees."""
    from r2d_ray.storage import printable

    line = printable(str(error))
    if len(line) > ERROR_WIDTH:  # a value may be a whole document
        line = f"{line[: ERROR_WIDTH // 2]} ... {line[-ERROR_WIDTH // 2 :]}"
    print(f"error: {line}", file=sys.stderr)


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed arguments; bad usage ends the process with code 2."""
    try:
        return parser.parse_args(normalise(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        print_error(error)
        raise SystemExit(EXIT_BAD_INPUT) from None


@contextmanager
def own_stdout(keep: bool) -> Iterator[None]:
    """Send what libraries print (Ray's warnings) to stderr, where stdout is kept for JSON."""
    if not keep:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def exit_code(result: dict[str, Any]) -> int:
    """Return the exit code of a study that was not stopped."""
    states = result["trials"]
    if not states.get("done"):
        return EXIT_NO_USABLE_TRIAL
    return EXIT_SOME_TRIALS_FAILED if states.get("failed") else EXIT_DONE


def find_cluster(args: argparse.Namespace) -> tuple[str | None, Capacity]:
    """Return the cluster's address (None: one of our own, not started yet) and its capacity."""
    from r2d_ray.distributed import cluster

    return cluster.find_cluster(args.address, args.cluster_gpus)


def quiet_libraries() -> None:
    """Leave the terminal to our own lines; set before the libraries are first imported."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def settings_from(args: argparse.Namespace, gpus: float, kind: type[S]) -> S:
    """Return the study settings of the arguments; the profile follows the GPUs unless named."""
    from r2d_ray.study.settings import DEFAULT_SAMPLES, build_settings, default_profile

    if not args.dataset:
        raise UserError("--dataset is missing (allowed: a named set, FILE or hub:NAME@REV)")
    profile = args.profile or default_profile(gpus)
    if args.smoke_test:
        args.num_samples = SMOKE_SAMPLES if args.num_samples is None else args.num_samples
        args.limit = SMOKE_LIMIT if args.limit is None else args.limit
    names = (
        *("dataset", "method", "space", "max_concurrent_trials", "scheduler", "sampler"),
        *("storage_path", "name", "resume", "extend", "warm_start", "data", "columns"),
        *("limit", "sample_rows", "rationale_rows", "seed", "num_samples"),
    )
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if hasattr(args, "methods"):
        grid = ("methods", "seeds", "study", "rationale_sources")
        given |= {name: tuple(getattr(args, name)) for name in grid}
        given |= {"equal_steps": not args.no_equal_steps, "grid": args.grid}
    return build_settings(
        {
            "num_samples": DEFAULT_SAMPLES[profile],
            **given,
            "profile": profile,
            "time_budget_s": args.time_budget,
            "smoke_test": args.smoke_test,
            "overrides": field_overrides(args),
        },
        kind,
    )


class Stopped(BaseException):
    """The first signal came while nothing of Tune's could take it."""


class StopSignals:
    """First SIGINT or SIGTERM: end the search in order. Second: leave at once (128 + signal)."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
        for name in (signal.SIGINT, signal.SIGTERM):
            self._former[name] = signal.signal(name, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for name, handler in self._former.items():
            signal.signal(name, handler)

    def _handle(self, number: int, _: types.FrameType | None) -> None:
        if self.received is not None:
            os._exit(128 + number)
        self.received = number
        if callable(signal.getsignal(signal.SIGUSR1)):
            signal.raise_signal(signal.SIGUSR1)  # Tune's way to end a search in order
        else:
            raise Stopped
