"""Dropout, attention and layer norm of a T5 on a CPU, in fewer passes over memory.

torch draws a dropout mask there one number at a time, and walks over all attention scores for each
of seven operations. Here four elements share a draw of 64 bits, and scores are worked on in blocks
that stay in the cache. Values and gradients are the library's; dropout draws other masks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface, eager_mask

BLOCKWISE = "blockwise"  # the name under which `attn_implementation` finds them
MASK_STEPS = 2**16  # a dropout rate is a whole number of these: off by 1/131,072 at most
BLOCK_SCORES = 2**20  # attention scores worked on at once: 4 MB, measured on 2 cores


def use_kernels(model: PreTrainedModel) -> PreTrainedModel:
    """Put our dropout and layer norm into a model in place; weights and their names stay."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout):
                setattr(parent, name, BitDropout(child.p))
            elif type(child).__name__.endswith("T5LayerNorm"):  # T5's, mT5's and umT5's
                norm: Any = child
                setattr(parent, name, RmsNorm(norm.weight, norm.variance_epsilon))
    return model


def keep_mask(like: Tensor, rate: float) -> Tensor:
    """Return what dropout keeps: true with probability 1 - `rate`, in the shape of `like`."""
    count = like.numel()
    words = torch.empty(-(-count // 4), dtype=torch.int64, device=like.device)
    bits = words.random_(-(2**63), None).view(torch.int16)[:count].view(like.shape)
    return bits >= round(rate * MASK_STEPS) - MASK_STEPS // 2


def kept_scale(rate: float) -> float:
    """Return the factor on what is kept: 1 / (1 - the rate that `keep_mask` has)."""
    return MASK_STEPS / (MASK_STEPS - round(rate * MASK_STEPS))


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, rate: float) -> Tensor:
        keep = keep_mask(values, rate)
        ctx.save_for_backward(keep)
        ctx.scale = kept_scale(rate)
        return torch.mul(values, keep).mul_(ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return torch.mul(gradient, keep).mul_(ctx.scale), None


class BitDropout(nn.Module):
    """Dropout whose mask takes 16 random bits an element."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values: Tensor) -> Tensor:
        """Return the values with a share of `rate` set to 0 while training."""
        if not self.training or self.rate == 0.0:
            return values
        dropped: Tensor = _Dropout.apply(values, self.rate)  # type: ignore[no-untyped-call]
        return dropped


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        norm = torch.linalg.vector_norm(values, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = norm.square_().div_(values.shape[-1]).add_(epsilon).rsqrt_()
        normed = (values * inverse).to(weight.dtype)
        ctx.save_for_backward(normed, inverse, weight)
        ctx.dtype = values.dtype
        return torch.mul(normed, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        normed, inverse, weight = ctx.saved_tensors
        product = gradient * normed
        along = (product @ weight).div_(weight.numel()).unsqueeze(-1)
        of_weight = product.flatten(0, -2).sum(dim=0)
        of_values = torch.mul(gradient, weight).addcmul_(normed, along, value=-1).mul_(inverse)
        return of_values.to(ctx.dtype), of_weight, None


class RmsNorm(nn.Module):
    """T5's layer norm: divided by the root mean square in fp32, then weighted."""

    def __init__(self, weight: nn.Parameter, epsilon: float) -> None:
        super().__init__()
        self.weight = weight
        self.epsilon = epsilon

    def forward(self, values: Tensor) -> Tensor:
        """Return the values (..., width), normed and weighted."""
        normed: Tensor = _RmsNorm.apply(  # type: ignore[no-untyped-call]
            values, self.weight, self.epsilon
        )
        return normed


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
        out = torch.empty_like(query)
        kept: list[Tensor] = []
        for at in blocks(math.prod(bias.shape[1:]), len(query)):
            scores = torch.matmul(query[at], key[at].mT).to(bias.dtype).add_(bias)
            if mask is not None:
                scores.add_(mask[at])
            weights = torch.softmax(scores, dim=-1)
            kept.append(weights)
            if rate:
                kept.append(keep_mask(weights, rate))
                weights = torch.mul(weights, kept[-1], out=scores).mul_(kept_scale(rate))
            out[at] = torch.matmul(weights.to(value.dtype), value[at])
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
            of_used = torch.matmul(gradient[at], value[at].mT).to(weights.dtype)
            if rate:
                keep, scale = next(left), kept_scale(rate)
                of_used.mul_(keep).mul_(scale)
                used = torch.mul(weights, keep).mul_(scale)
            of_value[at] = torch.matmul(used.to(gradient.dtype).mT, gradient[at])
            of_scores = torch._softmax_backward_data(of_used, weights, -1, weights.dtype)
            if of_bias is not None:
                of_bias += of_scores.sum(dim=0, keepdim=True)
            of_scores = of_scores.to(query.dtype)
            of_query[at] = torch.matmul(of_scores, key[at])
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
        attention_mask: (rows, 1, 1 or length, keys), added to the scores.
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
