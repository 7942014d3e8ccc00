"""Both losses against plain passes over whole prompt strings; sampling, shares, teacher forcing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import tiny_config, toy_splits
from torch import Tensor
from transformers import PreTrainedModel

from r2d_ray.config import TrainConfig
from r2d_ray.data.batches import StepBatches
from r2d_ray.data.prepare import Prepared, open_prepared, prepare
from r2d_ray.method import sampling, schedules
from r2d_ray.method.batch import Batch, select_rows
from r2d_ray.method.labels import prompt_table
from r2d_ray.method.losses import stage1_loss, stage2_loss
from r2d_ray.method.prompts import EXPLAIN_PREFIX, PREDICT_PREFIX, explain_given_label_prefix
from r2d_ray.method.sampling import Choice, Stage2, labels_without_dropout, rationale_prompts
from r2d_ray.method.variants import get_method
from r2d_ray.model.flops import Lengths, ModelShape, Sums, pass_sums, training_flops
from r2d_ray.model.t5 import load_model
from r2d_ray.model.teacher_forcing import IGNORED, teacher_forced

ALL_SAMPLED = {"sampling_decay": "constant", "gold_probability_floor": 0.0}
HALF_SAMPLED = {"sampling_decay": "constant", "gold_probability_floor": 0.5}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The toy set; every fourth training row has no rationale."""
    splits = toy_splits()
    train = tuple(
        replace(row, rationales={}) if i % 4 == 2 else row for i, row in enumerate(splits.train)
    )
    folder = tmp_path_factory.mktemp("losses")
    return open_prepared(prepare(replace(splits, train=train), tiny_config(), folder))


def config_of(**values: object) -> TrainConfig:
    return tiny_config(**{"per_device_train_batch_size": 8, "dropout_rate": 0.0, **values})


def model_of(config: TrainConfig, prepared: Prepared) -> PreTrainedModel:
    return load_model(config, prepared.tokenizer).train()


def stage_of(config: TrainConfig, prepared: Prepared) -> Stage2:
    table = prompt_table(prepared.tokenizer, prepared.label_tokens, torch.device("cpu"))
    return Stage2(config, table, prepared.tokenizer)


def micro_batches(config: TrainConfig, prepared: Prepared, step: int = 0) -> list[Batch]:
    batches = StepBatches(
        prepared.tables["train"],
        config,
        label_lengths=[len(target) for target in prepared.label_tokens.targets],
        rationale_column="rationale_ids",
        only_with_rationale=False,
        max_steps=config.max_steps,
        rank=0,
        seed=config.seed,
    )
    accumulation = config.gradient_accumulation_steps
    return [batches[step * accumulation + micro] for micro in range(accumulation)]


def loss_of(
    config: TrainConfig, prepared: Prepared, step: int = 0, model: PreTrainedModel | None = None
) -> tuple[Tensor, Sums]:
    model = model or model_of(config, prepared)
    [batch] = micro_batches(config, prepared, step)
    return stage2_loss(model, model, batch, step, stage_of(config, prepared))


def texts_of(prepared: Prepared, batch: Batch) -> tuple[list[str], list[str], list[str]]:
    """Return body, gold label and rationale of a batch's rows, from the table's own ids."""
    table = prepared.tables["train"]
    rows = [table["id"].index(row) for row in batch["ids"]]
    decode = prepared.tokenizer.decode
    bodies = [decode(table["body_ids"][row]) for row in rows]
    return bodies, [table["label"][row] for row in rows], [table["reference"][row] for row in rows]


def plain_loss_sum(
    model: PreTrainedModel, prepared: Prepared, prompts: Sequence[str], targets: Sequence[str]
) -> tuple[Tensor, int]:
    """Return transformers' own loss of target strings given prompt strings, summed, and tokens."""
    tokenizer = prepared.tokenizer
    inputs = tokenizer(list(prompts), padding=True, return_tensors="pt")
    wanted = tokenizer(list(targets), padding=True, return_tensors="pt")
    labels = wanted.input_ids.masked_fill(wanted.attention_mask == 0, IGNORED)
    out = model(input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, labels=labels)
    tokens = int((labels != IGNORED).sum())
    return out.loss * tokens, tokens


def plain_choice(model: PreTrainedModel, prepared: Prepared, bodies: Sequence[str]) -> list[str]:
    """Return the label whose first token is likeliest, by a pass of its own."""
    prompts = [f"{PREDICT_PREFIX} {body}" for body in bodies]
    inputs = prepared.tokenizer(prompts, padding=True, return_tensors="pt")
    start = torch.full((len(bodies), 1), model.config.decoder_start_token_id)
    logits = model(**inputs, decoder_input_ids=start).logits[:, 0]
    firsts = [target[0] for target in prepared.label_tokens.targets]
    return [prepared.label_tokens.labels[i] for i in logits[:, firsts].argmax(dim=1)]


def test_loss_on_real_targets_equals_transformers_loss_with_its_gradient(
    prepared: Prepared,
) -> None:
    config = config_of()
    model = model_of(config, prepared)
    [batch] = micro_batches(config, prepared)
    ids, mask = stage_of(config, prepared).table.explain(batch)
    targets = batch["rationale_ids"]
    keep = targets != IGNORED
    assert 0 < keep.sum() < keep.numel()

    want = model(input_ids=ids, attention_mask=mask, labels=targets)
    want_sum = want.loss * keep.sum()
    want_sum.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    found = teacher_forced(model, model, ids, mask, targets)
    found.loss_sum.backward()

    assert found.loss_sum.item() == pytest.approx(want_sum.item(), rel=1e-5)
    torch.testing.assert_close(found.logits, want.logits[keep], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.encoder_states, want.encoder_last_hidden_state)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(
            parameter.grad, gradients[name], rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_logits_are_whole_again_after_the_pass(prepared: Prepared) -> None:
    config = config_of()
    model = model_of(config, prepared)
    [batch] = micro_batches(config, prepared)
    ids, mask = stage_of(config, prepared).table.explain(batch)
    teacher_forced(model, model, ids, mask, batch["rationale_ids"])
    out = model(input_ids=ids, attention_mask=mask, labels=batch["rationale_ids"])
    assert out.logits.shape[:2] == batch["rationale_ids"].shape


def test_stage_1_loss_is_the_token_mean_of_the_rationales(prepared: Prepared) -> None:
    config = config_of()
    model = model_of(config, prepared)
    [batch] = micro_batches(config, prepared)
    loss, sums = stage1_loss(model, model, batch, stage_of(config, prepared).table)
    bodies, _, rationales = texts_of(prepared, batch)
    rows = [i for i, text in enumerate(rationales) if text]
    prompts = [f"{EXPLAIN_PREFIX} {bodies[i]}" for i in rows]
    total, tokens = plain_loss_sum(model, prepared, prompts, [rationales[i] for i in rows])
    assert loss.item() == pytest.approx(total.item() / tokens, rel=1e-5)
    assert float(sums["rationale_loss"]) == loss.item()


@pytest.mark.parametrize("step", [0, 3, 5])
@pytest.mark.parametrize("target", ["keep", "drop"])
def test_stage_2_loss_equals_two_plain_passes(prepared: Prepared, step: int, target: str) -> None:
    config = config_of(**HALF_SAMPLED, wrong_label_target=target, label_warmup_ratio=0.5)
    model = model_of(config, prepared)
    loss, sums = loss_of(config, prepared, step, model)

    [batch] = micro_batches(config, prepared, step)
    bodies, gold, rationales = texts_of(prepared, batch)
    label_sum, label_count = plain_loss_sum(
        model, prepared, [f"{PREDICT_PREFIX} {body}" for body in bodies], gold
    )
    own = plain_choice(model, prepared, bodies)
    coins = [schedules.coin(config.seed, row, step) for row in batch["ids"]]
    shown = [o if c >= 0.5 else g for o, g, c in zip(own, gold, coins, strict=True)]
    rows = [i for i, text in enumerate(rationales) if text]
    wrong = {i for i in rows if shown[i] != gold[i]}
    counted = [i for i in rows if target == "keep" or i not in wrong]
    rationale_sum, _ = plain_loss_sum(
        model,
        prepared,
        [f"{explain_given_label_prefix(shown[i])} {bodies[i]}" for i in counted],
        [rationales[i] for i in counted],
    )
    # A dropped row leaves the sum but not the divisor.
    tokens = sum(len(prepared.tokenizer(rationales[i])["input_ids"]) for i in rows)
    alpha = 0.7 * min(1, step / 4)
    label_loss, rationale_loss = label_sum.item() / label_count, rationale_sum.item() / tokens
    want = alpha * label_loss + (1 - alpha) * rationale_loss
    assert loss.item() == pytest.approx(want, rel=1e-5)
    assert sums["alpha"] == pytest.approx(alpha)
    assert float(sums["changed"]) == len(wrong)
    assert float(sums["sampled"]) == sum(coins[i] >= 0.5 for i in rows)
    assert float(sums["prompts"]) == len(rows)
    assert float(sums["label_errors"]) == sum(o != g for o, g in zip(own, gold, strict=True))


def test_the_steps_above_contain_wrong_labels(prepared: Prepared) -> None:
    changed = [float(loss_of(config_of(**HALF_SAMPLED), prepared, s)[1]["changed"]) for s in (3, 5)]
    assert sum(changed) > 0


def test_dropping_wrong_labels_changes_the_loss_of_wrong_rows_only(prepared: Prepared) -> None:
    model = model_of(config_of(), prepared)
    found = {}
    for target in ("keep", "drop"):
        config = config_of(**ALL_SAMPLED, wrong_label_target=target)
        found[target] = loss_of(config, prepared, 1, model)
    assert float(found["keep"][1]["changed"]) > 0
    assert found["drop"][0] < found["keep"][0]
    assert torch.equal(found["drop"][1]["label_loss"], found["keep"][1]["label_loss"])


TEACHER_FORCING = [
    {"sampling_decay": "none"},
    {"sampling_decay": "linear", "sampling_start_ratio": 1.0},
    {"sampling_decay": "constant", "gold_probability_floor": 1.0},
    {"sampling_decay": "none", "label_choice": "generate"},
    {"sampling_decay": "none", "sampling_dropout": False},
    {"sampling_decay": "none", "wrong_label_target": "drop"},
]


def test_gold_probability_1_is_teacher_forcing_bit_for_bit(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "generate_with_confidence", None)  # nothing may be decoded
    results = []
    for values in TEACHER_FORCING:
        config = config_of(dropout_rate=0.1, **values)
        model = model_of(config, prepared)
        torch.manual_seed(1)
        loss, sums = loss_of(config, prepared, step=5, model=model)
        loss.backward()
        gradients = [parameter.grad for parameter in model.parameters()]
        results.append([loss.detach(), *gradients])
        assert float(sums["sampled"]) == float(sums["changed"]) == 0

    # The same by hand: a label pass, then a rationale pass that shows gold labels.
    config = config_of(dropout_rate=0.1)
    model = model_of(config, prepared)
    torch.manual_seed(1)
    [batch] = micro_batches(config, prepared, 5)
    table = stage_of(config, prepared).table
    label_pass = teacher_forced(
        model, model, *table.predict(batch), table.label_targets[batch["label_index"]]
    )
    batch = select_rows(batch, batch["explained"])
    rationale_pass = teacher_forced(
        model, model, *table.explain_given(batch, batch["label_index"]), batch["rationale_ids"]
    )
    label_loss = label_pass.loss_sum / batch["label_tokens"]
    rationale_loss = rationale_pass.loss_sum / batch["rationale_tokens"]
    loss = 0.7 * label_loss + (1.0 - 0.7) * rationale_loss
    loss.backward()
    results.append([loss.detach(), *(parameter.grad for parameter in model.parameters())])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def count_passes(config: TrainConfig, prepared: Prepared) -> tuple[int, Sums]:
    model = model_of(config, prepared)
    calls: list[int] = []
    model.get_encoder().register_forward_pre_hook(lambda *_: calls.append(1))
    _, sums = loss_of(config, prepared, 1, model)
    return len(calls), sums


def test_the_encoder_runs_once_per_loss(prepared: Prepared) -> None:
    labels_only, sums = count_passes(config_of(label_loss_weight=1.0), prepared)
    assert labels_only == 1
    assert "rationale_loss" not in sums
    assert "sampled" not in sums
    assert count_passes(config_of(**ALL_SAMPLED), prepared)[0] == 2
    without_dropout = config_of(**ALL_SAMPLED, sampling_dropout=False)
    assert count_passes(without_dropout, prepared)[0] == 3
    assert count_passes(config_of(**ALL_SAMPLED, label_choice="generate"), prepared)[0] == 3


def prompts_of(
    config: TrainConfig, prepared: Prepared, step: int = 1, model: PreTrainedModel | None = None
) -> tuple[Batch, list[str], Tensor, Sums]:
    """Return batch, prompt texts, which are wrong, and sums; the model predicts `yes` always."""
    stage = stage_of(config, prepared)
    [batch] = micro_batches(config, prepared, step)
    model = model or model_of(config, prepared)
    predict = stage.table.predict(batch)
    found = rationale_prompts(model, batch, always_yes(batch), step, stage, predict)
    kept = zip(found.ids, found.mask, strict=True)
    rows = [row[keep.bool()].tolist()[:-1] for row, keep in kept]
    return batch, prepared.tokenizer.batch_decode(rows), found.wrong, found.sums


def always_yes(batch: Batch) -> Choice:
    rows = len(batch["ids"])
    return Choice(torch.zeros(rows, dtype=torch.long), torch.ones(rows))


def test_a_plain_prompt_shows_no_label(prepared: Prepared) -> None:
    config = config_of(**ALL_SAMPLED, rationale_prompt="plain")
    batch, prompts, wrong, sums = prompts_of(config, prepared)
    bodies, _, _ = texts_of(prepared, batch)
    assert prompts == [f"{EXPLAIN_PREFIX} {body}" for body in bodies]
    assert not wrong.any()
    assert float(sums["sampled"]) == float(sums["changed"]) == 0


def test_a_sampled_prompt_shows_the_models_own_label(prepared: Prepared) -> None:
    batch, prompts, wrong, _ = prompts_of(config_of(**ALL_SAMPLED), prepared)
    bodies, gold, _ = texts_of(prepared, batch)
    assert prompts == [f"{explain_given_label_prefix('yes')} {body}" for body in bodies]
    assert wrong.tolist() == [label != "yes" for label in gold]
    assert 0 < wrong.sum() < len(gold)


@pytest.mark.parametrize("floor", [0.0, 0.3, 0.8, 1.0])
def test_the_sampled_share_follows_the_gold_probability(prepared: Prepared, floor: float) -> None:
    config = config_of(
        sampling_decay="constant", gold_probability_floor=floor, max_steps=60, eval_steps=60
    )
    model: Any = None  # the choice is given: no pass is needed
    stage = stage_of(config, prepared)
    sampled = prompts = 0.0
    for step in range(60):
        [batch] = micro_batches(config, prepared, step)
        nothing: Any = None
        sums = rationale_prompts(model, batch, always_yes(batch), step, stage, nothing).sums
        assert sums["gold_probability"] == floor
        sampled, prompts = sampled + float(sums["sampled"]), prompts + float(sums["prompts"])
    assert prompts == 60 * 8 * 3 / 4  # 20 epochs, every row once in each
    spread = (floor * (1 - floor) / prompts) ** 0.5
    assert abs(sampled / prompts - (1 - floor)) <= 3 * spread


def test_generate_mode_shows_what_the_model_wrote(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(**HALF_SAMPLED, label_choice="generate")
    written = ["no", "yes", "", "fine", "no", "yes", "maybe", "trial"]
    monkeypatch.setattr(
        sampling, "generate_with_confidence", lambda *_, **__: (written, torch.ones(len(written)))
    )
    batch, prompts, wrong, sums = prompts_of(config, prepared)
    bodies, gold, rationales = texts_of(prepared, batch)
    own = [schedules.coin(config.seed, row, 1) >= 0.5 for row in batch["ids"]]
    shown = [text if o else g for text, g, o in zip(written, gold, own, strict=True)]
    limit = stage_of(config, prepared).table.label_prefixes.shape[1]
    for prompt, label, body in zip(prompts, shown, bodies, strict=True):
        prefix = explain_given_label_prefix(label)
        if len(prepared.tokenizer(prefix, add_special_tokens=False)["input_ids"]) <= limit:
            assert prompt == f"{prefix} {body}"
    assert wrong.tolist() == [label != right for label, right in zip(shown, gold, strict=True)]
    changed = [w for w, text in zip(wrong.tolist(), rationales, strict=True) if text]
    assert float(sums["changed"]) == sum(changed) > 0


@pytest.mark.parametrize("dropout", [True, False])
def test_generate_mode_decodes_with_or_without_dropout_and_trains_on(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, dropout: bool
) -> None:
    modes = []

    def spy(model: PreTrainedModel, *rest: Any, **_: Any) -> tuple[list[str], Tensor]:
        modes.append(model.training)
        return ["no"] * len(rest[1]), torch.ones(len(rest[1]))

    monkeypatch.setattr(sampling, "generate_with_confidence", spy)
    config = config_of(**ALL_SAMPLED, label_choice="generate", sampling_dropout=dropout)
    model = model_of(config, prepared)
    prompts_of(config, prepared, model=model)
    assert modes == [dropout]
    assert model.training


def test_without_sampling_dropout_the_label_is_that_of_evaluation(prepared: Prepared) -> None:
    config = config_of(**ALL_SAMPLED, dropout_rate=0.5, sampling_dropout=False)
    model = model_of(config, prepared)
    batch, prompts, _, _ = prompts_of(config, prepared, model=model)
    assert model.training
    model.eval()
    bodies, _, _ = texts_of(prepared, batch)
    own = plain_choice(model, prepared, bodies)
    assert prompts == [
        f"{explain_given_label_prefix(label)} {body}"
        for label, body in zip(own, bodies, strict=True)
    ]
    table = stage_of(config, prepared).table
    found = labels_without_dropout(model, table.options(batch), *table.predict(batch)).index
    assert [table.tokens.labels[i] for i in found] == own
    assert not model.training


def test_with_sampling_dropout_the_label_is_that_of_the_noisy_pass(prepared: Prepared) -> None:
    config = config_of(**ALL_SAMPLED, dropout_rate=0.5)
    errors = set()
    for seed in range(6):
        model = model_of(config, prepared)
        torch.manual_seed(seed)
        errors.add(float(loss_of(config, prepared, 1, model)[1]["label_errors"]))
    assert len(errors) > 1


@pytest.mark.parametrize("accumulation", [2, 4, 8])
def test_shares_of_micro_batches_add_up_to_the_whole_batch(
    prepared: Prepared, accumulation: int
) -> None:
    whole = config_of(**HALF_SAMPLED)
    want, want_sums = loss_of(whole, prepared, 3)
    config = config_of(
        **HALF_SAMPLED,
        per_device_train_batch_size=8 // accumulation,
        gradient_accumulation_steps=accumulation,
    )
    model = model_of(config, prepared)
    stage = stage_of(config, prepared)
    parts = [stage2_loss(model, model, b, 3, stage) for b in micro_batches(config, prepared, 3)]
    assert sum(loss.item() for loss, _ in parts) == pytest.approx(want.item(), rel=1e-5)
    for name in ("label_loss", "rationale_loss"):
        total = sum(float(sums[name]) for _, sums in parts)
        assert total == pytest.approx(float(want_sums[name]), rel=1e-5)
    for name in ("sampled", "changed", "label_errors", "rows", "prompts"):
        assert sum(float(sums[name]) for _, sums in parts) == float(want_sums[name])


def test_a_batch_without_rationales_has_no_rationale_loss(prepared: Prepared) -> None:
    config = config_of(**ALL_SAMPLED)
    model = model_of(config, prepared)
    [batch] = micro_batches(config, prepared)
    batch |= {
        "rationale_ids": torch.full((8, 1), IGNORED),
        "rationale_tokens": 0,
        "explained": torch.tensor([0]),
    }
    loss, sums = stage2_loss(model, model, batch, 0, stage_of(config, prepared))
    assert float(sums["rationale_loss"]) == 0.0
    assert loss.item() == pytest.approx(0.7 * float(sums["label_loss"]))
    assert float(sums["prompts"]) == float(sums["sampled"]) == float(sums["changed"]) == 0


def test_padding_is_counted_over_both_passes(prepared: Prepared) -> None:
    config = config_of()
    _, sums = loss_of(config, prepared)
    [batch] = micro_batches(config, prepared)
    bodies, gold, rationales = texts_of(prepared, batch)
    predict = [len(prepared.tokenizer(f"{PREDICT_PREFIX} {b}")["input_ids"]) for b in bodies]
    explain = [
        len(prepared.tokenizer(f"{explain_given_label_prefix(g)} {b}")["input_ids"])
        for b, g, r in zip(bodies, gold, rationales, strict=True)
        if r
    ]
    real = sum(predict) + sum(explain)
    assert float(sums["positions"]) - float(sums["padding"]) == real


# Cost


def test_a_pass_costs_its_real_tokens(prepared):
    model = model_of(config_of(), prepared)
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
    targets = torch.tensor([[True, True], [True, False]])
    found = pass_sums(model, mask, targets)
    lengths = Lengths(3 + 1, 2 + 1, 9 + 1, 4 + 1, 6 + 1)
    assert float(found["encoder_tokens"]) == 4
    assert float(found["decoder_tokens"]) == 3
    assert float(found["padding"]) == 4
    assert float(found["model_flops"]) == training_flops(ModelShape.of(model.config), lengths)


def test_two_passes_cost_more_than_one_and_a_cycle_more_than_two(prepared):
    cost = {}
    for name in ("sft", "r2d", "r2d_c"):
        config = config_of(**{**get_method(name).values, "stage1_max_steps": 0, "max_steps": 100})
        stage = stage_of(config, prepared)
        (batch,) = micro_batches(config, prepared, step=50)
        model = model_of(config, prepared)
        cost[name] = float(stage2_loss(model, model, batch, 50, stage)[1]["model_flops"])
    assert cost["sft"] < cost["r2d"] < cost["r2d_c"]
