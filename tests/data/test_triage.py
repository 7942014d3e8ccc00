from __future__ import annotations

import random
from collections import defaultdict
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2d_ray.data.examples import Example
from r2d_ray.data.samples import build_sample
from r2d_ray.data.samples.triage import facts_of, irrelevant_fields, unclear_cases
from r2d_ray.data.samples.triage_protocol import (
    DISPOSITIONS,
    RULES,
    Case,
    all_cases,
    decide,
    fired,
    possible_dispositions,
)
from r2d_ray.data.samples.triage_rationales import disposition_from_rationale, facts_in


@cache
def triage_rows(seed: int = 0) -> list[Example]:
    return [row for _, rows in build_sample("triage", 2000, seed).items() for row in rows]


# Rationales of another label


def test_an_ambiguous_note_has_a_rationale_of_its_other_label_and_no_other_row_has_one():
    for row in triage_rows():
        if "ambiguous" not in row.tags:
            assert not row.relabelled
            continue
        assert row.relabelled.keys() == row.rationales.keys()
        [other] = {label for texts in row.relabelled.values() for label in texts}
        assert other != row.label
        facts = facts_of(row.group)
        assert facts is not None
        for texts in row.relabelled.values():
            assert disposition_from_rationale(texts[other]) == other
            # Besides what the note tells it names one thing at most: the fact that is left out.
            assert len(facts_in(texts[other]) - facts) <= 1


# The protocol


@pytest.mark.parametrize(
    ("case", "disposition", "named"),
    [
        (
            Case("chest pain", "severe", "under 4 days", "older adult"),
            "call ambulance",
            ("chest pain", "severe"),
        ),
        (
            Case("chest pain", "mild", "under 4 days", "older adult"),
            "emergency department",
            ("older adult", "chest pain"),
        ),
        (
            Case("sore throat", "mild", "under 4 days", "adult", ("blue lips",)),
            "call ambulance",
            ("blue lips",),
        ),
        (Case("sore throat", "severe", "under 4 days", "adult"), "doctor today", ("severe",)),
        (
            Case("rash", "moderate", "over 2 weeks", "adult"),
            "visit this week",
            ("moderate", "over 2 weeks"),
        ),
        (Case("rash", "mild", "4 to 14 days", "child"), "home care", ("mild", "4 to 14 days")),
    ],
)
def test_the_first_rule_that_holds_decides(case, disposition, named):
    rule, facts = decide(case)
    assert (rule.disposition, facts) == (disposition, named)


def test_every_case_fires_a_rule_and_every_rule_is_fired():
    assert {decide(case)[0] for case in all_cases()} == set(RULES)


@given(case=st.sampled_from(all_cases()), data=st.data())
@settings(deadline=None)
def test_naming_further_facts_of_the_call_leads_to_the_same_rule(case, data):
    rule, named = decide(case)
    further = data.draw(st.sets(st.sampled_from(sorted(case.facts()))))
    result = fired({*named, *further})
    assert result is not None
    assert result[0] == rule


@given(case=st.sampled_from(all_cases()), seed=st.integers(0, 999))
@settings(deadline=None)
def test_what_a_clear_note_leaves_out_cannot_change_its_disposition(case, seed):
    hidden = irrelevant_fields(case, random.Random(seed))
    assert possible_dispositions(case, hidden) == {decide(case)[0].disposition}


def test_what_an_unclear_note_leaves_out_decides_between_two_dispositions():
    assert {len(possible_dispositions(case, {field})) for case, field in unclear_cases()} == {2}


def test_clear_triage_rows_of_one_case_have_one_disposition():
    labels = defaultdict(set)
    for row in triage_rows():
        if "ambiguous" not in row.tags:
            labels[row.group].add(row.label)
    assert {len(found) for found in labels.values()} == {1}


def test_ambiguous_triage_labels_are_a_fair_coin():
    rows = [row for seed in range(4) for row in triage_rows(seed) if "ambiguous" in row.tags]
    by_note = {}
    for case, field in unclear_cases():
        facts = [
            "?" if field == name else getattr(case, name)
            for name in ("severity", "duration", "age")
        ]
        group = f"triage:{', '.join((case.complaint, *facts, *case.flags))}"
        by_note[group] = sorted(possible_dispositions(case, {field}))
    first = sum(by_note[row.group][0] == row.label for row in rows)
    assert all(row.label in by_note[row.group] for row in rows)
    assert abs(first / len(rows) - 0.5) < 0.1  # 400 rows: four standard errors


# Rationales and their parser


def test_the_parser_recovers_every_disposition_from_every_source():
    for row in triage_rows():
        read = {source: disposition_from_rationale(text) for source, text in row.rationales.items()}
        assert read == dict.fromkeys(("nurse", "nurse_sentence", "llm"), row.label)


def test_rationale_sources_have_their_forms():
    for row in triage_rows():
        assert " yes" in row.rationales["nurse"]
        assert row.rationales["nurse_sentence"].count(".") == 1
        assert len(row.rationales["nurse_sentence"].split()) < 20
        assert row.rationales["llm"].count(". ") in (1, 2)


@pytest.mark.parametrize(
    ("text", "disposition"),
    [
        ("stiff neck yes AND headache yes", "emergency department"),
        ("Stif neck - YES and hedache, yes yes", "emergency department"),
        ("headache yes AND stiff neck no AND mild yes AND under 4 days yes", "home care"),
        ("Denies any fainting; the patient has a rash and severe symptoms.", "doctor today"),
        ("The call also mentions vomiting with passing blood.", "emergency department"),
        ("So the advice is to call an ambulance.", "call ambulance"),
        ("It is best to see a doctor today.", "doctor today"),
        ("Call an ambulance or stay with home care.", None),
        ("The patient has moderate symptoms.", None),
        ("The line was poor and the pharmacy closed.", None),
        ("", None),
    ],
)
def test_the_parser_bears_noise_and_refuses_what_names_no_rule(text, disposition):
    assert disposition_from_rationale(text) == disposition


@given(st.text(max_size=60))
@settings(deadline=None)
def test_the_parser_reads_any_text(text):
    assert disposition_from_rationale(text) in (*DISPOSITIONS, None)
