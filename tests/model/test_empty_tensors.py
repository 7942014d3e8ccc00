"""Our CPU layers over tensors without an element: the library's values, and zeros as gradients."""

import pytest
import torch
from transformers.models.t5.modeling_t5 import T5LayerNorm

from r2d_ray.model import cpu_attention as attention
from r2d_ray.model.cpu_layers import BitDropout, OneDnnLinear, ReluDropout, RmsNorm, product

EMPTY = [(0, 8), (2, 0, 8), (0, 3, 8)]
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


@pytest.fixture(params=[200 * 200, 0], ids=["all heads at once", "head by head"])
def block_scores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "LONG", request.param)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 0), (5, 0)),
        ((2, 3, 0), (5, 0)),
        ((0, 8), (5, 8)),
        ((2, 0, 8), (5, 8)),
        ((3, 8), (0, 8)),
        ((0, 0), (5, 0)),
        ((0, 0), (0, 0)),
    ],
)
def test_a_product_over_nothing_is_zeros(left: tuple[int, ...], right: tuple[int, int]) -> None:
    out = product(torch.ones(left), torch.ones(right))
    assert torch.equal(out, torch.zeros(*left[:-1], right[0]))


@every_dtype
@pytest.mark.parametrize("shape", EMPTY)
@pytest.mark.parametrize(
    ("ours", "plain"),
    [
        (OneDnnLinear(8, 5, bias=False), torch.nn.Linear(8, 5, bias=False)),
        (RmsNorm(torch.nn.Parameter(torch.ones(8)), 1e-6), T5LayerNorm(8)),
        (BitDropout(0.3), torch.nn.Dropout(0.3)),
        (ReluDropout(0.3), torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Dropout(0.3))),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_over_no_row_are_the_library_s_and_their_gradients_zeros(
    ours: torch.nn.Module, plain: torch.nn.Module, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    found = []
    for layer in (ours, plain):
        values = torch.zeros(shape, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            out = layer.train()(values)
        wanted = (values, *layer.parameters())
        found.append([out, *torch.autograd.grad(out, wanted, torch.ones_like(out))])
    for ours_, theirs in zip(*found, strict=True):
        assert ours_.dtype == theirs.dtype
        assert torch.equal(ours_, theirs)
        assert not ours_.any()


@every_dtype
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("rows", "length", "keys"), [(0, 3, 4), (2, 0, 4), (2, 3, 0), (2, 0, 0), (0, 0, 0)]
)
def test_attention_over_nothing_is_zeros_and_so_are_its_gradients(
    block_scores: None, rows: int, length: int, keys: int, masked: bool, dtype: torch.dtype
) -> None:
    query = torch.ones(rows, 2, length, 8, dtype=dtype, requires_grad=True)
    key, value = (torch.ones(rows, 2, keys, 8, dtype=dtype, requires_grad=True) for _ in range(2))
    bias = torch.ones(1, 2, length, keys, requires_grad=True)
    mask = torch.zeros(rows, 1, 1, keys) if masked else None
    module = torch.nn.Module().train()
    out, _ = attention.blockwise_attention(
        module, query, key, value, mask, position_bias=bias, dropout=0.3
    )
    assert torch.equal(out, torch.zeros(rows, length, 2, 8, dtype=dtype))
    inputs = (query, key, value, bias)
    for values, gradient in zip(
        inputs, torch.autograd.grad(out, inputs, torch.ones_like(out)), strict=True
    ):
        assert torch.equal(gradient, torch.zeros_like(values))
