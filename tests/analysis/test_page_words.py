"""The summary in plain words never claims more than its intervals."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.page.words import Finding, Search, Setting, comparison_words, search_words

SETTING = Setting("triage", rows=1500, reference="r2d", seeds=(3,), arms=9)
BETTER = Finding("dss", 0.073, 0.031, 0.112, p=0.004, detectable=0.058)
EVEN = Finding("sft", -0.015, -0.040, 0.010, p=0.4, detectable=0.036)
ALMOST = Finding("r2d_c", 0.026, 0.002, 0.040, p=0.09, detectable=0.027)


def words(*findings: Finding, **changes: object) -> str:
    return "\n".join(comparison_words(replace(SETTING, **changes), findings))  # type: ignore[arg-type]


def test_a_method_that_separates_is_named_with_its_interval_and_p() -> None:
    assert words(BETTER) == (
        "On the 1,500 test rows of triage, with 3 seeds, dss is better than r2d by 7.3 points of "
        "macro-F1 (95 % interval +3.1 to +11.2, p = 0.004 after Holm's correction)."
    )


def test_a_worse_method_is_called_worse() -> None:
    worse = Finding("sft", -0.2, -0.3, -0.1, p=0.00002, detectable=0.1)
    assert (
        "sft is worse than r2d by 20.0 points of macro-F1 (95 % interval -30.0 to -10.0, p < 0.001"
        in words(worse)
    )


def test_where_nothing_separates_it_says_so_and_what_could_have_been_missed() -> None:
    assert words(EVEN) == (
        "On the 1,500 test rows of triage, with 3 seeds, no method differs significantly from r2d "
        "on macro-F1. "
        "Differences in points: sft -1.5 (95 % interval -4.0 to +1.0). This does not prove "
        "equality: a true difference of up to about 3.6 points could have been missed (at "
        "80 % power)."
    )


def test_the_rest_is_told_beside_what_separates() -> None:
    text = words(BETTER, EVEN)
    assert "dss is better" in text
    assert "The others do not differ significantly: sft -1.5" in text
    assert "no method differs" not in text


def test_an_interval_without_0_that_fails_the_correction_is_no_result() -> None:
    text = words(ALMOST, EVEN)
    assert "no method differs significantly from r2d" in text
    assert "The interval of r2d_c alone leaves out 0, but does not survive" in text


def test_a_small_p_whose_interval_holds_0_is_no_result() -> None:
    text = words(replace(EVEN, p=0.001))
    assert "no method differs significantly from r2d" in text


def test_a_difference_without_a_test_is_no_result() -> None:
    assert "no method differs significantly from r2d" in words(replace(BETTER, p=None))


def test_two_that_separate_stand_in_one_sentence() -> None:
    worse = Finding("sft", -0.2, -0.3, -0.1, p=0.01, detectable=0.1)
    assert "correction); and sft is worse than r2d by 20.0 points" in words(BETTER, worse)


def test_sampling_that_changed_no_labels_is_said_not_to_be_tested() -> None:
    text = words(EVEN, untested=("r2d", "no_stage1"))
    assert "Scheduled sampling was not tested in r2d and no_stage1: fewer than 2 %" in text
    assert "not tested" not in words(EVEN)


@pytest.mark.parametrize(
    ("seeds", "said"),
    [(1, "with one seed only"), (2, "with 2 seeds, fewer than 3"), (3, None)],
)
def test_few_seeds_are_said(seeds: int, said: str | None) -> None:
    text = words(EVEN, seeds=(seeds, 3))
    assert (said in text) if said else "Each method was trained" not in text


def test_of_one_seed_only_the_run_is_called_better() -> None:
    text = words(BETTER, seeds=(1,))
    assert "with 1 seed, the one run of dss is better than that of r2d by 7.3 points" in text


def test_unequal_numbers_of_seeds_are_said() -> None:
    assert "with 2 to 5 seeds" in words(EVEN, seeds=(5, 2))


def test_absent_arms_are_counted() -> None:
    assert "2 of the 9 planned arms failed or did not run" in words(EVEN, absent=2)
    assert "planned arms" not in words(EVEN)


def test_without_the_reference_nothing_is_compared() -> None:
    assert words() == (
        "On the 1,500 test rows of triage, nothing can be compared with r2d: it, or every other "
        "method, has no finished run with predictions."
    )


def test_a_grid_of_the_reference_alone_points_to_its_tables() -> None:
    assert words(points=5) == (
        "On the 1,500 test rows of triage, only r2d was run, in 5 settings besides its default: "
        "the tables of its parts and of the grid's settings compare them."
    )


@given(
    low=st.floats(-0.5, 0.5),
    width=st.floats(0, 0.5),
    p=st.none() | st.floats(0, 1),
)
def test_better_or_worse_is_said_only_where_interval_and_p_agree(
    low: float, width: float, p: float | None
) -> None:
    high = low + width
    text = words(Finding("m", low + width / 2, low, high, p, 0.1))
    claimed = "m is better than" in text or "m is worse than" in text
    assert claimed == ((low > 0 or high < 0) and p is not None and p < 0.05)
    assert claimed != ("no method differs" in text)


SEARCH = Search(
    *("study", "r2d", "triage"), {"done": 3, "pruned": 2, "failed": 0}, 4, "macro_f1", 0.7125
)


@pytest.mark.parametrize(
    ("search", "said"),
    [
        (SEARCH, "made 5 trials (3 done, 2 pruned). On validation, trial 4 is best: macro_f1 "),
        (SEARCH, "Its gain over the default setting on test is not known."),
        (replace(SEARCH, best=0), "the search found nothing better"),
        (replace(SEARCH, best=None, value=None), "No best trial was chosen yet."),
        (replace(SEARCH, best=None, value=None, trials={"failed": 2}), "No trial finished."),
        (
            replace(SEARCH, gain=EVEN),
            "does not differ significantly from the default setting: -1.5",
        ),
        (replace(SEARCH, gain=replace(BETTER, p=None)), "better than the default setting: +7.3"),
    ],
)
def test_a_search_is_told_with_what_it_gained_on_test(search: Search, said: str) -> None:
    (text,) = search_words(search)
    assert said in text
