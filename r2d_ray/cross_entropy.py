"""Cross entropy over a large vocabulary, some rows at a time.

The library keeps three tables of rows x vocabulary beside the logits; here there is one, the
gradient, and the rows worked on stay in the cache. Values are the library's, gradients equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK_LOGITS = {"cpu": 2**19}  # logits worked on at once: 2 MB in fp32, measured on 2 cores
ELSEWHERE = 2**26  # on a GPU few calls count more than a cache: 256 MB


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Return minus the log-probability (tokens,) of each target, in fp32.

    Args:
        logits: (tokens, vocabulary), of any floating type.
        targets: (tokens,) ids.
    """
    return cast(Tensor, _CrossEntropy.apply(logits, targets))  # type: ignore[no-untyped-call]


def blocks(logits: Tensor) -> Iterator[slice]:
    """Yield stretches of rows of logits (tokens, vocabulary)."""
    at_once = BLOCK_LOGITS.get(logits.device.type, ELSEWHERE)
    size = max(1, at_once // logits.shape[1])
    for start in range(0, len(logits), size):
        yield slice(start, start + size)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        losses = torch.empty(len(logits), dtype=torch.float32, device=logits.device)
        for at in blocks(logits):
            scores = torch.log_softmax(logits[at], dim=-1, dtype=torch.float32)
            losses[at] = -scores.gather(1, targets[at, None])[:, 0]
        ctx.save_for_backward(logits, targets)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logits, targets = ctx.saved_tensors
        of_logits = torch.empty_like(logits)
        for at in blocks(logits):
            out = of_logits[at] if logits.dtype == torch.float32 else None
            share = torch.softmax(logits[at], dim=-1, dtype=torch.float32, out=out)
            share.scatter_add_(1, targets[at, None], share.new_full((len(share), 1), -1.0))
            share.mul_(gradient[at, None])
            if out is None:
                of_logits[at] = share
        return of_logits, None
