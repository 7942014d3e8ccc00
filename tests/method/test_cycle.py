"""The cycle: soft rationales read back to their labels, against passes written out by hand."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad
from toy_steps import (
    ALL_SAMPLED,
    batch_of,
    config_of,
    gradients,
    loss_of,
    model_of,
    passes,
    prepared_with_gaps,
    prompts_seen,
    stage_of,
)
from transformers import PreTrainedModel, T5Config, T5ForConditionalGeneration

from r2d_ray.config import build_config
from r2d_ray.data.prepare import Prepared
from r2d_ray.errors import UserError
from r2d_ray.method.batch import select_rows
from r2d_ray.method.cycle import cycle_inputs, read_back, soft_embeddings, soft_prompts
from r2d_ray.method.schedules import gumbel_temperature
from r2d_ray.method.variants import METHODS
from r2d_ray.model.teacher_forcing import IGNORED, teacher_forced

VOCABULARY, WIDTH = 40, 16
LENGTHS = [5, 3, 1]  # rationale tokens of three rows
PREFIX = torch.tensor([[7, 8]])
LABELS = torch.tensor([[11, 1, IGNORED], [12, 13, 1], [11, 1, IGNORED]])


def tiny_t5(seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    shape = {"d_model": WIDTH, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    values: dict[str, Any] = {**shape, "dropout_rate": 0.0, "tie_word_embeddings": False}
    config = T5Config(vocab_size=VOCABULARY, decoder_start_token_id=0, **values)
    return T5ForConditionalGeneration(config)


def rationale_logits(seed: int = 1) -> Tensor:
    return torch.randn(sum(LENGTHS), VOCABULARY, generator=torch.Generator().manual_seed(seed))


def keep_of(lengths: Sequence[int], width: int) -> Tensor:
    return torch.arange(width)[None, :] < torch.tensor(lengths)[:, None]


def noisy(logits: Tensor, seed: int) -> Tensor:
    """Return logits + Gumbel noise as torch draws it: -log of exponential draws."""
    torch.manual_seed(seed)
    return logits - torch.empty_like(logits).exponential_().log()


def by_hand(
    model: PreTrainedModel,
    mixtures: Tensor,
    lengths: Sequence[int],
    labels: Sequence[Tensor],
    prefix: Tensor,
) -> Tensor:
    """Return the summed loss of the labels, row after row, each alone: nothing is padded."""
    table = model.get_input_embeddings().weight
    total = torch.zeros(())
    for mixture, label in zip(mixtures.split(list(lengths)), labels, strict=True):
        target = label[label != IGNORED]
        if len(target):
            embeds = torch.cat([prefix, mixture @ table])[None]
            total = total + model(inputs_embeds=embeds, labels=target[None]).loss * len(target)
    return total


def cycle(model: PreTrainedModel, width: int, seed: int = 3, authors: bool = False) -> Tensor:
    torch.manual_seed(seed)
    keep = keep_of(LENGTHS, width)
    logits = rationale_logits()
    return read_back(model, model, *soft_prompts(model, logits, keep, PREFIX, 0.7, authors), LABELS)


# Soft embeddings


def test_at_a_low_temperature_the_mixture_is_the_likeliest_noisy_token() -> None:
    logits, table = rationale_logits(), torch.randn(VOCABULARY, WIDTH)
    want = table[noisy(logits, seed=5).argmax(dim=1)]
    assert not torch.equal(want, table[logits.argmax(dim=1)])  # the noise decides
    torch.manual_seed(5)
    torch.testing.assert_close(soft_embeddings(logits, table, 1e-3), want)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_weights_of_a_mixture_are_the_softmax_and_sum_to_one(temperature: float) -> None:
    logits = rationale_logits()
    torch.manual_seed(5)
    weights = soft_embeddings(logits, torch.eye(VOCABULARY), temperature)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(logits)))
    torch.testing.assert_close(weights, (noisy(logits, 5) / temperature).softmax(dim=1))
    assert weights.amax(dim=1).min() < 0.5  # soft, not one token


def test_the_inputs_are_prefix_then_rationale_and_padding_is_masked_unless_authors() -> None:
    soft = torch.arange(1.0, 5.0)[:, None]
    keep, prefix = keep_of([3, 1], 4), torch.tensor([[8.0], [9.0]])
    embeddings, mask = cycle_inputs(soft, keep, prefix, attend_padding=False)
    assert embeddings[..., 0].tolist() == [[8, 9, 1, 2, 3, 0], [8, 9, 4, 0, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]]
    same, mask = cycle_inputs(soft, keep, prefix, attend_padding=True)
    assert torch.equal(same, embeddings)
    assert mask.tolist() == [[1] * 6] * 2


# The loss


def test_the_cycle_loss_equals_passes_written_out_row_by_row() -> None:
    model = tiny_t5()
    mixtures = (noisy(rationale_logits(), 3) / 0.7).softmax(dim=1)
    prefix = model.shared.weight[PREFIX[0]]
    want = by_hand(model, mixtures, LENGTHS, list(LABELS), prefix)
    assert cycle(model, max(LENGTHS)).item() == pytest.approx(want.item(), rel=1e-5)
    assert cycle(model, max(LENGTHS), seed=4).item() != pytest.approx(want.item(), rel=1e-4)


def test_padding_does_not_move_the_mended_loss_but_the_authors() -> None:
    model = tiny_t5()
    mended = [cycle(model, width).item() for width in (5, 6, 12)]
    assert mended == pytest.approx([mended[0]] * 3, rel=1e-5)
    authors = [cycle(model, width, authors=True).item() for width in (5, 6, 12)]
    assert len({round(value, 3) for value in (mended[0], *authors)}) == 4


def test_the_gradient_reaches_the_model_that_wrote_the_rationale() -> None:
    writer, reader = tiny_t5(1), tiny_t5(2)
    targets = torch.arange(20, 35).view(3, 5).masked_fill(~keep_of(LENGTHS, 5), IGNORED)
    ids = torch.randint(2, VOCABULARY, (3, 6), generator=torch.Generator().manual_seed(0))
    logits = teacher_forced(writer, writer, ids, torch.ones_like(ids), targets).logits
    torch.manual_seed(3)
    inputs = soft_prompts(reader, logits, targets != IGNORED, PREFIX, 0.7, False)
    loss = read_back(reader, reader, *inputs, LABELS)
    loss.backward()
    for model in (writer, reader):
        for part in ("encoder.block.0", "encoder.block.1", "decoder.block.0", "decoder.block.1"):
            layer = model.get_submodule(part)
            assert all(p.grad is not None and p.grad.norm() > 0 for p in layer.parameters()), part


def test_no_gradient_reaches_the_prefix_beyond_its_share_in_the_mixtures() -> None:
    def embedding_gradient(detached: bool) -> Tensor:
        model = tiny_t5()
        table = model.shared.weight
        mixtures = (noisy(rationale_logits(), 3) / 0.7).softmax(dim=1)
        prefix = table[PREFIX[0]]
        prefix = prefix.detach() if detached else prefix
        by_hand(model, mixtures, LENGTHS, list(LABELS), prefix).backward()
        assert table.grad is not None
        return table.grad

    model = tiny_t5()
    cycle(model, 5).backward()
    found = model.shared.weight.grad
    torch.testing.assert_close(found, embedding_gradient(detached=True), rtol=1e-4, atol=1e-6)
    difference = (embedding_gradient(detached=False) - found).norm(dim=1)
    assert difference.gt(1e-4).nonzero()[:, 0].tolist() == PREFIX[0].tolist()


# The cycle in stage 2


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared_with_gaps(tmp_path_factory.mktemp("cycle"))


@pytest.mark.parametrize("variant", ["mended", "authors"])
def test_stage_2_adds_the_weighted_cycle_of_rows_whose_label_counts(
    prepared: Prepared, variant: str
) -> None:
    step = 5
    config = config_of(**ALL_SAMPLED, cycle_loss_weight=0.1, r2d_c_variant=variant)
    model = model_of(config, prepared)
    without = config.model_copy(update={"cycle_loss_weight": 0.0})
    plain, _ = loss_of(without, prepared, step, model)
    with prompts_seen() as seen:
        torch.manual_seed(9)
        loss, sums = loss_of(config, prepared, step, model)
    [prompts] = seen
    assert 0 < prompts.wrong.sum() < len(prompts.wrong)

    # Rows one by one: rationale pass of the shown prompt, its noise, and the label that it shows.
    batch = batch_of(config, prepared, step)
    assert batch["explained_label_tokens"] < batch["label_tokens"]
    batch = select_rows(batch, batch["explained"])
    targets = batch["rationale_ids"]
    lengths = (targets != IGNORED).sum(dim=1).tolist()
    logits = teacher_forced(model, model, prompts.ids, prompts.mask, targets).logits
    mixtures = (noisy(logits, 9) / gumbel_temperature(step, config)).softmax(dim=1)
    nothing = torch.full_like(prompts.label_targets[0], IGNORED)
    labels = [
        nothing if wrong and variant == "mended" else label
        for wrong, label in zip(prompts.wrong, prompts.label_targets, strict=True)
    ]
    stage = stage_of(config, prepared)
    prefix = model.get_input_embeddings().weight[stage.table.predict_prefix[0]]
    if variant == "authors":  # padded positions are attended to: rows of equal length only
        longest = max(lengths)
        mixtures = torch.cat(
            [pad(part, (0, 0, 0, longest - len(part))) for part in mixtures.split(lengths)]
        )
        lengths = [longest] * len(lengths)
    want = by_hand(model, mixtures, lengths, labels, prefix) / batch["explained_label_tokens"]
    assert float(sums["cycle_loss"]) == pytest.approx(want.item(), rel=1e-4)
    assert (loss - plain).item() == pytest.approx(0.1 * want.item(), rel=1e-3)


def test_without_weight_there_is_no_third_pass_and_with_it_one_after_the_start(
    prepared: Prepared,
) -> None:
    config = config_of(cycle_loss_weight=0.1, sampling_start_ratio=0.5)  # 4 of 8 steps
    model = model_of(config, prepared)
    without = config.model_copy(update={"cycle_loss_weight": 0.0})
    for values, step, count in ((without, 7, 2), (config, 4, 2), (config, 5, 3)):
        with passes(model) as calls:
            _, sums = loss_of(values, prepared, step, model)
        assert len(calls) == count
        assert ("cycle_loss" in sums) == (count == 3)


def test_before_the_start_the_step_is_the_one_without_a_cycle(prepared: Prepared) -> None:
    config = config_of(cycle_loss_weight=0.1, sampling_start_ratio=0.5)
    model = model_of(config, prepared)
    plain = config.model_copy(update={"cycle_loss_weight": 0.0})
    found, want = (gradients(loss_of(c, prepared, 4, model)[0], model) for c in (config, plain))
    assert all(torch.equal(a, b) for a, b in zip(found, want, strict=True))


@pytest.mark.parametrize("method", ["r2d_c", "r2d_c_authors"])
def test_zero_stage_3_is_refused(method: str) -> None:
    values = METHODS[method].values
    assert build_config({**values, "zero_stage": 2}).zero_stage == 2
    with pytest.raises(UserError, match="cycle_loss_weight needs the whole embedding"):
        build_config({**values, "zero_stage": 3})
