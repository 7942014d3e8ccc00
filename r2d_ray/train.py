"""One run of both stages, a search of one trial: `python -m r2d_ray.train`."""

from __future__ import annotations

from collections.abc import Sequence

from r2d_ray.cli.arguments import study_parser
from r2d_ray.cli.command import parse, run_command
from r2d_ray.tune import tune_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m r2d_ray.train`: a study of one trial, the method's defaults."""
    args = parse(study_parser("train", "Train one setting, both stages."), argv)
    args.num_samples = 1
    return run_command(lambda: tune_command(args), args.verbosity)


if __name__ == "__main__":
    raise SystemExit(main())
