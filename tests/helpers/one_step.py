"""Runs stage-2 steps in forked process groups and saves losses and weights: see test_equality.py.

python one_step.py PREPARED WEIGHTS OUT CASE...      CASE = zero_stage:workers:accumulation
                                                 and :rare where classes are weighted and drawn
"""

import json
import multiprocessing
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import tiny_config

from r2d_ray.data.prepare import open_prepared
from r2d_ray.training import stage as stage_module
from r2d_ray.training.arguments import prepare_process

GLOBAL_BATCH = 8
STEPS = 3
RARE = {"class_weights": "balanced", "balanced_sampling": 0.5}


def run(rank: int, case: str, prepared: Path, weights: Path, out: Path) -> None:
    stage, workers, accumulation = map(int, case.split(":")[:3])
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(workers),
        "LOCAL_WORLD_SIZE": str(workers),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",  # nothing listens: the ranks meet in a file
        "OMP_NUM_THREADS": "1",
    }
    import torch

    torch.set_num_threads(1)
    config = tiny_config(
        zero_stage=stage,
        num_workers=workers,
        gradient_accumulation_steps=accumulation,
        per_device_train_batch_size=GLOBAL_BATCH // workers // accumulation,
        dropout_rate=0.0,
        max_steps=STEPS,
        eval_steps=STEPS,
        logging_steps=1,
        sampling_decay="constant",
        gold_probability_floor=0.5,
        **(RARE if case.endswith("rare") else {}),
    )
    prepare_process(config)
    folder = out / case.replace(":", "_")
    meeting = f"file://{folder}.ranks"
    torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=workers)
    outcome = stage_module.run_stage(
        config,
        open_prepared(prepared),
        "stage2",
        output_dir=folder / f"rank{rank}",
        best_dir=folder / "best",
        weights=weights,
    )
    if rank == 0:
        (folder / "series.json").write_text(json.dumps(outcome.series))


def main() -> None:
    prepared, weights, out = map(Path, sys.argv[1:4])
    fork = multiprocessing.get_context("fork")
    for case in sys.argv[4:]:
        group = [
            fork.Process(target=run, args=(rank, case, prepared, weights, out))
            for rank in range(int(case.split(":")[1]))
        ]
        for process in group:
            process.start()
        for process in group:
            process.join()
        if any(process.exitcode for process in group):
            sys.exit(f"case {case} failed")


if __name__ == "__main__":
    main()
