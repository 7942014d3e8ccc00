"""One optimiser step is one step, whatever ZeRO stage, number of workers or accumulation.

One training row in seven has a rationale: parts of a step have none, and their ranks still join in.
In the cases named `rare` labels are weighted by their rows, and rows drawn by their labels.
"""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import tiny_config, toy_splits
from one_step import GLOBAL_BATCH, STEPS

from r2d_ray.config import TrainConfig
from r2d_ray.data.batches import StepBatches
from r2d_ray.data.prepare import Prepared, open_prepared, prepare
from r2d_ray.model.t5 import load_model, load_weights
from r2d_ray.model.teacher_forcing import IGNORED

REFERENCE = "0:1:1"
PLAIN = ["0:1:2", "0:2:1", "0:2:2", "1:2:1", "2:2:1", "3:2:1", "2:1:1"]
RARE = ["0:1:4:rare", "0:2:2:rare", "3:2:2:rare"]
CASES = [*PLAIN, f"{REFERENCE}:rare", *RARE]
RELATIVE = 1e-5


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    splits = toy_splits()
    train = tuple(
        replace(row, rationales={}) if i % 7 else row for i, row in enumerate(splits.train)
    )
    folder = tmp_path_factory.mktemp("prepared")
    return open_prepared(prepare(replace(splits, train=train), tiny_config(), folder))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> Path:
    out = tmp_path_factory.mktemp("equality")
    load_model(tiny_config(), prepared.tokenizer).save_pretrained(out / "weights")
    script = Path(__file__).parents[1] / "helpers" / "one_step.py"
    command = [sys.executable, script, prepared.folder, out / "weights", out, REFERENCE, *CASES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out


def result(runs: Path, case: str) -> tuple[dict[str, list[float]], dict[str, torch.Tensor]]:
    folder = runs / case.replace(":", "_")
    series = json.loads((folder / "series.json").read_text())
    return series, load_weights(str(folder / "best")).state_dict()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", [*PLAIN, *RARE])
def test_losses_and_weights_equal_those_of_one_plain_process(runs: Path, case: str) -> None:
    rare = ":rare" if case.endswith("rare") else ""
    want_series, want_weights = result(runs, REFERENCE + rare)
    series, weights = result(runs, case)
    for name in ("loss", "label_loss", "rationale_loss", "sampled_share", "changed_share"):
        want = [math.nan if value is None else value for value in want_series[name]]
        found = [math.nan if value is None else value for value in series[name]]
        assert found == pytest.approx(want, rel=RELATIVE, nan_ok=True), name
    assert weights.keys() == want_weights.keys()
    for name, weight in want_weights.items():
        # In the tensor's norm: Adam blows up the rounding of single gradients that are nearly 0.
        assert (weights[name] - weight).norm() <= RELATIVE * weight.norm(), name


def test_weighted_and_drawn_classes_are_another_training(runs: Path) -> None:
    (plain, _), (rare, _) = result(runs, REFERENCE), result(runs, f"{REFERENCE}:rare")
    for one, other in zip(plain["label_loss"], rare["label_loss"], strict=True):
        assert one != pytest.approx(other, rel=1e-3)


def test_the_reference_sampled_and_changed_prompts(runs: Path) -> None:
    series, _ = result(runs, REFERENCE)
    assert sum(series["sampled_share"]) > 0
    assert sum(series["changed_share"]) > 0


def test_parts_of_these_steps_are_without_a_rationale(prepared: Prepared) -> None:
    config = tiny_config(num_workers=2, per_device_train_batch_size=GLOBAL_BATCH // 2)
    parts = [
        [rationale_tokens(prepared, config, rank, step) for rank in range(2)]
        for step in range(STEPS)
    ]
    assert any(min(ranks) == 0 < max(ranks) for ranks in parts), parts


def rationale_tokens(prepared: Prepared, config: TrainConfig, rank: int, step: int) -> int:
    batches = StepBatches(
        prepared.tables["train"],
        config,
        label_lengths=[len(target) for target in prepared.label_tokens.targets],
        rationale_column="rationale_ids",
        only_with_rationale=False,
        max_steps=STEPS,
        rank=rank,
        seed=config.seed,
    )
    return int((batches[step]["rationale_ids"] != IGNORED).sum())
