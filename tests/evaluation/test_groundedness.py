"""Facts that hold, words that stand there, advice that the facts support: by hand and corrupted."""

from dataclasses import replace

import pytest

from r2d_ray.data.samples import build_sample
from r2d_ray.data.samples.triage import facts_of
from r2d_ray.data.samples.triage_rationales import advised_in, facts_in
from r2d_ray.evaluation.reading.groundedness import (
    content_words,
    fact_statistics,
    groundedness_scores,
    ratio,
    with_groundedness,
    word_statistics,
)
from r2d_ray.records import Prediction

GROUP = "triage:fever, mild, over 2 weeks, infant, stiff neck"


def row(rationale: str | None, group: str = "g", **more: object) -> Prediction:
    values = {"id": "x", "group": group, "gold_label": "a", "label": "a", "rationale": rationale}
    return Prediction.model_validate(values | more)


@pytest.mark.parametrize(
    ("group", "facts"),
    [
        (GROUP, {"fever", "mild", "over 2 weeks", "infant", "stiff neck"}),
        ("triage:rash, ?, under 4 days, adult", {"rash", "under 4 days", "adult"}),
        ("triage:ward 3", None),
        ("fever, mild", None),
        ("", None),
    ],
    ids=["flag", "left out", "a user's own", "without its prefix", "none"],
)
def test_the_facts_of_a_call_are_in_its_group(group: str, facts: set[str] | None) -> None:
    assert facts_of(group) == facts


@pytest.mark.parametrize(
    ("rationale", "facts", "advice"),
    [
        ("The decision rests on fever and a stiff neck.", [2, 2], [0, 0]),
        ("The decision rests on vomiting and a stiff neck.", [1, 2], [0, 0]),
        ("It rests on fever and a stiff neck, so go to the emergency department.", [2, 2], [0, 1]),
        ("It rests on fever and a stiff neck, so stay with home care.", [2, 2], [1, 1]),
        ("Denies any cough. Book a visit this week.", [0, 0], [0, 0]),
        ("", [0, 0], [0, 0]),
    ],
    ids=["true", "one invented", "advice fits", "advice against", "denied", "empty"],
)
def test_statistics_by_hand(rationale: str, facts: list[int], advice: list[int]) -> None:
    assert fact_statistics(rationale, GROUP) == {"facts": facts, "advice": advice}


def test_elsewhere_words_and_numbers_stand_in_for_facts() -> None:
    text = "The trial of 62 adults: mortality fell under aspirin."
    assert content_words("In the trial of 62, mortality") == {"trial", "mortality", "62"}
    assert word_statistics("Mortality fell by 12 under statins.", text) == {"words": [2.0, 4.0]}
    [found] = with_groundedness([row("Mortality fell.", given_gold="Patients died.")], [text])
    assert found.statistics == {"words": [2.0, 2.0], "gold_words": [0.0, 2.0]}


def test_scores_by_hand() -> None:
    found = with_groundedness(
        [
            row("Fever and a stiff neck.", GROUP, reference="fever and a stiff neck"),
            row("Fever and vomiting.", GROUP, label="b", given_gold="Fever.", reference="Fever."),
            row("Fever and vomiting.", GROUP),
            row("Nothing.", GROUP, label="b"),
        ],
        [""] * 4,
    )
    assert groundedness_scores(found) == {
        "distinct_rationales": 3 / 4,
        "exact_match": 1 / 2,
        "facts_grounded": 4 / 6,
        "facts_grounded[right]": 3 / 4,
        "facts_grounded[wrong]": 1 / 2,
        "facts_grounded[gold_label]": 1.0,
        "facts_all_grounded": 1 / 4,
        "advice_against_facts": None,
    }
    assert groundedness_scores([row(None)]) == {}
    assert ratio([]) is None


def test_gold_is_grounded_and_the_rationale_of_another_call_is_not() -> None:
    """Of clear rows; each measure moves under the corruption that is made for it."""
    splits = build_sample("triage", sizes=(400, 60, 60))
    rows = [row for row in splits.train if not row.tags]
    for source in ("nurse", "nurse_sentence", "llm"):
        texts = [each.rationales[source] for each in rows]
        shares = []
        for given in (texts, [*texts[1:], texts[0]]):
            made = [row(text, each.group) for text, each in zip(given, rows, strict=True)]
            found = with_groundedness(made, [""] * len(made))
            shares.append(groundedness_scores(found)["facts_grounded"])
        assert shares[0] == 1.0
        assert shares[1] is not None
        assert shares[1] < 0.6


def test_advice_that_another_rule_gives_is_found() -> None:
    splits = build_sample("triage", sizes=(200, 60, 60))
    rows = [replace(row, rationales={"llm": row.rationales["llm"]}) for row in splits.train]
    for each in rows:
        text = each.rationales["llm"]
        assert advised_in(text) == each.label
        assert facts_in(text)
        assert fact_statistics(text, each.group)["advice"] == [0.0, 1.0]
        other = "home care" if each.label != "home care" else "doctor today"
        turned = f"{text.rsplit('. ', 1)[0]}. It is best to book {other}."
        wrong = fact_statistics(turned, each.group)["advice"]
        assert wrong in ([1.0, 1.0], [0.0, 0.0]), "the facts went with the sentence, or disagree"
