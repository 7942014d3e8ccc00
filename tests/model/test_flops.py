import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import T5Config, T5ForConditionalGeneration

from r2d_ray.model.flops import Lengths, ModelShape, forward_flops, training_flops


@pytest.mark.parametrize("activation", ["relu", "gated-gelu"])
@pytest.mark.parametrize(("inputs", "targets"), [(7, 3), (16, 5)])
def test_the_formula_equals_what_torch_counts(activation, inputs, targets):
    config = T5Config(
        d_model=32,
        d_kv=8,
        num_heads=2,
        d_ff=48,
        num_layers=2,
        num_decoder_layers=3,
        vocab_size=100,
        feed_forward_proj=activation,
    )
    model = T5ForConditionalGeneration(config)
    ids = torch.ones(4, inputs, dtype=torch.long)
    decoder_ids = torch.ones(4, targets, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, decoder_input_ids=decoder_ids, use_cache=False)
    lengths = Lengths(4 * inputs, 4 * targets, 4 * inputs**2, 4 * targets**2, 4 * inputs * targets)
    assert forward_flops(ModelShape.of(config), lengths) == counter.get_total_flops()


def test_a_training_pass_costs_three_forward_passes():
    shape = ModelShape(8, 8, 16, 2, 1, 1, 50)
    lengths = Lengths(10, 4, 50, 8, 20)
    assert training_flops(shape, lengths) == 3 * forward_flops(shape, lengths)


def test_hand_computed():
    # one layer each, d = inner = ff = 1, vocabulary 1; one row of 2 input and 1 target tokens:
    # encoder 2 x (8 + 4) + 4 pairs x 4 = 40; decoder 1 x (12 + 4) + 2 x 4 + (1 + 2) x 4 = 36;
    # head 2
    assert forward_flops(ModelShape(1, 1, 1, 2, 1, 1, 1), Lengths(2, 1, 4, 1, 2)) == 78
