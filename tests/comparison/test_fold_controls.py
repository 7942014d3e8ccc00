"""Controls over folds know their own fold's training rows only; every value by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import toy_splits
from test_compare_folds import plan_of

from r2d_ray.comparison import rationales as module
from r2d_ray.comparison.folds import pooled
from r2d_ray.comparison.plan import ComparePlan
from r2d_ray.comparison.rationales import RationaleScores
from r2d_ray.data.examples import Example, Splits
from r2d_ray.distributed.controls import control_file, write_own_label, write_trivial
from r2d_ray.evaluation import plausibility
from r2d_ray.evaluation.controls.bag_of_words import QUESTION, out_of_fold
from r2d_ray.evaluation.controls.labels import controls
from r2d_ray.evaluation.label_metrics import coin_macro_f1
from r2d_ray.evaluation.plausibility import score_files
from r2d_ray.records import Prediction, prediction_file, read_jsonl, write_jsonl
from r2d_ray.study.folder import StudyFolder


def row(name: str, label: str, question: str = "Does it help?") -> Example:
    return Example(name, name, question, "", label, {"human": f"written for {name}"})


def fold(train: str, test: str, place: int, question: Mapping[str, str] | None = None) -> Splits:
    """Return a fold: one letter a row, y or n; what rows ask follows from their label."""
    names = {"y": "yes", "n": "no"}
    asks = question or {}
    made = {
        split: tuple(
            row(f"{place}-{split}-{i}", names[letter], asks.get(letter, "Does it help?"))
            for i, letter in enumerate(letters)
        )
        for split, letters in (("train", train), ("validation", train[:2]), ("test", test))
    }
    return toy_splits().with_rows(made)


def test_the_coin_has_the_balance_of_each_folds_training_rows() -> None:
    """Fold 1 trained on yes alone says yes 3 times, fold 2 on no alone says no 2 times.

    Of all rows 5 of 9 are yes: a coin of all rows would not be right about every row.
    """
    folds = [fold("yyyy", "yyy", 1), fold("nn", "nn", 2)]
    found = controls(*folds)
    assert found["coin, training balance"] == {"macro_f1": 1.0, "accuracy": 1.0}
    wrong = [fold("nn", "yyy", 1), fold("yyyy", "nn", 2)]
    assert controls(*wrong)["coin, training balance"] == {"macro_f1": 0.0, "accuracy": 0.0}


def test_a_coins_folds_are_scored_together() -> None:
    """3 rows of yes at a balance of 3/4, 2 rows of no at 1/2: (3 x 3/4 + 2 x 1/2) / 5 = 0.65."""
    parts = [(["yes"] * 3, ["yes", "yes", "yes", "no"]), (["no"] * 2, ["yes", "no"])]
    found = coin_macro_f1(parts, ("yes", "no"), draws=20_000)
    assert found["accuracy"] == pytest.approx(0.65, abs=0.005)


def test_the_majority_label_is_that_of_each_fold() -> None:
    folds = [fold("yyn", "yn", 1), fold("nny", "ynn", 2)]
    found = controls(*folds)
    # Said y y | n n n of y n | y n n: 3 of 5; F1 of yes 2/4, of no 4/6.
    assert next(iter(found)) == "majority label of each fold"
    scores = found["majority label of each fold"]
    assert scores["accuracy"] == pytest.approx(3 / 5)
    assert scores["macro_f1"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert next(iter(controls(folds[0], folds[0]))) == "majority label (yes)"


def test_open_labels_of_test_rows_make_no_majority() -> None:
    """All test rows say tea, which no training row of their fold does."""
    free = [
        replace(
            made,
            labels=(),
            train=tuple(replace(r, label="milk") for r in made.train),
            test=tuple(replace(r, label="tea") for r in made.test),
        )
        for made in (fold("yn", "yyyy", 1), fold("yn", "yyyy", 2))
    ]
    [(name, scores)] = controls(*free).items()
    assert name == "majority label (milk)"
    assert scores["accuracy"] == 0.0


def test_a_bag_of_words_learns_from_its_folds_training_rows() -> None:
    """In fold 1 red means yes, in fold 2 blue does: a bag of all rows could not be right twice."""
    red = {"y": "Is the red one better?", "n": "Is the blue one better?"}
    blue = {"y": red["n"], "n": red["y"]}
    folds = [fold("yyyynnnn", "yn", 1, red), fold("yyyynnnn", "nyy", 2, blue)]
    [(name, bag)] = out_of_fold(folds, "accuracy").items()
    assert name == QUESTION
    assert [r.id for r in bag.predictions] == [r.id for f in folds for r in f.test]
    assert [r.label for r in bag.predictions] == [r.label for f in folds for r in f.test]
    assert bag.validation == 1.0
    assert bag.setting.endswith("(2 of 2 folds), chosen on each fold's validation")


def test_a_fold_without_a_bag_leaves_no_bag_of_some_rows() -> None:
    assert out_of_fold([fold("yynn", "yn", 1), fold("yyyy", "yn", 2)], "accuracy") == {}


def test_training_rationales_are_of_the_folds_own_training_rows(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.predictions_dir.mkdir()
    folds = [fold("yn", "yn", 1), fold("yn", "yn", 2)]
    files = write_trivial(folder, folds, ["human"], 1)
    assert len(files) == 4  # no row has a context with a first sentence
    for name, file in files.items():
        assert file == control_file(folder, name, "oof")
        rows = list(read_jsonl(file, Prediction))
        assert [r.id for r in rows] == ["1-test-0", "1-test-1", "2-test-0", "2-test-1"]
        assert [(r.rationale or "")[:19] for r in rows] == [
            f"written for {place}-train" for place in (1, 1, 2, 2)
        ]


def test_rationales_of_a_runs_own_labels_are_of_its_folds_training_rows(tmp_path: Path) -> None:
    """The run said no, yes | yes, yes; each fold has one training row of each label."""
    folds = [fold("yn", "yn", 1), fold("yn", "yn", 2)]
    said = ["no", "yes", "yes", "yes"]
    rows = [
        Prediction(id=r.id, group=r.group, gold_label=r.label, label=label)
        for r, label in zip([r for f in folds for r in f.test], said, strict=True)
    ]
    write_jsonl(tmp_path / "run.jsonl", rows)
    place: Callable[[str], Path] = lambda name: tmp_path / f"{name}.jsonl"  # noqa: E731
    files = write_own_label(place, folds, "human", 1, {"r2d-1": tmp_path / "run.jsonl"})
    assert [run for _, run in files] == ["r2d-1", "r2d-1"]
    for file in files.values():
        assert [r.rationale for r in read_jsonl(file, Prediction)] == [
            "written for 1-train-1",
            "written for 1-train-0",
            "written for 2-train-0",
            "written for 2-train-0",
        ]


# A comparison over folds


@pytest.fixture
def plan() -> ComparePlan:
    return plan_of("r2d", (1, 2), folds=2, limit=60)


class Scored:
    """Scores files in this process; counts how often, with or without an encoder."""

    def __init__(self, folder: StudyFolder) -> None:
        self.folder, self.times, self.hub = folder, 0, False
        self.encoder = False

    def __call__(
        self, files: Sequence[Path], human: Mapping[str, str], gpus: float, allow_hub: bool
    ) -> list[dict[str, Any]]:
        self.times, self.hub = self.times + 1, allow_hub
        found = score_files(files, human, allow_hub)
        value = 0.5 if self.encoder else None
        return [{**scores, "bertscore": value} for scores in found]


@pytest.fixture
def scored(tmp_path: Path, plan: ComparePlan, monkeypatch: pytest.MonkeyPatch) -> Scored:
    """A comparison whose arms said the gold label and its rationale of every row but the first."""
    folder = StudyFolder(tmp_path)
    folder.predictions_dir.mkdir()
    for arm in plan.arms:
        labels = plan.splits.labels
        rows = [
            Prediction(
                id=r.id,
                group=r.group,
                gold_label=r.label,
                label=r.label if place else labels[labels.index(r.label) - 1],
                rationale=r.rationales["nurse"],
                reference=r.rationales["nurse"],
            )
            for place, r in enumerate(plan.splits_of(arm.fold).test)
        ]
        write_jsonl(prediction_file(folder.predictions_dir, arm.name, "test"), rows)
    made = Scored(folder)
    monkeypatch.setattr(module, "score_rationales", made)
    monkeypatch.setattr(plausibility, "find_bert_encoder", lambda **_: "none here")
    return made


def pool(plan: ComparePlan, scored: Scored) -> tuple[dict[str, dict[str, Any]], RationaleScores]:
    return pooled(plan, scored.folder, {n: {} for n in range(len(plan.arms))})


def test_rationales_of_the_predicted_labels_stand_beside_each_method(
    plan: ComparePlan, scored: Scored
) -> None:
    runs, texts = pool(plan, scored)
    kinds = ("random training rationale", "nearest training rationale")
    assert [n for n in texts.controls if "label of" in n] == [f"{k}, label of r2d" for k in kinds]
    for kind in kinds:
        own = texts.controls[f"{kind}, label of r2d"]
        assert 0 < own["rouge_l"] < texts.controls[f"{kind}, gold label (oracle)"]["rouge_l"]
    assert [run["rouge_l"] for run in runs.values()] == [1, 1]
    assert not (scored.folder.predictions_dir / "own-label").exists()


def test_without_an_encoder_rationales_over_folds_are_scored_again(
    plan: ComparePlan, scored: Scored
) -> None:
    _, before = pool(plan, scored)
    assert {c["bertscore"] for c in before.controls.values()} == {None}
    scored.encoder = True
    _, texts = pool(plan, scored)
    assert {c["bertscore"] for c in texts.controls.values()} == {0.5}
    assert (scored.times, scored.hub) == (2, False)
    assert pool(plan, scored)[1] == texts
    assert scored.times == 2, "kept"


def test_an_encoder_may_be_fetched_wherever_models_are(plan: ComparePlan, scored: Scored) -> None:
    other = plan.with_info(plan.info.model_copy(update={"profile": "finetune"}))
    pool(other, scored)
    assert scored.hub


@pytest.mark.parametrize("harm", ["lost", "empty"])
@pytest.mark.parametrize("which", ["control-nearest*-oof.jsonl", "r2d-2-oof.jsonl"])
def test_a_lost_or_damaged_file_over_folds_is_made_again(
    plan: ComparePlan, scored: Scored, harm: str, which: str
) -> None:
    scored.encoder = True
    first = pool(plan, scored)
    files = {f: f.read_bytes() for f in scored.folder.predictions_dir.glob("*.jsonl")}
    [file, *_] = scored.folder.predictions_dir.glob(which)
    file.write_text("")
    if harm == "lost":
        file.unlink()
    assert pool(plan, scored) == first
    assert scored.times == 2
    assert {f: f.read_bytes() for f in scored.folder.predictions_dir.glob("*.jsonl")} == files
