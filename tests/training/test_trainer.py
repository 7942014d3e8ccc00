"""The loop: it learns, resumes exactly, selects the earliest best, stops when told, logs all."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from conftest import tiny_config, toy_splits
from safetensors.torch import load_file
from transformers import (
    T5Config,
    T5ForConditionalGeneration,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from r2d_ray.config import TrainConfig
from r2d_ray.data.prepare import Prepared, open_prepared, prepare
from r2d_ray.errors import UserError
from r2d_ray.method import losses
from r2d_ray.method.schedules import gold_probability, label_weight
from r2d_ray.model.t5 import load_model
from r2d_ray.training import arguments, trainer
from r2d_ray.training.callbacks import StopWhenFlat
from r2d_ray.training.stage import StageOutcome, run_stage
from r2d_ray.training.step_log import curve, series
from r2d_ray.training.trainer import NonFiniteError

HALF_SAMPLED = {"sampling_decay": "constant", "gold_probability_floor": 0.5}
SERIES = {
    "step",
    "loss",
    "grad_norm",
    "learning_rate",
    "label_loss",
    "rationale_loss",
    "alpha",
    "gold_probability",
    "sampled_share",
    "changed_share",
    "train_label_error",
    "padding_share",
}


@pytest.fixture(scope="module")
def prepared(prepared_dir: Path) -> Prepared:
    return open_prepared(prepared_dir)


def run(
    config: TrainConfig,
    prepared: Prepared,
    folder: Path,
    stage: Literal["stage1", "stage2"] = "stage2",
    **more: Any,
) -> StageOutcome:
    return run_stage(config, prepared, stage, output_dir=folder, best_dir=folder / "best", **more)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def equal(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def plain(
    tmp_path_factory: pytest.TempPathFactory, prepared: Prepared
) -> tuple[Path, StageOutcome]:
    """A run of both kinds of prompt, with dropout, that other tests look at."""
    folder = tmp_path_factory.mktemp("plain")
    config = tiny_config(**HALF_SAMPLED, label_warmup_ratio=0.5)
    return folder, run(config, prepared, folder)


@pytest.mark.timeout(120)
def test_a_tiny_t5_overfits_eight_rows(tmp_path: Path) -> None:
    config = tiny_config(
        per_device_train_batch_size=8,
        learning_rate=3e-3,
        dropout_rate=0.0,
        max_steps=50,
        eval_steps=50,
        logging_steps=10,
        lr_scheduler_type="constant",
    )
    rows = open_prepared(prepare(toy_splits(train=8), config, tmp_path))
    found = run(config, rows, tmp_path / "run").series
    assert found["train_label_error"][0] > 0  # type: ignore[operator]
    assert found["train_label_error"][-1] == 0
    assert found["rationale_loss"][-1] < 0.05 < 1 < found["rationale_loss"][0]  # type: ignore[operator]


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(
    stage: Literal["stage1", "stage2"],
    prepared: Prepared,
    plain: tuple[Path, StageOutcome],
    tmp_path: Path,
) -> None:
    config = tiny_config(**HALF_SAMPLED, label_warmup_ratio=0.5)
    assert config.dropout_rate == 0.1
    if stage == "stage1":
        middle, end = "checkpoint-2", "checkpoint-4"
        whole, want = tmp_path / "whole", run(config, prepared, tmp_path / "whole", stage)
    else:
        middle, end = "checkpoint-4", "checkpoint-8"
        whole, want = plain
    torch.rand(7)  # the generator stands elsewhere than in the first run
    resumed = tmp_path / "resumed"
    found = run(config, prepared, resumed, stage, resume_from=whole / middle)
    assert not equal(whole / middle, whole / end)
    assert equal(resumed / end, whole / end)
    assert (found.curve, found.series) == (want.curve, want.series)
    assert (found.selected_step, found.steps_done) == (want.selected_step, want.steps_done)


def test_the_same_run_again_is_the_same(
    prepared: Prepared, plain: tuple[Path, StageOutcome], tmp_path: Path
) -> None:
    torch.rand(3)
    again = run(tiny_config(**HALF_SAMPLED, label_warmup_ratio=0.5), prepared, tmp_path)
    assert equal(tmp_path / "checkpoint-8", plain[0] / "checkpoint-8")
    assert replace(again, step_s=None) == replace(plain[1], step_s=None)


def test_the_fused_optimiser_ends_where_the_plain_one_does(
    plain: tuple[Path, StageOutcome],
    prepared: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = arguments.training_arguments

    def with_plain_optimiser(*args: Any) -> TrainingArguments:
        arguments = real(*args)
        assert arguments.optim == "adamw_torch_fused"
        arguments.optim = "adamw_torch"
        return arguments

    monkeypatch.setattr(trainer, "training_arguments", with_plain_optimiser)
    config = tiny_config(**HALF_SAMPLED, label_warmup_ratio=0.5)
    found = run(config, prepared, tmp_path)
    for name in ("loss", "label_loss", "rationale_loss"):
        assert found.series[name] == pytest.approx(plain[1].series[name], rel=1e-4)
    fused, stepped = weights(plain[0] / "best"), weights(tmp_path / "best")
    for name, want in stepped.items():
        assert (fused[name] - want).norm() <= 1e-4 * want.norm(), name


def test_the_log_has_every_series_of_the_method(plain: tuple[Path, StageOutcome]) -> None:
    found = plain[1].series
    config = tiny_config(**HALF_SAMPLED, label_warmup_ratio=0.5)
    assert set(found) >= SERIES
    assert found["step"] == [2, 4, 6, 8]
    pairs = [(0, 1), (2, 3), (4, 5), (6, 7)]
    mean_of = [sum(label_weight(step, config) for step in pair) / 2 for pair in pairs]
    assert found["alpha"] == pytest.approx(mean_of)
    assert found["gold_probability"] == [gold_probability(0, config)] * 4 == [0.5] * 4
    for share in ("sampled_share", "changed_share", "train_label_error", "padding_share"):
        assert all(0 <= value <= 1 for value in found[share] if value is not None)
    # Alpha is constant in the last entries.
    for loss, label, rationale in list(
        zip(found["loss"], found["label_loss"], found["rationale_loss"], strict=True)
    )[2:]:
        assert loss == pytest.approx(0.7 * label + 0.3 * rationale, rel=1e-5)  # type: ignore[operator]


def test_the_curve_has_every_evaluation(plain: tuple[Path, StageOutcome]) -> None:
    found = plain[1].curve
    assert [point["step"] for point in found] == [4, 8]
    for point in found:
        assert {"macro_f1", "accuracy", "out_of_set_rate", "rationale_loss"} <= set(point["scores"])


def test_labels_alone_have_no_rationale_series(prepared: Prepared, tmp_path: Path) -> None:
    config = tiny_config(label_loss_weight=1.0, max_steps=2, eval_steps=2)
    found = run(config, prepared, tmp_path)
    of_rationales = {"rationale_loss", "gold_probability", "sampled_share", "changed_share"}
    assert set(found.series) & SERIES == SERIES - of_rationales
    assert "rationale_loss" not in found.curve[0]["scores"]


def test_stage_1_is_selected_by_its_validation_loss(prepared: Prepared, tmp_path: Path) -> None:
    found = run(tiny_config(), prepared, tmp_path, "stage1")
    losses = {point["step"]: point["scores"]["rationale_loss"] for point in found.curve}
    assert set(losses) == {2, 4}
    assert losses[found.selected_step] == min(losses.values()) == found.best_metric
    assert {"rationale_loss", "padding_share"} <= set(found.series)


def test_checkpoints_hold_no_pickled_arguments(plain: tuple[Path, StageOutcome]) -> None:
    names = {path.name for path in plain[0].rglob("*")}
    assert "model.safetensors" in names
    assert not {
        name for name in names if "training_args" in name or name.endswith((".bin", ".pkl"))
    }
    best = {path.name for path in (plain[0] / "best").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= best
    assert not {name for name in best if name.endswith((".pt", ".pth"))}


def scripted(monkeypatch: pytest.MonkeyPatch, name: str, values: list[float]) -> None:
    """Let the evaluations of a run return these values of a score."""
    script: Iterator[float] = iter(values)
    monkeypatch.setattr(trainer, "label_metrics", lambda *_: {name: next(script)})


@pytest.mark.parametrize(
    ("values", "best"), [([0.5, 0.5, 0.5], 2), ([0.2, 0.9, 0.9], 4), ([0.1, 0.2, 0.3], 6)]
)
def test_the_earliest_best_is_selected(
    prepared: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: list[float],
    best: int,
) -> None:
    scripted(monkeypatch, "macro_f1", values)
    config = tiny_config(max_steps=6, eval_steps=2, label_loss_weight=1.0)
    found = run(config, prepared, tmp_path)
    assert (found.selected_step, found.best_metric) == (best, max(values))
    assert equal(tmp_path / "best", tmp_path / f"checkpoint-{best}")


def test_the_last_step_is_evaluated_even_off_the_grid(prepared: Prepared, tmp_path: Path) -> None:
    found = run(tiny_config(max_steps=3, eval_steps=2), prepared, tmp_path)
    assert [point["step"] for point in found.curve] == [2, 3]
    short = run(tiny_config(max_steps=1, eval_steps=50), prepared, tmp_path / "short")
    assert (short.selected_step, [point["step"] for point in short.curve]) == (1, [1])


def stops(
    step: int, best: int | None, patience: int = 2, start: int = 10, eval_steps: int = 5
) -> bool:
    control, state = TrainerControl(), TrainerState(global_step=step, best_global_step=best)
    arguments: Any = None
    StopWhenFlat(patience, start, eval_steps).on_save(arguments, state, control)
    return control.should_training_stop


@pytest.mark.parametrize(
    ("step", "best", "stopped"),
    [
        (5, 0, False),  # before the start nothing counts
        (10, 0, False),
        (15, 0, False),  # one evaluation without a new best since the start
        (20, 0, True),  # two
        (20, 15, False),  # one since the best
        (25, 15, True),
        (25, 25, False),
        (20, None, True),
    ],
)
def test_early_stop_counts_evaluations_since_the_best_after_the_start(
    step: int, best: int | None, stopped: bool
) -> None:
    assert stops(step, best) is stopped


def test_early_stop_counts_whole_evaluations_where_the_start_is_off_their_grid() -> None:
    assert not stops(15, 0, start=12)
    assert stops(20, 0, start=12)


def test_patience_0_never_stops() -> None:
    assert not stops(10_000, 0, patience=0)


def test_a_flat_run_stops_early(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, "macro_f1", [0.5, 0.6, 0.6, 0.6, 0.6, 0.6])
    config = tiny_config(
        max_steps=6,
        eval_steps=1,
        label_loss_weight=1.0,
        early_stopping_patience=2,
        early_stopping_start_ratio=0.5,
    )
    found = run(config, prepared, tmp_path)
    assert (found.steps_done, found.selected_step, found.pruned) == (5, 2, False)


def recorder() -> tuple[list[dict[str, Any]], Callable[[dict[str, Any], Path], None]]:
    reports: list[dict[str, Any]] = []

    def report(scores: dict[str, Any], checkpoint: Path) -> None:
        assert (checkpoint / "model.safetensors").is_file()
        reports.append({**scores, "folder": checkpoint.name})

    return reports, report


def test_a_run_that_is_asked_to_stop_ends_at_its_next_evaluation(
    prepared: Prepared, tmp_path: Path
) -> None:
    reports, report = recorder()
    config = tiny_config(max_steps=6, eval_steps=2)
    answers = iter([False, True])
    found = run(config, prepared, tmp_path, report=report, stop_requested=lambda: next(answers))
    assert found.pruned
    assert found.steps_done == 4
    assert [(r["step"], r["pruned"], r["folder"]) for r in reports] == [
        (2, False, "checkpoint-2"),
        (4, True, "checkpoint-4"),
    ]
    assert reports[-1]["macro_f1"] == found.curve[-1]["scores"]["macro_f1"]
    assert (reports[-1]["best_step"], reports[-1]["best_metric"]) == (
        found.selected_step,
        found.best_metric,
    )


def test_a_request_at_the_last_evaluation_changes_nothing(
    prepared: Prepared, tmp_path: Path
) -> None:
    config = tiny_config(max_steps=2, eval_steps=2)
    found = run(config, prepared, tmp_path, stop_requested=lambda: True)
    assert (found.steps_done, found.pruned) == (2, False)


def test_a_loss_that_is_not_a_number_ends_the_run(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = losses.stage2_loss

    def broken(model: Any, core: Any, batch: Any, step: int, stage: Any) -> Any:
        loss, sums = real(model, core, batch, step, stage)
        return (loss * float("nan") if step == 2 else loss), sums

    monkeypatch.setattr(trainer, "stage2_loss", broken)
    with pytest.raises(NonFiniteError, match="loss = nan at step 3"):
        run(tiny_config(logging_steps=1), prepared, tmp_path)
    with pytest.raises(NonFiniteError, match="nan at step 4"):  # found by the evaluation
        run(tiny_config(logging_steps=100), prepared, tmp_path / "unlogged")


def test_a_score_that_is_not_a_number_ends_the_run(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, "macro_f1", [float("inf")])
    with pytest.raises(NonFiniteError, match="eval_macro_f1 = inf at step 4"):
        run(tiny_config(), prepared, tmp_path)


def test_recomputed_activations_give_the_same_run(
    prepared: Prepared, plain: tuple[Path, StageOutcome], tmp_path: Path
) -> None:
    config = tiny_config(**HALF_SAMPLED, label_warmup_ratio=0.5, gradient_checkpointing=True)
    found = run(config, prepared, tmp_path)
    assert found.series["loss"] == pytest.approx(plain[1].series["loss"], rel=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_bf16_with_labels_of_one_first_token_trains(tmp_path: Path, attention: str) -> None:
    splits = toy_splits()
    named = {"yes": "the trial helped", "no": "the trial failed"}
    renamed = {
        name: tuple(replace(row, label=named[row.label]) for row in rows)
        for name, rows in splits.items()
    }
    splits = replace(splits, labels=tuple(named.values()), **renamed)
    config = tiny_config(
        **HALF_SAMPLED, bf16=True, attn_implementation=attention, max_steps=2, eval_steps=2
    )
    rows = open_prepared(prepare(splits, config, tmp_path))
    assert not rows.label_tokens.first_tokens_differ
    found = run(config, rows, tmp_path / "run")
    assert found.steps_done == 2
    assert all(tensor.dtype == torch.float32 for tensor in weights(tmp_path / "run/best").values())


def t5_folder(prepared: Prepared, folder: Path) -> Path:
    """Save a small model of T5 v1.1's shape: gated activation, separate output layer."""
    architecture = T5Config(
        vocab_size=len(prepared.tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        pad_token_id=prepared.tokenizer.pad_token_id,
        eos_token_id=prepared.tokenizer.eos_token_id,
        decoder_start_token_id=prepared.tokenizer.pad_token_id,
    )
    T5ForConditionalGeneration(architecture).save_pretrained(folder)
    prepared.tokenizer.save_pretrained(folder)
    return folder


def test_a_folder_of_t5s_shape_trains(prepared: Prepared, tmp_path: Path) -> None:
    folder = t5_folder(prepared, tmp_path / "t5")
    config = tiny_config(model=str(folder), max_steps=2, eval_steps=2, dropout_rate=0.2)
    rows = open_prepared(prepare(toy_splits(), config, tmp_path))
    table = rows.tables["train"]
    assert table["body_ids"][:3] == prepared.tables["train"]["body_ids"][:3]
    found = run(config, rows, tmp_path / "run")
    assert found.steps_done == 2
    start, end = weights(folder), weights(tmp_path / "run/best")
    assert start.keys() == end.keys()
    assert not torch.equal(start["shared.weight"], end["shared.weight"])
    loaded = load_model(config, rows.tokenizer)
    assert loaded.config.dropout_rate == 0.2
    assert loaded.config.is_gated_act


def test_weights_that_are_pickles_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    folder = t5_folder(prepared, tmp_path / "t5")
    torch.save(weights(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"t5: no safetensors weights: .*") as caught:
        load_model(tiny_config(model=str(folder)), prepared.tokenizer)
    assert "\n" not in str(caught.value)


def test_history_becomes_columns_and_a_curve() -> None:
    history: list[dict[str, Any]] = [
        {"step": 1, "loss": 2.0, "learning_rate": 0.1, "epoch": 0.5},
        {"step": 1, "eval_accuracy": 0.25, "epoch": 0.5},
        {"step": 2, "loss": 1.0, "learning_rate": 0.0, "alpha": 0.7, "epoch": 1.0},
        {"step": 2, "train_runtime": 3.0, "epoch": 1.0},
    ]
    assert curve(history) == [{"step": 1, "scores": {"accuracy": 0.25}}]
    assert series(history) == {
        "step": [1, 2],
        "loss": [2.0, 1.0],
        "learning_rate": [0.1, 0.0],
        "alpha": [None, 0.7],
    }
