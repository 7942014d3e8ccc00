"""What training costs, whatever the padding, kernel or machine: tokens and model FLOPs.

Counted are the matrix products of real tokens (a multiply and an add are 2 FLOPs); a training
pass is three forward passes (PaLM, arXiv 2204.02311, appendix B).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # whoever only reads the names of costs loads no torch
    from torch import Tensor
    from transformers import PreTrainedModel

Sums: TypeAlias = "dict[str, Tensor | float]"
COSTS = ("encoder_tokens", "decoder_tokens", "model_flops")  # logged of a step's training passes


@dataclass(frozen=True, slots=True)
class Lengths:
    """Sums over the rows of a pass, e input and d target tokens each: of e, d, e², d² and e·d."""

    encoder_tokens: Any
    decoder_tokens: Any
    encoder_pairs: Any
    decoder_pairs: Any
    cross_pairs: Any


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes that a T5's products have; `inner` is heads x key width."""

    d_model: int
    inner: int
    d_ff: int
    ff_products: int
    encoder_layers: int
    decoder_layers: int
    vocabulary: int

    @classmethod
    def of(cls, config: Any) -> ModelShape:
        """Return the shape of a T5 configuration."""
        return cls(
            d_model=config.d_model,
            inner=config.num_heads * config.d_kv,
            d_ff=config.d_ff,
            ff_products=3 if config.is_gated_act else 2,
            encoder_layers=config.num_layers,
            decoder_layers=config.num_decoder_layers,
            vocabulary=config.vocab_size,
        )


def forward_flops(shape: ModelShape, lengths: Lengths) -> Any:
    """Return the FLOPs of a forward pass over rows of these lengths.

    Attention is counted over all pairs, as kernels compute it, the decoder's causal half included.
    """
    projection = 2 * shape.d_model * shape.inner  # one of query, key, value, output
    feed_forward = 2 * shape.ff_products * shape.d_model * shape.d_ff
    pair = 4 * shape.inner  # a score and a weighted sum
    encoder = lengths.encoder_tokens * (4 * projection + feed_forward)
    encoder = encoder + lengths.encoder_pairs * pair
    decoder = lengths.decoder_tokens * (6 * projection + feed_forward)
    decoder = decoder + lengths.encoder_tokens * (2 * projection)  # keys and values of the input
    decoder = decoder + (lengths.decoder_pairs + lengths.cross_pairs) * pair
    head = lengths.decoder_tokens * (2 * shape.d_model * shape.vocabulary)
    return encoder * shape.encoder_layers + decoder * shape.decoder_layers + head


def training_flops(shape: ModelShape, lengths: Lengths) -> Any:
    """Return the FLOPs of a forward and a backward pass over rows of these lengths."""
    return 3 * forward_flops(shape, lengths)


def costs(columns: Mapping[str, Sequence[float | None]], steps: int) -> dict[str, float]:
    """Return what so many steps cost: tokens and model FLOPs, from the mean logged step."""
    found = {}
    for name in COSTS:
        values = [value for value in columns.get(name, []) if value is not None]
        if values:
            found[name] = steps * sum(values) / len(values)
    return found


def pass_sums(core: PreTrainedModel, mask: Tensor, targets: Tensor) -> Sums:
    """Return what a training pass costs: positions, padding, real tokens and model FLOPs.

    Args:
        core: The T5; its sizes count.
        mask: (rows, length) of the input.
        targets: (rows, length), true where there is a target token.

    Passes without a gradient (scoring labels whose first tokens collide, generation) are not in.
    """
    inputs, outputs = mask.sum(dim=1), targets.sum(dim=1)
    lengths = Lengths(
        encoder_tokens=inputs.sum(),
        decoder_tokens=outputs.sum(),
        encoder_pairs=(inputs * inputs).sum(),
        decoder_pairs=(outputs * outputs).sum(),
        cross_pairs=(inputs * outputs).sum(),
    )
    return {
        "positions": float(mask.numel()),
        "padding": mask.numel() - lengths.encoder_tokens,
        "encoder_tokens": lengths.encoder_tokens,
        "decoder_tokens": lengths.decoder_tokens,
        "model_flops": training_flops(ModelShape.of(core.config), lengths),
    }
