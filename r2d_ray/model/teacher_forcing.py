"""One teacher-forced pass: losses and logits of the real targets only.

Cross entropy goes over the vocabulary some rows at a time: the library keeps three tables of rows x
vocabulary beside the logits, here there is one, the gradient, and the rows worked on stay in the
cache. Values are the library's, gradients equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel

IGNORED = -100  # target id at which no loss is computed (transformers' convention)


@dataclass(frozen=True, slots=True)
class Pass:
    """One teacher-forced pass: losses and logits of the real targets, encoder states."""

    token_losses: Tensor  # (real targets,), row after row
    logits: Tensor  # (real targets, vocabulary), row after row
    encoder_states: Tensor  # (rows, input length, d_model)

    @property
    def loss_sum(self) -> Tensor:
        """Sum over all real targets."""
        return self.token_losses.sum()


@contextmanager
def logits_only_at(core: PreTrainedModel, keep: Tensor) -> Iterator[None]:
    """Let the output layer see only the decoder positions where `keep` (rows, length) is true.

    The projection to the vocabulary is the largest single cost of a small model, and on padding
    it is thrown away. Logits come out as (kept positions, vocabulary).
    """
    head = core.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][keep],))
    try:
        yield
    finally:
        hook.remove()


def teacher_forced(
    model: nn.Module, core: PreTrainedModel, input_ids: Tensor, mask: Tensor, targets: Tensor
) -> Pass:
    """Return one pass over targets (rows, length) in which -100 carries no loss.

    `model` is the module to call (wrapped for data parallel or ZeRO), `core` the T5 inside it.
    """
    keep = targets != IGNORED
    decoder_ids = core._shift_right(targets)  # type: ignore[operator]
    with logits_only_at(core, keep):
        out = model(
            input_ids=input_ids,
            attention_mask=mask,
            decoder_input_ids=decoder_ids,
            use_cache=False,
        )
    losses = token_losses(out.logits, targets[keep])
    return Pass(losses, out.logits, out.encoder_last_hidden_state)


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
