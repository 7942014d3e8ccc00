from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import sacrebleu
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest
from scipy import stats as scipy_stats

from analysis.stats import bootstrap as resampling
from analysis.stats import row_sums as scores
from analysis.stats.bootstrap import Bootstrap, resample
from analysis.stats.intervals import (
    bca_interval,
    hierarchical_interval,
    mean_sd,
    paired_bootstrap,
    t_interval,
)
from analysis.stats.row_sums import Statistics, row_statistics
from r2d_ray.evaluation import label_metrics as metrics
from r2d_ray.evaluation import text_metrics as rationale_metrics
from r2d_ray.records import Prediction

LABELS = ("yes", "no", "maybe")
WORDS = ("the", "drug", "helped", "failed", "patient", "trial", "in", "a")


def numbered(count: int, per_group: int = 1) -> tuple[tuple[str, ...], tuple[str, ...]]:
    ids = tuple(f"{i:04}" for i in range(count))
    return tuple(f"g{i // per_group:04}" for i in range(count)), ids


def means(values: Sequence[float] | NDArray[np.float64], per_group: int = 1) -> Statistics:
    column = np.asarray(values, dtype=float)
    groups, ids = numbered(len(column), per_group)
    table = np.stack([column, np.ones(len(column))], axis=1)
    return Statistics("accuracy", table, groups, ids, scores.mean)


def answers(rows: int, per_group: int, seed: int) -> list[Prediction]:
    generator = np.random.default_rng(seed)
    groups, ids = numbered(rows, per_group)
    gold = generator.choice(LABELS, size=rows, p=[0.6, 0.3, 0.1])
    said = np.where(generator.random(rows) < 0.7, gold, generator.choice(LABELS, size=rows))
    columns = zip(ids, groups, gold, said, strict=True)
    return [Prediction(id=i, group=g, gold_label=str(y), label=str(z)) for i, g, y, z in columns]


def test_mean_and_sd_over_seeds() -> None:
    assert mean_sd([0.70, 0.74, 0.72]) == pytest.approx((0.72, 0.02))
    assert mean_sd([0.7]) == (0.7, None)


def test_t_interval_by_hand_and_by_scipy() -> None:
    found = t_interval([0.70, 0.74, 0.72])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.72 - 0.04968, 0.72 + 0.04968), abs=1e-5)
    expected = scipy_stats.ttest_1samp([0.70, 0.74, 0.72], 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_one_seed_has_no_spread_and_equal_seeds_have_none() -> None:
    assert t_interval([0.7]) is None
    equal = t_interval([0.5, 0.5])
    assert equal is not None
    assert (equal.low, equal.high) == (0.5, 0.5)


# --- BCa over groups ------------------------------------------------------------------------


def test_bca_of_a_mean_equals_scipy_on_the_same_draws() -> None:
    values = np.random.default_rng(1).lognormal(size=60)  # skewed: bias and acceleration matter
    run = means(values)
    drawn = resample([run], draws=2000, seed=3).draws[:, 0]
    expected = scipy_stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=0,
        method="BCa",
        bootstrap_result=SimpleNamespace(bootstrap_distribution=drawn),
    ).confidence_interval
    found = bca_interval(run, draws=2000, seed=3)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert found.low > low + 0.01
    assert found.high > high + 0.01
    assert found.method == "bca"


def test_bca_of_macro_f1_over_groups_equals_scipy_with_groups_as_units() -> None:
    rows = answers(90, per_group=3, seed=2)
    run = row_statistics(rows, "macro_f1", LABELS)
    drawn = resample([run], draws=1000, seed=5).draws[:, 0]

    def of_groups(which: NDArray[np.int64]) -> float:
        taken = [rows[3 * g + j] for g in which for j in range(3)]
        gold = [row.gold_label or "" for row in taken]
        matrix = metrics.confusion(gold, [row.label for row in taken], LABELS)
        return float(metrics.macro_f1(matrix))

    expected = scipy_stats.bootstrap(
        (np.arange(30),),
        of_groups,
        vectorized=False,
        n_resamples=0,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=drawn),
    ).confidence_interval
    found = bca_interval(run, draws=1000, seed=5)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.estimate == pytest.approx(of_groups(np.arange(30)))


def test_drawing_kinds_follows_the_same_law_as_drawing_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = row_statistics(answers(400, per_group=1, seed=4), "macro_f1", LABELS)
    by_kind = resample([run], draws=8000, seed=1).draws[:, 0]
    monkeypatch.setattr(resampling, "MULTINOMIAL_COST", math.inf)
    by_group = resample([run], draws=8000, seed=1).draws[:, 0]
    assert not np.array_equal(by_kind, by_group)
    assert scipy_stats.ks_2samp(by_kind, by_group).pvalue > 0.01


def test_parts_of_the_draws_make_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    run = means(np.random.default_rng(0).random(50))
    whole = resample([run], draws=300).draws
    monkeypatch.setattr(resampling, "CELLS", 50 * 7)
    # A matrix product of another shape adds in another order: equal but for float64's rounding.
    np.testing.assert_allclose(resample([run], draws=300).draws, whole, rtol=1e-13)


def test_rows_of_a_group_are_drawn_together() -> None:
    values = np.repeat([1.0, 0.0] * 40, 5)
    together, apart = bca_interval(means(values, per_group=5)), bca_interval(means(values))
    ratio = (together.high - together.low) / (apart.high - apart.low)
    assert ratio == pytest.approx(math.sqrt(5), rel=0.1)  # 80 groups, not 400 rows


def test_same_seed_same_answer_whatever_the_order_of_rows() -> None:
    rows = answers(80, per_group=2, seed=1)
    run = row_statistics(rows, "macro_f1", LABELS)
    turned = row_statistics(rows[::-1], "macro_f1", LABELS)
    assert bca_interval(run, seed=7) == bca_interval(run, seed=7) == bca_interval(turned, seed=7)
    assert bca_interval(run, seed=7) != bca_interval(run, seed=8)


def test_all_rows_right_says_nothing_about_spread() -> None:
    found = bca_interval(means([1.0] * 30))
    assert (found.estimate, found.low, found.high, found.method) == (1.0, 1.0, 1.0, "point")


def test_one_group_cannot_be_resampled() -> None:
    with pytest.raises(ValueError, match=r"^accuracy: one group \('g0000'\), nothing to resample$"):
        bca_interval(means([1.0, 0.0, 1.0], per_group=3))
    with pytest.raises(ValueError, match=r"^no run to resample$"):
        hierarchical_interval([])


def test_an_estimate_beyond_every_draw_falls_back_to_percentiles() -> None:
    draws = np.linspace(0.0, 1.0, 101)
    found = resampling.bootstrap_groups(2.0, draws, np.array([1.9, 2.1]), np.ones(2))
    assert found.method == "percentile"
    assert found.interval().low == pytest.approx(0.025)


def test_the_level_of_an_interval_end_is_its_tail() -> None:
    draws = np.random.default_rng(0).gamma(2.0, size=20_000)
    bootstrap = Bootstrap(2.0, draws, bias=0.2, acceleration=0.05, method="bca")
    found = bootstrap.interval(0.9)
    assert bootstrap.level_of(found.low) == pytest.approx(0.05, abs=1e-3)
    assert bootstrap.level_of(found.high) == pytest.approx(0.95, abs=1e-3)
    assert bootstrap.level_of(-1.0) == 1 / 20_001


# --- hierarchical ---------------------------------------------------------------------------


def test_one_seed_is_the_bootstrap_over_groups() -> None:
    run = means(np.random.default_rng(0).random(40))
    assert hierarchical_interval([run], seed=2) == bca_interval(run, seed=2)


def test_variance_adds_up_over_seeds_and_groups() -> None:
    generator = np.random.default_rng(3)
    row_part, seed_part = generator.normal(size=400), generator.normal(0, 0.1, size=6)
    runs = [means(row_part + shift) for shift in seed_part]
    found = hierarchical_interval(runs, draws=20_000)
    variance = row_part.var() / 400 + seed_part.var(ddof=1) / 6
    assert found.estimate == pytest.approx(row_part.mean() + seed_part.mean())
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * math.sqrt(variance), rel=0.03)
    assert found.method == "hierarchical"


# --- paired ---------------------------------------------------------------------------------


def test_difference_of_an_arm_with_itself_is_none() -> None:
    run = row_statistics(answers(60, 1, seed=1), "macro_f1", LABELS)
    found = paired_bootstrap([run], [run])
    assert (found.estimate, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert found.method == "point"


@pytest.mark.parametrize("seeds", [1, 2, 3, 5, 10])
def test_arms_of_equal_runs_do_not_differ_by_rounding(seeds: int) -> None:
    # Fractions, whose sums are rounded: by which kernel depends on a column's place in a product.
    runs = [means(values) for values in np.random.default_rng(6).random((seeds, 50))]
    drawn = resample([*runs, *runs], draws=1000).draws
    np.testing.assert_array_equal(drawn[:, :seeds], drawn[:, seeds:])
    found = paired_bootstrap(runs, runs)
    assert (found.estimate, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert found.method == "point"


def test_pairing_takes_the_common_part_of_the_rows_away() -> None:
    generator = np.random.default_rng(5)
    hard, gain = generator.random(300), generator.normal(0.02, 0.05, size=300)
    found = paired_bootstrap([means(hard + gain)], [means(hard)])
    assert found.estimate == pytest.approx(gain.mean())
    assert found.error == pytest.approx(gain.std() / math.sqrt(300), rel=0.05)
    t_test = scipy_stats.ttest_rel(hard + gain, hard)
    expected = t_test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-3)
    assert found.p < 1e-3
    swapped = paired_bootstrap([means(hard)], [means(hard + gain)])
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low), abs=5e-4)


def test_p_value_and_t_test_agree_on_a_mean() -> None:
    generator = np.random.default_rng(8)
    first, second = generator.random(400), generator.random(400)
    found = paired_bootstrap([means(first)], [means(second)], draws=20_000)
    assert found.p == pytest.approx(scipy_stats.ttest_rel(first, second).pvalue, abs=0.02)


def test_p_value_agrees_with_the_interval() -> None:
    first = answers(150, per_group=2, seed=1)
    other = answers(150, per_group=2, seed=9)
    second = [
        a.model_copy(update={"gold_label": b.gold_label, "label": b.label})
        for a, b in zip(first, other, strict=True)
    ]
    runs = [row_statistics(rows, "macro_f1", LABELS) for rows in (first, second)]
    found = paired_bootstrap(runs[:1], runs[1:])
    edge = paired_bootstrap(runs[:1], runs[1:], confidence=1 - found.p)
    assert 0.05 < found.p < 0.95
    assert min(abs(edge.low), abs(edge.high)) == pytest.approx(0, abs=1e-3)


def test_seeds_are_paired() -> None:
    generator = np.random.default_rng(2)
    base = generator.random(100)
    shifts = [0.0, 0.3, 0.6]
    first = [means(base + shift + 0.05) for shift in shifts]
    found = paired_bootstrap(first, [means(base + shift) for shift in shifts])
    assert found.per_seed == pytest.approx((0.05, 0.05, 0.05))
    assert found.high - found.low < 1e-9
    assert found.p == pytest.approx(2 / 10_001)


def noisy(references: Sequence[str], noise: float, generator: np.random.Generator) -> list[str]:
    def copied(word: str) -> str:
        return str(generator.choice(WORDS)) if generator.random() < noise else word

    return [" ".join(copied(word) for word in text.split()) for text in references]


def test_bleu_draws_equal_those_of_sacrebleu(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(11)
    references = [" ".join(generator.choice(WORDS, size=9)) for _ in range(40)]
    texts = [noisy(references, 0.30, generator), noisy(references, 0.18, generator)]
    monkeypatch.setenv("SACREBLEU_SEED", "12345")
    monkeypatch.setattr(resampling, "MULTINOMIAL_COST", math.inf)  # sacreBLEU draws row by row
    systems = [("base", texts[0]), ("new", texts[1])]
    _, table = PairedTest(systems, {"bleu": BLEU()}, [references], "bs", n_samples=1000)()
    expected = table["BLEU"][1]
    groups, ids = numbered(40)
    counts = [rationale_metrics.bleu(found, references).statistics for found in texts]
    runs = [Statistics("bleu", c.astype(float), groups, ids, scores.bleu) for c in counts]
    drawn = resample(runs, draws=1000, seed=12345)
    assert drawn.estimates[1] == pytest.approx(sacrebleu.corpus_bleu(texts[1], [references]).score)
    assert drawn.draws[:, 1].mean() == pytest.approx(expected.mean, rel=1e-5)
    low, high = np.sort(drawn.draws[:, 1])[[25, 974]]
    assert (high - low) / 2 == pytest.approx(expected.ci, rel=1e-5)
    # Its p-value centres absolute differences, ours agrees with the interval: close, not equal.
    gaps = np.abs(drawn.draws[:, 1] - drawn.draws[:, 0])
    real = abs(drawn.estimates[1] - drawn.estimates[0])
    assert (1 + (gaps - gaps.mean() > real).sum()) / 1001 == pytest.approx(expected.p_value)
    found = paired_bootstrap(runs[1:], runs[:1], draws=1000, seed=12345)
    assert found.p == pytest.approx(expected.p_value, abs=0.05)


def test_runs_on_other_rows_are_refused() -> None:
    run = means([1.0, 0.0, 1.0, 1.0])
    short = means([1.0, 0.0, 1.0])
    grouped = means([1.0, 0.0, 1.0, 1.0], per_group=2)
    with pytest.raises(ValueError, match=r"^accuracy: row '0003' is in one run only \(4 and 3 "):
        paired_bootstrap([run], [short])
    with pytest.raises(ValueError, match=r"^accuracy: row '0001' is in different groups$"):
        paired_bootstrap([run], [grouped])
    with pytest.raises(ValueError, match=r"^2 and 1 seeds \(allowed: the same seeds\)$"):
        paired_bootstrap([run, run], [run])
    other = Statistics("rouge_l", run.values, run.groups, run.ids, scores.mean)
    with pytest.raises(ValueError, match=r"^cannot compare accuracy with rouge_l"):
        paired_bootstrap([run], [other])
