"""Linear layers, dropout and layer norm of a T5 on a CPU, faster.

torch's fp32 products go to a library that leaves half of some processors unused (oneDNN does not),
and it draws dropout masks one number at a time; here four elements share a draw of 64 bits. Values
and gradients are the library's; dropout draws other masks.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Model = TypeVar("Model", bound=nn.Module)
MANY_ROWS = 256  # of a batch, from which it pays to turn the gradient of a wide weight
IN_CACHE = 2**18  # elements worked on at once where they are many: 1 MB in fp32, measured
MASK_STEPS = 2**16  # a dropout rate is a whole number of these: off by 1/131,072 at most


def use_kernels(model: Model) -> Model:
    """Put our layers into a model in place; weights and their names stay."""
    for parent in list(model.modules()):
        if type(parent).__name__.endswith("T5DenseActDense") and isinstance(parent.act, nn.ReLU):
            layer: Any = parent
            layer.act, layer.dropout = nn.Identity(), ReluDropout(layer.dropout.p)
        for name, child in parent.named_children():
            if type(child) is nn.Linear:
                setattr(parent, name, one_dnn(child))
            elif isinstance(child, nn.Dropout):
                setattr(parent, name, BitDropout(child.p))
            elif type(child).__name__.endswith("T5LayerNorm"):  # T5's, mT5's and umT5's
                norm: Any = child
                setattr(parent, name, RmsNorm(norm.weight, norm.variance_epsilon))
    return model


def has_onednn(values: Tensor) -> bool:
    """Return whether oneDNN multiplies these values."""
    found: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return found and values.device.type == "cpu"


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return left (..., n) times the transpose of right (m, n), in fp32, by oneDNN.

    A sum over nothing is 0, but oneDNN refuses it: products of empty tensors are torch's.
    """
    if left.numel() == 0 or right.numel() == 0:
        return left @ right.mT
    # What torch.compile calls for a linear layer; torch has no public name for it.
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], ""))


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(values, weight)
        return product(values, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        values, weight = ctx.saved_tensors
        ours, theirs = gradient.flatten(0, -2).t(), values.flatten(0, -2).t()
        # The smaller factor first: faster, the copy included. Uncopied, the gradient would be
        # read across its rows at every sum.
        turned = len(ours) > len(theirs) and ours.shape[1] >= MANY_ROWS
        of_weight = product(theirs, ours).t().contiguous() if turned else product(ours, theirs)
        return product(gradient, weight.t()), of_weight


class OneDnnLinear(nn.Linear):
    """A linear layer without bias whose fp32 products on a CPU are oneDNN's."""

    def forward(self, values: Tensor) -> Tensor:
        """Return the values (..., in) times the weight (out, in)."""
        in_fp32 = values.dtype == self.weight.dtype == torch.float32
        elsewhere = not has_onednn(values) or torch.is_autocast_enabled("cpu")
        if self.bias is not None or elsewhere or not in_fp32:
            return super().forward(values)
        return cast(Tensor, _Linear.apply(values, self.weight))


def one_dnn(layer: nn.Linear) -> OneDnnLinear:
    """Return the layer as ours, with the same parameters: tied weights stay tied."""
    sizes = (layer.in_features, layer.out_features, layer.bias is not None)
    ours = OneDnnLinear(*sizes, device="meta")  # nothing is drawn for weights that go at once
    ours.weight, ours.bias = layer.weight, layer.bias
    return ours


def keep_mask(like: Tensor, rate: float) -> Tensor:
    """Return what dropout keeps: 1 with probability 1 - `rate`, else 0, in the shape of `like`.

    As bytes: comparing into booleans and multiplying by them is slower.
    """
    count = like.numel()
    words = torch.empty(-(-count // 4), dtype=torch.int64, device=like.device)
    bits = words.random_(-(2**63), None).view(torch.int16)[:count].view(like.shape)
    keep = torch.empty(like.shape, dtype=torch.int8, device=like.device)
    return torch.ge(bits, round(rate * MASK_STEPS) - MASK_STEPS // 2, out=keep)


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


class _ReluDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, rate: float) -> Tensor:
        out = torch.empty_like(values, memory_format=torch.contiguous_format)
        parts = (torch.split(tensor.view(-1), IN_CACHE) for tensor in (values.contiguous(), out))
        for part, into in zip(*parts, strict=True):
            torch.mul(part, keep_mask(part, rate), out=into).relu_().mul_(kept_scale(rate))
        ctx.save_for_backward(out)
        ctx.scale = kept_scale(rate)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        # A gradient passes where something came out: neither cut off nor dropped.
        return torch.ops.aten.threshold_backward(gradient, out, 0).mul_(ctx.scale), None


class ReluDropout(BitDropout):
    """ReLU and the dropout after it: the mask need not be kept, the output shows it."""

    def forward(self, values: Tensor) -> Tensor:
        """Return the positive values, a share of `rate` set to 0 while training."""
        if not self.training or self.rate == 0.0:
            return torch.relu(values)
        dropped: Tensor = _ReluDropout.apply(values, self.rate)  # type: ignore[no-untyped-call]
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
