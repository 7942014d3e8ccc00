"""Our kernels are the library's in value and gradient; their dropout is one of the stated rate."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import (
    AutoModelForSeq2SeqLM,
    MT5Config,
    MT5ForConditionalGeneration,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5ForConditionalGeneration,
)
from transformers.models.t5.modeling_t5 import T5LayerNorm

from r2d_ray.model import cpu_attention as attention
from r2d_ray.model import cpu_layers as kernels
from r2d_ray.model.cpu_layers import (
    BitDropout,
    OneDnnLinear,
    ReluDropout,
    RmsNorm,
    keep_mask,
    kept_scale,
    use_kernels,
)

SIZES = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 120}
FAMILY = {
    "t5": (T5Config, T5ForConditionalGeneration),
    "mt5": (MT5Config, MT5ForConditionalGeneration),
    "umt5": (UMT5Config, UMT5ForConditionalGeneration),
}


@pytest.fixture(params=[(2**20, 200 * 200), (500, 0)], ids=["one block", "many blocks"])
def block_scores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    scores, long = request.param
    monkeypatch.setattr(attention, "BLOCK_SCORES", scores)
    monkeypatch.setattr(attention, "LONG", long)
    return int(scores)


def twins(family: str = "t5", dropout_rate: float = 0.0) -> tuple[PreTrainedModel, PreTrainedModel]:
    """Return the library's model and ours with the same weights."""
    config_class, model_class = FAMILY[family]
    torch.manual_seed(3)
    config = config_class(**SIZES, dropout_rate=dropout_rate, decoder_start_token_id=0)
    plain = model_class._from_config(config, attn_implementation="eager")
    ours = model_class._from_config(config, attn_implementation="blockwise")
    ours.load_state_dict(plain.state_dict())
    return plain, use_kernels(ours)


def padded_batch() -> dict[str, Tensor]:
    torch.manual_seed(4)
    ids, labels = torch.randint(3, 120, (5, 30)), torch.randint(3, 120, (5, 7))
    mask = torch.ones_like(ids)
    mask[1, 10:] = 0
    mask[4, 3:] = 0
    labels[2, 4:] = -100
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def loss_and_gradients(model: PreTrainedModel, batch: Any) -> tuple[float, dict[str, Tensor]]:
    model.train()
    loss = model(**batch).loss
    loss.backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return loss.item(), gradients


@pytest.mark.parametrize("family", FAMILY)
def test_loss_and_all_gradients_are_the_library_s(family: str, block_scores: int) -> None:
    plain, ours = twins(family)
    loss, gradients = loss_and_gradients(plain, padded_batch())
    our_loss, our_gradients = loss_and_gradients(ours, padded_batch())
    assert our_loss == pytest.approx(loss, rel=1e-6)
    assert our_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert_close(our_gradients[name], gradient, rtol=1e-4, atol=1e-6)


def test_one_mask_serves_all_rows(block_scores: int) -> None:
    plain, ours = twins()
    batch = padded_batch()
    batch["decoder_input_ids"] = batch.pop("labels").clamp(min=3)
    batch["decoder_attention_mask"] = torch.full((7, 7), -1e9).triu(1)[None, None]
    wanted, got = (model.eval()(**batch, use_cache=False).logits for model in (plain, ours))
    assert_close(got, wanted)


def test_under_bf16_autocast_they_differ_by_rounding_only() -> None:
    plain, ours = twins()
    with torch.autocast("cpu", torch.bfloat16):
        loss, gradients = loss_and_gradients(plain, padded_batch())
        our_loss, our_gradients = loss_and_gradients(ours, padded_batch())
    assert our_loss == pytest.approx(loss, rel=5e-3)
    for name, gradient in gradients.items():
        difference = torch.linalg.vector_norm(our_gradients[name] - gradient)
        # On these weights bf16 moves the library's own gradients up to 0.07 away from fp32's.
        assert difference <= 0.1 * torch.linalg.vector_norm(gradient) + 1e-4, name


def test_greedy_texts_are_the_library_s() -> None:
    plain, ours = twins()
    batch = {name: value for name, value in padded_batch().items() if name != "labels"}
    wanted, got = (
        model.eval().generate(**batch, max_new_tokens=12, do_sample=False)  # type: ignore[operator]
        for model in (plain, ours)
    )
    assert torch.equal(wanted, got)


def test_checkpointed_activations_change_no_gradient() -> None:
    _, ours = twins(dropout_rate=0.3)
    found = []
    for checkpointing in (False, True):
        if checkpointing:
            ours.activation_checkpointing_enable()
        ours.zero_grad()
        torch.manual_seed(9)
        found.append(loss_and_gradients(ours, padded_batch()))
    (loss, gradients), (again, gradients_again) = found
    assert again == loss
    for name, gradient in gradients.items():
        assert_close(gradients_again[name], gradient, rtol=1e-5, atol=1e-7)


def test_a_saved_model_opens_in_the_plain_library(tmp_path: Path) -> None:
    plain, ours = twins()
    ours.save_pretrained(tmp_path)
    opened = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, attn_implementation="eager")
    for name, value in plain.state_dict().items():
        assert torch.equal(opened.state_dict()[name], value), name


def test_layer_norm_and_its_gradients_are_the_library_s() -> None:
    torch.manual_seed(0)
    plain = T5LayerNorm(6)
    plain.weight.data.uniform_(0.5, 2.0)
    values, upstream = torch.randn(4, 5, 6, requires_grad=True), torch.randn(4, 5, 6)
    out = plain(values)
    wanted = torch.autograd.grad(out, (values, plain.weight), upstream)
    ours = RmsNorm(plain.weight, plain.variance_epsilon)(values)
    assert_close(ours, out)
    assert_close(torch.autograd.grad(ours, (values, plain.weight), upstream), wanted)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_stated_share_and_the_mean(rate: float) -> None:
    torch.manual_seed(1)
    out = BitDropout(rate).train()(torch.ones(1_000_001))
    kept = (out != 0).float().mean().item()
    five_deviations = 5 * (rate * (1 - rate) / 1e6) ** 0.5
    assert kept == pytest.approx(1 - rate, abs=five_deviations + 2**-17)
    assert out.max().item() == pytest.approx(1 / (1 - rate), rel=1e-4)
    assert out.mean().item() == pytest.approx(1.0, abs=five_deviations / (1 - rate) + 1e-4)


def test_neighbours_in_one_draw_are_independent() -> None:
    torch.manual_seed(2)
    keep = keep_mask(torch.empty(250_000, 4), 0.5).float() - 0.5
    correlation = 4 * keep.T @ keep / len(keep)
    assert_close(correlation, torch.eye(4), rtol=0.0, atol=0.01)


def test_dropout_s_gradient_goes_where_values_went() -> None:
    values = torch.randn(50, 7, requires_grad=True)
    out = BitDropout(0.4).train()(values)
    out.sum().backward()
    assert values.grad is not None
    assert_close(values.grad * values.detach(), out.detach())


def test_attention_drops_weights_and_sends_gradients_through_the_kept_ones(
    block_scores: int,
) -> None:
    torch.manual_seed(7)
    length, rate = 12, 0.3
    query, key, value = (torch.randn(3, 2, length, length).requires_grad_() for _ in range(3))
    bias = torch.randn(1, 2, length, length, requires_grad=True)
    upstream = torch.randn(3, length, 2, length)
    module = torch.nn.Module().train()

    def attend(values: Tensor) -> Tensor:
        torch.manual_seed(8)
        return attention.blockwise_attention(
            module, query, key, values, None, position_bias=bias, dropout=rate
        )[0]

    shown = attend(torch.eye(length).expand(3, 2, -1, -1)).transpose(1, 2)  # the weights themselves
    keep = (shown != 0).float() * kept_scale(rate)
    assert 0.1 < (shown == 0).float().mean() < 0.5
    wanted = (torch.softmax(query @ key.mT + bias, dim=-1) * keep @ value).transpose(1, 2)
    got = attend(value)
    assert_close(got, wanted)
    inputs = (query, key, value, bias)
    gradients = torch.autograd.grad(wanted, inputs, upstream)
    assert_close(torch.autograd.grad(got, inputs, upstream), gradients)


@pytest.mark.parametrize("at_once", [2**18, 5])
def test_relu_and_its_dropout_are_one_layer(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "IN_CACHE", at_once)
    torch.manual_seed(9)
    values, upstream = torch.randn(40, 30, requires_grad=True), torch.randn(40, 30)
    layer = ReluDropout(0.25)
    assert torch.equal(layer.eval()(values), torch.relu(values))
    out = layer.train()(values)
    kept = (out != 0).float()
    share = kept.sum() / (values > 0).sum()
    assert share.item() == pytest.approx(0.75, abs=0.1)
    assert_close(out, values.relu() * kept * kept_scale(0.25))
    (gradient,) = torch.autograd.grad(out, values, upstream)
    assert_close(gradient, upstream * kept * kept_scale(0.25))


def test_relu_layers_are_found_and_gated_ones_left_alone() -> None:
    _, relu = twins("t5")
    _, gated = twins("umt5")
    found = [sum(isinstance(m, ReluDropout) for m in model.modules()) for model in (relu, gated)]
    assert found == [4, 0]  # one a layer of encoder and decoder


def test_masks_depend_on_the_seed_alone_and_not_on_threads() -> None:
    masks = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(5)
        masks.append(keep_mask(torch.empty(300, 1000), 0.1))
    torch.set_num_threads(before)
    assert torch.equal(*masks)


def test_without_training_nothing_is_dropped() -> None:
    _, ours = twins(dropout_rate=0.9)
    assert sum(isinstance(module, BitDropout) for module in ours.modules()) > 0
    losses = {ours.eval()(**padded_batch()).loss.item() for _ in range(2)}
    assert len(losses) == 1


@pytest.mark.parametrize("many", [256, 1], ids=["few rows", "many rows"])
@pytest.mark.parametrize("sizes", [(8, 20), (20, 8)], ids=["narrow", "wide"])
def test_a_linear_layer_and_its_gradients_are_the_library_s(
    sizes: tuple[int, int], many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "MANY_ROWS", many)
    torch.manual_seed(6)
    plain = torch.nn.Linear(*sizes, bias=False)
    ours = use_kernels(torch.nn.Sequential(copy.deepcopy(plain)))[0]
    assert isinstance(ours, OneDnnLinear)
    values, upstream = torch.randn(3, 5, sizes[0], requires_grad=True), torch.randn(3, 5, sizes[1])
    wanted = torch.autograd.grad(plain(values), (values, plain.weight), upstream)
    assert_close(ours(values), plain(values))
    found = torch.autograd.grad(ours(values), (values, ours.weight), upstream)
    assert_close(found, wanted)
    assert found[1].is_contiguous()  # as the weight: adding up gradients walks along both


def test_a_tied_output_layer_stays_tied() -> None:
    _, ours = twins()
    assert ours.get_output_embeddings().weight is ours.get_input_embeddings().weight
