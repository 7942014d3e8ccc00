"""Search, train and deliver a two-stage T5: `python -m r2d_ray.tune`.

python -m r2d_ray.tune --dataset bioasq
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from r2d_ray.cli.command import (
    check_output_flags,
    exit_code,
    find_cluster,
    parse,
    quiet_libraries,
    run_command,
    settings_from,
)
from r2d_ray.errors import EXIT_DONE, EXIT_STOPPED_RESUMABLE
from r2d_ray.study.settings import SearchSettings


class Closing(NamedTuple):
    """What a command says at the end: of failed trials, of a finished study, whether it extends."""

    failed: str
    no_more: str
    extends: bool


TUNE = Closing(
    "failed trials count as tried and are not rerun; --extend N adds new ones",
    "--extend N adds trials",
    True,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m r2d_ray.tune`; return its exit code."""
    args = parse("tune", argv)
    return run_command(lambda: tune_command(args), args.verbosity)


def tune_command(args: argparse.Namespace) -> int:
    """Plan, run and deliver a search."""
    quiet_libraries()
    check_output_flags(args)
    return search(settings_from(args, SearchSettings), args, TUNE)


def search(asked: SearchSettings, args: argparse.Namespace, closing: Closing) -> int:
    """Plan, run and deliver the search that was asked for; return the exit code.

    Args:
        asked: The settings; the profile, if none was named, follows from the cluster.
        args: What is shown: `dry_run`, `as_json`, `json_events`, `verbosity`.
        closing: What is said at the end.
    """
    from r2d_ray.cli import console
    from r2d_ray.cli.plans import plan_lines
    from r2d_ray.cli.screen.run import for_program, print_result, run_shown
    from r2d_ray.data.card import card_lines
    from r2d_ray.data.inputs.shown import shown_row
    from r2d_ray.evaluation.costs import cost_lines
    from r2d_ray.search.plan import make_plan
    from r2d_ray.search.run import SearchRun, run_study
    from r2d_ray.tracking.asked import tracker_lines

    address, capacity = find_cluster(asked, args.dry_run)
    plan = make_plan(asked, capacity)
    concurrency = plan.concurrency(capacity)
    SearchRun(plan).check()
    quiet = args.verbosity == "quiet"
    say = console.screen(for_program(args))
    if not quiet:
        said = [*plan.info.on_weights, *cost_lines(plan.info), *tracker_lines(asked.trackers)]
        console.say_lines(say, [*card_lines(plan.info.data_card), *said])
        if plan.dropped_fields and plan.settings.num_samples > 1:
            fixed = ", ".join(plan.dropped_fields)
            console.say_lines(say, [f"not searched because method or flags fix them: {fixed}"])
    if args.dry_run:
        console.print_lines(plan_lines(plan, capacity, concurrency))
        if args.show_row:
            console.print_lines(shown_row(plan.splits, plan.config))
        return EXIT_DONE
    run = partial(run_study, plan, address, capacity, concurrency)
    result = run_shown(run, plan.space.metric, args, closing.no_more)
    if result is None:
        return EXIT_STOPPED_RESUMABLE
    lines = ["", *table_lines(result), *plan.info.on_weights, *end_lines(result, closing.failed)]
    more = args.typed if closing.extends else ()
    lines += [] if quiet else search_next_lines(result, asked.dataset, more)
    print_result(result, lines, args)
    return exit_code(result)


def table_lines(result: dict[str, Any]) -> list[str]:
    """Return the table of test scores, what is not applicable, and the sub-populations."""
    from r2d_ray.cli.console import result_lines
    from r2d_ray.cli.control_lines import absent_lines, with_verdict
    from r2d_ray.cli.tag_lines import search_tag_lines
    from r2d_ray.evaluation.calibration_words import exported_seed_lines, not_calibrated_lines

    lines = result_lines(result["test"], result.get("spread"))
    lines += [*exported_seed_lines(result), *absent_lines(result), *not_calibrated_lines(result)]
    return [*with_verdict(result, lines, in_percent=False), *search_tag_lines(result)]


def end_lines(result: dict[str, Any], again: str) -> list[str]:
    """Return the closing lines: trials by state and where the model lies."""
    states = ", ".join(f"{count} {state}" for state, count in sorted(result["trials"].items()))
    lines = [f"trials: {states}"]
    if "stopped" in result:
        lines.append(
            f"stopped: {result['stopped']}; with a larger --patience-trials, or without it, the "
            "same command goes on"
        )
    lines += [f"trial {number} failed: {reason}" for number, reason in result["failures"].items()]
    if result["failures"]:
        lines.append(again)
    if "best_trial" in result:
        lines.append(f"best model: {result['best_dir']}")
    else:
        lines.append("no trial finished: there is no best model")
    return lines


def search_next_lines(result: dict[str, Any], dataset: str, typed: Sequence[str]) -> list[str]:
    """Return what one may type next; nothing without a model."""
    from r2d_ray.cli.screen.next_steps import next_lines

    if "best_dir" not in result:
        return []
    if "stopped" in result:  # a search that stays flat is not extended
        typed = ()
    return next_lines(Path(result["best_dir"]).parent, dataset, typed, predicts=True)


if __name__ == "__main__":
    raise SystemExit(main())
