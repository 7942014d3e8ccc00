"""Search, train and deliver a two-stage T5: `python -m r2d_ray.tune`.

python -m r2d_ray.tune --dataset bioasq
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r2d_ray.cli.arguments import study_parser
from r2d_ray.cli.command import (
    exit_code,
    find_cluster,
    own_stdout,
    parse,
    quiet_libraries,
    run_command,
    settings_from,
)
from r2d_ray.errors import EXIT_DONE, EXIT_STOPPED_RESUMABLE

if TYPE_CHECKING:
    pass


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m r2d_ray.tune`; return its exit code."""
    args = parse(study_parser("tune", "Search, train and deliver a two-stage T5."), argv)
    return run_command(lambda: tune_command(args), args.verbosity)


def tune_command(args: argparse.Namespace) -> int:
    """Plan, run and deliver a study."""
    quiet_libraries()
    from r2d_ray.cli import console
    from r2d_ray.data.card import card_lines
    from r2d_ray.search.plan import make_plan
    from r2d_ray.search.run import disk_estimate_gb, run_study
    from r2d_ray.study.settings import StudySettings

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


if __name__ == "__main__":
    raise SystemExit(main())
