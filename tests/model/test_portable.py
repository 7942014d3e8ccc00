"""A saved model as transformers 4.x reads it: the head, its scale, the tokenizer.

With `R2D_TRANSFORMERS4` naming a Python that has transformers 4.x, both libraries answer.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoTokenizer, PreTrainedModel, T5Config, T5ForConditionalGeneration

from r2d_ray.data.prepare import open_prepared
from r2d_ray.model.portable import save_model, save_tokenizer
from r2d_ray.model.t5 import load_weights

HEADS = ("tied and scaled", "tied, not scaled", "of its own")
SCRIPT = """
import json, sys, torch, transformers
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
transformers.logging.set_verbosity_error()
model = AutoModelForSeq2SeqLM.from_pretrained(sys.argv[1]).eval()
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
ids = torch.tensor([[5, 9, 14, 1]])
with torch.no_grad():
    logits = model(input_ids=ids, decoder_input_ids=torch.tensor([[0, 3, 4]])).logits
texts = tokenizer.batch_decode(model.generate(ids, max_new_tokens=12, do_sample=False))
words = tokenizer("predict: is the answer yes?")["input_ids"]
print(json.dumps([transformers.__version__, logits.flatten().tolist(), texts, words]))
"""


def model_with(head: str, vocabulary: int) -> PreTrainedModel:
    torch.manual_seed(3)
    architecture = T5Config(
        vocab_size=vocabulary,
        d_model=16,
        d_kv=4,
        d_ff=32,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        tie_word_embeddings=head == "tied and scaled",
    )
    model = T5ForConditionalGeneration(architecture)
    if head == "of its own":
        model.lm_head.weight = torch.nn.Parameter(torch.randn(vocabulary, 16))
    return model.eval()


@pytest.fixture(params=HEADS)
def saved(request: pytest.FixtureRequest, tmp_path: Path, prepared_dir: Path) -> tuple[str, Path]:
    tokenizer = open_prepared(prepared_dir).tokenizer
    save_model(model_with(request.param, len(tokenizer)), tmp_path)
    save_tokenizer(tokenizer, tmp_path)
    return request.param, tmp_path


def test_an_unscaled_head_is_said_and_stored_as_one_of_its_own(saved: tuple[str, Path]) -> None:
    head, folder = saved
    said = json.loads((folder / "config.json").read_text())["tie_word_embeddings"]
    with safe_open(folder / "model.safetensors", framework="pt") as weights:
        stored = "lm_head.weight" in weights.keys()  # noqa: SIM118 - no mapping
    assert (said, stored) == {"tied and scaled": (True, False)}.get(head, (False, True))


def test_it_is_read_back_as_the_same_model(saved: tuple[str, Path], prepared_dir: Path) -> None:
    head, folder = saved
    tokenizer = open_prepared(prepared_dir).tokenizer
    ids = {"input_ids": torch.tensor([[5, 9, 1]]), "labels": torch.tensor([[3, 4]])}
    with torch.no_grad():
        before = model_with(head, len(tokenizer))(**ids).logits
        assert torch.equal(load_weights(str(folder))(**ids).logits, before)
    read = AutoTokenizer.from_pretrained(folder)
    text = "given label: yes, explain: is it so?"
    assert read(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert (read.eos_token_id, read.pad_token_id, len(read)) == (
        tokenizer.eos_token_id,
        tokenizer.pad_token_id,
        len(tokenizer),
    )


def test_transformers_4_gives_the_same_logits_and_texts(saved: tuple[str, Path]) -> None:
    other = os.environ.get("R2D_TRANSFORMERS4")
    if not other:
        pytest.skip("R2D_TRANSFORMERS4 names no Python with transformers 4.x")
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answers = []
    for python in (sys.executable, other):
        command = [python, "-c", SCRIPT, str(saved[1])]
        done = subprocess.run(command, env=bare, capture_output=True, text=True, check=True)
        answers.append(json.loads(done.stdout.splitlines()[-1]))
    (_, ours, *rest), (version, theirs, *other_rest) = answers
    assert version.startswith("4.")
    assert theirs == pytest.approx(ours, abs=1e-4)
    assert other_rest == rest
