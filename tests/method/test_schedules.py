"""The schedules of the optimiser step: hand-computed values, bounds, keyed coins."""

import math
from itertools import pairwise

import pytest
from conftest import tiny_config
from hypothesis import given
from hypothesis import strategies as st

from r2d_ray.method.schedules import coin, decay_curve, gold_probability, label_weight

CURVES = ["linear", "exponential", "inverse_sigmoid", "constant", "none"]
AUTHORS = tiny_config(max_steps=30_000, label_warmup_ratio=0.05)


@pytest.mark.parametrize(
    ("name", "at_0", "at_quarter", "at_half", "at_1"),
    [
        ("linear", 1.0, 0.75, 0.5, 0.0),
        ("exponential", 1.0, math.sqrt(0.1), 0.1, 0.01),
        # 1 / (1 + e^(10 (x - 0.5))) is 0.993307 at 0, 0.924142 at 0.25, 0.006693 at 1.
        ("inverse_sigmoid", 1.0, 0.917449 / 0.986614, 0.5, 0.0),
        ("constant", 0.0, 0.0, 0.0, 0.0),
        ("none", 1.0, 1.0, 1.0, 1.0),
    ],
)
def test_curves_at_four_points(
    name: str, at_0: float, at_quarter: float, at_half: float, at_1: float
) -> None:
    found = [decay_curve(name, x) for x in (0.0, 0.25, 0.5, 1.0)]
    assert found == pytest.approx([at_0, at_quarter, at_half, at_1], abs=2e-6)


def test_a_curve_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="cosine"):
        decay_curve("cosine", 0.5)


@pytest.mark.parametrize(
    ("step", "probability"),
    [
        (0, 1.0),
        (1_500, 1.0),  # 0.05 S: the ramp begins
        (1_501, 1 - 1 / 18_000),
        (10_500, 0.5),  # 0.35 S
        (17_699, 1 - 16_199 / 18_000),
        (17_700, 0.1),  # 0.59 S: the floor is reached
        (19_500, 0.1),
        (29_999, 0.1),
    ],
)
def test_the_authors_ramp(step: int, probability: float) -> None:
    assert gold_probability(step, AUTHORS) == pytest.approx(probability, abs=1e-12)


def test_the_authors_ramp_samples_61_percent_of_a_run() -> None:
    mean = sum(gold_probability(step, AUTHORS) for step in range(30_000)) / 30_000
    assert 1 - mean == pytest.approx(0.612, abs=1e-4)  # 0.9 x (0.54 / 2 + 0.41)


@pytest.mark.parametrize(
    ("decay", "step", "probability"),
    [
        ("exponential", 50, 0.1),
        ("exponential", 100, 0.05),  # the floor, above 0.01
        ("inverse_sigmoid", 50, 0.5),
        ("constant", 0, 0.05),
        ("none", 100, 1.0),
    ],
)
def test_other_decays_over_a_whole_run(decay: str, step: int, probability: float) -> None:
    config = tiny_config(
        max_steps=100,
        sampling_decay=decay,
        sampling_start_ratio=0.0,
        sampling_decay_ratio=1.0,
        gold_probability_floor=0.05,
    )
    assert gold_probability(step, config) == pytest.approx(probability)


SHARES = st.floats(0, 1, allow_subnormal=False)  # training flushes subnormal floats to zero


@given(
    decay=st.sampled_from(CURVES),
    start=SHARES,
    length=st.floats(0.01, 1),
    floor=SHARES,
    steps=st.integers(1, 60),
)
def test_gold_probability_never_rises_and_stays_between_floor_and_one(
    decay: str, start: float, length: float, floor: float, steps: int
) -> None:
    config = tiny_config(
        max_steps=steps,
        sampling_decay=decay,
        sampling_start_ratio=start,
        sampling_decay_ratio=length,
        gold_probability_floor=floor,
    )
    found = [gold_probability(step, config) for step in range(steps + 1)]
    assert all(floor <= p <= 1.0 for p in found)
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(found))


@pytest.mark.parametrize(
    ("step", "alpha"), [(0, 0.0), (750, 0.35), (1_499, 0.7 * 1_499 / 1_500), (1_500, 0.7)]
)
def test_the_label_weight_rises_over_the_first_twentieth(step: int, alpha: float) -> None:
    assert label_weight(step, AUTHORS) == pytest.approx(alpha)
    assert label_weight(29_999, AUTHORS) == 0.7


def test_without_warmup_the_label_weight_is_constant() -> None:
    assert label_weight(0, tiny_config(label_warmup_ratio=0.0)) == 0.7


@given(weight=SHARES, warmup=SHARES, steps=st.integers(1, 60))
def test_the_label_weight_never_falls_nor_exceeds_its_value(
    weight: float, warmup: float, steps: int
) -> None:
    config = tiny_config(max_steps=steps, label_loss_weight=weight, label_warmup_ratio=warmup)
    found = [label_weight(step, config) for step in range(steps + 1)]
    assert found == sorted(found)
    assert all(0 <= alpha <= weight for alpha in found)
    assert found[-1] == pytest.approx(weight)


def test_coins_are_uniform() -> None:
    coins = sorted(coin(1, f"row-{i}", step) for i in range(200) for step in range(10))
    assert coins[0] >= 0
    assert coins[-1] < 1
    # Kolmogorov-Smirnov distance; 1.63 / sqrt(n) is its 1 % point.
    distance = max(abs(value - i / len(coins)) for i, value in enumerate(coins))
    assert distance < 1.63 / math.sqrt(len(coins))


def test_a_coin_depends_on_its_keys_alone() -> None:
    rows = [f"row-{i}" for i in range(50)]
    forward = {row: coin(42, row, 7) for row in rows}
    assert {row: coin(42, row, 7) for row in reversed(rows)} == forward
    assert len(set(forward.values())) == len(rows)


def test_a_coin_is_the_same_number_in_every_version() -> None:
    assert coin(42, "row-1", 7) == 0.7926376665904771


@pytest.mark.parametrize(
    "other", [(43, "row-1", 7), (42, "row-2", 7), (42, "row-1", 8), (42, "row-1", 7, "gumbel")]
)
def test_a_coin_changes_with_each_of_its_keys(other: tuple[int, str, int]) -> None:
    assert coin(*other) != coin(42, "row-1", 7)
