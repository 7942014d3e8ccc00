"""The rows of a step, their slices, length groups, token counts, joined prompts."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from conftest import tiny_config
from datasets import Dataset, Features, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from r2d_ray.config import TrainConfig
from r2d_ray.data.batches import FromStep, Ragged, StepBatches
from r2d_ray.method.batch import Batch, join_prompts, pad, select_rows
from r2d_ray.method.step_rows import StepRows, by_length, slice_of_step
from r2d_ray.model.teacher_forcing import IGNORED

LABEL_LENGTHS = [2, 3]
IDS_COLUMN = List(Value("int64"))
COLUMNS = Features(
    {
        "id": Value("string"),
        "label_index": Value("int64"),
        "body_ids": IDS_COLUMN,
        "rationale_ids": IDS_COLUMN,
    }
)


def made_table(lengths: Sequence[int], rationales: Sequence[int] | None = None) -> Dataset:
    rationales = rationales if rationales is not None else [3] * len(lengths)
    return Dataset.from_dict(
        {
            "id": [f"row-{i}" for i in range(len(lengths))],
            "label_index": [i % 2 for i in range(len(lengths))],
            "body_ids": [[i + 1] * length for i, length in enumerate(lengths)],
            "rationale_ids": [[1000 + i] * length for i, length in enumerate(rationales)],
        },
        features=COLUMNS,
    )


def step_batches(
    table: Dataset, config: TrainConfig, rank: int = 0, **other: object
) -> StepBatches:
    values = {"only_with_rationale": False, "max_steps": 10, "seed": 42, **other}
    return StepBatches(
        table,
        config,
        label_lengths=LABEL_LENGTHS,
        rationale_column="rationale_ids",
        rank=rank,
        **values,  # type: ignore[arg-type]
    )


def global_batch(workers: int, accumulation: int, size: int = 8) -> TrainConfig:
    return tiny_config(
        num_workers=workers,
        gradient_accumulation_steps=accumulation,
        per_device_train_batch_size=size // workers // accumulation,
    )


def of_step(table: Dataset, config: TrainConfig, step: int) -> list[Batch]:
    accumulation = config.gradient_accumulation_steps
    return [
        step_batches(table, config, rank)[step * accumulation + micro]
        for micro in range(accumulation)
        for rank in range(config.num_workers)
    ]


MADE = made_table([5 + (7 * i) % 11 for i in range(30)])


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("step", [0, 2, 3, 7])  # 3 steps an epoch: also beyond the first
def test_ranks_and_micro_batches_share_out_the_rows_of_the_step(
    workers: int, accumulation: int, step: int
) -> None:
    want = sorted(step_batches(MADE, global_batch(1, 1))[step]["ids"])
    parts = of_step(MADE, global_batch(workers, accumulation), step)
    assert sorted(row for part in parts for row in part["ids"]) == want
    assert {len(part["ids"]) for part in parts} == {8 // workers // accumulation}
    # Every part knows the whole step's tokens, by which the losses are divided.
    tokens = [(part["label_tokens"], part["rationale_tokens"]) for part in parts]
    labels = Counter(int(row.removeprefix("row-")) % 2 for row in want)
    assert set(tokens) == {(2 * labels[0] + 3 * labels[1], 3 * 8)}


def test_the_rows_of_a_step_depend_on_seed_and_step_alone() -> None:
    lengths = np.array([5 + i % 7 for i in range(100)])
    rationales = np.arange(100) % 3
    rows = StepRows(lengths, rationales, 8, 50, seed=1)
    forward = [rows[step].tolist() for step in range(40)]
    backward = StepRows(lengths, rationales, 8, 50, seed=1)
    assert [backward[step].tolist() for step in reversed(range(40))] == forward[::-1]
    assert StepRows(lengths, rationales, 8, 50, seed=2)[0].tolist() != forward[0]


@given(
    count=st.integers(1, 60),
    batch=st.integers(1, 20),
    group=st.integers(1, 5),
    epoch=st.integers(0, 3),
)
@settings(deadline=None)
def test_every_row_comes_once_per_epoch_up_to_a_batch_of_leftovers(
    count: int, batch: int, group: int, epoch: int
) -> None:
    rows = StepRows(np.arange(count) % 5, np.arange(count) % 3, batch, group, seed=0)
    steps = range(epoch * rows.steps_per_epoch, (epoch + 1) * rows.steps_per_epoch)
    times = Counter(int(row) for step in steps for row in rows[step])
    if count >= batch:
        assert set(times.values()) == {1}
        assert count - len(times) < batch
    else:  # a table smaller than a batch is repeated
        assert len(times) == count
        assert max(times.values()) - min(times.values()) <= 1


def test_epochs_differ_and_leftovers_change() -> None:
    rows = StepRows(np.ones(10), np.ones(10), 4, 50, seed=0)
    epochs = [{int(r) for step in (2 * e, 2 * e + 1) for r in rows[step]} for e in range(8)]
    assert len({frozenset(epoch) for epoch in epochs}) > 1
    assert set.union(*epochs) == set(range(10))


def epoch_of(
    lengths: np.ndarray, rationales: np.ndarray, group_size: int = 50, seed: int = 0
) -> np.ndarray:
    """Return the rows of one epoch, a line a batch of 16."""
    rows = StepRows(lengths, rationales, 16, group_size, seed)
    return np.stack([rows[step] for step in range(rows.steps_per_epoch)])


def padding_share(lengths: np.ndarray, batches: np.ndarray) -> float:
    """Return the share of positions that hold no id when batches are as wide as their longest."""
    found = lengths[batches]
    return 1 - float(found.sum() / (found.max(axis=1) * found.shape[1]).sum())


LONG_TAILED = np.random.default_rng(0).lognormal(5, 0.5, 2000).astype(int) + 10
CUT = np.minimum(LONG_TAILED, 192)  # a third of the rows are cut at the limit: one tie
NOTES = 30 + np.arange(2000) % 40  # short notes: fifty rows of every length
EQUAL = np.full(2000, 20)


def test_length_groups_cut_padding() -> None:
    rationales = np.full(2000, 9)
    grouped = epoch_of(LONG_TAILED, rationales)
    shuffled = epoch_of(LONG_TAILED, rationales, group_size=1)
    assert padding_share(LONG_TAILED, grouped) <= 0.05
    assert padding_share(LONG_TAILED, shuffled) > 0.3


def chance_of_none(count: int, explained: int, size: int) -> float:
    """Return the chance that so many of the rows, drawn without putting back, have no rationale."""
    return math.comb(count - explained, size) / math.comb(count, size)


@pytest.mark.parametrize("lengths", [LONG_TAILED, CUT, NOTES, EQUAL])
@pytest.mark.parametrize("share", [0.05, 0.15, 0.3, 0.5])
def test_rows_with_and_without_rationales_are_mixed_as_by_chance(
    lengths: np.ndarray, share: float
) -> None:
    rng = np.random.default_rng(1)
    explained = round(share * len(lengths))
    targets = np.where(np.arange(len(lengths)) < explained, rng.integers(5, 60, len(lengths)), 0)
    none: list[float] = []
    spread: list[float] = []
    for seed in range(10):
        rationales = rng.permutation(targets)
        batches = epoch_of(lengths, rationales, seed=seed)
        assert padding_share(lengths, batches) < 0.05
        found = (rationales[batches] > 0).sum(axis=1)
        none.append(float((found == 0).mean()))
        spread.append(float(found.var()))
    # The number in a batch is hypergeometric; 1,250 batches give its share of none to +- 0.04
    # (three standard errors at one half), their variance to +- 13 %.
    assert np.mean(none) == pytest.approx(chance_of_none(len(lengths), explained, 16), abs=0.04)
    want = 16 * share * (1 - share) * (len(lengths) - 16) / (len(lengths) - 1)
    assert np.mean(spread) == pytest.approx(want, rel=0.13)


def test_rows_of_equal_inputs_share_the_decoders_padding() -> None:
    rationales = np.random.default_rng(2).permutation(np.repeat([0, 4, 8, 16], 100))
    for batch in epoch_of(np.full(400, 20), rationales):
        lengths = rationales[batch][rationales[batch] > 0]
        assert lengths.tolist() == sorted(lengths)
        assert len(set(lengths)) <= 2  # of three: a batch lies across one border at most


def test_equal_inputs_keep_the_places_of_rows_with_a_rationale() -> None:
    # Shuffled rows with inputs 5 3 5 3 5 and rationales 9 2 0 1 4. Of input 3 the places of rows
    # 1 and 3 (rationales 2 and 1) change; of input 5 row 4 (4) comes before row 0 (9), while row 2
    # stays between them.
    places = by_length(np.array([5, 3, 5, 3, 5]), np.array([9, 2, 0, 1, 4]))
    assert places.tolist() == [3, 1, 4, 2, 0]


def test_batches_of_a_length_group_come_in_random_order() -> None:
    rows = StepRows(np.arange(400), np.ones(400), 4, 100, seed=0)
    means = [rows[step].mean() for step in range(100)]
    assert abs(np.corrcoef(means, np.arange(100))[0, 1]) < 0.3


def test_one_step_in_detail() -> None:
    table = made_table([3, 5, 4, 2], [2, 0, 1, 3])
    batch = step_batches(table, tiny_config(per_device_train_batch_size=4))[0]
    assert batch["ids"] == ["row-3", "row-0", "row-2", "row-1"]  # by length
    assert batch["body_ids"].tolist() == [
        [4, 4, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [3, 3, 3, 3, 0],
        [2, 2, 2, 2, 2],
    ]
    assert batch["body_lengths"].tolist() == [2, 3, 4, 5]
    assert batch["rationale_ids"].tolist() == [
        [1003, 1003, 1003],
        [1000, 1000, IGNORED],
        [1002, IGNORED, IGNORED],
        [IGNORED] * 3,
    ]
    assert batch["label_index"].tolist() == [1, 0, 0, 1]
    assert batch["explained"].tolist() == [0, 1, 2]
    assert (batch["label_tokens"], batch["rationale_tokens"]) == (2 * 2 + 2 * 3, 6)


def test_a_batch_without_rationales_still_names_one_row() -> None:
    table = made_table([3, 5, 4, 2], [0, 0, 0, 0])
    batch = step_batches(table, tiny_config(per_device_train_batch_size=4))[0]
    assert batch["explained"].tolist() == [0]
    assert batch["rationale_tokens"] == 0
    assert (batch["rationale_ids"] == IGNORED).all()


def test_stage_1_takes_only_rows_with_a_rationale() -> None:
    table = made_table([5] * 12, [3, 0] * 6)
    config = tiny_config(per_device_train_batch_size=3)
    batches = step_batches(table, config, only_with_rationale=True)
    seen = {row for step in range(2) for row in batches[step]["ids"]}
    assert seen == {f"row-{i}" for i in range(0, 12, 2)}


def test_ranks_get_equal_work() -> None:
    rows = np.arange(8)  # sorted by length
    config = global_batch(2, 2)
    assert slice_of_step(rows, 0, 0, config).tolist() == [0, 2]
    assert slice_of_step(rows, 0, 1, config).tolist() == [1, 3]
    assert slice_of_step(rows, 1, 0, config).tolist() == [4, 6]
    assert slice_of_step(rows, 1, 1, config).tolist() == [5, 7]


def test_a_resumed_run_reads_from_its_step_on() -> None:
    reached = [0]
    sampler = FromStep(10, lambda: reached[0])
    assert list(sampler) == list(range(10))
    reached[0] = 6
    assert list(sampler) == [6, 7, 8, 9]
    assert len(sampler) == 10  # steps of an epoch, as transformers counts them


def test_a_ragged_column_is_that_of_the_table() -> None:
    rows = [[1, 2], [], [3], [4, 5, 6]]
    ragged = Ragged(Dataset.from_dict({"x": rows}), "x")
    assert [ragged[i].tolist() for i in range(4)] == rows
    assert ragged.lengths.tolist() == [2, 0, 1, 3]


def test_a_ragged_column_of_some_rows_is_that_of_these_rows() -> None:
    table = Dataset.from_dict({"x": [[1, 2], [], [3], [4, 5, 6]]}).select([3, 1, 0])
    ragged = Ragged(table, "x")
    assert [ragged[i].tolist() for i in range(3)] == [[4, 5, 6], [], [1, 2]]


IDS = st.lists(st.integers(10, 99), max_size=6)


@given(rows=st.lists(st.tuples(IDS, IDS), min_size=1, max_size=5))
@settings(deadline=None)
def test_joined_prompts_equal_a_plain_join(rows: list[tuple[list[int], list[int]]]) -> None:
    prefixes, bodies = [p for p, _ in rows], [b for _, b in rows]
    ids, mask = join_prompts(
        pad(prefixes, 7),  # what stands in the padding must not matter
        torch.tensor([len(p) for p in prefixes]),
        pad(bodies, 8),
        torch.tensor([len(b) for b in bodies]),
        eos=1,
        pad_id=0,
    )
    for row, (prefix, body) in enumerate(rows):
        want = [*prefix, *body, 1]
        assert ids[row].tolist() == want + [0] * (ids.shape[1] - len(want))
        assert mask[row].tolist() == [1] * len(want) + [0] * (ids.shape[1] - len(want))


def test_selected_rows_keep_the_counts_of_the_step() -> None:
    batch = step_batches(MADE, tiny_config(per_device_train_batch_size=4))[0]
    chosen = select_rows(batch, torch.tensor([2, 0]))
    assert chosen["ids"] == [batch["ids"][2], batch["ids"][0]]
    for name in ("body_ids", "body_lengths", "rationale_ids", "label_index"):
        assert chosen[name].tolist() == batch[name][[2, 0]].tolist()
    for name in ("label_tokens", "rationale_tokens"):
        assert chosen[name] == batch[name]


def test_padding_of_rows() -> None:
    assert pad([[1, 2], [], [3]], 9).tolist() == [[1, 2], [9, 9], [3, 9]]
    assert pad([[], []], 9).shape == (2, 1)
