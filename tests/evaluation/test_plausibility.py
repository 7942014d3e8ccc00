"""Scores of rationales by part of the rows, from statistics by row; BERTScore of many files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import toy_splits
from hypothesis import given, settings
from hypothesis import strategies as st

from r2d_ray.evaluation import plausibility
from r2d_ray.evaluation import text_metrics as rationale_metrics
from r2d_ray.evaluation.bertscore import BertEncoder
from r2d_ray.evaluation.plausibility import (
    human_source,
    plausibility_scores,
    score_files,
    with_bertscore,
    with_overlap,
)
from r2d_ray.evaluation.text_metrics import overlap_statistics
from r2d_ray.records import Prediction, read_jsonl, write_jsonl

NO_ENCODER = "no BERTScore encoder: none here"
METRICS = ("bleu", "rouge_l", "bertscore")


def row(gold: str, label: str | None, rationale: str | None, **more: Any) -> Prediction:
    known = {"id": "i", "group": "g", "gold_label": gold, "label": label, "rationale": rationale}
    return Prediction.model_validate({**known, **more})


FOUND = [  # ROUGE-L 1, 2/3 and 0; given gold 1, 2/3 and 1; against the human 0, none, 1
    row("yes", "yes", "it did help", given_gold="it did help", reference="it did help", id="a"),
    row("no", "no", "a b c", given_gold="a b c", reference="c a b", id="b"),
    row("no", "yes", "wrong", given_gold="it did fail", reference="it did fail", id="c"),
]
HUMAN = {"a": "other words", "c": "wrong"}


def test_scores_by_part_by_hand() -> None:
    scores = plausibility_scores(with_overlap(FOUND, HUMAN))
    assert {name.partition("[")[2].rstrip("]") for name in scores} == {
        *("", "right", "wrong", "gold_label", "human")
    }
    assert scores["rouge_l"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert scores["rouge_l[right]"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["rouge_l[wrong]"] == 0
    assert scores["rouge_l[gold_label]"] == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert scores["rouge_l[human]"] == pytest.approx((0 + 1) / 2)
    assert {scores[name] for name in scores if name.startswith("bertscore")} == {None}


def test_the_human_reference_does_not_change_the_own_one() -> None:
    own, both = with_overlap(FOUND, {}), with_overlap(FOUND, HUMAN)
    for before, after in zip(own, both, strict=True):
        assert {n: after.statistics[n] for n in before.statistics} == before.statistics
    assert "bleu[human]" not in plausibility_scores(own)
    assert [set(r.statistics) - {"bleu", "rouge_l", "gold_bleu", "gold_rouge_l"} for r in both] == [
        *({"human_bleu", "human_rouge_l"}, set(), {"human_bleu", "human_rouge_l"})
    ]


def test_where_no_row_is_wrong_there_is_no_score_rather_than_0() -> None:
    scores = plausibility_scores(with_overlap(FOUND[:2], {}))
    assert {scores[f"{name}[wrong]"] for name in METRICS} == {None}
    assert scores["rouge_l[right]"] == scores["rouge_l"]


def test_a_control_predicts_no_label_and_is_neither_right_nor_wrong() -> None:
    scores = plausibility_scores(with_overlap([row("yes", None, "a", reference="a")], {}))
    assert scores["rouge_l"] == 1
    assert scores["rouge_l[right]"] is scores["rouge_l[wrong]"] is None


def test_without_rationales_there_is_no_score_at_all() -> None:
    labels_only = [row("yes", "yes", None, reference="it did help")]
    assert with_overlap(labels_only, {"i": "it did"}) == labels_only
    assert plausibility_scores(labels_only) == {}


@pytest.mark.parametrize("reference", [None, " "])
def test_a_row_without_a_reference_is_not_scored_and_an_empty_text_scores_0(
    reference: str | None,
) -> None:
    found = [row("yes", "yes", "a", reference=reference), row("yes", "no", "", reference="a b")]
    scored = with_overlap(found, {})
    assert scored[0].statistics == {}
    scores = plausibility_scores(scored)
    assert (scores["bleu"], scores["rouge_l"]) == (0, 0)
    assert scores["rouge_l[right]"] is None


words = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=6).map(" ".join)
labels = st.sampled_from(["yes", "no"])
rows = st.lists(st.tuples(labels, labels, words, words, words), min_size=1, max_size=8)


@settings(deadline=None)
@given(cases=rows)
def test_right_and_wrong_rows_add_up_and_gold_equals_predicted_where_right(
    cases: list[tuple[str, str, str, str, str]],
) -> None:
    found = with_overlap(
        [
            row(gold, label, text, given_gold=text if gold == label else other, reference=target)
            for gold, label, text, other, target in cases
        ],
        {},
    )
    scored = [r for r in found if r.statistics]
    right = [r for r in scored if r.label == r.gold_label]
    counts = [np.array([r.statistics["bleu"] for r in part]) for part in (scored, right)]
    scores = plausibility_scores(found)
    if len(right) == len(scored):
        for name in ("bleu", "rouge_l"):
            assert scores[name] == scores[f"{name}[right]"] == scores[f"{name}[gold_label]"]
    elif right:
        wrong = counts[0].sum(axis=0) - counts[1].sum(axis=0)
        expected = rationale_metrics.bleu_from_statistics(wrong[None])
        assert scores["bleu[wrong]"] == pytest.approx(expected)
    for r in right:
        assert r.statistics["gold_bleu"] == r.statistics["bleu"]


def test_equal_pairs_are_scored_once_and_known_ones_not_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str]] = []

    def spy(pairs: Sequence[tuple[str, str]]) -> list[dict[str, list[float]]]:
        asked.extend(pairs)
        return overlap_statistics(pairs)

    monkeypatch.setattr(plausibility, "overlap_statistics", spy)
    scored = with_overlap(FOUND, {})
    assert len(asked) == 4, "two right rows, and a wrong one given either label"
    asked.clear()
    assert with_overlap(scored, HUMAN)[0].statistics.keys() > scored[0].statistics.keys()
    assert asked == [("it did help", "other words"), ("wrong", "wrong")]


def test_the_human_reference_is_the_first_source_that_a_person_wrote() -> None:
    splits = toy_splits()
    assert human_source(splits) == "human"

    def only(*sources: str) -> str | None:
        test = tuple(replace(r, rationales=dict.fromkeys(sources, "why")) for r in splits.test)
        return human_source(replace(splits, test=test))

    assert only("llm", "nurse") == "nurse"
    assert only("llm") is None


# Files


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    labels_only = [row("yes", "yes", None, reference="it did help")]
    parts = {"r2d": with_overlap(FOUND, {}), "sft": labels_only, "dss": FOUND[:1]}
    for name, found in parts.items():
        write_jsonl(tmp_path / f"{name}.jsonl", found)
    return [tmp_path / f"{name}.jsonl" for name in parts]


def test_every_file_is_scored_with_one_loaded_encoder(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[tuple[str, str]]] = []

    def equal_texts(
        texts: Sequence[str], references: Sequence[str], encoder: BertEncoder
    ) -> list[float]:
        calls.append(list(zip(texts, references, strict=True)))
        return [float(pair[0] == pair[1]) for pair in calls[-1]]

    encoder = BertEncoder("equality", "/nowhere", 1)
    monkeypatch.setattr(plausibility, "find_bert_encoder", lambda **_: encoder)
    monkeypatch.setattr(rationale_metrics, "bert_scores", equal_texts)
    r2d, sft, dss = score_files(files, HUMAN, allow_hub=False)
    [asked] = calls
    assert len(asked) == len(set(asked)) == 6
    assert [r2d[f"bertscore{part}"] for part in ("", "[right]", "[wrong]")] == [1 / 3, 1 / 2, 0]
    assert (r2d["bertscore[gold_label]"], r2d["bertscore[human]"]) == (2 / 3, 1 / 2)
    assert (dss["bertscore"], dss["bertscore[wrong]"], dss["rouge_l"]) == (1, None, 1)
    assert sft == {}
    assert r2d["bertscore_model"] == encoder.signature
    assert r2d["bleu_signature"].startswith("nrefs:1|")
    for file, scores in zip(files, (r2d, sft, dss), strict=True):
        stored = plausibility_scores(list(read_jsonl(file, Prediction)))
        assert stored == {n: v for n, v in scores.items() if not isinstance(v, str)}
    assert score_files(files, HUMAN, allow_hub=False) == [r2d, sft, dss], "a retry changes nothing"


def test_without_an_encoder_the_reason_is_given_and_the_rest_is_scored(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plausibility, "find_bert_encoder", lambda **_: NO_ENCODER)
    r2d, sft, _ = score_files(files, {}, allow_hub=False)
    assert r2d["bertscore_model"] == NO_ENCODER
    assert r2d["bertscore"] is None
    assert r2d["bleu"] is not None
    assert sft == {}


@pytest.mark.timeout(60)
def test_a_real_encoder_gives_equal_texts_1_whatever_they_were_written_for(tmp_path: Path) -> None:
    import transformers

    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "it", "did", "help", "fail", "a"]
    (tmp_path / "vocab.txt").write_text("\n".join(marks))
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = transformers.BertConfig(
        vocab_size=len(marks), hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=32,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(tmp_path)
    found = with_bertscore(FOUND, {"c": "wrong"}, BertEncoder("tiny", str(tmp_path), 1))
    assert [set(r.statistics) for r in found] == [
        *[{"bertscore", "gold_bertscore"}] * 2,
        {"bertscore", "gold_bertscore", "human_bertscore"},
    ]
    for name in ("gold_bertscore", "human_bertscore"):
        assert found[2].statistics[name] == [pytest.approx(1, abs=1e-4)]
    assert found[2].statistics["bertscore"][0] < 0.999
    assert found[1].statistics["bertscore"] == found[1].statistics["gold_bertscore"]
