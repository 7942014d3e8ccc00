"""One run of both stages, a search of one trial: `python -m r2d_ray.train`.

python -m r2d_ray.train --dataset bioasq --method sft
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from r2d_ray.cli.command import (
    check_output_flags,
    parse,
    quiet_libraries,
    run_command,
    settings_from,
)
from r2d_ray.study.settings import TrainSettings
from r2d_ray.tune import Closing, search

TRAIN = Closing(
    "a failed run is not rerun; another --name starts a new one",
    "another --name starts a new run",
    False,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m r2d_ray.train`; return its exit code."""
    args = parse("train", argv)
    return run_command(lambda: train_command(args), args.verbosity)


def train_command(args: argparse.Namespace) -> int:
    """Plan, run and deliver a study of one trial, the method's defaults."""
    quiet_libraries()
    check_output_flags(args)
    return search(settings_from(args, TrainSettings).as_search(), args, TRAIN)


if __name__ == "__main__":
    raise SystemExit(main())
