"""Search, train and deliver a two-stage T5: `python -m r2d_ray.tune`.

python -m r2d_ray.tune --dataset bioasq
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from r2d_ray.cli.command import (
    check_output_flags,
    exit_code,
    find_cluster,
    own_stdout,
    parse,
    quiet_libraries,
    run_command,
    settings_from,
)
from r2d_ray.errors import EXIT_DONE, EXIT_STOPPED_RESUMABLE
from r2d_ray.study.settings import SearchSettings

AGAIN = "failed trials count as tried and are not rerun; --extend N adds new ones"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m r2d_ray.tune`; return its exit code."""
    args = parse("tune", argv)
    return run_command(lambda: tune_command(args), args.verbosity)


def tune_command(args: argparse.Namespace) -> int:
    """Plan, run and deliver a search."""
    quiet_libraries()
    check_output_flags(args)
    return search(settings_from(args, SearchSettings), args, AGAIN)


def search(asked: SearchSettings, args: argparse.Namespace, again: str) -> int:
    """Plan, run and deliver the search that was asked for; return the exit code.

    Args:
        asked: The settings; the profile, if none was named, follows from the cluster.
        args: What is shown: `dry_run`, `as_json`, `verbosity`.
        again: What the last lines say about trials that failed.
    """
    from r2d_ray.cli import console
    from r2d_ray.cli.plans import plan_lines
    from r2d_ray.data.card import card_lines
    from r2d_ray.data.inputs.shown import shown_row
    from r2d_ray.evaluation.costs import cost_lines
    from r2d_ray.search.plan import make_plan
    from r2d_ray.search.run import SearchRun, run_study

    address, capacity = find_cluster(asked, args.dry_run)
    plan = make_plan(asked, capacity)
    concurrency = plan.concurrency(capacity)
    SearchRun(plan).check()
    quiet = args.verbosity == "quiet"
    say = console.screen(args.as_json)
    if not quiet:
        said = [*plan.info.on_weights, *cost_lines(plan.info)]
        console.say_lines(say, [*card_lines(plan.info.data_card), *said])
        if plan.dropped_fields and plan.settings.num_samples > 1:
            fixed = ", ".join(plan.dropped_fields)
            console.say_lines(say, [f"not searched because method or flags fix them: {fixed}"])
    if args.dry_run:
        console.print_lines(plan_lines(plan, capacity, concurrency))
        if args.show_row:
            console.print_lines(shown_row(plan.splits, plan.config))
        return EXIT_DONE
    with console.Progress(say, plan.space.metric, quiet) as progress, own_stdout(args.as_json):
        result = run_study(plan, address, capacity, concurrency, progress.show)
    if result is None:
        return EXIT_STOPPED_RESUMABLE
    if args.as_json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        console.print_lines(
            ["", *table_lines(result), *plan.info.on_weights, *end_lines(result, again)]
        )
    return exit_code(result)


def table_lines(result: dict[str, Any]) -> list[str]:
    """Return the table of test scores, what is not applicable, and the sub-populations."""
    from r2d_ray.cli.console import result_lines
    from r2d_ray.cli.control_lines import absent_lines, with_verdict
    from r2d_ray.cli.tag_lines import search_tag_lines
    from r2d_ray.evaluation.calibration_words import not_calibrated_lines

    lines = result_lines(result["test"], result.get("spread"))
    lines += [*absent_lines(result), *not_calibrated_lines(result)]
    return [*with_verdict(result, lines), *search_tag_lines(result)]


def end_lines(result: dict[str, Any], again: str) -> list[str]:
    """Return the closing lines: trials by state and where the model lies."""
    states = ", ".join(f"{count} {state}" for state, count in sorted(result["trials"].items()))
    lines = [f"trials: {states}"]
    lines += [f"trial {number} failed: {reason}" for number, reason in result["failures"].items()]
    if result["failures"]:
        lines.append(again)
    if "best_trial" in result:
        lines.append(f"best model: {result['best_dir']}")
    else:
        lines.append("no trial finished: there is no best model")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
