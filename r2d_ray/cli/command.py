"""Running a command: arguments in, exit codes out, signals heard.

Exit codes: 0 done, 1 no usable trial, 2 bad usage or input, 3 finished but some trials failed, 70 a
fault of ours, 75 stopped by the first SIGINT or SIGTERM and resumable, 130 / 143 by the second, 141
where nobody reads the output any more.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from r2d_ray.cli.arguments import COMMANDS, normalise, parser_for
from r2d_ray.cli.config_file.listed import field_lines, profile_of
from r2d_ray.cli.config_file.of_command import command_text, with_config
from r2d_ray.cli.overrides import field_overrides
from r2d_ray.cli.screen.words import SAVED, STDOUT
from r2d_ray.errors import (
    EXIT_BAD_INPUT,
    EXIT_DONE,
    EXIT_FAULT,
    EXIT_NO_USABLE_TRIAL,
    EXIT_READER_LEFT,
    EXIT_SOME_TRIALS_FAILED,
    EXIT_STOPPED_RESUMABLE,
    UserError,
    reader_left,
)

if TYPE_CHECKING:
    from r2d_ray.distributed.cluster import Capacity
    from r2d_ray.study.asked import Asked
    from r2d_ray.study.settings import StudySettings


A = TypeVar("A", bound="Asked")
ERROR_WIDTH = 1000  # characters of an error's line
PACKAGE = Path(__file__).resolve().parents[1]


def run_command(act: Callable[[], int], verbosity: str) -> int:
    """Return the exit code of a command; a UserError and a fault of ours are one line on stderr.

    What the machine refuses (a full disk, a lost cluster) keeps its traceback.
    """
    try:
        with StopSignals() as signals:
            code = act()
            sys.stdout.flush()
            return EXIT_STOPPED_RESUMABLE if signals.received else code
    except UserError as error:
        if verbosity == "debug":
            traceback.print_exc()
        print_error(error)
        return EXIT_BAD_INPUT
    except Stopped:
        print(SAVED, file=sys.stderr)
        return EXIT_STOPPED_RESUMABLE
    except BrokenPipeError:
        if not reader_left():
            raise
        return EXIT_READER_LEFT
    except Exception as error:
        if is_stop(error):
            print(SAVED, file=sys.stderr)
            return EXIT_STOPPED_RESUMABLE
        return faulty(error, debug=verbosity == "debug")


def is_stop(error: BaseException) -> bool:
    """Return whether an error is what code in C made of the first signal, kept as its cause."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, Stopped):
        cause = cause.__cause__
    return cause is not None


def faulty(error: Exception, *, debug: bool) -> int:
    """Print a fault of ours as one line; return its exit code. What the machine refuses goes on."""
    if is_environment(error):
        raise error
    if debug:
        traceback.print_exc()
    print_error(UserError(fault(error)))
    return EXIT_FAULT


def is_environment(error: Exception) -> bool:
    """Return whether an error comes from the machine or the cluster rather than from our code."""
    frames = traceback.extract_tb(error.__traceback__)
    raised_in_ray = bool(frames) and "/site-packages/ray/" in frames[-1].filename
    theirs = type(error).__module__.split(".")[0] in ("ray", "grpc", "torch", "huggingface_hub")
    return isinstance(error, OSError | MemoryError) or raised_in_ray or theirs


def fault(error: Exception) -> str:
    """Return a fault of ours in a line: what was raised, and where in our code."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    place = (ours or frames)[-1]
    said = " ".join(f"{type(error).__name__}: {error}".split())
    where = f"{place.filename}:{place.lineno}"
    return f"{said} (a fault of r2d_ray, at {where}; --verbosity debug shows the traceback)"


def print_error(error: UserError) -> None:
    """Print an error as the one line that the user sees."""
    from r2d_ray.storage import printable

    line = printable(str(error))
    if len(line) > ERROR_WIDTH:  # a value may be a whole document
        line = f"{line[: ERROR_WIDTH // 2]} ... {line[-ERROR_WIDTH // 2 :]}"
    print(f"error: {line}", file=sys.stderr)


def parse(command: str, argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments; what is only shown ends the process, bad usage with 2, a fault 70."""
    words = sys.argv[1:] if argv is None else argv
    try:
        parser, words = parser_for(command), normalise(words)
        args: argparse.Namespace = parser.parse_args(words)
        args = with_config(command, parser, words, args)
        args.typed = [*parser.prog.split(), *words]
        if getattr(args, "list_fields", False):
            profile = profile_of(args.profile, field_overrides(args))
            print("\n".join(field_lines(profile)), flush=True)
            raise SystemExit(EXIT_DONE)
        if not args.show_config:
            return args
        asked = settings_from(args, COMMANDS[command].settings)
        print(command_text(command, parser, args, asked), flush=True)
    except UserError as error:
        print_error(error)
        raise SystemExit(EXIT_BAD_INPUT) from None
    except (SystemExit, BrokenPipeError):  # --help and --version were printed
        if reader_left():
            raise SystemExit(EXIT_READER_LEFT) from None
        raise
    except Exception as error:
        raise SystemExit(faulty(error, debug="debug" in words)) from None
    raise SystemExit(EXIT_DONE)


def exit_code(result: dict[str, Any]) -> int:
    """Return the exit code of a study that was not stopped."""
    states = result["trials"]
    if not states.get("done"):
        return EXIT_NO_USABLE_TRIAL
    return EXIT_SOME_TRIALS_FAILED if states.get("failed") else EXIT_DONE


def find_cluster(settings: StudySettings, dry_run: bool) -> tuple[str | None, Capacity]:
    """Return the cluster's address (None: one of our own, not started yet) and its capacity.

    Raises:
        UserError: for an address where no cluster is, and GPUs that one of our own cannot get.
    """
    from r2d_ray.distributed import cluster

    return cluster.find_cluster(settings.address, settings.cluster_gpus, dry_run=dry_run)


def quiet_libraries() -> None:
    """Leave the terminal to our own lines; set before the libraries are first imported."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def settings_from(args: argparse.Namespace, kind: type[A]) -> A:
    """Return the settings of the arguments: each field from its flag, if that was given."""
    from r2d_ray.study.settings import build_settings

    values = {name: getattr(args, name, None) for name in kind.model_fields}
    given = {name: value for name, value in values.items() if value is not None}
    if "overrides" in kind.model_fields:
        given["overrides"] = field_overrides(args)
    try:
        return build_settings(given, kind)
    except UserError as error:
        place = getattr(args, "places", {}).get(str(error).partition(" ")[0])
        if place is None:
            raise
        raise UserError(f"{place}: {error}") from None


def check_output_flags(args: argparse.Namespace) -> None:
    """Raise UserError for `--show-row` without `--dry-run`, and for events that have no place.

    A run prints no text of rows.
    """
    from r2d_ray.cli.screen.event_out import check_events

    if args.show_row and not args.dry_run:
        raise UserError("--show-row: shows a row of a plan (allowed: with --dry-run)")
    if args.as_json and args.json_events == STDOUT:
        raise UserError("--json-events -: stdout is --json's (allowed: a file, or no --json)")
    if args.json_events is not None:
        given = [value for name, value in vars(args).items() if name != "json_events"]
        texts = [one for value in given for one in (value if isinstance(value, list) else [value])]
        check_events(args.json_events, [text for text in texts if isinstance(text, str)])


class Stopped(BaseException):
    """The first signal came while nothing of Tune's could take it."""


def show_cursor() -> None:
    """Show a terminal's cursor, which a live table hides, before the process ends at once."""
    for place in (1, 2):
        if os.isatty(place):
            os.write(place, b"\x1b[?25h\n")
            return


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
            show_cursor()
            os._exit(128 + number)
        self.received = number
        if callable(signal.getsignal(signal.SIGUSR1)):
            signal.raise_signal(signal.SIGUSR1)  # Tune's way to end a search in order
        else:
            raise Stopped
