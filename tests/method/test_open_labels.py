"""Open labels: any text, which the model generates; nothing is scored and nothing is probable."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import tiny_config, toy_splits
from torch.optim import AdamW
from toy_steps import batch_of, config_of, model_of, stage_of, texts
from transformers import PreTrainedModel

from r2d_ray.config import TrainConfig
from r2d_ray.data.card import data_card
from r2d_ray.data.examples import Splits
from r2d_ray.data.prepare import Prepared, open_prepared, prepare, prepared_key
from r2d_ray.errors import UserError
from r2d_ray.evaluation.controls.labels import controls
from r2d_ray.evaluation.evaluator import Evaluator
from r2d_ray.evaluation.label_metrics import candidates, open_label_scores
from r2d_ray.evaluation.predictions import label_metrics, predictions
from r2d_ray.evaluation.reading.readers import own_reading, with_swapped
from r2d_ray.evaluation.scoring import score
from r2d_ray.method.label_kinds import OPEN
from r2d_ray.method.losses import predict_pass_choice, stage2_loss
from r2d_ray.method.prompts import explain_given_label_prefix
from r2d_ray.method.tokens import encode
from r2d_ray.model.decoding import generate_texts
from r2d_ray.model.teacher_forcing import IGNORED, teacher_forced
from r2d_ray.records import Prediction
from r2d_ray.search.checks import check_data
from r2d_ray.training.stage import run_stage

LONG = "the weather was fine and the trial helped asthma"


def config_of_open(**values: object) -> TrainConfig:
    return config_of(**{"label_choice": "generate", "max_label_length": 6, **values})


def open_splits() -> Splits:
    """Return the toy set with labels in words of the rows' own."""
    words = {"yes": ("it helped", "the trial helped"), "no": ("it failed", LONG)}
    parts = {
        name: tuple(replace(row, label=words[row.label][i % 2]) for i, row in enumerate(rows))
        for name, rows in toy_splits().items()
    }
    return replace(toy_splits(), labels=(), **parts)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("open")
    return open_prepared(prepare(open_splits(), config_of_open(), folder))


@pytest.fixture(scope="module")
def half_trained(prepared: Prepared) -> PreTrainedModel:
    """A model that writes some gold labels and misses others."""
    config = config_of_open()
    model, stage = model_of(config, prepared), stage_of(config, prepared)
    optimiser = AdamW(model.parameters(), lr=2e-3)
    for step in range(24):
        batch = batch_of(config, prepared, step)
        targets = stage.table.options(batch).targets_of(batch["label_index"])
        found = teacher_forced(model, model, *stage.table.predict(batch), targets)
        optimiser.zero_grad()
        found.loss_sum.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return model.eval()


def evaluator_of(prepared: Prepared, model: PreTrainedModel) -> Evaluator:
    table = stage_of(config_of_open(), prepared).table
    return Evaluator(model, prepared.tokenizer, table, config_of_open(max_rationale_length=8))


def test_a_row_has_one_option_its_gold_label_cut_to_its_limit(prepared: Prepared) -> None:
    assert prepared.label_tokens.kind == OPEN
    assert prepared.label_tokens.classes == ()
    eos = prepared.tokenizer.eos_token_id
    for row in prepared.tables["train"]:
        ids = encode(prepared.tokenizer, row["label"])[:5]
        assert row["option_ids"] == [[*ids, eos]]
        assert row["label_index"] == 0
        [shown] = row["options"]
        assert shown == prepared.tokenizer.decode(ids)
        prefix = encode(prepared.tokenizer, explain_given_label_prefix(shown))
        assert row["option_prefixes"] == [prefix]
        assert len(prefix) <= prepared.label_tokens.room
    assert any(row["label"] == LONG != row["options"][0] for row in prepared.tables["train"])


def test_the_key_of_open_labels_changes_with_their_length() -> None:
    short, long = config_of_open(), config_of_open(max_label_length=7)
    assert prepared_key(open_splits(), short) != prepared_key(open_splits(), long)
    assert prepared_key(toy_splits(), short) == prepared_key(toy_splits(), long)


@torch.no_grad()
def test_the_train_error_is_that_of_greedy_generation(
    prepared: Prepared, half_trained: PreTrainedModel
) -> None:
    config = config_of_open()
    stage, met = stage_of(config, prepared), set()
    for step in range(3):
        batch = batch_of(config, prepared, step)
        options = stage.table.options(batch)
        targets = options.targets_of(batch["label_index"])
        ids, mask = stage.table.predict(batch)
        forced = teacher_forced(half_trained, half_trained, ids, mask, targets)
        choice = predict_pass_choice(half_trained, forced, mask, targets, options)
        written = generate_texts(half_trained, prepared.tokenizer, ids, mask, 6)
        right = [a == b for a, b in zip(written, batch["labels"], strict=True)]
        assert (choice.index == batch["label_index"]).tolist() == right
        met |= set(right)
        # By hand: the likeliest token at every gold position.
        start = 0
        for row, confidence in zip(targets, choice.confidence.tolist(), strict=True):
            length = int((row != IGNORED).sum())
            logits = forced.logits[start : start + length].log_softmax(dim=-1)
            assert confidence == pytest.approx(float(logits.amax(dim=1).mean().exp()), rel=1e-5)
            start += length
    assert met == {True, False}


def test_a_step_shows_gold_or_what_the_model_writes(prepared: Prepared) -> None:
    for floor in (1.0, 0.0):
        config = config_of_open(sampling_decay="constant", gold_probability_floor=floor)
        model, stage = model_of(config, prepared), stage_of(config, prepared)
        batch = batch_of(config, prepared, 2)
        loss, sums = stage2_loss(model, model, batch, 2, stage)
        loss.backward()  # type: ignore[no-untyped-call]
        assert float(sums["sampled"]) == (0 if floor else 8)
        assert float(sums["changed"]) == (0 if floor else 8)  # untrained: it writes no label
        assert float(sums["label_errors"]) == 8


def test_gold_prompts_are_the_same_whether_or_not_another_row_is_sampled(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    from r2d_ray.method import sampling, schedules

    config = config_of_open(sampling_decay="constant", gold_probability_floor=0.5)
    stage, model = stage_of(config, prepared), model_of(config, prepared)
    batch = batch_of(config, prepared, 1)
    choice = sampling.Choice(batch["label_index"], torch.ones(8))
    monkeypatch.setattr(
        sampling, "generate_with_confidence", lambda *_, **__: (["it helped"] * 8, torch.ones(8))
    )
    predict = stage.table.predict(batch)
    mixed = sampling.rationale_prompts(model, batch, choice, 1, stage, predict)
    gold = stage.table.explain_given(batch, batch["label_index"])
    whole = texts(prepared, replace(mixed, ids=gold[0], mask=gold[1]))
    own = [schedules.coin(config.seed, row, 1) >= 0.5 for row in batch["ids"]]
    assert set(own) == {True, False}
    for sampled, prompt, of_gold in zip(own, texts(prepared, mixed), whole, strict=True):
        assert prompt.startswith(explain_given_label_prefix("it helped")) or not sampled
        assert prompt == of_gold or sampled


def test_outputs_have_no_probability_and_scores_no_calibration(
    prepared: Prepared, half_trained: PreTrainedModel
) -> None:
    rows = prepared.tables["test"]
    evaluator = evaluator_of(prepared, half_trained)
    outputs = evaluator.labels(rows)
    free = evaluator.generated_labels(rows)
    assert [(o.label, o.probabilities) for o in outputs] == [(text, ()) for text in free]
    found = predictions(rows, outputs, (), evaluator.rationales(rows, free), free)
    assert all(row.probabilities == {} and row.options == () for row in found)
    scores = score(found, prepared.label_tokens.classes)
    for name, value in label_metrics(rows, outputs, prepared.label_tokens).items():
        assert scores[name] == value
    assert not {"ece", "brier", "nll", "generated_out_of_set_rate"} & set(scores)
    assert 0 < scores["accuracy"] < 1
    _, scores = own_reading(evaluator, found)
    assert scores["own_label_following"] is None, "open labels have no other one"
    assert with_swapped(evaluator, rows, found) == found


def test_open_scores_by_hand() -> None:
    gold = ["Acute  asthma", "gout", "gout", "migraine"]
    scores = open_label_scores(gold, ["acute asthma ", "gout", "GOUT", "gout"])
    # asthma 1; gout 2 hits, 3 written, 2 gold: 4/5; migraine 0.
    assert scores == {"macro_f1": pytest.approx((1 + 4 / 5 + 0) / 3), "accuracy": 3 / 4}
    assert open_label_scores(["a"], [None]) == {"macro_f1": 0.0, "accuracy": 0.0}
    with pytest.raises(ValueError, match="no row"):
        open_label_scores([], [])


def test_the_control_of_open_labels_is_the_majority() -> None:
    [(name, scores)] = controls(open_splits()).items()
    top = name.removeprefix("majority label (").removesuffix(")")
    share = sum(row.label == top for row in open_splits().test) / 10
    assert scores["accuracy"] == share


def test_a_mask_over_open_labels_hides_gold_and_prediction() -> None:
    row = Prediction(id="a", group="g", gold_label="gout", label="asthma")
    assert candidates(row, ()) == ("gout", "asthma")
    assert candidates(row, ("yes", "no")) == ("yes", "no")
    assert candidates(row.model_copy(update={"options": ("x", "y")}), ()) == ("x", "y")


def test_open_labels_must_be_generated_and_have_no_random_other() -> None:
    splits = open_splits()
    check_data(splits, config_of_open())
    with pytest.raises(UserError, match=r"^toy: 4 different labels .*--set label_choice=generate"):
        check_data(splits, config_of_open(label_choice="scored"))
    with pytest.raises(UserError, match=r"no wrong label .*\(allowed: predicted\)$"):
        check_data(splits, config_of_open(sampling_label="random_wrong"))
    assert data_card(splits)["label_kind"] == "open"


def test_a_run_over_open_labels_trains_and_selects(prepared: Prepared, tmp_path: Path) -> None:
    config = tiny_config(
        label_choice="generate", max_label_length=6, max_steps=4, eval_steps=2, logging_steps=1
    )
    out = run_stage(config, prepared, "stage2", output_dir=tmp_path / "o", best_dir=tmp_path / "b")
    assert out.steps_done == 4
    assert set(out.curve[-1]["scores"]) >= {"macro_f1", "accuracy", "rationale_loss"}
    assert out.series["train_label_error"][0] == 1.0
