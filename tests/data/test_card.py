"""The data card: hand-counted numbers, a JSON value, lines that show no text of a row."""

import json
from dataclasses import replace

from r2d_ray.data import card as card_module
from r2d_ray.data.card import card_lines, data_card, label_counts, with_tokens, word_lengths
from r2d_ray.data.examples import Example, Provenance, Splits, content_hash

SPLITS = Splits(
    name="small",
    train=(
        Example("a", "d1", "one two", "three four five", "yes", {"human": "h", "llm": "l l l"}),
        Example("b", "d1", "one", "", "yes", {"human": "h h h"}),
        Example("c", "d2", "one two", "three", "no"),
    ),
    validation=(Example("d", "d3", "secretquestion", "", "no", {"human": "h"}),),
    test=(Example("e", "d4", "one", "two", "yes"),),
    labels=("yes", "no"),
    provenance=Provenance("file", "notes.csv", "MIT", ("a note",)),
    dropped={"train row: its question is in test": 2},
)
TOKENS = {
    name: {"median": 9.0, "mean": 9.5, "p90": 12.0, "max": 13.0, "share_cut": 0.125}
    for name in ("train", "validation", "test")
}


def test_the_card_counts_what_is_there():
    card = data_card(SPLITS)
    assert card["rows"] == {"train": 3, "validation": 1, "test": 1}
    assert card["contexts"] == {"train": 2, "validation": 0, "test": 1}
    assert card["groups"] == {"train": 2, "validation": 1, "test": 1}
    assert card["label_counts"]["train"] == {"yes": 2, "no": 1}
    assert card["label_counts"]["validation"] == {"yes": 0, "no": 1}
    assert card["rationale_sources"] == {
        "human": {"train": 2, "validation": 1, "test": 0},
        "llm": {"train": 1, "validation": 0, "test": 0},
    }
    assert card["words"]["train"]["median"] == 3.0
    assert card["words"]["train"]["max"] == 5.0
    assert card["rationale_words"]["human"] == {
        "measured": 3,
        "median": 1.0,
        "p90": 2.6,
        "max": 3.0,
    }
    assert card["dropped"] == {"train row: its question is in test": 2}
    assert card["hash"] == content_hash(SPLITS)


def test_the_card_is_a_json_value():
    card = with_tokens(data_card(SPLITS), TOKENS)
    assert json.loads(json.dumps(card)) == card
    assert card["tokens"]["test"]["share_cut"] == 0.125


def test_the_card_follows_the_content():
    other = replace(SPLITS, test=(replace(SPLITS.test[0], context="three"),))
    assert data_card(other)["hash"] != data_card(SPLITS)["hash"]


def test_the_printed_card_has_a_line_for_each_split_source_note_and_reason():
    assert card_lines(with_tokens(data_card(SPLITS), TOKENS)) == [
        f"data small (file notes.csv, licence MIT), content {content_hash(SPLITS)}",
        "  note: a note",
        "  train: 3 rows; yes 67%, no 33%; median 3, p90 5 words; "
        "median 9, p90 12, max 13 tokens, 12.5% cut",
        "  validation: 1 row; no 100%, yes 0%; median 1, p90 1 words; "
        "median 9, p90 12, max 13 tokens, 12.5% cut",
        "  test: 1 row; yes 100%, no 0%; median 2, p90 2 words; "
        "median 9, p90 12, max 13 tokens, 12.5% cut",
        "  rationale human: train 2, validation 1, test 0; median 1, p90 3 words",
        "  rationale llm: train 1, validation 0, test 0; median 3, p90 3 words",
        "  dropped 2: train row: its question is in test",
    ]


def test_the_printed_card_shows_no_text_of_a_row_and_steers_no_terminal():
    hostile = replace(SPLITS, name="small\x1b[31m", labels=("yes", "no"))
    lines = card_lines(data_card(hostile))
    assert not any("secretquestion" in line for line in lines)
    assert lines[0].startswith("data small?[31m ")


def test_many_labels_are_cut_in_print_and_whole_in_the_card():
    labels = tuple(f"label {i}" for i in range(12))
    rows = tuple(Example(f"r{i}", f"r{i}", "q", "c", label) for i, label in enumerate(labels))
    card = data_card(replace(SPLITS, train=rows, validation=rows, test=rows, labels=labels))
    assert len(card["label_counts"]["train"]) == 12
    assert "label 7 8%, 4 more labels;" in card_lines(card)[2]


def test_rows_with_choices_have_no_label_counts():
    card = data_card(replace(SPLITS, labels=()))
    assert card["label_counts"] == {}
    assert card_lines(card)[2] == "  train: 3 rows; median 3, p90 5 words"


def test_counts_and_lengths_by_hand():
    assert label_counts(SPLITS.train, ("no", "yes", "maybe")) == {"no": 1, "yes": 2, "maybe": 0}
    lengths = word_lengths(["a"] * 10 + ["a b c d e f g h i j k"])
    assert lengths == {"measured": 11, "median": 1.0, "p90": 1.0, "max": 11.0}


def test_words_of_a_large_split_are_counted_in_a_sample_and_said(monkeypatch):
    monkeypatch.setattr(card_module, "WORDS_ROWS", 2)
    lines = "\n".join(card_lines(data_card(SPLITS)))
    assert lines.count(" words from a sample of 2 rows") == 1 + ("human" in lines)


def test_the_card_counts_rows_that_repeat_an_option():
    def with_options(row, *options):
        return replace(row, label=options[0], choices=options)

    one, two, three = SPLITS.train
    train = (with_options(one, "a", "b", "a"), with_options(two, "a", "b"), three)
    splits = replace(
        SPLITS,
        labels=(),
        train=(*train[:2], with_options(three, "c", "d", "e", "c")),
        validation=(with_options(SPLITS.validation[0], "a", "b"),),
        test=(with_options(SPLITS.test[0], "b", "b"),),
    )
    card = data_card(splits)
    assert card["label_kind"] == "choices"
    assert card["rows_with_duplicate_options"] == {"train": 2, "validation": 0, "test": 1}
    assert card["most_options"] == {"train": 4, "validation": 2, "test": 2}
    assert "  train: 3 rows; own options, at most 4; 2 rows repeat one; " in "\n".join(
        card_lines(card)
    )
    assert data_card(SPLITS)["rows_with_duplicate_options"] == {}
