"""Alignment by hand-made cases: what is masked, what readers know without a model, swaps."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_config, toy_splits
from datasets import Dataset

from r2d_ray.data.prepare import open_prepared
from r2d_ray.data.samples import build_sample
from r2d_ray.evaluation.evaluator import Evaluator
from r2d_ray.evaluation.reading.alignment import (
    MASK,
    control_scores,
    exact_reader,
    mask_labels,
    masked,
    own_reading_scores,
    reader_splits,
    swapped_labels,
)
from r2d_ray.evaluation.reading.readers import (
    own_reading,
    read_texts,
    with_given_gold,
    with_swapped,
)
from r2d_ray.method.labels import prompt_table
from r2d_ray.model.t5 import load_model
from r2d_ray.records import Prediction

LABELS = ("yes", "no")


def row(gold: str, label: str, rationale: str, reference: str = "", **more: object) -> Prediction:
    return Prediction.model_validate(
        {
            "id": f"{gold}{label}{rationale}",
            "group": "g",
            "gold_label": gold,
            "label": label,
            "rationale": rationale,
            "reference": reference or None,
            **more,
        }
    )


def word_reader(texts: Sequence[str], _: object = None) -> list[str | None]:
    """Reads `up` as yes and `down` as no."""
    return ["yes" if "up" in text else "no" if "down" in text else None for text in texts]


@pytest.mark.parametrize(
    ("text", "masked_text"),
    [
        ("Yes, it works.", f"{MASK} it works."),
        ("No. The answer is no.", f"{MASK} The answer is {MASK}."),
        ("It is known: YES", f"It is known: {MASK}"),
        ("Nothing noted, yesterday", "Nothing noted, yesterday"),
        ("Maybe it does", f"{MASK} it does"),
    ],
)
def test_label_strings_are_masked_as_whole_words(text: str, masked_text: str) -> None:
    assert mask_labels(text, LABELS) == masked_text


@pytest.mark.parametrize(
    ("text", "masked_text"),
    [
        ("Air is short. The advice is to call an ambulance.", f"Air is short. {MASK}"),
        ("It is best to see a Doctor, today. It hurts.", f"{MASK} It hurts."),
        ("Call for a taxi, not for an ambulance.", "Call for a taxi, not for an ambulance."),
        ("Ambulance, they call it. No doctor", "Ambulance, they call it. No doctor"),
        ("The doctor will be there today? No.", "The doctor will be there today? No."),
    ],
    ids=["sentence", "case and comma", "too far apart", "other order", "three words between"],
)
def test_a_sentence_that_states_the_decision_is_masked_whole(text: str, masked_text: str) -> None:
    assert mask_labels(text, ("call ambulance", "doctor today")) == masked_text


def test_words_tell_nothing_of_the_masked_sentence_that_states_the_decision() -> None:
    """A bag of words reads every decision of the triage sample off its sentence, and no mask."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    splits = build_sample("triage", sizes=(1000, 60, 500))
    stated = {
        name: [(row.rationales["llm"].rsplit(". ", 1)[-1], row.label) for row in rows]
        for name, rows in (("train", splits.train), ("test", splits.test))
    }

    def accuracy(read: Callable[[str], str]) -> float:
        words = CountVectorizer()
        (texts, gold), (new, wanted) = (zip(*stated[name], strict=True) for name in stated)
        counts = words.fit_transform([f"x {read(text)} decision" for text in texts])
        model = LogisticRegression(max_iter=500).fit(counts, gold)
        return float(model.score(words.transform([f"x {read(text)}" for text in new]), wanted))

    chance = max(Counter(label for _, label in stated["test"]).values()) / len(stated["test"])
    assert accuracy(lambda text: text) > 0.95
    assert accuracy(lambda text: mask_labels(text, splits.labels)) <= chance + 0.1


def test_a_masked_reader_never_sees_a_label() -> None:
    seen: list[str] = []

    def spy(texts: Sequence[str], _: object) -> list[str | None]:
        seen.extend(texts)
        return [None for _ in texts]

    masked(spy)(["yes: it is no use", "the answer is Yes"], [LABELS, LABELS])
    assert not any(label in text.lower().split() for text in seen for label in LABELS)


def test_the_models_own_reading_by_hand() -> None:
    found = [
        row("yes", "yes", "a", "gold a"),
        row("no", "yes", "b", "gold b"),
        row("no", "no", "c"),
    ]
    scores = own_reading_scores(found, read=["yes", "no", "no"], read_gold=["no", "no", "yes"])
    assert scores == {
        "consistency": 2 / 3,  # P1 == P2 in rows 0 and 2
        "sufficiency": 3 / 3,
        "gold_robustness": 1 / 2,  # of the two rows that have a gold rationale
    }


def test_controls_show_what_a_reader_knows_without_a_rationale() -> None:
    found = [row(gold, "yes", "") for gold in ("yes", "yes", "no")]
    always_yes = masked(lambda texts, _: ["yes" for _ in texts])
    scores = control_scores(found, always_yes, LABELS, "reader")
    assert scores == {
        "reader_on_gold": None,  # no row has a gold rationale
        "reader_on_masked_gold": None,
        "reader_empty": 2 / 3,
        "reader_label_only": 2 / 3,
    }
    leaky = control_scores(found, masked(lambda texts, _: list(texts)), LABELS, "reader")
    assert leaky["reader_label_only"] == 0, "the mask leaves no label to read"


def test_the_swap_gives_the_next_label_of_the_set() -> None:
    assert [swapped_labels(label, ("a", "b", "c")) for label in ("a", "b", "c", "?")] == [
        *("b", "c", "a", "a")
    ]


def test_a_reader_learns_from_masked_gold_rationales_only() -> None:
    splits = toy_splits(8, 4, 4)
    reading = reader_splits(splits, "human")
    for name, rows in reading.items():
        for row_, original in zip(rows, getattr(splits, name), strict=True):
            assert row_.context == mask_labels(original.rationales["human"], splits.labels)
            assert (row_.question, row_.rationales, row_.label) == ("", {}, original.label)


def test_the_exact_reader_of_triage_is_its_protocol() -> None:
    splits = build_sample("triage", rows=60)
    reader = exact_reader(splits.name)
    assert reader is not None
    for source in ("nurse", "nurse_sentence", "llm"):
        texts = [r.rationales[source] for r in splits.train]
        assert list(reader(texts, [splits.labels] * len(texts))) == [r.label for r in splits.train]
    assert exact_reader("bioasq-sample") is None


def test_a_model_reads_texts_alone_and_writes_for_swapped_labels(prepared_dir: Path) -> None:
    prepared = open_prepared(prepared_dir)
    config = tiny_config()
    model = load_model(config, prepared.tokenizer)
    table = prompt_table(prepared.tokenizer, prepared.label_tokens, torch.device("cpu"))
    evaluator = Evaluator(model, prepared.tokenizer, table, config)
    texts = ["", "The trial says that betol helped.", ""]
    read = read_texts(evaluator, texts, [()] * 3)
    assert set(read) <= {"yes", "no"}
    assert read[0] == read[2]
    rows = prepared.tables["test"].select(range(3))
    found = [row("yes", "yes", "up", "up"), row("no", "yes", "up", "up"), row("no", "no", "", "up")]
    read, scores = own_reading(evaluator, found)
    assert {"consistency", "sufficiency", "gold_robustness", "own_kappa"} <= set(scores)
    assert not {"own_consistency", "own_sufficiency"} & set(scores), "one score, one name"
    assert all("own_verdict" in row.statistics for row in read)
    swapped = with_swapped(evaluator, rows, found)
    assert [list(r.swapped) for r in swapped] == [["no"], ["no"], ["yes"]]
    written = evaluator.rationales(rows, ["no", "no", "yes"])
    assert [next(iter(r.swapped.values())) for r in swapped] == written


class Writer:
    """In an evaluator's place: writes the row's id and the label, and counts what it writes."""

    def __init__(self, prompt: str) -> None:
        self.config = tiny_config(rationale_prompt=prompt)
        self.written = 0

    def rationales(self, rows: Dataset, labels: Sequence[str]) -> list[str]:
        self.written += len(rows)
        return [f"{id_} {label}" for id_, label in zip(rows["id"], labels, strict=True)]


ROWS = Dataset.from_dict({"id": list("abcd")})
WRONG_AND_RIGHT = [
    *(row("yes", "yes", "a yes"), row("yes", "no", "b no")),
    *(row("no", "no", "c no"), row("no", "maybe", "d maybe")),
]


def test_only_rows_with_a_wrong_label_are_written_again_for_the_gold_one() -> None:
    writer: Any = Writer("given_label")
    found = with_given_gold(writer, ROWS, WRONG_AND_RIGHT)
    assert [r.given_gold for r in found] == ["a yes", "b yes", "c no", "d no"]
    assert [r.rationale for r in found] == [r.rationale for r in WRONG_AND_RIGHT]
    assert writer.written == 2


def test_a_prompt_without_a_label_gives_the_same_text_for_the_gold_one() -> None:
    writer: Any = Writer("plain")
    found = with_given_gold(writer, ROWS, WRONG_AND_RIGHT)
    assert [r.given_gold for r in found] == [r.rationale for r in found]
    assert writer.written == 0
