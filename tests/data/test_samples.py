from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from r2d_ray.data.examples import (
    SPLIT_NAMES,
    Example,
    Splits,
    check_splits,
    content_hash,
    normalised,
)
from r2d_ray.data.samples import (
    MAX_ROWS,
    MIN_ROWS,
    SAMPLES,
    bioasq_tables,
    build_sample,
    ceiling_accuracy,
    pubmedqa_tables,
)
from r2d_ray.data.samples.dealing import Deck, exact_counts, sizes_of
from r2d_ray.data.samples.triage_protocol import DISPOSITIONS
from r2d_ray.errors import UserError

QUESTION_SAMPLES = ("bioasq", "pubmedqa")
CUES = {"bioasq": bioasq_tables.CUES, "pubmedqa": pubmedqa_tables.VERDICTS}
WITHOUT_VERDICT = {
    "bioasq": bioasq_tables.DISTRACTORS,
    "pubmedqa": (
        *pubmedqa_tables.BACKGROUND,
        *pubmedqa_tables.METHODS,
        *pubmedqa_tables.DISTRACTORS,
    ),
}
FUNCTION_WORDS = {"a", "and", "as", "for", "had", "in", "of", "on", "out", "were"}

sample = cache(build_sample)


def all_rows(splits: Splits) -> list[Example]:
    return [row for _, rows in splits.items() for row in rows]


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z-]+", re.sub(r"\{\w+\}", " ", text).lower()))


def polarity_words(name: str) -> set[str]:
    """Return the words that occur in the cues of exactly one label."""
    by_label = [set().union(*map(words, cues)) for cues in CUES[name].values()]
    times = Counter(word for used in by_label for word in used)
    return {word for word, count in times.items() if count == 1}


def bag_of_words(
    splits: Splits, text: Callable[[Example], str], labels: tuple[str, ...]
) -> tuple[list[str], list[str]]:
    """Return gold and predicted test labels of a logistic regression on uni- and bigrams."""
    train, test = ([r for r in rows if r.label in labels] for rows in (splits.train, splits.test))
    counts = CountVectorizer(ngram_range=(1, 2))
    model = LogisticRegression(max_iter=200)
    model.fit(counts.fit_transform(map(text, train)), [row.label for row in train])
    return [row.label for row in test], list(model.predict(counts.transform(map(text, test))))


# Every sample


def test_rows_are_the_same_in_every_process():
    code = (
        "from r2d_ray.data.examples import content_hash\n"
        "from r2d_ray.data.samples import SAMPLES, build_sample\n"
        "print([content_hash(build_sample(name, 200)) for name in SAMPLES])"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("1", "2")
    ]
    printed = [process.communicate()[0].strip() for process in processes]
    here = str([content_hash(build_sample(name, 200)) for name in SAMPLES])
    assert printed == [here, here]


@pytest.mark.parametrize("name", SAMPLES)
def test_another_seed_gives_other_rows(name):
    assert content_hash(sample(name, 200)) != content_hash(sample(name, 200, 1))


@pytest.mark.parametrize("name", SAMPLES)
def test_two_thousand_rows_by_default_in_less_than_a_second(name):
    start = time.process_time()
    splits = build_sample(name)
    assert time.process_time() - start < 1
    assert [len(rows) for _, rows in splits.items()] == [1400, 300, 300]
    assert splits.name == f"{name}-sample"
    assert splits.provenance.kind == "sample"
    assert splits.provenance.licence == "Apache-2.0"


@pytest.mark.parametrize("name", SAMPLES)
def test_sizes_may_be_given_by_split(name):
    splits = build_sample(name, sizes=(201, 50, 149))
    assert [len(rows) for _, rows in splits.items()] == [201, 50, 149]


@given(name=st.sampled_from(SAMPLES), rows=st.integers(MIN_ROWS, 120), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_a_sample_of_any_size_can_be_trained_and_scored(name, rows, seed):
    splits = build_sample(name, rows, seed)
    check_splits(splits)
    assert len(all_rows(splits)) == rows


@pytest.mark.parametrize("name", SAMPLES)
def test_there_are_facts_for_the_most_rows(name):
    most = MAX_ROWS[name]
    assert len(all_rows(build_sample(name, most))) == most


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_share_of_notes_without_an_answer_can_be_dialled(share):
    splits = build_sample("triage", sizes=(400, 50, 200), ambiguous=share)
    for _, rows in splits.items():
        found = sum("ambiguous" in row.tags for row in rows)
        assert found == round(share * len(rows))
        assert ceiling_accuracy(rows) == 1 - share / 2
    ceiling = 100 * (1 - share / 2)
    assert splits.provenance.notes[-1].endswith(f"more than {ceiling:g}% of the rows")


def test_the_dial_at_its_default_deals_the_default_rows():
    dialled = build_sample("triage", sizes=(1000, 100, 200), ambiguous=0.05)
    assert Counter(row.tags for row in dialled.train) == Counter(
        row.tags for row in build_sample("triage", sizes=(1000, 100, 200)).train
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_no_row_twice_and_no_group_in_two_splits(name):
    splits = sample(name)
    texts = [(normalised(row.question), normalised(row.context)) for row in all_rows(splits)]
    assert len(set(texts)) == len(texts)
    splits_of = defaultdict(set)
    for split, rows in splits.items():
        for row in rows:
            splits_of[row.group].add(split)
    assert {len(found) for found in splits_of.values()} == {1}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("split", SPLIT_NAMES)
def test_shares_of_tags_and_the_ceiling_they_imply(name, split):
    rows = getattr(sample(name), split)
    tags = Counter(tag for row in rows for tag in row.tags)
    assert 0.04 <= tags["ambiguous"] / len(rows) <= 0.06
    assert 0.06 <= tags["binding"] / len(rows) <= 0.10
    assert ceiling_accuracy(rows) == pytest.approx(1 - tags["ambiguous"] / len(rows) / 2)


@pytest.mark.parametrize("name", SAMPLES)
def test_texts_are_short(name):
    for row in all_rows(sample(name)):
        assert len(f"{row.question} {row.context}".split()) <= 80


def test_label_shares():
    bioasq, pubmedqa, triage = (
        [row.label for row in sample(name).train] for name in ("bioasq", "pubmedqa", "triage")
    )
    assert Counter(bioasq) == {"yes": 700, "no": 700}
    shares = {label: count / len(pubmedqa) for label, count in Counter(pubmedqa).items()}
    assert shares == pytest.approx({"yes": 0.55, "no": 0.34, "maybe": 0.11}, abs=0.02)
    assert set(triage) == set(DISPOSITIONS)
    assert min(Counter(triage).values()) >= 0.08 * len(triage)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "bioask"}, "unknown sample 'bioask'; did you mean 'bioasq'"),
        ({"name": "bioasq", "rows": 19}, "rows 19 .allowed: 20 to 5000"),
        ({"name": "bioasq", "rows": 5001}, "rows 5001 .allowed: 20 to 5000"),
        ({"name": "triage", "sizes": (100, 0, 10)}, "sizes 100, 0, 10 .allowed: at least 14"),
    ],
)
def test_bad_arguments_are_refused_with_what_is_allowed(arguments, message):
    with pytest.raises(UserError, match=message):
        build_sample(**arguments)


# Dealing


@given(
    total=st.integers(0, 500),
    weights=st.dictionaries(st.integers(), st.integers(1, 50), min_size=1, max_size=6),
)
def test_exact_counts_add_up_and_are_within_one_of_the_quota(total, weights):
    counts = exact_counts(total, weights)
    assert sum(counts.values()) == total
    for key, weight in weights.items():
        assert abs(counts[key] - total * weight / sum(weights.values())) < 1


def test_a_deck_deals_every_item_before_any_again():
    deck = Deck("abcd", random.Random(0))
    for _ in range(3):
        assert sorted(deck.deal() for _ in range(4)) == ["a", "b", "c", "d"]


def test_sizes_are_70_15_15_per_cent():
    assert sizes_of(2000).total() == 2000
    assert [sizes_of(101).of(split) for split in SPLIT_NAMES] == [71, 15, 15]


# Question samples: the answer is a cue in the context


@pytest.mark.parametrize("name", QUESTION_SAMPLES)
def test_no_question_in_two_splits(name):
    asked = [{normalised(row.question) for row in rows} for _, rows in sample(name).items()]
    assert len(set().union(*asked)) == sum(map(len, asked))


@pytest.mark.parametrize("split", SPLIT_NAMES)
def test_every_bioasq_question_is_answered_once_yes_and_once_no(split):
    answers = defaultdict(list)
    for row in getattr(sample("bioasq"), split):
        answers[row.question].append(row.label)
    assert {tuple(sorted(labels)) for labels in answers.values()} == {("no", "yes")}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", QUESTION_SAMPLES)
def test_the_question_alone_does_not_tell_yes_from_no(name, seed):
    gold, predicted = bag_of_words(
        sample(name, 2000, seed), lambda row: row.question, labels=("yes", "no")
    )
    assert f1_score(gold, predicted, average="macro") <= 0.55


@pytest.mark.parametrize("name", QUESTION_SAMPLES)
def test_with_the_context_a_bag_of_words_finds_the_cue(name):
    splits = sample(name)
    gold, predicted = bag_of_words(
        splits, lambda row: f"{row.question} {row.context}", labels=splits.labels
    )
    assert 0.85 <= accuracy_score(gold, predicted) <= ceiling_accuracy(splits.test)


@pytest.mark.parametrize("name", QUESTION_SAMPLES)
def test_sentences_without_a_verdict_use_no_word_that_only_one_label_uses(name):
    used = set().union(*map(words, WITHOUT_VERDICT[name])) - FUNCTION_WORDS
    assert used & polarity_words(name) == set()


@pytest.mark.parametrize("name", QUESTION_SAMPLES)
def test_every_cue_occurs_in_training_contexts(name):
    text = "\n".join(row.context.lower() for row in sample(name).train)
    for cue in (cue for cues in CUES[name].values() for cue in cues):
        pattern = "[^.]+".join(
            re.escape(part.lower()) for part in re.split(r"\{\w+\}", cue) if part
        )
        assert re.search(pattern, text), cue


@pytest.mark.parametrize("name", QUESTION_SAMPLES)
def test_the_human_rationale_quotes_the_cue_unless_there_is_none(name):
    for row in all_rows(sample(name)):
        results = row.context.split("RESULTS: ")[-1].lower()
        sentences = [part for part in re.split(r"\. |\.$", results) if part]
        quoted = [part for part in sentences if part in row.rationales["human"].lower()]
        assert bool(quoted) == ("ambiguous" not in row.tags), row


@pytest.mark.parametrize("name", QUESTION_SAMPLES)
def test_the_llm_rationale_is_longer_than_the_label_and_names_it(name):
    for row in all_rows(sample(name)):
        assert row.label in words(row.rationales["llm"])
        assert len(row.rationales["llm"].split()) >= 15
