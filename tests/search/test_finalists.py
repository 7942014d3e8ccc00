from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_config, toy_splits

from r2d_ray.data.examples import Splits
from r2d_ray.data.prepare import WITHOUT_CONTEXT, open_prepared
from r2d_ray.evaluation.controls.absent import absent
from r2d_ray.evaluation.controls.labels import controls
from r2d_ray.evaluation.plausibility import plausibility_scores, with_overlap
from r2d_ray.evaluation.scoring import EvaluationJob, evaluate_model, score
from r2d_ray.model.t5 import load_model
from r2d_ray.records import Prediction, TrialRecord, file_slug, read_jsonl, write_jsonl
from r2d_ray.search import last_look as module
from r2d_ray.search.last_look import calibration_of, finalists, last_look, write_result
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.tested import clear_old_predictions

LABELS = ("yes", "no")


def labelled(splits: Splits, train: str, test: str) -> Splits:
    """The toy splits with these labels, one letter a row."""
    names = {"y": "yes", "n": "no"}
    parts = {
        name: tuple(
            replace(row, label=names[letter])
            for row, letter in zip(getattr(splits, name), letters, strict=False)
        )
        for name, letters in (("train", train), ("test", test))
    }
    return replace(splits, **parts)


def test_the_controls_are_the_majority_and_a_coin() -> None:
    rows = controls(labelled(toy_splits(), train="yyyn", test="yyn"))
    assert list(rows) == ["majority label (yes)", "coin, training balance"]
    majority, coin = rows.values()
    # 2 of 3 right; F1 of yes = 2 * 2 / (3 + 2), of no = 0.
    assert majority["accuracy"] == pytest.approx(2 / 3)
    assert majority["macro_f1"] == pytest.approx(0.8 / 2)
    assert majority["out_of_set_rate"] == 0
    # Right with 3/4 where yes, 1/4 where no: (2 * 3/4 + 1/4) / 3.
    assert coin["accuracy"] == pytest.approx(1.75 / 3, abs=0.03)
    assert coin["macro_f1"] < 0.6


def prediction(gold: str, label: str, **more: Any) -> Prediction:
    known: dict[str, Any] = {
        "id": "i",
        "group": "g",
        "gold_label": gold,
        "label": label,
        "generated_label": label,
        "probabilities": {"yes": 0.8, "no": 0.2} if label == "yes" else {"yes": 0.2, "no": 0.8},
    }
    return Prediction(**{**known, **more})


def test_scores_of_labels_count_what_is_out_of_the_set() -> None:
    found = [
        prediction("yes", "yes"),
        prediction("yes", "no", generated_label="maybe"),
        prediction("no", "no", generated_label="yes"),
        prediction("no", "no"),
    ]
    scores = score(found, LABELS)
    assert scores["accuracy"] == 0.75
    # yes: 2 * 1 / (1 + 2); no: 2 * 2 / (3 + 2).
    assert scores["f1[yes]"] == pytest.approx(2 / 3)
    assert scores["f1[no]"] == pytest.approx(0.8)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 0.8) / 2)
    assert scores["out_of_set_rate"] == 0.0  # chosen from the set
    assert scores["generated_out_of_set_rate"] == 0.25
    assert scores["generated_agreement"] == 0.5
    # (0.2 - 0)^2 * 2 for three rows, (0.8)^2 * 2 for one.
    assert scores["brier"] == pytest.approx((3 * 0.08 + 1.28) / 4)
    assert "bleu" not in scores


def test_a_freely_chosen_label_outside_the_set_is_wrong_and_no_new_class() -> None:
    scores = score([prediction("yes", "maybe"), prediction("no", "no")], LABELS)
    assert scores["accuracy"] == 0.5
    assert scores["out_of_set_rate"] == 0.5
    assert scores["macro_f1"] == 0.5
    assert not [name for name in scores if "maybe" in name]


def test_tagged_rows_are_scored_apart() -> None:
    found = [
        prediction("yes", "yes", tags=("binding",)),
        prediction("yes", "no", tags=("binding", "short")),
        prediction("no", "no"),
    ]
    scores = score(found, LABELS)
    assert (scores["accuracy[binding]"], scores["rows[binding]"]) == (0.5, 2)
    assert (scores["accuracy[short]"], scores["rows[short]"]) == (0.0, 1)


def test_rationales_are_scored_over_the_rows_that_have_a_reference() -> None:
    found = [
        prediction("yes", "yes", rationale="it did help", reference="it did help"),
        prediction("no", "no", rationale="whatever"),
    ]
    scores = score(with_overlap(found, {}), LABELS)
    assert scores["rouge_l"] == 1.0
    assert scores["bertscore"] is None


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory, prepared_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("model")
    load_model(tiny_config(), open_prepared(prepared_dir).tokenizer).save_pretrained(folder)
    return folder


def test_a_model_is_scored_on_the_whole_test_split(
    model_dir: Path, prepared_dir: Path, splits: Splits, tmp_path: Path
) -> None:
    out = tmp_path / "best-test.jsonl"
    evaluation = EvaluationJob("best", model_dir, "test", rationales=True)
    scores = evaluate_model(evaluation, prepared_dir, tiny_config().model_dump(), out)
    found = list(read_jsonl(out, Prediction))
    assert [row.id for row in found] == [row.id for row in splits.test]
    assert [row.gold_label for row in found] == [row.label for row in splits.test]
    assert [row.reference for row in found] == [row.rationales["human"] for row in splits.test]
    right = sum(row.label == row.gold_label for row in found)
    assert scores["accuracy"] == right / len(splits.test)
    for row in found:
        assert row.label in LABELS
        assert sum(row.probabilities.values()) == pytest.approx(1.0, abs=1e-6)
        assert row.generated_label is not None
        assert row.rationale is not None
        assert row.statistics.keys() == {"bleu", "rouge_l", "words"}
    assert scores["generated_out_of_set_rate"] == pytest.approx(
        sum(row.generated_label not in LABELS for row in found) / len(found)
    )
    assert scores["bertscore"] is None, "its encoder is loaded once, at the end"
    assert "bleu[gold_label]" not in scores
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


@pytest.mark.parametrize("prompt", ["given_label", "plain"])
def test_an_arm_also_writes_rationales_given_the_gold_label(
    trained_dir: Path, prepared_dir: Path, tmp_path: Path, prompt: str
) -> None:
    out = tmp_path / "arm-test.jsonl"
    evaluation = EvaluationJob("arm", trained_dir, "test", rationales=True, aligned=True)
    values = tiny_config(rationale_prompt=prompt).model_dump()
    scores = evaluate_model(evaluation, prepared_dir, values, out)
    found = list(read_jsonl(out, Prediction))
    for row in found:
        assert row.given_gold is not None
        likeness, held = {"bleu", "rouge_l", "gold_bleu", "gold_rouge_l"}, {"words", "gold_words"}
        read = {"own_verdict", "own_gold_verdict", "own_swap", "own_swap_verdict"}
        assert likeness | held | read == row.statistics.keys()
        if row.label == row.gold_label or prompt == "plain":
            assert row.given_gold == row.rationale
            assert row.statistics["gold_bleu"] == row.statistics["bleu"]
            assert row.statistics["gold_rouge_l"] == row.statistics["rouge_l"]
    again = plausibility_scores(found)
    assert {"bleu", "bleu[right]", "bleu[wrong]", "bleu[gold_label]"} <= again.keys()
    assert {name: scores[name] for name in again} == again, "the file's statistics say it all"
    if prompt == "plain":
        assert scores["rouge_l[gold_label]"] == scores["rouge_l"]


def test_without_context_the_model_sees_questions_only_and_writes_no_rationale(
    model_dir: Path, prepared_dir: Path, tmp_path: Path
) -> None:
    prepared = open_prepared(prepared_dir)
    whole = prepared.tables["test"]["body_ids"]
    bare = prepared.tables[WITHOUT_CONTEXT]["body_ids"]
    assert all(len(b) < len(w) and w[: len(b)] == b for b, w in zip(bare, whole, strict=True))
    out = tmp_path / "bare.jsonl"
    evaluation = EvaluationJob("bare", model_dir, WITHOUT_CONTEXT, rationales=False)
    scores = evaluate_model(evaluation, prepared_dir, tiny_config().model_dump(), out)
    assert not {"bleu", "rouge_l", "bertscore"} & scores.keys()
    assert {row.rationale for row in read_jsonl(out, Prediction)} == {None}


def test_a_label_is_generated_where_the_method_generates_it(
    model_dir: Path, prepared_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "free.jsonl"
    evaluation = EvaluationJob("free", model_dir, "test", rationales=False)
    values = tiny_config(label_choice="generate").model_dump()
    scores = evaluate_model(evaluation, prepared_dir, values, out)
    found = list(read_jsonl(out, Prediction))
    assert all(row.label == row.generated_label for row in found)
    assert scores["generated_agreement"] == 1.0
    assert scores["out_of_set_rate"] == scores["generated_out_of_set_rate"]


def record(number: int, **more: Any) -> TrialRecord:
    known: dict[str, Any] = {
        "study": "s",
        "trial": number,
        "method": "r2d",
        "dataset": "toy",
        "config": tiny_config().model_dump(),
        "seed": 42,
        "status": "done",
        "metrics": {"macro_f1": 0.5},
    }
    return TrialRecord(**{**known, **more})


def test_best_trial_0_and_best_without_context_are_looked_at(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    plain = tiny_config(rationale_prompt="plain").model_dump()
    jobs = finalists(folder, tmp_path / "data", record(2, config=plain), record(0))
    wanted = [job[0] for job in jobs]
    assert [each.name for each in wanted] == [
        *("best (trial 2)", "trial 0 (the defaults)", "best without context")
    ]
    # Each under its own trial's config.
    assert [job[2].rationale_prompt for job in jobs] == ["plain", "given_label", "plain"]
    assert [each.model_dir for each in wanted] == [
        *(tmp_path / "best", tmp_path / "trials" / "0000" / "best", tmp_path / "best")
    ]
    assert [each.table for each in wanted] == ["test", "test", WITHOUT_CONTEXT]
    assert [each.rationales for each in wanted] == [True, True, False]
    assert [each.calibrated for each in wanted] == [True, True, False]
    assert len({file_slug(each.name) for each in wanted}) == 3


def test_trial_0_is_not_looked_at_twice_nor_if_it_did_not_finish(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    both = ["best (trial 0, the defaults)", "best without context"]
    found = finalists(folder, tmp_path, record(0), record(0))
    assert [job[0].name for job in found] == both
    assert len(finalists(folder, tmp_path, record(2), None)) == 2


def test_without_contexts_there_is_nothing_to_leave_out(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    found = finalists(folder, tmp_path, record(2), record(0), contexts=False)
    assert [job[0].name for job in found] == ["best (trial 2)", "trial 0 (the defaults)"]


def test_what_cannot_be_scored_is_named_with_its_reason() -> None:
    splits = toy_splits()
    assert absent(splits, splits.test, ["a", "b"]) == {}
    bare = tuple(replace(row, context="") for row in splits.test)
    reason = "no test row has a context"
    assert absent(splits, bare, ["a", "b"]) == {"not_applicable": {"a": reason, "b": reason}}
    assert absent(splits, bare, []) == {}
    first, *others = splits.train
    tagged = replace(splits, train=(replace(first, tags=("site=east", "site=west")), *others))
    test = (replace(splits.test[0], tags=("site=west",)), *splits.test[1:])
    assert absent(tagged, test, ["a"]) == {"tags_without_test_rows": ["site=east"]}


def test_costs_decide_for_the_models_and_are_kept_with_the_temperature(tmp_path: Path) -> None:
    costs = ((0.0, 5.0), (1.0, 0.0))
    jobs = finalists(StudyFolder(tmp_path), tmp_path, record(2), record(0), costs)
    assert [job[0].costs for job in jobs] == [costs, costs, None]
    config, scores = jobs[0][2], {"temperature": 1.5}
    assert calibration_of(config, toy_splits(), scores, costs) == {
        "temperature": 1.5,
        "rows": 10,
        "rule": "label of least expected cost",
        "labels": ["yes", "no"],
        "costs": [[0.0, 5.0], [1.0, 0.0]],
    }
    generate = config.model_copy(update={"label_choice": "generate"})
    assert list(calibration_of(generate, toy_splits(), {}, None)) == ["not_applicable"]


def test_bertscore_is_asked_once_for_all_files_with_rationales(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, splits = StudyFolder(tmp_path), toy_splits()
    folder.predictions_dir.mkdir()
    best = folder.predictions_dir / "best-trial-2-test.jsonl"
    write_jsonl(best, [prediction(r.label, r.label, id=r.id) for r in splits.test])
    asked: list[list[Path]] = []

    def scored(files: list[Path], *_: Any) -> list[dict[str, Any]]:
        asked.append(list(files))
        return [{"bertscore": 1 - place / 16} for place in range(len(files))]

    labels_and_texts = [{"macro_f1": 0.9, "bertscore": None}, {"macro_f1": 0.8}, {"macro_f1": 0.4}]
    monkeypatch.setattr(module, "evaluate_each", lambda *_: labels_and_texts)
    monkeypatch.setattr(module, "score_rationales", scored)
    jobs = finalists(folder, tmp_path, record(2), record(0))
    found = last_look(jobs, folder, splits, 1, allow_hub=False)
    [files] = asked
    assert [f.name for f in files[:2]] == [best.name, "trial-0-the-defaults-test.jsonl"]
    assert found.models == {
        "best (trial 2)": {"macro_f1": 0.9, "bertscore": 1.0},
        "trial 0 (the defaults)": {"macro_f1": 0.8, "bertscore": 1 - 1 / 16},
        "best without context": {"macro_f1": 0.4},
    }
    kinds = ("random training rationale", "nearest training rationale")
    assert list(found.controls) == [
        "first context sentence",
        *(f"{kind}, {of}" for kind in kinds for of in ("any label", "gold label (oracle)")),
        *(f"{kind}, label of best (trial 2)" for kind in kinds),
    ]
    written = {
        name: [row.rationale for row in read_jsonl(file, Prediction)]
        for name, file in zip(found.controls, files[2:], strict=True)
    }
    for kind in kinds:  # the best predicted every label rightly, as the oracle does
        of_best = written[f"{kind}, label of best (trial 2)"]
        assert of_best == written[f"{kind}, gold label (oracle)"]


def test_a_search_of_labels_only_has_no_rationale_controls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "evaluate_each", lambda *_: [{"macro_f1": 0.9}, {"macro_f1": 0.4}])
    config = tiny_config(label_loss_weight=1.0, stage1_max_steps=0).model_dump()
    jobs = finalists(StudyFolder(tmp_path), tmp_path, record(0, config=config), None)
    found = last_look(jobs, StudyFolder(tmp_path), toy_splits(), 1, allow_hub=False)
    assert found.controls == {}
    assert list(found.models) == ["best (trial 0, the defaults)", "best without context"]


@pytest.mark.parametrize(
    ("name", "part"),
    [("best (trial 2)", "best-trial-2"), ("a/../b", "a-b"), ("trial 0 (defaults)", None)],
)
def test_a_slug_is_a_part_of_a_file_name(name: str, part: str | None) -> None:
    assert file_slug(name) == (part or "trial-0-defaults")


def test_the_result_is_written_with_the_test_scores_in_the_records(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    records = [record(2), record(0), record(1, status="failed", reason="why", metrics={})]
    write_jsonl(folder.records_path, records)
    table = {
        "best (trial 2)": {"macro_f1": 0.9, "bertscore": None, "bleu_signature": "nrefs:1"},
        "trial 0 (defaults)": {"macro_f1": 0.8},
        "best without context": {"macro_f1": 0.4},
    }
    more = {"not_applicable": {"best without context": "why"}}
    result = write_result(folder, records[0], table, records, {"beaten": False}, more=more)
    assert result["not_applicable"] == more["not_applicable"]
    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert result["bag_of_words"] == {"beaten": False}
    assert result["best_trial"] == 2
    assert result["trials"] == {"done": 2, "failed": 1}
    assert result["test"] == table
    assert result["config"] == records[0].config
    stored = list(read_jsonl(folder.records_path, TrialRecord))
    assert [(r.trial, r.test_metrics) for r in stored] == [
        (0, {"macro_f1": 0.8}),
        (1, {}),
        (2, {"macro_f1": 0.9, "bertscore": None}),  # numbers; the signature is in result.json
    ]
    assert stored[1].reason == "why"


def test_an_extended_study_with_another_best_keeps_no_old_scores(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    records = [record(0), record(1, test_metrics={"macro_f1": 0.9}), record(2)]
    write_result(folder, records[2], {"best (trial 2)": {"macro_f1": 0.95}}, records, {})
    stored = list(read_jsonl(folder.records_path, TrialRecord))
    assert [r.test_metrics for r in stored] == [{}, {}, {"macro_f1": 0.95}]
    folder.predictions_dir.mkdir()
    kept = {"control-bag-of-words-question-test.jsonl", "controls.scores.json"}
    gone = {"best-trial-1-test.jsonl", "control-nearest-training-rationale-any-label-test.jsonl"}
    for name in kept | gone:
        (folder.predictions_dir / name).touch()
    for _ in range(2):
        clear_old_predictions(folder)
        assert {file.name for file in folder.predictions_dir.iterdir()} == kept
