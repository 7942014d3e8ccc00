"""Which files a comparison scores, against what, and what it says of the trivial rationales."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from test_comparison_run import settings

from r2d_ray.comparison import rationales as module
from r2d_ray.comparison.plan import ComparePlan, make_compare_plan
from r2d_ray.comparison.rationales import RationaleScores, compare_rationales, means
from r2d_ray.evaluation import plausibility
from r2d_ray.evaluation.controls.trivial_rationales import FIRST_SENTENCE
from r2d_ray.evaluation.plausibility import plausibility_scores, score_files
from r2d_ray.records import Prediction, file_slug, read_jsonl, write_jsonl
from r2d_ray.study.folder import StudyFolder

KINDS = ("random training rationale", "nearest training rationale")
TRIVIAL = [
    FIRST_SENTENCE,
    *(f"{kind}, {of}" for kind in KINDS for of in ("any label", "gold label (oracle)")),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    """A study folder; files are scored in this process and without an encoder."""

    def here(
        files: Sequence[Path], human: Mapping[str, str], gpus: float, allow_hub: bool
    ) -> list[dict[str, Any]]:
        return score_files(files, human, allow_hub)

    monkeypatch.setattr(module, "score_rationales", here)
    monkeypatch.setattr(plausibility, "find_bert_encoder", lambda **_: "none here")
    (tmp_path / "predictions").mkdir()
    return StudyFolder(tmp_path)


def parrots(plan: ComparePlan, folder: StudyFolder, said: str) -> None:
    """Write predictions of every arm that say this source's text of the row."""
    for arm in plan.arms:
        rows = [
            Prediction(
                id=row.id,
                group=row.group,
                gold_label=row.label,
                label=row.label,
                rationale=row.rationales[said] if arm.config.trains_rationales else None,
                reference=row.rationales[arm.config.rationale_source or "nurse"],
            )
            for row in plan.splits.test
        ]
        write_jsonl(folder.predictions_dir / f"{arm.name}-test.jsonl", rows)


def test_arms_are_scored_against_their_own_source_and_the_human_one(folder: StudyFolder) -> None:
    plan = make_compare_plan(
        settings("r2d sft", (1,), limit=120, rationale_sources=("nurse", "llm"))
    )
    names = [arm.name for arm in plan.arms]
    assert names == ["r2d-nurse-1", "r2d-llm-1", "sft-nurse-1", "sft-llm-1"]
    parrots(plan, folder, "llm")
    found = compare_rationales(plan, folder, [0, 1, 2, 3], False)
    assert list(found.arms) == [0, 1], "sft has no rationales"
    nurse, llm = found.arms[0], found.arms[1]
    assert llm["rouge_l"] == 1
    assert nurse["rouge_l"] < 1
    assert nurse["rouge_l[human]"] == nurse["rouge_l"] == llm["rouge_l[human]"]
    assert list(found.controls) == [
        *(f"{name}, {s}" for s in ("nurse", "llm") for name in TRIVIAL),
        *(f"{kind}, label of r2d-{s}" for s in ("nurse", "llm") for kind in KINDS),
    ]
    assert found.signatures["bertscore_model"] == "none here"
    assert found.signatures["bleu_signature"].startswith("nrefs:1|")
    for name in list(found.controls)[: 2 * len(TRIVIAL)]:
        scores = found.controls[name]
        file = folder.predictions_dir / f"{file_slug(f'control {name}')}-test.jsonl"
        stored = list(read_jsonl(file, Prediction))
        assert [row.id for row in stored] == [row.id for row in plan.splits.test]
        assert plausibility_scores(stored) == scores
        assert {"bleu", "human_bleu"} <= stored[0].statistics.keys()


def test_one_source_that_a_person_wrote_needs_no_other_reference(folder: StudyFolder) -> None:
    plan = make_compare_plan(
        settings("r2d", (1, 2), limit=120, overrides={"rationale_source": "nurse"})
    )
    parrots(plan, folder, "nurse")
    found = compare_rationales(plan, folder, [1], False)
    assert list(found.arms) == [1], "the other arm did not end"
    assert found.arms[1]["rouge_l"] == 1
    assert "rouge_l[human]" not in found.arms[1]
    own = {kind: found.controls[f"{kind}, label of r2d"] for kind in KINDS}
    assert list(found.controls) == [*TRIVIAL, *(f"{kind}, label of r2d" for kind in KINDS)]
    for kind in KINDS:  # the arm predicted every label rightly, as the oracle does
        assert own[kind] == found.controls[f"{kind}, gold label (oracle)"]
        assert 0 < own[kind]["rouge_l"] < 1
    assert not (folder.predictions_dir / "own-label").exists()


def test_what_stands_beside_a_method_is_the_mean_over_its_arms() -> None:
    rows = ["nearest, label of r2d", "nearest, label of dss", "nearest, label of r2d"]
    scores = [{"bleu": 1.0, "bertscore": None}, {"bleu": 4.0}, {"bleu": 2.0, "bertscore": None}]
    assert means(rows, scores) == {
        "nearest, label of r2d": {"bleu": 1.5, "bertscore": None},
        "nearest, label of dss": {"bleu": 4.0},
    }


def test_arms_of_labels_only_leave_nothing_to_score(folder: StudyFolder) -> None:
    plan = make_compare_plan(settings("sft", (1,)))
    assert compare_rationales(plan, folder, [0], False) == RationaleScores()
    assert not list(folder.predictions_dir.iterdir())
