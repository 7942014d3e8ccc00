"""T5's attention on a CPU in blocks that stay in the cache; `attn_implementation: blockwise`.

The library walks over all scores for each of seven operations. Values and gradients are its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from r2d_ray.model.cpu_layers import has_onednn, keep_mask, kept_scale, product

BLOCKWISE = "blockwise"  # the name under which `attn_implementation` finds it
BLOCK_SCORES = 2**20  # attention scores worked on at once: 4 MB, measured on 2 cores
LONG = 200 * 200  # scores of a head from which a product for each is faster than one for all
At = slice | tuple[int, int]


def products(left: Tensor, right: Tensor) -> Tensor:
    """Return left (..., n, k) times the transpose of right (..., m, k)."""
    if left.dim() > 2 or left.dtype != torch.float32 or not has_onednn(left):
        return left @ right.mT
    return product(left, right)


def blocks(query: torch.Size, bias: torch.Size) -> Iterator[tuple[At, At]]:
    """Yield which part of (rows, heads) to work on, and its part of the bias (1, heads).

    One head of one row where a head has many scores, else rows with about `BLOCK_SCORES` scores.

    Args:
        query: (rows, heads, length, width).
        bias: (1, heads, length, keys).
    """
    (rows, heads), scores = query[:2], math.prod(bias[2:])
    if scores >= LONG:
        for row, head in itertools.product(range(rows), range(heads)):
            yield (row, head), (0, head)
        return
    size = max(1, BLOCK_SCORES // max(1, heads * scores))
    for start in range(0, rows, size):
        yield slice(start, start + size), slice(None)


class _Attention(torch.autograd.Function):
    """softmax(q kᵀ + bias + mask), dropped out, times v; of (rows, heads, length, width) each.

    What is kept is scaled where it is small: after the product with v, and in its gradient.
    """

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
            mask = mask.expand(*query.shape[:2], *mask.shape[2:])
        out = torch.empty_like(query)
        kept: list[Tensor] = []
        for at, of_all in blocks(query.shape, bias.shape):
            scores = products(query[at], key[at]).to(bias.dtype).add_(bias[of_all])
            if mask is not None:
                scores.add_(mask[at])
            weights = torch.softmax(scores, dim=-1)
            kept.append(weights)
            if rate:
                kept.append(keep_mask(weights, rate))
                weights = torch.mul(weights, kept[-1], out=scores)
            out[at] = products(weights.to(value.dtype), value[at].mT)
        if rate:
            out.mul_(kept_scale(rate))
        ctx.save_for_backward(query, key, value, *kept)
        ctx.rate, ctx.bias_shape, ctx.dtype = rate, bias.shape, bias.dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *kept = ctx.saved_tensors
        gradient = gradient.contiguous() * kept_scale(ctx.rate)
        of_query, of_key, of_value = map(torch.empty_like, (query, key, value))
        of_bias = None
        if ctx.needs_input_grad[4]:
            of_bias = gradient.new_zeros(ctx.bias_shape, dtype=ctx.dtype)
        left = iter(kept)
        for at, of_all in blocks(query.shape, ctx.bias_shape):
            weights = used = next(left)
            of_used = products(gradient[at], value[at]).to(weights.dtype)
            if ctx.rate:
                keep = next(left)
                of_used.mul_(keep)
                used = torch.mul(weights, keep)
            of_value[at] = products(gradient[at].mT, used.to(gradient.dtype).mT).mT
            of_scores = torch._softmax_backward_data(of_used, weights, -1, weights.dtype)
            if of_bias is not None:
                of_bias[of_all] += of_scores if of_scores.dim() == 2 else of_scores.sum(dim=0)
            of_scores = of_scores.to(query.dtype)
            of_query[at] = products(of_scores, key[at].mT)
            of_key[at] = products(query[at].mT, of_scores.mT).mT
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
