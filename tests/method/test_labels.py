"""Choosing a label: packed scoring is exhaustive scoring; first tokens agree with generation."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_config
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedModel

from r2d_ray.data.batches import Ragged
from r2d_ray.data.prepare import Prepared, open_prepared
from r2d_ray.method import labels as module
from r2d_ray.method.batch import Batch, pad
from r2d_ray.method.label_kinds import FIXED
from r2d_ray.method.labels import (
    PromptTable,
    first_token_log_probabilities,
    label_log_probabilities,
    packed_log_probabilities,
    prompt_table,
    text_prefixes,
)
from r2d_ray.method.prompts import explain_given_label_prefix
from r2d_ray.method.tokens import LabelTokens, encode, fitting_label
from r2d_ray.model.decoding import generate_texts
from r2d_ray.model.t5 import load_model

CPU = torch.device("cpu")
COLLIDING = ("the trial", "the trial says", "the weather was fine and", "yes", "no")


@pytest.fixture(scope="module")
def prepared(prepared_dir: Path) -> Prepared:
    return open_prepared(prepared_dir)


@pytest.fixture(scope="module", params=["eager", "sdpa"])
def trained(request: Any, trained_dir: Path, prepared: Prepared) -> PreTrainedModel:
    config = tiny_config(attn_implementation=request.param)
    return load_model(config, prepared.tokenizer, trained_dir).eval()


def batch_of(prepared: Prepared, split: str = "test", rows: int = 10) -> Batch:
    bodies = Ragged(prepared.tables[split], "body_ids")
    taken = [bodies[row] for row in range(rows)]
    lengths = torch.tensor([len(body) for body in taken])
    return {"body_ids": pad(taken, 0), "body_lengths": lengths}


def table_of(prepared: Prepared, labels: tuple[str, ...] = ("yes", "no")) -> PromptTable:
    return prompt_table(prepared.tokenizer, FIXED.set_tokens(prepared.tokenizer, labels), CPU)


def first_tokens(table: PromptTable) -> Tensor:
    assert table.first_tokens is not None
    return table.first_tokens


@torch.no_grad()
def encoded(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    start = torch.full((len(ids), 1), model.config.decoder_start_token_id)
    out = model(input_ids=ids, attention_mask=mask, decoder_input_ids=start)
    return out.logits[:, 0], out.encoder_last_hidden_state


@torch.no_grad()
def one_by_one(model: PreTrainedModel, ids: Tensor, mask: Tensor, tokens: LabelTokens) -> Tensor:
    """Score every label string of every row in a pass of its own."""
    scores = torch.zeros(len(ids), len(tokens.targets))
    for row in range(len(ids)):
        for i, target in enumerate(tokens.targets):
            alone = ids[row][mask[row].bool()][None]
            logits = model(input_ids=alone, labels=torch.tensor([target])).logits[0]
            chosen = logits.log_softmax(-1).gather(1, torch.tensor(target)[:, None])
            scores[row, i] = chosen.sum()
    return scores.log_softmax(-1)


@pytest.mark.parametrize("positions", [512, 6, 1])  # one pass; a few; one label a pass
def test_packed_scoring_equals_scoring_every_label_alone(
    trained: PreTrainedModel,
    prepared: Prepared,
    positions: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PACK_POSITIONS", positions)
    table = table_of(prepared, COLLIDING)
    assert not table.tokens.first_tokens_differ
    assert len({len(target) for target in table.tokens.targets}) > 2
    ids, mask = table.predict(batch_of(prepared, rows=4))
    first, states = encoded(trained, ids, mask)
    with torch.no_grad():
        found = label_log_probabilities(trained, first, states, mask, table.options({}))
    want = one_by_one(trained, ids, mask, table.tokens)
    torch.testing.assert_close(found, want, atol=1e-4, rtol=1e-4)
    assert found.exp().sum(dim=1).tolist() == pytest.approx([1.0] * 4)


def test_first_token_scoring_takes_the_labels_logits_alone(prepared: Prepared) -> None:
    table = table_of(prepared)
    yes, no = (target[0] for target in table.tokens.targets)
    logits = torch.full((1, len(prepared.tokenizer)), 5.0)  # any other token is likelier
    logits[0, yes], logits[0, no] = 1.0, 2.0
    found = first_token_log_probabilities(logits, first_tokens(table))[0].exp().tolist()
    assert found == pytest.approx([1 / (1 + 2.718282), 2.718282 / (1 + 2.718282)])


def test_differing_first_tokens_need_no_decoder_pass(prepared: Prepared) -> None:
    table = table_of(prepared)
    logits = torch.randn(3, len(prepared.tokenizer))
    nothing: Any = None  # model, states and mask are not touched
    found = label_log_probabilities(nothing, logits, nothing, nothing, table.options({}))
    assert torch.equal(found, first_token_log_probabilities(logits, first_tokens(table)))


def test_the_scored_label_is_what_greedy_generation_writes(
    trained: PreTrainedModel, prepared: Prepared
) -> None:
    table = table_of(prepared)
    ids, mask = table.predict(batch_of(prepared))
    first, states = encoded(trained, ids, mask)
    scored = label_log_probabilities(trained, first, states, mask, table.options({})).argmax(dim=1)
    texts = generate_texts(trained, prepared.tokenizer, ids, mask, 4)
    assert set(texts) == {"yes", "no"}  # trained enough to choose, and to write labels only
    assert [table.tokens.labels[i] for i in scored] == texts


def test_packed_scoring_agrees_with_first_token_scoring_on_a_trained_model(
    trained: PreTrainedModel, prepared: Prepared
) -> None:
    table = table_of(prepared)
    ids, mask = table.predict(batch_of(prepared))
    first, states = encoded(trained, ids, mask)
    with torch.no_grad():
        packed = packed_log_probabilities(trained, states, mask, table.options({}))
    torch.testing.assert_close(
        packed.exp(),
        first_token_log_probabilities(first, first_tokens(table)).exp(),
        atol=0.05,
        rtol=0,
    )


def test_prompts_of_the_table_are_those_of_whole_strings(prepared: Prepared) -> None:
    table, batch = table_of(prepared, COLLIDING), batch_of(prepared, rows=5)
    bodies = [prepared.tokenizer.decode(row) for row in prepared.tables["test"]["body_ids"][:5]]
    shown = torch.tensor([4, 3, 2, 1, 0])
    prompts = {
        "predict:": [table.predict(batch)],
        "explain:": [table.explain(batch)],
        "": [table.explain_given(batch, shown)],
    }
    for prefix, [(ids, mask)] in prompts.items():
        for row, body in enumerate(bodies):
            words = prefix or explain_given_label_prefix(COLLIDING[int(shown[row])])
            want = prepared.tokenizer(f"{words} {body}")["input_ids"]
            assert ids[row][mask[row].bool()].tolist() == want
            assert set(ids[row][~mask[row].bool()].tolist()) <= {table.pad_id}


def test_prefixes_of_free_texts_equal_those_of_the_labels(prepared: Prepared) -> None:
    table = table_of(prepared, COLLIDING)
    ids, lengths, shown = text_prefixes(
        prepared.tokenizer, COLLIDING, table, batch_of(prepared, rows=5)
    )
    assert shown == list(COLLIDING)
    assert torch.equal(ids, table.label_prefixes)
    assert torch.equal(lengths, table.label_prefix_lengths)


def test_a_free_text_longer_than_any_label_loses_its_end_but_not_the_task(
    prepared: Prepared,
) -> None:
    table = table_of(prepared)
    room = table.label_prefixes.shape[1]
    texts = ["yes", "yes the trial says so", ""]
    batch = batch_of(prepared, rows=3)
    ids, lengths, shown = text_prefixes(prepared.tokenizer, texts, table, batch)
    assert ids.shape == (3, room)
    assert torch.equal(ids[0], table.label_prefixes[0])
    assert shown == ["yes", "yes", ""]
    assert torch.equal(ids[1], ids[0])
    empty = encode(prepared.tokenizer, explain_given_label_prefix(""))
    assert ids[2][: lengths[2]].tolist() == empty


@given(text=st.lists(st.sampled_from(["yes", "the", "trial", "weather,", "ß", "fine"])))
def test_a_fitting_label_is_the_text_or_a_beginning_that_fits(
    prepared: Prepared, text: list[str]
) -> None:
    encoder, whole = prepared.tokenizer, " ".join(text)
    for room in range(len(encode(encoder, explain_given_label_prefix(""))), 20):
        found = fitting_label(encoder, whole, room)
        assert len(encode(encoder, explain_given_label_prefix(found))) <= room
        if len(encode(encoder, explain_given_label_prefix(whole))) <= room:
            assert found == whole
        ids = encode(encoder, found)
        assert ids == encode(encoder, whole)[: len(ids)] or "ß" in whole


def test_generation_stops_at_its_limit_and_strips(
    trained: PreTrainedModel, prepared: Prepared
) -> None:
    ids, mask = table_of(prepared).explain(batch_of(prepared, rows=3))
    texts = generate_texts(trained, prepared.tokenizer, ids, mask, 3)
    assert all(len(encode(prepared.tokenizer, text)) <= 3 for text in texts)
    assert texts == [text.strip() for text in texts]
