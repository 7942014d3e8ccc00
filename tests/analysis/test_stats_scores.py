from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.stats import row_sums as scores
from analysis.stats.row_sums import Statistics, row_statistics
from r2d_ray.evaluation import label_metrics as metrics
from r2d_ray.evaluation import text_metrics as rationale_metrics
from r2d_ray.records import Prediction

LABELS = ("yes", "no", "maybe")
label = st.sampled_from(LABELS)
output = st.sampled_from([*LABELS, "Yes.", None])


def row(i: int, gold: str | None, said: str | None, **statistics: list[float]) -> Prediction:
    return Prediction(
        id=f"r{i}", group=f"g{i // 2}", gold_label=gold, label=said, statistics=statistics
    )


@given(st.lists(st.tuples(label, output), min_size=1, max_size=12))
def test_label_scores_equal_those_of_the_metrics_module(
    pairs: list[tuple[str, str | None]],
) -> None:
    rows = [row(i, gold, said) for i, (gold, said) in enumerate(pairs)]
    expected = metrics.label_scores([g for g, _ in pairs], [s for _, s in pairs], LABELS)
    for name in ("macro_f1", "accuracy"):
        assert row_statistics(rows, name, LABELS).value == pytest.approx(expected[name])


@given(st.lists(st.lists(st.integers(0, 4), min_size=10, max_size=10), min_size=1, max_size=4))
def test_bleu_of_sums_equals_sacrebleu(drawn: list[list[int]]) -> None:
    rows = np.array(drawn)
    rows[:, 2:6] = np.minimum(rows[:, 2:6], rows[:, 6:])  # no more matches than n-grams
    rows[:, 0] = rows[:, 6]  # every token is a unigram
    expected = rationale_metrics.bleu_from_statistics(rows)
    assert scores.bleu(rows.sum(axis=0).astype(float)) == pytest.approx(expected, abs=1e-9)


def test_bleu_scores_many_sums_at_once() -> None:
    texts = ["the drug helped the patient in this trial", "it failed", "no effect was seen", ""]
    targets = ["the drug helped the patient in that trial", "it failed badly", "none", "an end"]
    counts = rationale_metrics.bleu(texts, targets).statistics.astype(float)
    draws = np.array([[1, 1, 1, 1], [2, 0, 2, 0], [0, 0, 0, 4], [0, 4, 0, 0], [3, 0, 1, 0]])
    expected = [
        rationale_metrics.bleu_from_statistics(np.repeat(counts, times, axis=0)) for times in draws
    ]
    assert max(expected) > 40
    assert min(expected) == 0
    np.testing.assert_allclose(scores.bleu(draws @ counts), expected, atol=1e-9)


def test_scores_keep_leading_axes() -> None:
    sums = np.ones((5, 3, 10))
    assert scores.bleu(sums).shape == (5, 3)
    assert scores.macro_f1(sums).shape == (5, 3)
    assert scores.mean(sums).shape == (5, 3)


def test_rationale_scores_leave_out_rows_without_a_reference() -> None:
    rows = [
        row(0, "yes", "yes", rouge_l=[0.2], bleu=[3, 3, 3, 2, 1, 0, 3, 2, 1, 0]),
        row(1, "yes", "yes"),
        row(2, "no", "yes", rouge_l=[0.6], bleu=[4, 6, 4, 3, 2, 1, 4, 3, 2, 1]),
    ]
    rouge = row_statistics(rows, "rouge_l", LABELS)
    assert rouge.value == pytest.approx(0.4)
    assert rouge.ids == ("r0", "r2")
    assert rouge.groups == ("g0", "g1")
    kept = np.array([found.statistics["bleu"] for found in (rows[0], rows[2])])
    expected = rationale_metrics.bleu_from_statistics(kept)
    assert row_statistics(rows, "bleu", LABELS).value == pytest.approx(expected)


@given(st.lists(st.tuples(label, st.sampled_from(["YES", " no", "other", None])), min_size=1))
def test_open_labels_are_scored_over_the_gold_labels(pairs: list[tuple[str, str | None]]) -> None:
    rows = [row(i, gold, said) for i, (gold, said) in enumerate(pairs)]
    expected = metrics.open_label_scores([g for g, _ in pairs], [s for _, s in pairs])
    for name in ("macro_f1", "accuracy"):
        assert row_statistics(rows, name, ()).value == pytest.approx(expected[name])


def test_options_of_a_row_count_as_their_letters() -> None:
    rows = [
        row(0, "gout", "gout").model_copy(update={"options": ("asthma", "gout")}),
        row(1, "rest", "heat").model_copy(update={"options": ("rest", "heat")}),
        row(2, "rest", "gout").model_copy(update={"options": ("rest", "heat")}),
    ]
    assert row_statistics(rows, "accuracy", ("A", "B")).value == pytest.approx(1 / 3)
    # A: no hit. B: 1 hit, 1 gold, 2 predicted. The third output is none of its row's options.
    assert row_statistics(rows, "macro_f1", ("A", "B")).value == pytest.approx((0 + 2 / 3) / 2)


def test_a_metric_may_be_of_the_gold_label_or_of_the_human_reference() -> None:
    rows = [row(0, "yes", "yes", rouge_l=[0.2], human_rouge_l=[0.4], gold_rouge_l=[0.6])]
    assert row_statistics(rows, "rouge_l[human]", LABELS).value == 0.4
    assert row_statistics(rows, "rouge_l[gold_label]", LABELS).value == 0.6


def test_a_readers_verdict_is_compared_with_the_prediction_or_with_gold() -> None:
    rows = [
        row(0, "yes", "no", reader_verdict=[1.0]),  # reads no: consistent, not sufficient
        row(1, "yes", "no", reader_verdict=[0.0]),  # reads yes: sufficient, not consistent
        row(2, "no", "maybe", reader_verdict=[-1.0]),  # reads nothing
        row(3, "no", "no", reader_verdict=[1.0]),
    ]
    assert row_statistics(rows, "reader_consistency", LABELS).value == 0.5
    assert row_statistics(rows, "reader_sufficiency", LABELS).value == 0.5
    assert row_statistics(rows[:1], "reader_consistency", LABELS).value == 1.0
    with pytest.raises(ValueError, match="no row has parser_consistency"):
        row_statistics(rows, "parser_consistency", LABELS)


@pytest.mark.parametrize("metric", ["bertscore", "bleu", "rouge_l"])
def test_an_arm_that_wrote_no_rationale_has_no_rationale_score(metric: str) -> None:
    with pytest.raises(ValueError, match=f"^no row has {metric}$"):
        row_statistics([row(0, "yes", "yes")], metric, LABELS)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"^metric 'f2' \(allowed: macro_f1, accuracy, bleu"):
        row_statistics([row(0, "yes", "yes")], "f2", LABELS)
    with pytest.raises(ValueError, match=r"^gold label 'perhaps' \(allowed: yes, no, maybe\)$"):
        row_statistics([row(0, "perhaps", "yes")], "macro_f1", LABELS)
    with pytest.raises(ValueError, match=r"^no row has accuracy$"):
        row_statistics([row(0, None, "yes")], "accuracy", LABELS)
    with pytest.raises(ValueError, match=r"^accuracy: row 'r1' comes twice$"):
        row_statistics(
            [row(0, "no", "no"), row(1, "no", "no"), row(1, "no", "no")], "accuracy", LABELS
        )
    with pytest.raises(ValueError, match=r"^x: 2 rows of values, 1 groups, 2 ids$"):
        Statistics("x", np.ones((2, 2)), ("g",), ("a", "b"), scores.mean)


def test_statistics_need_neither_torch_nor_ray() -> None:
    code = (
        "import sys, analysis.stats.significance, analysis.stats.agreement;"
        "print(sorted({'torch', 'ray', 'transformers', 'sacrebleu'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
