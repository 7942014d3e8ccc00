"""Labels and rationales for new rows with an exported model: `python -m r2d_ray.predict`.

python -m r2d_ray.predict --model STUDY/best --input notes.jsonl --output predictions.jsonl
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from r2d_ray.cli.arguments import parser_for
from r2d_ray.cli.command import parse, run_command, settings_from
from r2d_ray.cli.outputs import PredictSettings
from r2d_ray.config import TrainConfig
from r2d_ray.data.columns import parse_columns, table_rows
from r2d_ray.data.examples import Example
from r2d_ray.data.tables import read_parts
from r2d_ray.errors import EXIT_DONE, UserError
from r2d_ray.records import Prediction, write_jsonl
from r2d_ray.study.model_file import read_model_file


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m r2d_ray.predict`; return its exit code."""
    args = parse(parser_for("predict"), argv)
    return run_command(lambda: predict_command(args), args.verbosity)


def predict_command(args: argparse.Namespace) -> int:
    """Write the predictions of a table and say how many."""
    asked = settings_from(args, PredictSettings)
    count = predict_file(
        Path(asked.model),
        Path(asked.input),
        Path(asked.output),
        columns=asked.columns,
        batch_size=asked.batch_size,
        device=asked.device,
    )
    if args.verbosity != "quiet":
        print(f"{count} predictions: {asked.output}", file=sys.stderr)
    return EXIT_DONE


def predict_file(
    model_dir: Path,
    source: Path,
    target: Path,
    *,
    columns: str | None,
    batch_size: int,
    device: str,
) -> int:
    """Write one prediction per input row and return their number; the file appears when whole.

    Raises:
        UserError: for a folder that is no exported model, or input that cannot be read.
    """
    if batch_size < 1:
        raise UserError(f"--batch-size {batch_size} (allowed: at least 1)")
    check_output(target)
    described = read_model_file(model_dir)
    labels, config = described.labels, described.config
    rows = read_rows(source, columns)
    config = config.model_copy(update={"per_device_eval_batch_size": batch_size})
    write_jsonl(target, predict_rows(model_dir, labels, config, rows, pick_device(device)))
    return len(rows)


def check_output(target: Path) -> None:
    """Raise UserError unless a file can be written there; found out before any work."""
    said = "it is a folder" if os.path.isdir(target) else None
    if not said and not os.path.isdir(target.parent):
        said = "its folder does not exist"
    try:
        if not said:
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}."):
                return
    except OSError as error:
        said = str(error.strerror)
    raise UserError(f"--output {target}: {said} (allowed: a file to write)")


def read_rows(source: Path, columns: str | None) -> Sequence[Example]:
    """Return the rows of a table; labels and rationales are not needed."""
    named = parse_columns(columns) if columns else {}
    return table_rows(read_parts(source), named, labelled=False).rows


def pick_device(wanted: str) -> str:
    """Return the torch device to use.

    Raises:
        UserError: if CUDA was asked for and there is none.
    """
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no CUDA device (allowed: cpu, auto)")
    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


def predict_rows(
    model_dir: Path,
    labels: Sequence[str],
    config: TrainConfig,
    rows: Sequence[Example],
    device_name: str,
) -> list[Prediction]:
    """Return label, probabilities and rationale of every row, in order."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoTokenizer
    from transformers.utils import logging as transformers_logging

    from r2d_ray.data.encode import set_tokens, text_table
    from r2d_ray.evaluation.calibration import calibrated_outputs
    from r2d_ray.evaluation.evaluator import Evaluator
    from r2d_ray.evaluation.predictions import predictions
    from r2d_ray.method.labels import prompt_table
    from r2d_ray.model.t5 import load_weights

    transformers_logging.disable_progress_bar()
    device = torch.device(device_name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(model_dir, trust_remote_code=False)
        model = load_weights(str(model_dir))
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            f"--model {model_dir}: tokenizer or safetensors weights cannot be read "
            f"({type(error).__name__}) (allowed: the best/ folder of a study)"
        ) from None
    torch.nn.Module.to(model, device)
    tokens = set_tokens(tokenizer, labels, rows, config)
    if not tokens.kind.closed and config.label_choice != "generate":
        raise UserError(
            f"--model {model_dir} chooses among a row's options, and no row has any "
            "(allowed: a column choices, or --columns choices=COLUMN)"
        )
    table = prompt_table(tokenizer, tokens, device)
    evaluator = Evaluator(model, tokenizer, table, config)
    tokenised = text_table(rows, tokenizer, labels, config)
    fitted = read_model_file(model_dir).calibration
    chosen = calibrated_outputs(evaluator.labels(tokenised), fitted, labels)
    shown = [output.label for output in chosen]
    rationales = evaluator.rationales(tokenised, shown) if config.trains_rationales else None
    return predictions(tokenised, chosen, labels, rationales)


if __name__ == "__main__":
    raise SystemExit(main())
