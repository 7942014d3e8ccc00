"""Rare classes: weights and shares by hand, the weighted loss, and what an epoch then holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import tiny_config, toy_splits
from hypothesis import given
from hypothesis import strategies as st
from toy_steps import batch_of, config_of, gradients, model_of, stage_of

from r2d_ray.data.examples import Example
from r2d_ray.data.prepare import Prepared, open_prepared, prepare
from r2d_ray.errors import UserError
from r2d_ray.method.imbalance import class_shares, class_weights
from r2d_ray.method.losses import stage2_loss
from r2d_ray.method.step_rows import ClassDraw, StepRows, whole_counts
from r2d_ray.search.checks import check_data

COUNTS = st.lists(st.integers(1, 5000), min_size=2, max_size=8).map(np.array)
WEIGHTED = ("balanced", "effective_number")


def test_weights_by_hand() -> None:
    three_to_one = np.array([3, 1])
    balanced = class_weights(three_to_one, tiny_config(class_weights="balanced"))
    assert balanced == pytest.approx([4 / (2 * 3), 4 / (2 * 1)])
    # beta = 0.5: (1 - 0.5) / (1 - 0.125) = 4/7 and 1; the mean over rows is (3 * 4/7 + 1) / 4.
    half = tiny_config(class_weights="effective_number", class_weight_beta=0.5)
    assert class_weights(three_to_one, half) == pytest.approx([(4 / 7) / (19 / 28), 28 / 19])
    assert class_weights(three_to_one, tiny_config()) is None


@given(COUNTS, st.sampled_from(WEIGHTED), st.floats(0.0, 0.9999))
def test_the_mean_weight_over_rows_is_1_and_rarer_classes_never_weigh_less(
    counts: np.ndarray, kind: str, beta: float
) -> None:
    weights = class_weights(counts, tiny_config(class_weights=kind, class_weight_beta=beta))
    assert weights is not None
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1.0)
    assert (np.diff(weights[np.argsort(counts)]) <= 1e-9 * weights.max()).all()


@given(COUNTS)
def test_effective_numbers_lie_between_no_weights_and_balanced_ones(counts: np.ndarray) -> None:
    def weights(beta: float) -> np.ndarray:
        config = tiny_config(class_weights="effective_number", class_weight_beta=beta)
        found = class_weights(counts, config)
        assert found is not None
        return found

    balanced = class_weights(counts, tiny_config(class_weights="balanced"))
    assert weights(0.0) == pytest.approx(np.ones(len(counts)))
    assert weights(1 - 1e-9) == pytest.approx(balanced, rel=1e-4)


def test_shares_by_hand() -> None:
    counts = np.array([9, 1, 0])
    assert class_shares(counts, tiny_config()) is None
    assert class_shares(counts, tiny_config(balanced_sampling=1.0)) == pytest.approx([0.5, 0.5, 0])
    assert class_shares(counts, tiny_config(balanced_sampling=0.5)) == pytest.approx(
        [0.75, 0.25, 0]
    )


@given(
    st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6),
    st.integers(0, 200),
    st.integers(0, 2**31),
)
def test_whole_counts_sum_to_the_size_and_are_within_one_of_their_share(
    raw: list[float], size: int, seed: int
) -> None:
    shares = np.array(raw) / sum(raw)
    counts = whole_counts(shares, size, np.random.default_rng(seed))
    assert counts.sum() == size
    assert (np.abs(counts - shares * size) < 1).all()


IMBALANCED = np.array([0] * 90 + [1] * 10)


def drawn(strength: float = 1.0, size: int = 8, seed: int = 3) -> StepRows:
    counts = np.bincount(IMBALANCED)
    shares = class_shares(counts, tiny_config(balanced_sampling=strength))
    draw = None if shares is None else ClassDraw(IMBALANCED, shares)
    lengths = np.arange(len(IMBALANCED)) % 13
    return StepRows(lengths, np.ones(len(IMBALANCED), int), size, 4, seed, draw)


def test_an_epoch_holds_classes_equally_often_and_rows_of_a_class_too() -> None:
    rows = drawn()
    for epoch in range(3):
        steps = range(epoch * rows.steps_per_epoch, (epoch + 1) * rows.steps_per_epoch)
        seen = Counter(int(row) for step in steps for row in rows[step])
        by_class = Counter(int(IMBALANCED[row]) for row in seen.elements())
        assert by_class == {0: 48, 1: 48}  # 12 steps of 8
        assert max(seen[row] for row in range(90)) == 1
        assert {seen[row] for row in range(90, 100)} <= {4, 5}


def test_drawn_steps_depend_on_seed_and_step_alone() -> None:
    forward, backward = drawn(), drawn()
    want = [forward[step].tolist() for step in range(30)]
    assert [backward[step].tolist() for step in reversed(range(30))] == want[::-1]
    assert [drawn(seed=4)[step].tolist() for step in range(30)] != want
    assert want[:12] != want[12:24]


def test_drawn_batches_group_rows_of_similar_length() -> None:
    rows = drawn()
    spread = np.mean([np.ptp(rows.lengths[rows[step]]) for step in range(12)])
    rng = np.random.default_rng(0)
    chance = np.mean([np.ptp(rng.choice(rows.lengths, 8)) for _ in range(200)])
    assert spread < 0.6 * chance


def test_strength_0_is_the_order_without_classes() -> None:
    plain = StepRows(drawn().lengths, np.ones(100, int), 8, 4, 3)
    assert [drawn(0.0)[step].tolist() for step in range(30)] == [
        plain[step].tolist() for step in range(30)
    ]


def four_rows() -> tuple[Example, ...]:
    """Return one row of `no` and three of `yes`, the first of which has no rationale."""
    rows = toy_splits().train
    yes = [row for row in rows if row.label == "yes"][:3]
    no = next(row for row in rows if row.label == "no")
    return (replace(yes[0], rationales={}), *yes[1:], no)


def prepared_of(rows: tuple[Example, ...], folder: Path) -> Prepared:
    return open_prepared(prepare(replace(toy_splits(), train=rows), tiny_config(), folder))


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared_of(four_rows(), tmp_path_factory.mktemp("four"))


def test_the_label_loss_of_four_rows_by_hand(four: Prepared) -> None:
    plain = config_of(per_device_train_batch_size=4, label_loss_weight=1.0)
    config = plain.model_copy(update={"class_weights": "balanced"})
    model, stage = model_of(config, four), stage_of(config, four)
    batch = batch_of(config, four, 0)
    loss, sums = stage2_loss(model, model, batch, 0, stage)
    total = mass = 0.0
    lengths = [len(target) for target in four.label_tokens.targets]
    for place in range(4):  # each row alone: its token mean, times its tokens, is its sum
        alone = plain.model_copy(update={"per_device_train_batch_size": 1})
        row = four.tables["train"].select([place]).flatten_indices()
        one = batch_of(alone, replace(four, tables={"train": row}), 0)  # type: ignore[arg-type]
        mean, _ = stage2_loss(model, model, one, 0, stage_of(alone, four))
        label = int(row["label_index"][0])
        weight = 4 / (2 * 3) if four.label_tokens.labels[label] == "yes" else 4 / (2 * 1)
        total += weight * lengths[label] * mean.item()
        mass += weight * lengths[label]
    assert loss.item() == pytest.approx(total / mass, rel=1e-5)
    assert float(sums["label_loss"]) == loss.item()
    unweighted, _ = stage2_loss(model, model, batch_of(plain, four, 0), 0, stage_of(plain, four))
    assert unweighted.item() != pytest.approx(loss.item(), rel=1e-3)


def test_weights_equal_rows_that_come_as_often(four: Prepared) -> None:
    """Balanced weights of three rows and one are as 1 to 3: as if the one came three times."""
    rare = four.tables["train"]["label"].index("no")
    places = [*range(4), rare, rare]
    repeated = replace(
        four, tables={"train": four.tables["train"].select(places).flatten_indices()}
    )  # type: ignore[arg-type]
    found = []
    for prepared, size, weights in ((four, 4, "balanced"), (repeated, 6, "none")):
        config = config_of(
            per_device_train_batch_size=size, class_weights=weights, label_loss_weight=1.0
        )
        model = model_of(config, four)
        batch = batch_of(config, prepared, 0)
        loss, _ = stage2_loss(model, model, batch, 0, stage_of(config, four))
        found.append(gradients(loss, model))
    for one, other in zip(*found, strict=True):
        assert (one - other).norm() <= 1e-4 * other.norm() + 1e-6


@pytest.mark.parametrize("kind", WEIGHTED)
def test_weights_leave_the_rationale_loss_alone(four: Prepared, kind: str) -> None:
    sums = []
    for weights in ("none", kind):
        config = config_of(per_device_train_batch_size=4, class_weights=weights)
        model = model_of(config, four)
        batch = batch_of(config, four, 2)
        sums.append(stage2_loss(model, model, batch, 2, stage_of(config, four))[1])
    assert float(sums[0]["rationale_loss"]) == float(sums[1]["rationale_loss"])
    assert float(sums[0]["label_loss"]) != float(sums[1]["label_loss"])


@pytest.mark.parametrize(
    ("values", "searched", "said"),
    [
        ({"class_weights": "balanced"}, (), "class_weights = 'balanced'"),
        ({"balanced_sampling": 0.5}, (), "balanced_sampling = 0.5"),
        ({}, ("class_weights",), "class_weights = searched"),
    ],
)
def test_without_a_fixed_set_there_are_no_classes_to_count(
    values: dict[str, object], searched: tuple[str, ...], said: str
) -> None:
    splits = toy_splits()
    options = [
        tuple(replace(row, choices=("yes", "no")) for row in rows) for _, rows in splits.items()
    ]
    train, validation, test = options
    own = replace(splits, train=train, validation=validation, test=test, labels=())
    with pytest.raises(UserError, match=said) as refused:
        check_data(own, tiny_config(**values), searched)
    assert "own options, so there are no classes" in str(refused.value)
    check_data(own, tiny_config())
    check_data(splits, tiny_config(**values), searched)
