"""The commands: arguments in, exit codes out; with console.py the only place that prints.

Exit codes: 0 done, 1 no usable trial, 2 bad usage or input, 3 finished but some trials failed,
75 stopped by the first SIGINT or SIGTERM and resumable, 130 / 143 by the second.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from r2d_ray.arguments import (
    SMOKE_LIMIT,
    SMOKE_SAMPLES,
    compare_parser,
    field_overrides,
    normalise,
    predict_parser,
    study_parser,
)
from r2d_ray.errors import (
    EXIT_BAD_INPUT,
    EXIT_DONE,
    EXIT_NO_USABLE_TRIAL,
    EXIT_SOME_TRIALS_FAILED,
    EXIT_STOPPED_RESUMABLE,
    UserError,
)
from r2d_ray.signals import Stopped, StopSignals

if TYPE_CHECKING:
    from r2d_ray.cluster import Capacity
    from r2d_ray.settings import StudySettings

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
    from r2d_ray.data.files import printable

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


def tune_main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m r2d_ray.tune`; return its exit code."""
    args = parse(study_parser("tune", "Search, train and deliver a two-stage T5."), argv)
    return run_command(lambda: tune_command(args), args.verbosity)


def train_main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m r2d_ray.train`: a study of one trial, the method's defaults."""
    args = parse(study_parser("train", "Train one setting, both stages."), argv)
    args.num_samples = 1
    return run_command(lambda: tune_command(args), args.verbosity)


def tune_command(args: argparse.Namespace) -> int:
    """Plan, run and deliver a study."""
    quiet_libraries()
    from r2d_ray import console
    from r2d_ray.data.card import card_lines
    from r2d_ray.plan import make_plan
    from r2d_ray.runner import disk_estimate_gb, run_study
    from r2d_ray.settings import StudySettings

    address, capacity = find_cluster(args)
    plan = make_plan(settings_from(args, capacity.gpus, StudySettings))
    concurrency = plan.concurrency(capacity)
    quiet = args.verbosity == "quiet"
    say = console.screen(args.json)
    if not quiet:
        console.say_lines(say, card_lines(plan.info.data_card))
        if plan.dropped_fields:
            fixed = ", ".join(plan.dropped_fields)
            console.say_lines(say, [f"not searched, fixed by method or flags: {fixed}"])
    if args.dry_run:
        console.print_lines(
            console.plan_lines(plan, concurrency, disk_estimate_gb(plan, concurrency))
        )
        return EXIT_DONE
    with console.Progress(say, plan.space.metric, quiet) as progress, own_stdout(args.json):
        result = run_study(plan, address, capacity, concurrency, progress.show)
    if result is None:
        return EXIT_STOPPED_RESUMABLE
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        console.print_lines(["", *console.result_lines(result["test"]), *end_lines(result)])
    return exit_code(result)


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
    from r2d_ray import cluster
    from r2d_ray.train import check_environment

    check_environment()
    address = cluster.resolve_address(args.address)
    if address is None:
        return None, cluster.local_capacity()
    cluster.connect(address, cluster.Capacity(0, 0))
    return address, cluster.cluster_capacity(args.cluster_gpus)


def compare_main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m r2d_ray.compare`; return its exit code."""
    args = parse(compare_parser(), argv)
    return run_command(lambda: compare_command(args), args.verbosity)


def compare_command(args: argparse.Namespace) -> int:
    """Plan, run and print a comparison, or list the methods."""
    quiet_libraries()
    from r2d_ray import console
    from r2d_ray.methods import METHODS

    if args.list:
        console.print_lines(console.method_lines(METHODS))
        return EXIT_DONE
    if args.grid and not args.methods:
        args.methods = ["r2d"]
    if not args.methods:
        raise UserError(f"--methods is missing (allowed: {', '.join(METHODS)})")
    from r2d_ray.compare import run_comparison
    from r2d_ray.compare_plan import make_compare_plan
    from r2d_ray.data.card import card_lines
    from r2d_ray.settings import CompareSettings

    address, capacity = find_cluster(args)
    plan = make_compare_plan(settings_from(args, capacity.gpus, CompareSettings))
    concurrency = plan.concurrency(capacity)
    quiet = args.verbosity == "quiet"
    say = console.screen(args.json)
    if not quiet:
        console.say_lines(say, card_lines(plan.info.data_card))
    if args.dry_run:
        console.print_lines(console.arm_lines(plan.arms, concurrency))
        return EXIT_DONE
    metric = plan.info.space["metric"]
    with console.Progress(say, metric, quiet) as progress, own_stdout(args.json):
        result = run_comparison(plan, address, capacity, concurrency, progress.show)
    if result is None:
        return EXIT_STOPPED_RESUMABLE
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        console.print_lines(["", *console.comparison_lines(result)])
    return exit_code(result)


def quiet_libraries() -> None:
    """Leave the terminal to our own lines; set before the libraries are first imported."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def end_lines(result: dict[str, Any]) -> list[str]:
    """Return the closing lines: trials by state and where the model lies."""
    states = ", ".join(f"{count} {state}" for state, count in sorted(result["trials"].items()))
    lines = [f"trials: {states}"]
    lines += [f"trial {number} failed: {reason}" for number, reason in result["failures"].items()]
    if result["failures"]:
        lines.append("failed trials count as tried and are not run again; --extend N draws others")
    if "best_trial" in result:
        lines.append(f"best model: {result['best_dir']}")
    else:
        lines.append("no trial finished: there is no best model")
    return lines


def settings_from(args: argparse.Namespace, gpus: float, kind: type[S]) -> S:
    """Return the study settings of the arguments; the profile follows the GPUs unless named."""
    from r2d_ray.settings import DEFAULT_SAMPLES, build_settings

    if not args.dataset:
        raise UserError("--dataset is missing (allowed: a named set, FILE or hub:NAME@REV)")
    profile = args.profile or ("paper" if gpus > 0 else "embedded")
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


def predict_main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m r2d_ray.predict`; return its exit code."""
    args = parse(predict_parser(), argv)

    def act() -> int:
        from r2d_ray.predict import predict_file

        count = predict_file(
            Path(args.model),
            Path(args.input),
            Path(args.output),
            columns=args.columns,
            batch_size=args.batch_size,
            device=args.device,
        )
        if args.verbosity != "quiet":
            print(f"{count} predictions: {args.output}", file=sys.stderr)
        return EXIT_DONE

    return run_command(act, args.verbosity)
