"""A reader's verdicts by hand, and models made to be collapsed, parrots, misaligned or deaf."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from r2d_ray.evaluation.reading.alignment import share
from r2d_ray.evaluation.reading.verdicts import kappa, read_rows, verdict_scores, verdict_statistics
from r2d_ray.records import Prediction

LABELS = ("yes", "no")
TEXT = {"yes": "it went up", "no": "it went down"}


def row(gold: str, label: str, rationale: str, **more: object) -> Prediction:
    values = {"id": "x", "group": "g", "gold_label": gold, "label": label, "rationale": rationale}
    return Prediction.model_validate(values | more)


def word_reader(texts: Sequence[str], _: object = None) -> list[str | None]:
    """Reads `up` as yes and `down` as no."""
    return ["yes" if "up" in text else "no" if "down" in text else None for text in texts]


def scores_of(found: Sequence[Prediction]) -> dict[str, float | None]:
    return verdict_scores(found, read_rows(found, word_reader, LABELS), "reader")


UP, DOWN, NEITHER = "it went up", "it went down", "it stayed"
FOUND = [
    row("yes", "yes", UP, given_gold=UP, swapped={"no": DOWN}),
    row("yes", "no", UP, given_gold=UP, swapped={"yes": UP}),
    row("no", "yes", UP, given_gold=NEITHER, swapped={"no": UP}),
    row("no", "no", NEITHER, given_gold=NEITHER, swapped={"yes": NEITHER}),
]


def test_scores_by_hand() -> None:
    # Own verdicts: yes, yes, yes, none. Predictions: yes, no, yes, no. Gold: yes, yes, no, no.
    # Given gold: yes, yes, none, none. For another label (no, yes, no, yes): no, yes, yes, none.
    assert scores_of(FOUND) == {
        "reader_consistency": 2 / 4,
        "reader_sufficiency": 2 / 4,
        # By chance: yes in 3/4 of the verdicts and 2/4 of the predictions, no in none: 3/8.
        "reader_kappa": pytest.approx((2 / 4 - 3 / 8) / (1 - 3 / 8)),
        "reader_agreement_on_wrong": 1 / 2,
        "reader_gold_on_wrong": 1 / 2,
        "reader_given_gold": 2 / 4,
        "reader_given_gold_on_wrong": 1 / 2,
        "reader_exposure_gap": 0.0,
        "reader_exposure_gap_on_wrong": 0.0,
        "reader_follows_swapped_label": 2 / 4,
        # Row 1 was read as yes before anybody asked for yes.
        "reader_swap_base_rate": 1 / 4,
        "reader_label_following": 1 / 4,
    }


def test_verdicts_are_kept_by_row() -> None:
    read = read_rows(FOUND, word_reader, LABELS)
    kept = verdict_statistics(FOUND, read, LABELS, "reader")
    assert kept[0] == {
        "reader_verdict": [0.0],
        "reader_gold_verdict": [0.0],
        "reader_swap": [1.0],
        "reader_swap_verdict": [1.0],
    }
    assert [row["reader_verdict"] for row in kept] == [[0.0], [0.0], [0.0], [-1.0]]
    assert [row["reader_gold_verdict"] for row in kept] == [[0.0], [0.0], [-1.0], [-1.0]]
    bare = [row("yes", "yes", UP)]
    read = read_rows(bare, word_reader, LABELS)
    assert verdict_statistics(bare, read, LABELS, "reader") == [{"reader_verdict": [0.0]}]


def test_equal_texts_of_a_row_are_read_once() -> None:
    seen: list[str] = []

    def counting(texts: Sequence[str], sets: Sequence[Sequence[str]]) -> Sequence[str | None]:
        seen.extend(texts)
        assert len(sets) == len(texts)
        return word_reader(texts)

    read_rows(FOUND, counting, LABELS)
    assert seen == [UP, DOWN, UP, UP, NEITHER, NEITHER]


def test_what_is_not_there_has_no_score_rather_than_0() -> None:
    scores = scores_of([row("yes", "yes", UP)])
    unknown = {name.removeprefix("reader_") for name, value in scores.items() if value is None}
    assert unknown == {
        "consistency",  # of one prediction
        *("agreement_on_wrong", "gold_on_wrong", "given_gold", "given_gold_on_wrong"),
        *("exposure_gap", "exposure_gap_on_wrong"),
        *("follows_swapped_label", "swap_base_rate", "label_following"),
    }
    assert share([]) is None
    assert kappa([]) is None


pairs = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1)


@given(pairs)
def test_kappa_is_that_of_scikit_learn(found: list[tuple[str, str]]) -> None:
    firsts, seconds = zip(*found, strict=True)
    if len({*firsts, *seconds}) == 1:
        assert kappa(found) == 0.0, "one label on both sides: no more than chance"
    else:
        assert kappa(found) == pytest.approx(cohen_kappa_score(firsts, seconds), abs=1e-12)


def model(writes: str, wrong: float = 0.3, rows: int = 400) -> list[Prediction]:
    """Return predictions of a model made to fail in one way: `writes` names its rationales."""
    rng = random.Random(writes)
    found = []
    for _ in range(rows):
        gold = rng.choice(LABELS)
        label = "yes" if writes == "collapsed" else gold
        if rng.random() < wrong and writes != "collapsed":
            label = "no" if gold == "yes" else "yes"
        other = "no" if label == "yes" else "yes"
        own, given_gold, swapped = {
            "follows": (TEXT[label], TEXT[gold], TEXT[other]),
            "collapsed": (UP, UP, UP),
            "deaf": (TEXT[gold], TEXT[gold], TEXT[gold]),
            "coin": (TEXT[label if label == gold else rng.choice(LABELS)], TEXT[gold], UP),
        }[writes]
        found.append(row(gold, label, own, given_gold=given_gold, swapped={other: swapped}))
    return found


def test_a_model_that_follows_its_label_has_no_gap_and_is_not_deaf() -> None:
    scores = scores_of(model("follows"))
    assert scores["reader_kappa"] == 1.0
    assert scores["reader_exposure_gap_on_wrong"] == 0.0
    assert scores["reader_label_following"] == 1.0


def test_a_collapsed_model_has_no_consistency_and_agrees_by_chance_alone() -> None:
    scores = scores_of(model("collapsed"))
    assert scores["reader_consistency"] is None
    assert scores["reader_kappa"] == 0.0
    assert scores["reader_label_following"] == 0.0


def test_a_model_that_argues_for_gold_whatever_it_is_given_reads_no_label() -> None:
    scores = scores_of(model("deaf"))
    assert scores["reader_exposure_gap_on_wrong"] == -1.0
    # Where it is wrong, gold is the other label: what was asked for stood there before.
    assert scores["reader_follows_swapped_label"] == scores["reader_swap_base_rate"]
    assert scores["reader_label_following"] == 0.0


def test_a_coin_on_wrong_rows_shows_as_a_gap_of_half() -> None:
    assert scores_of(model("coin", wrong=0.5))["reader_exposure_gap_on_wrong"] == pytest.approx(
        -0.5, abs=0.1
    )
