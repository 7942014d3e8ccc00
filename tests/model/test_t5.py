"""The T5: stored logits that a library must not change, scratch models, what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import tiny_config
from transformers import T5Config, T5ForConditionalGeneration

from r2d_ray.config import SCRATCH_MODELS
from r2d_ray.data.prepare import Prepared, open_prepared
from r2d_ray.errors import UserError
from r2d_ray.model.scratch import SCRATCH_VOCABULARY, scratch_config, train_tokenizer
from r2d_ray.model.t5 import check_checkpoint, count_parameters, load_model, load_tokenizer

INPUT, MASK = [[5, 9, 14, 1], [7, 1, 0, 0]], [[1, 1, 1, 1], [1, 1, 0, 0]]
TARGET = [[11, 12, 1], [13, 1, -100]]
GOLDEN: dict[str, list[list[float]]] = {
    "relu": [
        [0.075281, -0.008564, -0.078758, -0.023413],
        [-0.152166, -0.140220, 0.095235, 0.178886],
        [-0.176754, -0.007524, 0.173697, 0.078048],
        [3.215451],
    ],
    "gated-gelu": [
        [0.203062, -0.250836, -0.304905, 0.127041],
        [-0.943397, -0.812967, 0.613323, 1.061983],
        [-0.670728, 0.498558, 0.873163, -0.144050],
        [3.748511],
    ],
}


@pytest.fixture(scope="module")
def prepared(prepared_dir: Path) -> Prepared:
    return open_prepared(prepared_dir)


@torch.no_grad()
def formula_model(activation: str, tied: bool, attention: str) -> T5ForConditionalGeneration:
    """Return a small T5 whose every weight is a sine of its place."""
    architecture = T5Config(
        vocab_size=24,
        d_model=16,
        d_kv=4,
        d_ff=32,
        num_layers=2,
        num_heads=4,
        feed_forward_proj=activation,
        tie_word_embeddings=tied,
        decoder_start_token_id=0,
    )
    model = T5ForConditionalGeneration._from_config(architecture, attn_implementation=attention)
    for place, (name, parameter) in enumerate(sorted(model.named_parameters())):
        wave = torch.sin(torch.arange(parameter.numel()) * 0.7 + place).reshape(parameter.shape)
        parameter.copy_(1 + 0.1 * wave if "layer_norm" in name else 0.3 * wave)
    return model.eval()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("activation", GOLDEN)
def test_logits_are_those_that_were_stored(activation: str, attention: str) -> None:
    model = formula_model(activation, activation == "relu", attention)
    with torch.no_grad():
        out = model(
            input_ids=torch.tensor(INPUT),
            attention_mask=torch.tensor(MASK),
            labels=torch.tensor(TARGET),
        )
    found = [out.logits[0, 0, :4].tolist(), out.logits[0, 2, :4].tolist()]
    found += [out.logits[1, 1, -4:].tolist(), [out.loss.item()]]
    assert [pytest.approx(row, abs=1e-4) for row in GOLDEN[activation]] == found


class FullVocabulary:
    """Stands for a tokenizer that uses all ids a scratch model may have."""

    pad_token_id, eos_token_id = 0, 1

    def __len__(self) -> int:
        return SCRATCH_VOCABULARY


@pytest.mark.parametrize("name", SCRATCH_MODELS)
def test_the_number_of_parameters_is_that_of_the_model(name: str) -> None:
    with torch.device("meta"):
        model = T5ForConditionalGeneration(scratch_config(name, FullVocabulary()))  # type: ignore[arg-type]
    assert count_parameters(tiny_config(model=name)) == sum(p.numel() for p in model.parameters())


def test_a_scratch_tiny_is_small_and_a_scratch_small_has_the_layers_of_t5_small() -> None:
    assert count_parameters(tiny_config()) < 3_000_000
    embedding = SCRATCH_VOCABULARY * 512
    # T5-small has 60,506,624 parameters, 32,128 x 512 of them its embedding.
    assert count_parameters(tiny_config(model="scratch-small")) == (
        60_506_624 - 32_128 * 512 + embedding
    )


def test_weights_depend_on_the_seed_alone(prepared: Prepared) -> None:
    def first(seed: int) -> torch.Tensor:
        torch.rand(seed + 1)
        model = load_model(tiny_config(seed=seed), prepared.tokenizer)
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))


def test_settings_reach_the_model(prepared: Prepared, tmp_path: Path) -> None:
    config = tiny_config(dropout_rate=0.3, attn_implementation="sdpa")
    made = load_model(config, prepared.tokenizer)
    made.save_pretrained(tmp_path)
    loaded = load_model(
        tiny_config(dropout_rate=0.2, attn_implementation="eager"), prepared.tokenizer, tmp_path
    )
    rates = [
        {layer.p for layer in model.modules() if isinstance(layer, torch.nn.Dropout)}
        for model in (made, loaded)
    ]
    assert rates == [{0.3}, {0.2}]
    assert made.config._attn_implementation == "sdpa"
    assert loaded.config._attn_implementation == "eager"
    for name, parameter in made.named_parameters():
        assert torch.equal(parameter, loaded.get_parameter(name))


def test_half_precision_weights_are_loaded_in_fp32(prepared: Prepared, tmp_path: Path) -> None:
    load_model(tiny_config(), prepared.tokenizer).to(torch.bfloat16).save_pretrained(tmp_path)
    loaded = load_model(tiny_config(), prepared.tokenizer, tmp_path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_a_model_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    config = tiny_config(model=str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"--model .*none: .*scratch-tiny, scratch-small") as caught:
        load_tokenizer(config, iter(()))
    assert "\n" not in str(caught.value)


def test_a_model_of_another_family_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UserError, match=r"has type 'bert' \(allowed: t5, mt5, umt5\)"):
        check_checkpoint(tiny_config(model=str(tmp_path)))


def test_the_scratch_vocabulary_has_a_limit_and_its_special_ids_come_first() -> None:
    def texts() -> Iterator[str]:
        letters = "abcdefghijklmnopqrstuvwxyz"
        for i in range(4000):
            yield f"{letters[i % 26]}{letters[i // 26 % 26]}{letters[i // 676]}word{i} of the text"

    tokenizer = train_tokenizer(texts())
    assert 1000 < len(tokenizer) <= SCRATCH_VOCABULARY
    assert tokenizer.convert_ids_to_tokens([0, 1, 2]) == ["<pad>", "</s>", "<unk>"]
    assert tokenizer("of the text")["input_ids"][-1] == tokenizer.eos_token_id
