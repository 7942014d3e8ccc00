"""What a rationale prompt shows: random wrong labels at the model's own dose, generated labels."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_config
from scipy.stats import chisquare
from torch import Tensor
from toy_steps import HALF_SAMPLED, config_of, rows_of, stage_of, texts

from r2d_ray.config import PROFILES, TrainConfig
from r2d_ray.data.prepare import Prepared, open_prepared
from r2d_ray.method import sampling as module
from r2d_ray.method.batch import Batch
from r2d_ray.method.prompts import explain_given_label_prefix
from r2d_ray.method.sampling import Choice, Prompts, Stage2, rationale_prompts, replacement
from r2d_ray.method.schedules import coin
from r2d_ray.method.tokens import encode
from r2d_ray.model.t5 import load_model
from r2d_ray.model.teacher_forcing import IGNORED

LABELS = ("yes", "no", "asthma", "gout")
RANDOM = {**HALF_SAMPLED, "sampling_label": "random_wrong"}
NOTHING: Any = None  # a model or prompt that is never used


@pytest.fixture(scope="module")
def prepared(prepared_dir: Path) -> Prepared:
    return open_prepared(prepared_dir)


def with_error(error: float, config: TrainConfig) -> dict[str, float]:
    """Return running means after one step of this train error."""
    return {"steps": 1, "error_sum": error * (1 - config.train_error_memory)}


def choice_of(batch: Batch, errs: Tensor, confidence: float = 0.9, labels: int = 4) -> Choice:
    """Return the model's labels: wrong where `errs` (rows,)."""
    index = (batch["label_index"] + errs.long()) % labels
    return Choice(index, torch.full((len(index),), confidence))


def shown_by(prompts: Prompts, stage: Stage2) -> list[int]:
    """Return the index of the label whose prompt each row shows, read from the prompt's text."""
    rows = [
        tuple(row[mask.bool()].tolist())
        for row, mask in zip(prompts.ids, prompts.mask, strict=True)
    ]
    prefixes = stage.table.tokens.explain_prefixes
    return [next(i for i, p in enumerate(prefixes) if row[: len(p)] == p) for row in rows]


# Random wrong labels


@pytest.mark.parametrize("model_errs", [False, True])
def test_random_wrong_changes_a_row_where_its_two_coins_say_so(
    prepared: Prepared, model_errs: bool
) -> None:
    config = config_of(**RANDOM)
    stage = stage_of(config, prepared, LABELS, **with_error(0.3, config))
    batch = rows_of(prepared, 4000, 4)
    choice = choice_of(batch, torch.full((4000,), model_errs))
    prompts = rationale_prompts(NOTHING, batch, choice, 7, stage, NOTHING)
    changed = [
        coin(config.seed, row, 7) >= 0.5 and coin(config.seed, row, 7, "error") < 0.3
        for row in batch["ids"]
    ]
    shown, gold = shown_by(prompts, stage), batch["label_index"].tolist()
    assert [a != b for a, b in zip(shown, gold, strict=True)] == changed
    assert prompts.wrong.tolist() == changed
    assert float(prompts.sums["changed"]) == sum(changed)
    # 0.5 x 0.3 of the rows, within three standard errors.
    assert abs(sum(changed) / 4000 - 0.15) <= 3 * math.sqrt(0.15 * 0.85 / 4000)


def test_a_random_wrong_label_is_any_of_the_others_equally(prepared: Prepared) -> None:
    config = config_of(sampling_label="random_wrong")
    stage = stage_of(config, prepared, LABELS, **with_error(1.0, config))
    batch = rows_of(prepared, 8000, 4)
    found = replacement(choice_of(batch, torch.zeros(8000)), batch, 4, stage)
    for gold in range(len(LABELS)):
        counts = torch.bincount(found[batch["label_index"] == gold], minlength=len(LABELS)).tolist()
        assert counts.pop(gold) == 0
        assert chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize("error", [0.0, 1.0])
def test_with_two_labels_the_wrong_one_is_the_other(prepared: Prepared, error: float) -> None:
    config = config_of(sampling_label="random_wrong")
    stage = stage_of(config, prepared, ("yes", "no"), **with_error(error, config))
    batch = rows_of(prepared, 50, 2)
    found = replacement(choice_of(batch, torch.zeros(50), labels=2), batch, 0, stage)
    assert ((found != batch["label_index"]).float() == error).all()


def dose(prepared: Prepared, **values: object) -> float:
    """Return the changed share of a run of the embedded profile's length whose error falls."""
    rows, steps, changed = 100, PROFILES["embedded"]["max_steps"], 0.0
    config = tiny_config(max_steps=steps, **values)
    stage, batch = stage_of(config, prepared, LABELS), rows_of(prepared, rows, 4)
    draw = torch.Generator().manual_seed(0)
    for step in range(steps):
        errs = torch.rand(rows, generator=draw) < 0.1 + 0.65 * math.exp(-4 * step / steps)
        prompts = rationale_prompts(NOTHING, batch, choice_of(batch, errs), step, stage, NOTHING)
        changed += float(prompts.sums["changed"]) / rows
        stage.running.update(float(errs.sum()), rows, 0.0, config)
    return changed / steps


def test_random_wrong_and_the_models_own_labels_change_as_many_prompts(
    prepared: Prepared,
) -> None:
    own = dose(prepared, sampling_label="predicted")
    random = dose(prepared, sampling_label="random_wrong")
    assert own > 0.1
    assert random == pytest.approx(own, rel=0.1)


def test_a_random_wrong_label_is_never_decoded(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "generate_with_confidence", None)
    monkeypatch.setattr(module, "labels_without_dropout", None)
    shown = []
    for values in ({}, {"label_choice": "generate"}, {"sampling_dropout": False}):
        config = config_of(**RANDOM, **values)
        stage = stage_of(config, prepared, LABELS, **with_error(0.5, config))
        batch = rows_of(prepared, 40, 4)
        choice = choice_of(batch, torch.zeros(40))
        shown.append(shown_by(rationale_prompts(NOTHING, batch, choice, 7, stage, NOTHING), stage))
    assert shown[0] == shown[1] == shown[2] != batch["label_index"].tolist()


# The gold probability


@pytest.mark.parametrize(
    "values",
    [
        {"label_choice": "generate"},
        {"label_choice": "scored"},
        {"sampling_label": "random_wrong"},
        {"rationale_prompt": "plain"},
    ],
    ids=lambda values: next(iter(values.values())),
)
def test_every_way_to_a_prompt_logs_the_steps_gold_probability(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, values: dict[str, object]
) -> None:
    monkeypatch.setattr(
        module, "generate_with_confidence", lambda *_, **__: (["gout"] * 8, torch.ones(8))
    )
    config = config_of(**HALF_SAMPLED, **values)
    stage, batch = stage_of(config, prepared, LABELS), rows_of(prepared, 8, 4)
    core, predict = load_model(config, prepared.tokenizer), stage.table.predict(batch)
    choice = choice_of(batch, torch.zeros(8))
    sums = rationale_prompts(core, batch, choice, 7, stage, predict).sums
    sampled = sum(coin(config.seed, row, 7) >= 0.5 for row in batch["ids"])
    assert 0 < sampled < 8
    assert sums["gold_probability"] == 0.5
    assert float(sums["prompts"]) == 8
    assert float(sums["sampled"]) == (0 if "rationale_prompt" in values else sampled)


# Generated labels


def test_the_targets_of_generated_labels_are_the_shown_texts(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(**HALF_SAMPLED, label_choice="generate")
    stage = stage_of(config, prepared, (*LABELS, "migraine anaemia"))
    batch = rows_of(prepared, 24, 4)
    written = ["gout", "no weather", "", "fine"] * 6
    monkeypatch.setattr(
        module, "generate_with_confidence", lambda *_, **__: (written, torch.ones(24))
    )
    core, predict = load_model(config, prepared.tokenizer), stage.table.predict(batch)
    prompts = rationale_prompts(core, batch, choice_of(batch, torch.zeros(24)), 1, stage, predict)
    own = [coin(config.seed, row, 1) >= 0.5 for row in batch["ids"]]
    gold = [LABELS[i] for i in batch["label_index"].tolist()]
    shown = [w if o else g for w, g, o in zip(written, gold, own, strict=True)]
    assert {(w, o) for w, o in zip(written, own, strict=True)} >= {(w, True) for w in written}
    eos = prepared.tokenizer.eos_token_id
    for text, row, prompt in zip(
        shown, prompts.label_targets, texts(prepared, prompts), strict=True
    ):
        assert row[row != IGNORED].tolist() == [*encode(prepared.tokenizer, text), eos]
        assert prompt.startswith(explain_given_label_prefix(text))
    assert prompts.wrong.tolist() == [a != b for a, b in zip(shown, gold, strict=True)]
