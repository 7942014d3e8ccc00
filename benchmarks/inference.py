"""Rows per second of label and rationale against the authors' inference: `-m benchmarks.inference`.

A small model is trained first on the embedded sample, so that texts end where they should. Both
sides get its weights; labels must be identical, and rationales where no two tokens tie.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks import measure
from benchmarks.setting import embedded_sample
from benchmarks.yardstick import Yardstick
from r2d_ray.config import PROFILES, TrainConfig, build_config
from r2d_ray.data.examples import Splits, pick_source
from r2d_ray.data.prepare import Prepared, open_prepared, prepare
from r2d_ray.evaluation.evaluator import Evaluator
from r2d_ray.evaluation.reading.readers import load_evaluator
from r2d_ray.model.t5 import load_weights
from r2d_ray.training.stage import run_stage

YARDSTICK_BATCH = 32  # their inference script's


def trained(splits: Splits, steps: int, folder: Path) -> tuple[TrainConfig, Prepared, Path]:
    """Return config, prepared data and weights of a model trained for so many steps."""
    values = {"stage1_max_steps": 0, "max_steps": steps, "eval_steps": steps}
    config = build_config({**PROFILES["embedded"], **values})
    prepared = open_prepared(prepare(splits, config, folder / "prepared"))
    best = folder / "best"
    run_stage(config, prepared, "stage2", output_dir=folder / "run", best_dir=best)
    return config, prepared, best


def ours(evaluator: Evaluator, prepared: Prepared) -> list[tuple[str, str]]:
    """Return our labels and rationales of the test rows."""
    rows = prepared.tables["test"]
    labels = [output.label for output in evaluator.labels(rows)]
    return list(zip(labels, evaluator.rationales(rows, labels), strict=True))


def compare(splits: Splits, steps: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Return ratio, rates and agreement."""
    config, prepared, weights = trained(splits, steps, folder)
    evaluator = load_evaluator(weights, prepared.folder, config)
    source = pick_source(splits, None)
    assert source is not None
    side = Yardstick(
        load_weights(str(weights)).eval(),
        prepared.tokenizer,
        config.max_input_length,
        config.max_rationale_length,
        source,
    )
    with torch.no_grad():
        theirs = side.infer(splits.test, YARDSTICK_BATCH)
        mine = ours(evaluator, prepared)
        ratio = measure.side_by_side(
            lambda: side.infer(splits.test, YARDSTICK_BATCH),
            lambda: ours(evaluator, prepared),
            rounds,
        )
    rows = len(splits.test)
    same_label = [a == b for (a, _), (b, _) in zip(theirs, mine, strict=True)]
    same_text = [a == b for (_, a), (_, b) in zip(theirs, mine, strict=True)]
    return {
        "rows": rows,
        "ratio": ratio.value,
        "spread": ratio.spread,
        "yardstick_rows_per_s": rows / min(ratio.yardstick_s),
        "ours_rows_per_s": rows / min(ratio.ours_s),
        "same_labels": sum(same_label) / rows,
        "same_rationales": sum(same_text) / rows,
    }


def main() -> None:
    """Print ratio and agreement."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=__doc__)
    parser.add_argument("--steps", type=int, default=300, help="training steps of the model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="1,500 test rows instead of 300")
    parser.add_argument("--threads", type=int, default=measure.THREADS, help="of both sides")
    parser.add_argument("--json", help="file for the numbers")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sizes = (1400, 300, 1500 if args.full else 300)
    splits = embedded_sample(sizes)
    with tempfile.TemporaryDirectory() as name:
        found = compare(splits, args.steps, args.rounds, Path(name))
    low, high = found["spread"]
    print(
        f"{found['rows']} rows: {found['ratio']:.2f}x ({low:.2f} to {high:.2f}), "
        f"{found['yardstick_rows_per_s']:.1f} -> {found['ours_rows_per_s']:.1f} rows/s; "
        f"same labels {found['same_labels']:.1%}, same rationales {found['same_rationales']:.1%}"
    )
    measure.write(args.json, {"machine": measure.machine(), **found})


if __name__ == "__main__":
    main()
