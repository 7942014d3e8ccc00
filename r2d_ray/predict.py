"""Labels and rationales for new rows with an exported model: `python -m r2d_ray.predict`.

python -m r2d_ray.predict --model STUDY/best --input notes.csv --output predictions.csv
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from r2d_ray.cli.command import parse, quiet_libraries, run_command, settings_from
from r2d_ray.cli.outputs import PredictSettings
from r2d_ray.cli.row_progress import RowProgress
from r2d_ray.data.columns import parse_columns
from r2d_ray.errors import EXIT_DONE
from r2d_ray.prediction.request import PredictRequest
from r2d_ray.prediction.run import Outcome, predict_file
from r2d_ray.storage import counted

LONGER = "are longer than the model reads and were"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m r2d_ray.predict`; return its exit code."""
    args = parse("predict", argv)
    return run_command(lambda: predict_command(args), args.verbosity)


def predict_command(args: argparse.Namespace) -> int:
    """Write the rows of a table with their labels and rationales, and say what was written."""
    quiet_libraries()
    asked = settings_from(args, PredictSettings)
    request = PredictRequest(
        model=Path(asked.model),
        columns=parse_columns(asked.columns) if asked.columns else {},
        batch_size=asked.batch_size,
        device=asked.device,
        abstain_below=asked.abstain_below,
        probabilities=asked.probabilities,
        long_inputs=asked.long_inputs,
    )
    with RowProgress(quiet=args.verbosity == "quiet") as progress:
        outcome = predict_file(request, Path(asked.input), Path(asked.output), progress)
    for line in outcome_lines(outcome, asked):
        progress.say(line)
    return EXIT_DONE


def outcome_lines(outcome: Outcome, asked: PredictSettings) -> list[str]:
    """Return what was written, a line each."""
    lines = []
    if outcome.cut:
        longer = "is longer than the model reads and was" if outcome.cut == 1 else LONGER
        lines.append(f"{counted(outcome.cut, 'row')} {longer} cut")
    if outcome.by_costs:
        those = "is that" if outcome.by_costs == 1 else "are those"
        lines.append(
            f"{counted(outcome.by_costs, 'label')} {those} of least cost, not the most probable"
        )
    if asked.abstain_below is not None:
        has = "has" if outcome.abstained == 1 else "have"
        lines.append(
            f"{counted(outcome.abstained, 'row')} {has} no label: the most probable one is below "
            f"{asked.abstain_below:g}"
        )
    return [*lines, f"{counted(outcome.rows, 'prediction')}: {asked.output}"]


if __name__ == "__main__":
    raise SystemExit(main())
