"""Rows that end leave the batch, and nothing else changes: equal to transformers' greedy loop."""

import pytest
import torch
from transformers import PreTrainedModel, T5Config, T5ForConditionalGeneration

from r2d_ray.model.decoding import CACHE_BYTES, encoded, greedy, rows_at_once

LIMIT = 12


def chatty(seed: int) -> PreTrainedModel:
    """Return random weights over so few tokens that rows end at different places, or never.

    At every step the best two tokens of these models are 0.03 apart or more, far beyond rounding:
    so tokens are equal to the last even where they come from products of other shapes.
    """
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=12,
        d_model=16,
        d_kv=8,
        num_heads=2,
        d_ff=32,
        num_layers=2,
        tie_word_embeddings=False,
        initializer_factor=3.0,
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(config).eval()


def prompts(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(2, 7, (rows, 9), generator=generator)
    lengths = torch.randint(2, 10, (rows,), generator=generator)
    mask = (torch.arange(9)[None, :] < lengths[:, None]).long()
    return ids * mask, mask


def ends(written: torch.Tensor) -> list[int]:
    return [row.index(1) if 1 in row else LIMIT for row in written.tolist()]


@pytest.mark.parametrize("seed", range(8))
def test_every_row_equals_the_library(seed: int) -> None:
    model = chatty(seed)
    ids, mask = prompts(24)
    with torch.no_grad():
        ours = greedy(model, ids, mask, LIMIT)
        theirs = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=LIMIT, do_sample=False
        )[:, 1:]
    assert torch.equal(ours[:, : theirs.shape[1]], theirs)
    assert (ours[:, theirs.shape[1] :] == 0).all()


def test_the_models_above_end_at_different_places_and_some_never() -> None:
    with torch.no_grad():
        found = {
            end for seed in range(8) for end in ends(greedy(chatty(seed), *prompts(24), LIMIT))
        }
    assert LIMIT in found
    assert len(found) > 3


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    model = chatty(1)
    ids, mask = prompts(24)
    with torch.no_grad():
        together = greedy(model, ids, mask, LIMIT)
        alone = [greedy(model, ids[i : i + 1], mask[i : i + 1], LIMIT) for i in range(24)]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("at_once", [1, 5, 24])
def test_rows_encoded_in_parts_are_decoded_alike(at_once: int) -> None:
    model = chatty(1)
    ids, mask = prompts(24)
    with torch.no_grad():
        whole = model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        parts = encoded(model, ids, mask, at_once)
        assert torch.allclose(parts[mask.bool()], whole[mask.bool()], atol=1e-4)
        written = greedy(model, ids, mask, LIMIT, at_once)
        assert torch.equal(written, greedy(model, ids, mask, LIMIT))


def test_rows_at_once_fill_the_cache_with_keys_and_values() -> None:
    """Two layers, 2 heads of 8, 9 + 12 tokens: 2 * 2 * 16 * 21 numbers of 4 bytes a row."""
    assert rows_at_once(chatty(1).config, 9, 12) == CACHE_BYTES // 5376
