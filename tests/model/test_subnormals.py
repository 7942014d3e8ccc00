"""Whatever computes with a model takes subnormal floats as zero, in every thread that shares in it.

A product of 1e-20 by 1e-20 is 1e-40: subnormal, and no zero unless flushed.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_config, toy_rows
from transformers import BertConfig, BertModel, BertTokenizerFast

from r2d_ray.data.prepare import open_prepared
from r2d_ray.evaluation.bertscore import BertEncoder
from r2d_ray.evaluation.plausibility import with_bertscore
from r2d_ray.evaluation.reading.readers import read_arms
from r2d_ray.evaluation.scoring import EvaluationJob, evaluate_model
from r2d_ray.prediction.predictor import Predictor
from r2d_ray.records import Prediction
from r2d_ray.study.model_file import ModelFile
from r2d_ray.training.stage import run_stage

SIZE = 2**18  # elements: several times what torch gives to one thread
CONFIG = tiny_config(max_steps=2, eval_steps=2, stage1_max_steps=2, stage1_eval_steps=2)
Left = dict[str, float]


def share_left(value: torch.Tensor) -> float:
    return torch.count_nonzero(value).item() / value.numel()


def subnormals_left() -> Left:
    """Return which share of subnormal results is not 0, by where they were computed."""
    tiny = torch.full((SIZE,), 1e-20, requires_grad=True)
    product = tiny * torch.full((SIZE,), 1e-20)
    product.backward(torch.full((SIZE,), 1e-20))
    assert tiny.grad is not None
    matrix = torch.full((512, 512), 1e-22)  # sums of 512 products of 1e-44
    return {
        "forward": share_left(product.detach()),
        "backward": share_left(tiny.grad),
        "matrix product": share_left(matrix @ matrix),
    }


def small_product() -> float:
    """Compute a subnormal in this thread alone: too small to start any other."""
    return (torch.tensor([1e-20]) * 1e-20).item()


SCRIPT = """
import json, sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]  # this file and its conftest
import numpy, datasets, transformers, deepspeed, ray.train
from test_subnormals import CONFIG, small_product, subnormals_left, torch
from r2d_ray.data.prepare import Path, open_prepared
from r2d_ray.model.t5 import load_model

torch.set_num_threads(2)
found = {"unflushed": small_product()}
if sys.argv[3] == "late":
    subnormals_left()
load_model(CONFIG, open_prepared(Path(sys.argv[2])).tokenizer)
print(json.dumps(found | subnormals_left()))
"""


def in_new_process(prepared_dir: Path, when: str) -> dict[str, float]:
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(prepared_dir), when]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


ZERO = {"forward": 0.0, "backward": 0.0, "matrix product": 0.0}


@pytest.mark.timeout(180)
def test_whatever_was_imported_before_loading_a_model_flushes(prepared_dir: Path) -> None:
    found = in_new_process(prepared_dir, "early")
    assert found.pop("unflushed") > 0
    assert found == ZERO


@pytest.mark.timeout(180)
def test_a_thread_that_shared_in_work_before_loading_keeps_subnormals(prepared_dir: Path) -> None:
    """Why loading comes first; and that the probe sees a second thread which does not flush."""
    found = in_new_process(prepared_dir, "late")
    assert all(0 < found[where] < 1 for where in ZERO), found


@pytest.fixture
def places(prepared_dir: Path, trained_dir: Path, tmp_path: Path) -> dict[str, Path]:
    return {"prepared": prepared_dir, "weights": trained_dir, "out": tmp_path}


def train(stage: Any) -> Callable[[dict[str, Path]], object]:
    def run(places: dict[str, Path]) -> object:
        out = places["out"]
        prepared = open_prepared(places["prepared"])
        return run_stage(CONFIG, prepared, stage, output_dir=out / "run", best_dir=out / "best")

    return run


def evaluate(places: dict[str, Path]) -> object:
    wanted = EvaluationJob("best", places["weights"], "test", rationales=False)
    out = places["out"] / "found.jsonl"
    return evaluate_model(wanted, places["prepared"], CONFIG.model_dump(), out)


def read(places: dict[str, Path]) -> object:
    return read_arms(places["weights"], places["prepared"], CONFIG.model_dump(), "toy", [])


def predict(places: dict[str, Path]) -> object:
    model = ModelFile(labels=["yes", "no"], config=CONFIG)
    return Predictor(places["weights"], model, "cpu", 2).answers(toy_rows("new", 2))


def bertscore(places: dict[str, Path]) -> object:
    folder = places["out"] / "encoder"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "aspirin", "helps"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(words), num_hidden_layers=1, **sizes)
    BertModel(config).save_pretrained(folder)
    row = Prediction(id="a", group="a", rationale="aspirin helps", reference="aspirin")
    return with_bertscore([row], {}, BertEncoder("tiny", str(folder), 1))


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    "work", [train("stage1"), train("stage2"), evaluate, read, predict, bertscore],
    ids=["stage 1", "stage 2", "test rows", "reader", "predict", "BERTScore"],
)  # fmt: skip
def test_every_kind_of_work_with_a_model_flushes(
    work: Callable[[dict[str, Path]], object], places: dict[str, Path]
) -> None:
    def in_a_thread_of_its_own() -> tuple[float, Left]:
        torch.set_num_threads(2)
        torch.set_flush_denormal(False)  # inherited from the thread that starts this one
        unflushed = small_product()
        work(places)
        return unflushed, subnormals_left()

    with ThreadPoolExecutor(1) as thread:
        unflushed, left = thread.submit(in_a_thread_of_its_own).result()
    assert unflushed > 0
    assert left == ZERO
