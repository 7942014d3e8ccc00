"""Cross entropy in blocks is the library's, in value and gradient."""

import pytest
import torch
import torch.nn.functional as functional
from torch.testing import assert_close

from r2d_ray.model import teacher_forcing as cross_entropy
from r2d_ray.model.teacher_forcing import token_losses


@pytest.fixture(params=[2**19, 100, 1], ids=["one block", "blocks of 4 rows", "row by row"])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cross_entropy.BLOCK_LOGITS, "cpu", request.param)


@pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-6), (torch.bfloat16, 4e-3)])
def test_losses_and_gradients_are_the_library_s(
    at_once: None, dtype: torch.dtype, off: float
) -> None:
    torch.manual_seed(0)
    logits = (5 * torch.randn(9, 25)).to(dtype).requires_grad_()
    targets, weights = torch.randint(0, 25, (9,)), torch.rand(9)
    wanted = functional.cross_entropy(logits.float(), targets, reduction="none")
    found = token_losses(logits, targets)
    assert_close(found, wanted, rtol=1e-6, atol=1e-6)  # blocks are other shapes: rounding only
    (expected,) = torch.autograd.grad(wanted, logits, weights)
    (gradient,) = torch.autograd.grad(found, logits, weights)
    assert gradient.dtype == dtype
    assert_close(gradient, expected, rtol=off, atol=off / 10)


def test_two_classes_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0], [3.0, 1.0]], requires_grad=True)
    losses = token_losses(logits, torch.tensor([1, 0]))
    torch.autograd.backward(losses.sum())
    assert_close(losses.detach(), torch.tensor([2.0, 1.0 + torch.e**-2]).log())
    right = 1 / (1 + torch.e**-2)
    assert_close(logits.grad, torch.tensor([[0.5, -0.5], [right - 1, 1 - right]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_target_has_no_loss(dtype: torch.dtype) -> None:
    logits = torch.zeros(0, 7, dtype=dtype, requires_grad=True)
    losses = token_losses(logits, torch.zeros(0, dtype=torch.long))
    torch.autograd.backward(losses.sum())
    assert losses.shape == (0,)
    assert logits.grad is not None
    assert logits.grad.shape == (0, 7)
