"""What the model puts out on a split: the same for any batch size, order of lengths and ranks."""

import copy
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from conftest import tiny_config, toy_splits
from datasets import Dataset

from r2d_ray.data.prepare import Prepared, open_prepared, prepare
from r2d_ray.evaluation import evaluator as module
from r2d_ray.evaluation.evaluator import Evaluator
from r2d_ray.evaluation.predictions import LabelOutput, prediction_metrics, predictions
from r2d_ray.method.labels import prompt_table
from r2d_ray.method.prompts import EXPLAIN_PREFIX, PREDICT_PREFIX, explain_given_label_prefix
from r2d_ray.model import decoding
from r2d_ray.model.t5 import load_model
from r2d_ray.records import Prediction

T = TypeVar("T")


@pytest.fixture(scope="module")
def prepared(prepared_dir: Path) -> Prepared:
    return open_prepared(prepared_dir)


@pytest.fixture(scope="module")
def evaluator(prepared: Prepared, trained_dir: Path) -> Evaluator:
    config = tiny_config(max_rationale_length=8, per_device_eval_batch_size=4)
    model = load_model(config, prepared.tokenizer, trained_dir)
    table = prompt_table(prepared.tokenizer, prepared.label_tokens, torch.device("cpu"))
    return Evaluator(model, prepared.tokenizer, table, config)


def with_config(evaluator: Evaluator, **values: object) -> Evaluator:
    return replace(evaluator, config=evaluator.config.model_copy(update=values))


def assert_same_labels(found: Sequence[LabelOutput], want: Sequence[LabelOutput]) -> None:
    assert [output.label for output in found] == [output.label for output in want]
    for one, other in zip(found, want, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_outputs_stand_in_the_order_of_the_rows(evaluator: Evaluator, prepared: Prepared) -> None:
    rows = prepared.tables["test"]
    lengths = [len(ids) for ids in rows["body_ids"]]
    assert lengths != sorted(lengths, reverse=True)
    labels = evaluator.labels(rows)
    assert {output.label for output in labels} == {"yes", "no"}
    shown = ["yes", "no"] * 5
    rationales = evaluator.rationales(rows, shown)
    assert len(set(rationales)) > 1
    for i in range(len(rows)):
        alone = rows.select([i])
        assert_same_labels(evaluator.labels(alone), labels[i : i + 1])
        assert evaluator.rationales(alone, shown[i : i + 1]) == rationales[i : i + 1]


def test_rationales_of_many_rows_are_written_together_as_in_small_batches(
    evaluator: Evaluator, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, shown = prepared.tables["test"], ["yes", "no"] * 5
    real, passes = decoding.generate_texts, []

    def counted(*args: Any) -> list[str]:
        passes.append(len(args[2]))
        return real(*args)

    monkeypatch.setattr(module, "generate_texts", counted)
    together = evaluator.rationales(rows, shown)
    ranks = replace(with_config(evaluator, zero_stage=3), world_size=2)  # they keep step
    assert ranks._decoded_at_once == 4 < evaluator._decoded_at_once
    monkeypatch.setattr(decoding, "CACHE_BYTES", 0)
    assert evaluator.rationales(rows, shown) == together
    assert passes == [10, 4, 4, 2]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_the_batch_size_changes_nothing(
    evaluator: Evaluator, prepared: Prepared, size: int
) -> None:
    rows = prepared.tables["test"]
    other = with_config(evaluator, per_device_eval_batch_size=size)
    labels = evaluator.labels(rows)
    shown = [output.label for output in labels]
    assert_same_labels(other.labels(rows), labels)
    assert other.rationales(rows, shown) == evaluator.rationales(rows, shown)
    assert other.rationale_loss(rows, "rationale_ids", True) == pytest.approx(
        evaluator.rationale_loss(rows, "rationale_ids", True)
    )


def test_probabilities_are_over_the_label_set(evaluator: Evaluator, prepared: Prepared) -> None:
    for output in evaluator.labels(prepared.tables["test"]):
        assert sum(output.probabilities) == pytest.approx(1.0)
        best = max(range(2), key=lambda i: output.probabilities[i])
        assert output.label == prepared.label_tokens.labels[best]


def test_free_labels_are_what_the_model_writes(evaluator: Evaluator, prepared: Prepared) -> None:
    rows = prepared.tables["test"]
    free = with_config(evaluator, label_choice="generate", max_label_length=1)
    outputs = free.labels(rows)
    assert [output.label for output in outputs] == free.generated_labels(rows)
    scored = evaluator.labels(rows)
    for one, other in zip(outputs, scored, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def written(evaluator: Evaluator, prompt: str) -> str:
    inputs = evaluator.tokenizer(prompt, return_tensors="pt")
    limit = evaluator.config.max_rationale_length
    out = evaluator.model.eval().generate(**inputs, max_new_tokens=limit, do_sample=False)
    return evaluator.tokenizer.decode(out[0], skip_special_tokens=True).strip()


def test_prompts_are_those_of_the_method(evaluator: Evaluator, prepared: Prepared) -> None:
    rows = prepared.tables["test"].select([0])
    body = prepared.tokenizer.decode(rows[0]["body_ids"])
    prompt = f"{explain_given_label_prefix('no')} {body}"
    assert evaluator.rationales(rows, ["no"]) == [written(evaluator, prompt)]
    plain = with_config(evaluator, rationale_prompt="plain")
    assert plain.rationales(rows, ["no"]) == [written(evaluator, f"{EXPLAIN_PREFIX} {body}")]
    label = written(evaluator, f"{PREDICT_PREFIX} {body}")
    assert evaluator.generated_labels(rows) == [label]


@pytest.mark.parametrize("given", [True, False])
def test_rationale_loss_is_the_token_mean_over_rows_taken_one_by_one(
    evaluator: Evaluator, tmp_path: Path, given: bool
) -> None:
    splits = toy_splits()
    some = tuple(
        replace(row, rationales={"human": row.rationales["human"] * (1 + i % 2)} if i % 3 else {})
        for i, row in enumerate(splits.test)
    )
    made = open_prepared(prepare(replace(splits, test=some), tiny_config(), tmp_path))
    rows, tokenizer = made.tables["test"], evaluator.tokenizer
    model, total, tokens = evaluator.model.eval(), 0.0, 0
    for row in rows:
        if not row["rationale_ids"]:
            continue
        prefix = explain_given_label_prefix(row["label"]) if given else EXPLAIN_PREFIX
        inputs = tokenizer(f"{prefix} {tokenizer.decode(row['body_ids'])}", return_tensors="pt")
        with torch.no_grad():
            loss = model(**inputs, labels=torch.tensor([row["rationale_ids"]])).loss
        total += float(loss) * len(row["rationale_ids"])
        tokens += len(row["rationale_ids"])
    found = evaluator.rationale_loss(rows, "rationale_ids", given)
    assert found == pytest.approx(total / tokens, rel=1e-5)


def test_the_mode_of_the_model_is_left_as_it_was(evaluator: Evaluator, prepared: Prepared) -> None:
    for training in (True, False):
        evaluator.model.train(training)
        evaluator.labels(prepared.tables["test"].select([0]))
        assert evaluator.model.training is training


def over_ranks(
    evaluator: Evaluator,
    ranks: int,
    act: Callable[[Evaluator], T],
    monkeypatch: pytest.MonkeyPatch,
) -> list[T]:
    """Return what every rank returns: threads stand for processes, a board for the network."""
    board: dict[int, object] = {}
    barrier = threading.Barrier(ranks, timeout=30)
    here = threading.local()

    def all_gather_object(parts: list[object], found: object) -> None:
        board[here.rank] = found
        barrier.wait()
        parts[:] = [board[rank] for rank in range(ranks)]
        barrier.wait()

    def run(rank: int) -> T:
        here.rank = rank
        model = copy.deepcopy(evaluator.model)
        return act(replace(evaluator, model=model, rank=rank, world_size=ranks))

    monkeypatch.setattr(module.dist, "all_gather_object", all_gather_object)
    with ThreadPoolExecutor(ranks) as pool:
        return list(pool.map(run, range(ranks)))


@pytest.mark.parametrize(("ranks", "count"), [(2, 10), (2, 9), (3, 10), (3, 2)])
def test_ranks_together_find_what_one_finds(
    evaluator: Evaluator,
    prepared: Prepared,
    monkeypatch: pytest.MonkeyPatch,
    ranks: int,
    count: int,
) -> None:
    rows = prepared.tables["test"].select(range(count))

    def act(one: Evaluator) -> tuple[list[LabelOutput], list[str], float]:
        labels = one.labels(rows)
        loss = one.rationale_loss(rows, "rationale_ids", True)
        return labels, one.rationales(rows, ["yes"] * count), loss

    labels, rationales, loss = act(evaluator)
    for of_rank in over_ranks(evaluator, ranks, act, monkeypatch):
        assert_same_labels(of_rank[0], labels)
        assert of_rank[1] == rationales
        assert of_rank[2] == pytest.approx(loss, rel=1e-6)


def test_rows_of_like_length_are_taken_together_the_longest_first(
    evaluator: Evaluator, prepared: Prepared
) -> None:
    batches = evaluator._batches(prepared.tables["test"], None)
    lengths = [length for batch in batches for length in batch["body_lengths"].tolist()]
    assert lengths == sorted(lengths, reverse=True)


def test_ranks_make_equally_many_passes(evaluator: Evaluator, prepared: Prepared) -> None:
    rows = prepared.tables["test"].select(range(9))
    small = with_config(evaluator, per_device_eval_batch_size=2)
    of_ranks = [replace(small, rank=rank, world_size=2) for rank in range(2)]
    sizes = [[len(batch["rows"]) for batch in one._batches(rows, None)] for one in of_ranks]
    assert sizes[0] == sizes[1] == [2, 2, 1]


def test_predictions_join_rows_and_outputs() -> None:
    rows = Dataset.from_dict(
        {
            "id": ["a", "b"],
            "group": ["g", "h"],
            "label": ["yes", "no"],
            "reference": ["Because.", ""],
            "tags": [["hard"], []],
        }
    )
    outputs = [LabelOutput("yes", (0.75, 0.25)), LabelOutput("yes", (0.5, 0.5))]
    first, second = predictions(rows, outputs, ("yes", "no"), ["So.", "Thus."], ["yes", "ja"])
    assert (first.id, first.group, first.gold_label, first.label) == ("a", "g", "yes", "yes")
    assert first.probabilities == {"yes": 0.75, "no": 0.25}
    assert (first.rationale, first.reference, first.tags) == ("So.", "Because.", ("hard",))
    assert (second.gold_label, second.label, second.generated_label) == ("no", "yes", "ja")
    assert second.reference is None
    bare = predictions(rows, outputs, ("yes", "no"))[0]
    assert bare.rationale is None
    assert bare.generated_label is None


def test_label_metrics_count_an_output_outside_the_set_as_wrong() -> None:
    pairs = [("yes", "yes"), ("no", "no"), ("no", "maybe"), ("yes", "yes")]
    found = [Prediction(id="", group="", gold_label=gold, label=text) for gold, text in pairs]
    scores = prediction_metrics(found, ("yes", "no"))
    assert scores["accuracy"] == 0.75
    assert scores["macro_f1"] == pytest.approx((1.0 + 2 / 3) / 2)
    assert scores["out_of_set_rate"] == 0.25
