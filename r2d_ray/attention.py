"""T5's attention on a CPU in blocks that stay in the cache; `attn_implementation: blockwise`.

The library walks over all scores for each of seven operations. Values and gradients are its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from r2d_ray.kernels import has_onednn, keep_mask, kept_scale, product

BLOCKWISE = "blockwise"  # the name under which `attn_implementation` finds it
BLOCK_SCORES = 2**20  # attention scores worked on at once: 4 MB, measured on 2 cores
LONG = 200 * 200  # scores of a head from which a oneDNN product each is faster than one for all


def products(left: Tensor, right: Tensor) -> Tensor:
    """Return left (rows, heads, n, k) times the transposes of right (rows, heads, m, k)."""
    shape = (*left.shape[:3], right.shape[2])
    scores = left.shape[2] * max(left.shape[3], right.shape[2])
    if left.dtype != torch.float32 or not has_onednn(left) or scores < LONG:
        return left @ right.mT
    out = left.new_empty(shape)
    for row in range(shape[0]):
        for head in range(shape[1]):
            out[row, head] = product(left[row, head], right[row, head])
    return out


def blocks(scores_per_row: int, rows: int) -> Iterator[slice]:
    """Yield stretches of rows with about `BLOCK_SCORES` scores each, at least one row."""
    size = max(1, BLOCK_SCORES // scores_per_row)
    for start in range(0, rows, size):
        yield slice(start, start + size)


class _Attention(torch.autograd.Function):
    """softmax(q kᵀ + bias + mask), dropped out, times v; of (rows, heads, length, width) each."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        bias: Tensor,
        rate: float,
    ) -> Tensor:
        bias = bias.contiguous()
        if mask is not None:
            mask = mask.expand(len(query), *mask.shape[1:])
        out = torch.empty_like(query)
        kept: list[Tensor] = []
        for at in blocks(math.prod(bias.shape[1:]), len(query)):
            scores = products(query[at], key[at]).to(bias.dtype).add_(bias)
            if mask is not None:
                scores.add_(mask[at])
            weights = torch.softmax(scores, dim=-1)
            kept.append(weights)
            if rate:
                kept.append(keep_mask(weights, rate))
                weights = torch.mul(weights, kept[-1], out=scores).mul_(kept_scale(rate))
            out[at] = products(weights.to(value.dtype), value[at].mT)
        ctx.save_for_backward(query, key, value, *kept)
        ctx.rate, ctx.bias_shape = rate, bias.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *kept = ctx.saved_tensors
        gradient, rate = gradient.contiguous(), ctx.rate
        of_query, of_key, of_value = map(torch.empty_like, (query, key, value))
        of_bias = kept[0].new_zeros(ctx.bias_shape) if ctx.needs_input_grad[4] else None
        left = iter(kept)
        for at in blocks(math.prod(ctx.bias_shape[1:]), len(query)):
            weights = used = next(left)
            of_used = products(gradient[at], value[at]).to(weights.dtype)
            if rate:
                keep, scale = next(left), kept_scale(rate)
                of_used.mul_(keep).mul_(scale)
                used = torch.mul(weights, keep).mul_(scale)
            of_value[at] = torch.matmul(used.to(gradient.dtype).mT, gradient[at])
            of_scores = torch._softmax_backward_data(of_used, weights, -1, weights.dtype)
            if of_bias is not None:
                of_bias += of_scores.sum(dim=0, keepdim=True)
            of_scores = of_scores.to(query.dtype)
            of_query[at] = products(of_scores, key[at].mT)
            of_key[at] = torch.matmul(of_scores.mT, query[at])
        return of_query, of_key, of_value, None, of_bias, None


def blockwise_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    position_bias: Tensor,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Return T5's attention (rows, length, heads, width) and no weights; T5 does not scale.

    Args:
        module: The library's attention module; says whether dropout is on.
        query: (rows, heads, length, width).
        key: (rows, heads, keys, width).
        value: As `key`.
        attention_mask: (rows or 1, 1, 1 or length, keys), added to the scores.
        position_bias: (1, heads, length, keys), added to the scores.
        dropout: Rate at which weights are dropped while training.
    """
    rate = dropout if module.training else 0.0
    out: Tensor = _Attention.apply(  # type: ignore[no-untyped-call]
        query.contiguous(),
        key.contiguous(),
        value.contiguous(),
        attention_mask,
        position_bias,
        rate,
    )
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(BLOCKWISE, blockwise_attention)
AttentionMaskInterface.register(BLOCKWISE, eager_mask)
