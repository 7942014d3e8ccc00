"""The bag of words by hand, against scikit-learn's own pipeline, and what it must not look at."""

import random
from dataclasses import replace

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline

from r2d_ray.cli.control_lines import with_verdict
from r2d_ray.data.examples import Example, Provenance, Splits
from r2d_ray.evaluation.controls import bag_of_words as module
from r2d_ray.evaluation.controls.bag_of_words import (
    QUESTION,
    STRENGTHS,
    WITH_CONTEXT,
    bag_scores,
    bags_of_words,
    not_applicable,
)
from r2d_ray.evaluation.controls.labels import verdict

FILLER = ["pain", "since", "monday", "mild", "left", "arm", "again", "after", "work", "stairs"]


def splits_of(train, validation, test, labels=("yes", "no")) -> Splits:
    parts = (tuple(rows) for rows in (train, validation, test))
    return Splits("made", *parts, labels, Provenance("file", "made", "none"))


def note(id_: str, context: str, label: str, question: str = "What now?") -> Example:
    return Example(id_, id_, question, context, label)


def notes(name: str, number: int, labels=("yes", "no"), noise: int = 3) -> list[Example]:
    """Rows whose context holds the word `cue<label>` among so many words of noise."""
    rng = random.Random(name)
    rows = []
    for i in range(number):
        label = labels[i % len(labels)]
        words = [*rng.choices(FILLER, k=noise), f"cue{label}"]
        rng.shuffle(words)
        rows.append(note(f"{name}{i:03d}", " ".join(words), label))
    return rows


def made(labels=("yes", "no")) -> Splits:
    parts = (
        notes(name, number, labels, noise=0) for name, number in (("t", 60), ("v", 20), ("e", 30))
    )
    return splits_of(*parts, labels=labels)


@pytest.mark.parametrize("labels", [("yes", "no"), ("a", "b", "c", "d")])
def test_a_word_that_decides_is_found_in_the_context_and_not_in_the_question(labels) -> None:
    splits = made(labels)
    bags = bags_of_words(splits, "macro_f1")
    assert list(bags) == [QUESTION, WITH_CONTEXT]
    whole = bag_scores(bags[WITH_CONTEXT], splits)
    assert whole["macro_f1"] == whole["accuracy"] == bags[WITH_CONTEXT].validation == 1.0
    blind = bag_scores(bags[QUESTION], splits)
    [said] = {row.label for row in bags[QUESTION].predictions}
    assert blind["accuracy"] == sum(row.label == said for row in splits.test) / 30
    for bag in bags.values():
        assert [row.id for row in bag.predictions] == [row.id for row in splits.test]
        for row in bag.predictions:
            assert list(row.probabilities) == list(labels)
            assert sum(row.probabilities.values()) == pytest.approx(1)


def noisy(name: str, number: int) -> list[Example]:
    """Rows whose cue is wrong in three of ten, and of which one label is rare."""
    rows = notes(name, number, ("yes", "yes", "no"))
    rng = random.Random(name)
    return [replace(r, label="no" if rng.random() < 0.3 else r.label) for r in rows]


NOISY = splits_of(noisy("t", 120), noisy("v", 60), noisy("e", 60))


def test_the_choice_is_the_first_best_of_scikit_learns_own_pipelines_on_validation() -> None:
    def texts(rows):
        return [f"{row.question}\n{row.context}" for row in rows]

    words = {"ngram_range": (1, 2), "min_df": 2, "token_pattern": r"\b\w+\b"}
    readers = {
        "tf-idf": TfidfVectorizer(sublinear_tf=True, **words),
        "counts": CountVectorizer(**words),
    }
    tried = []
    for weighting, reader in readers.items():
        for strength in STRENGTHS:
            for weights in (None, "balanced"):
                model = LogisticRegression(C=strength, class_weight=weights, max_iter=300, tol=1e-3)
                line = make_pipeline(reader, model)
                line.fit(texts(NOISY.train), [row.label for row in NOISY.train])
                gold = [row.label for row in NOISY.validation]
                score = f1_score(gold, line.predict(texts(NOISY.validation)), average="macro")
                balanced = ", class weights balanced" if weights else ""
                name = f"{weighting}, C {strength:g}{balanced}, chosen"
                shares = line.predict_proba(texts(NOISY.test))
                tried.append((score, name, list(line.classes_), shares))
    score, name, known, shares = max(tried, key=lambda each: each[0])
    assert len({round(each[0], 6) for each in tried}) > 3, "the choice must matter"
    found = bags_of_words(NOISY, "macro_f1")[WITH_CONTEXT]
    assert found.validation == pytest.approx(score)
    assert name in found.setting
    ours = [[row.probabilities[label] for label in known] for row in found.predictions]
    np.testing.assert_allclose(ours, shares, atol=1e-12)


def told(splits: Splits) -> dict[str, list[tuple]]:
    return {
        name: [(row.id, row.label, row.probabilities) for row in bag.predictions]
        for name, bag in bags_of_words(splits, "macro_f1").items()
    }


def test_neither_test_labels_nor_the_order_of_rows_change_a_prediction() -> None:
    before = told(NOISY)
    other = tuple(replace(r, label="no" if r.label == "yes" else "yes") for r in NOISY.test)
    assert told(replace(NOISY, test=other)) == before
    rng = random.Random(1)
    mixed = {n: tuple(rng.sample(rows, len(rows))) for n, rows in NOISY.items()}
    after = told(replace(NOISY, **mixed))
    assert {n: sorted(rows, key=lambda row: row[0]) for n, rows in after.items()} == {
        n: sorted(rows, key=lambda row: row[0]) for n, rows in before.items()
    }


def test_validation_rows_choose_and_are_not_fitted() -> None:
    # Words of validation rows alone are unknown: the regression falls back on its intercept.
    splits = splits_of(
        notes("t", 60),
        [note(f"v{i}", "zebra", "yes" if i % 2 else "no") for i in range(10)],
        [note("e0", "zebra", "yes"), note("e1", "unheard", "no")],
    )
    zebra, unheard = bags_of_words(splits, "accuracy")[WITH_CONTEXT].predictions
    assert zebra.probabilities == unheard.probabilities


def test_settings_are_tried_on_some_rows_of_many_and_the_chosen_one_fitted_on_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CHOSEN_ON", 20)
    few = [*notes("t", 60, noise=0), *(note(f"z{i}", f"late{i} word", "no") for i in range(4))]
    splits = replace(made(), train=tuple(few))
    found = bags_of_words(splits, "macro_f1")[WITH_CONTEXT]
    assert "chosen on validation with 20 of 64 training rows" in found.setting
    assert bag_scores(found, splits)["accuracy"] == 1.0


@pytest.mark.parametrize("text", ["?!", "x", "Ω", "發燒 三天", "a b"])
def test_any_text_has_words(text: str) -> None:
    train = [note(f"t{i}", "", "yes" if i % 2 else "no", text) for i in range(4)]
    splits = splits_of(train, train[:2], train[2:])
    assert list(bags_of_words(splits, "macro_f1")) == [QUESTION], "no row has a context"


# Options that rows bring


def exam(id_: str, options: tuple[str, ...], right: int, context: str = "") -> Example:
    return Example(id_, id_, f"Q {id_}", context, options[right], choices=options)


def exams(name: str, number: int) -> list[Example]:
    """Rows whose context names the right one of three or four drugs, at any place."""
    rng = random.Random(name)
    drugs = [f"drug{letter}" for letter in "abcdefgh"]
    rows = []
    for i in range(number):
        options = tuple(rng.sample(drugs, 3 + i % 2))
        right = rng.randrange(len(options))
        rows.append(exam(f"{name}{i}", options, right, f"she got {options[right]} at night"))
    return rows


def test_of_own_options_the_one_that_the_context_names_is_found() -> None:
    splits = splits_of(exams("t", 60), exams("v", 20), exams("e", 30), labels=())
    bags = bags_of_words(splits, "accuracy")
    assert bag_scores(bags[WITH_CONTEXT], splits)["accuracy"] == 1.0
    assert bag_scores(bags[QUESTION], splits)["accuracy"] < 0.8
    assert "class weights" not in bags[WITH_CONTEXT].setting
    for row, found in zip(splits.test, bags[WITH_CONTEXT].predictions, strict=True):
        assert found.options == row.choices
        assert list(found.probabilities) == list(row.choices or ())
        assert sum(found.probabilities.values()) == pytest.approx(1)


def test_without_any_other_word_the_most_frequent_place_is_chosen() -> None:
    def rows(name, number):
        return [exam(f"{name}{i}", ("left", "right"), int(i % 4 > 0)) for i in range(number)]

    swapped = [replace(r, choices=("right", "left")) for r in rows("e", 4)]
    splits = splits_of(rows("t", 40), rows("v", 8), [*rows("f", 4), *swapped], labels=())
    found = bags_of_words(splits, "accuracy")[QUESTION].predictions
    assert {row.label for row in found[:4]} == {"right"}


def test_a_repeated_option_is_one_label() -> None:
    test = [exam("e0", ("druga", "drugb", "druga"), 0, "she got druga at night")]
    splits = splits_of(exams("t", 60), exams("v", 20), test, labels=())
    [found] = bags_of_words(splits, "accuracy")[WITH_CONTEXT].predictions
    assert list(found.probabilities) == ["druga", "drugb"]
    assert found.class_of(found.label) == "A"


# Where there is none


@pytest.mark.parametrize(
    ("splits", "reason"),
    [
        (splits_of(notes("t", 4), notes("v", 2), notes("e", 2), labels=()), "open texts"),
        (splits_of([note("t", "c", "yes")], notes("v", 2), notes("e", 2)), "one label only"),
        (splits_of([*exams("t", 4), note("x", "c", "d")], exams("v", 2), exams("e", 2), ()),
         "some rows bring no options"),
    ],
)  # fmt: skip
def test_there_is_a_reason_where_there_is_none(splits: Splits, reason: str) -> None:
    assert bags_of_words(splits, "macro_f1") == {}
    assert reason in (not_applicable(splits) or "")
    said = verdict({}, not_applicable(splits), {"r2d": 0.5}, "macro_f1")
    assert said["says"].startswith("bag of words with logistic regression: not applicable (")
    assert reason in said["says"]
    assert "beaten" not in said


# What is said first

BAGS = {
    QUESTION: {"macro_f1": 0.9, "accuracy": 0.1, "validation": 0.4},
    WITH_CONTEXT: {"macro_f1": 0.758, "accuracy": 0.749, "validation": 0.7},
}
LR = "a bag of words with logistic regression"


@pytest.mark.parametrize(
    ("models", "metric", "beaten", "says"),
    [
        ({"r2d": 0.489, "sft": 0.533}, "macro_f1", False,
         f"No arm beats {LR}: macro-F1 75.8 against 53.3 for sft."),
        ({"r2d": 0.489, "sft": 0.8}, "macro_f1", True,
         f"sft beats {LR}: macro-F1 80.0 against 75.8."),
        ({"r2d": 0.758}, "macro_f1", False,
         f"No arm beats {LR}: macro-F1 75.8 against 75.8 for r2d."),
        ({"r2d": 0.758}, "accuracy", True, f"r2d beats {LR}: accuracy 75.8 against 74.9."),
        ({}, "macro_f1", None, "no arm has a score to compare with a bag of words"),
    ],
)  # fmt: skip
def test_the_sentence_is_true_of_the_table(models, metric, beaten, says) -> None:
    found = verdict(BAGS, None, models, metric)
    assert found["says"] == says
    assert found.get("beaten") is beaten
    assert found["control"] == WITH_CONTEXT, "the best on validation, not on test"
    assert found["control_score"] == BAGS[WITH_CONTEXT][metric]


def test_above_a_searchs_table_of_shares_it_has_shares() -> None:
    said = {"bag_of_words": verdict(BAGS, None, {"best": 0.533}, "macro_f1", "model")}
    words = f"No model beats {LR}: macro-F1 0.758 against 0.533 for best."
    assert with_verdict(said, ["table"], in_percent=False) == [words, "", "table"]
    won = {"bag_of_words": verdict(BAGS, None, {"best": 0.8004}, "macro_f1", "model")}
    words = f"best beats {LR}: macro-F1 0.800 against 0.758."
    assert with_verdict(won, ["table"], in_percent=False) == ["table", words]
    none = {"bag_of_words": verdict({}, "labels are open", {"best": 0.5}, "macro_f1", "model")}
    assert with_verdict(none, ["table"], in_percent=False)[1].endswith("(labels are open)")
