"""Methods x seeds at fixed settings, measured the same way: `python -m r2d_ray.compare`.

python -m r2d_ray.compare --dataset triage --methods sft dss r2d --seeds 1 2 3
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2d_ray.cli.command import (
    check_output_flags,
    exit_code,
    find_cluster,
    parse,
    quiet_libraries,
    run_command,
    settings_from,
)
from r2d_ray.errors import EXIT_DONE, EXIT_NO_USABLE_TRIAL, EXIT_STOPPED_RESUMABLE
from r2d_ray.study.settings import CompareSettings

if TYPE_CHECKING:
    from r2d_ray.comparison.plan import ComparePlan


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m r2d_ray.compare`; return its exit code."""
    args = parse("compare", argv)
    return run_command(lambda: compare_command(args), args.verbosity)


def compare_command(args: argparse.Namespace) -> int:
    """Run a comparison, or list the methods."""
    quiet_libraries()
    check_output_flags(args)
    from r2d_ray.cli import console
    from r2d_ray.cli.method_lines import method_lines
    from r2d_ray.method.variants import METHODS

    if args.list_methods:
        console.print_lines(method_lines(METHODS))
        return EXIT_DONE
    asked = settings_from(args, CompareSettings)
    if not asked.budgets:
        return compare_at(asked, args)
    return compare_gated(asked, args)


def compare_gated(asked: CompareSettings, args: argparse.Namespace) -> int:
    """Try budgets in turn until the gates are passed; a dry run plans the first."""
    from r2d_ray.cli import console
    from r2d_ray.cli.screen.run import for_program
    from r2d_ray.comparison.budgets import at_budget
    from r2d_ray.comparison.gates import GatesNotPassed
    from r2d_ray.distributed.cluster import leave

    for steps in asked.budgets:
        try:
            return compare_at(at_budget(asked, steps), args)
        except GatesNotPassed:  # the run has said which
            leave()  # the next budget joins anew
    console.say_lines(console.screen(for_program(args)), refusal(asked.budgets))
    return EXIT_NO_USABLE_TRIAL


def refusal(budgets: Sequence[int]) -> list[str]:
    """Return why no arm but the judged ones was trained, and what may help."""
    tried = ", ".join(map(str, budgets))
    return [
        f"not all gates were passed at {tried} steps: arms would differ in how far they got, not "
        "in what they learn, so no other arm was trained (allowed: --budgets with more steps, "
        "more rows, a larger or pretrained model)"
    ]


def compare_at(asked: CompareSettings, args: argparse.Namespace) -> int:
    """Plan, run and print a comparison.

    Raises:
        GatesNotPassed: where it has budgets and this one is not enough.
    """
    from r2d_ray.cli import console
    from r2d_ray.cli.fold_lines import fold_plan_lines
    from r2d_ray.cli.plans import arm_lines
    from r2d_ray.cli.screen.next_steps import next_lines
    from r2d_ray.cli.screen.run import for_program, print_result, run_shown
    from r2d_ray.comparison.plan import make_compare_plan
    from r2d_ray.comparison.run import ComparisonRun, run_comparison
    from r2d_ray.data.inputs.shown import shown_row

    address, capacity = find_cluster(asked, args.dry_run)
    plan = make_compare_plan(asked, capacity)
    concurrency = plan.concurrency(capacity)
    ComparisonRun(plan).check()
    quiet = args.verbosity == "quiet"
    say = console.screen(for_program(args))
    if not quiet:
        console.say_lines(say, said_first(plan, asked.trackers))
    if args.dry_run:
        console.print_lines([*fold_plan_lines(plan), *arm_lines(plan, capacity, concurrency)])
        if args.show_row:
            console.print_lines(shown_row(plan.splits, plan.arms[0].config))
        return EXIT_DONE
    run = partial(run_comparison, plan, address, capacity, concurrency)
    result = run_shown(run, plan.info.space["metric"], args)
    if result is None:
        return EXIT_STOPPED_RESUMABLE
    lines = ["", *gate_lines(result), *table_lines(result), *plan.info.on_weights]
    folder = Path(plan.settings.storage_path) / plan.name
    print_result(result, [*lines, *next_lines(folder, asked.dataset, quiet=quiet)], args)
    return exit_code(result)


def said_first(plan: ComparePlan, trackers: Sequence[str]) -> list[str]:
    """Return what is said before a comparison starts: data, weights, costs, trackers, steps."""
    from r2d_ray.cli.plans import added_step_lines
    from r2d_ray.data.card import card_lines
    from r2d_ray.evaluation.costs import cost_lines
    from r2d_ray.tracking.asked import tracker_lines

    said = [*plan.info.on_weights, *cost_lines(plan.info), *tracker_lines(trackers)]
    said += [*budget_lines(plan), *added_step_lines(plan)]
    return [*card_lines(plan.info.data_card), *said]


def budget_lines(plan: ComparePlan) -> list[str]:
    """Return which budgets are tried, and what is asked at each."""
    budgets, now = plan.settings.budgets, plan.info.config["max_steps"]
    if not budgets:
        return []
    more = [str(steps) for steps in budgets[budgets.index(now) + 1 :]]
    rest = f", else {', '.join(more)}" if more else ""
    return [f"{now} steps of stage 2 if its gates are passed{rest}; judged on validation first"]


def gate_lines(result: Mapping[str, Any]) -> list[str]:
    """Return the gates that a comparison passed."""
    return [f"gate passed: {gate['says']}" for gate in result.get("gates", ())]


def table_lines(result: Mapping[str, Any]) -> list[str]:
    """Return the table of test scores, what is not applicable, and the sub-populations."""
    from r2d_ray.cli.console import comparison_lines
    from r2d_ray.cli.control_lines import absent_lines, with_verdict
    from r2d_ray.cli.fold_lines import fold_lines
    from r2d_ray.cli.tag_lines import arm_tag_lines
    from r2d_ray.evaluation.calibration_words import arm_calibration_lines

    lines = [*comparison_lines(result), *fold_lines(result), *absent_lines(result)]
    lines += arm_calibration_lines(result)
    return [*with_verdict(result, lines), *arm_tag_lines(result)]


if __name__ == "__main__":
    raise SystemExit(main())
