"""A comparison of every method whose labels are hard to print, written as files."""

from collections.abc import Sequence
from pathlib import Path

from conftest import tiny_config, toy_splits

from r2d_ray.data.card import data_card
from r2d_ray.evaluation.label_metrics import label_scores
from r2d_ray.method.variants import METHODS
from r2d_ray.records import (
    Evaluation,
    Prediction,
    StudyInfo,
    TrialRecord,
    prediction_file,
    write_jsonl,
)
from r2d_ray.storage import write_json

HARD = (
    "Notaufnahme_sofort: Übergabe an <Ärztin & Arzt> zu 100 % #1 {a} ~ ^ \\x",
    "naïve_café–€5",
    "😀 smiling",
    "срочно",
    "急诊",
    "p ≤ 0.05 → α-Blocker ½",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
)
ROWS = 28


def rows(labels: Sequence[str], wrong: int) -> list[Prediction]:
    """Return test rows of which so many have another label than gold, each in a group of its own.

    The last label is never predicted; probabilities are there.
    """
    found = []
    for number in range(ROWS):
        gold = labels[number % len(labels)]
        other = labels[(number + 1) % (len(labels) - 1)]
        said = other if number < wrong or gold == labels[-1] else gold
        rest = 0.4 / (len(labels) - 1)
        found.append(
            Prediction(
                id=str(number),
                group=str(number),
                gold_label=gold,
                label=said,
                probabilities={x: 0.6 if x == said else rest for x in labels},
                rationale=f"why {said}",
            )
        )
    return found


def write_many(root: Path, labels: Sequence[str] = HARD, seeds: Sequence[int] = (1, 2)) -> Path:
    """Write a finished comparison of all methods and return its folder."""
    folder = root / "many_arms & 100 %"
    (folder / "predictions").mkdir(parents=True)
    records = []
    for place, (name, method) in enumerate(METHODS.items()):
        for seed in seeds:
            found = rows(labels, wrong=(place + 2 * seed) % 12)
            scores = dict(
                label_scores([r.gold_label or "" for r in found], [r.label for r in found], labels)
            )
            arm = f"{name}-{seed}"
            curve = [
                Evaluation(step=s, scores={"macro_f1": 0.1 * s / 4 + place / 50}) for s in (4, 8)
            ]
            records.append(
                TrialRecord(
                    study=folder.name,
                    trial=len(records),
                    arm=arm,
                    method=name,
                    dataset="toy_&_hard",
                    config=tiny_config(seed=seed, **method.values).model_dump(mode="json"),
                    seed=seed,
                    status="done",
                    curve=tuple(curve),
                    series={"step": [2.0, 8.0], "label_loss": [4.0 - place / 9, 1.0 + place / 9]},
                    selected_step=8,
                    steps_done=8,
                    metrics={"macro_f1": 0.4},
                    test_metrics=scores | {"ece": 0.1 + place / 100, "brier": 0.3, "nll": 0.8},
                    wall_s=3600.0 * (1 + place),
                    step_s=0.1,
                )
            )
            write_jsonl(prediction_file(folder / "predictions", arm, "test"), found)
    info = StudyInfo(
        name=folder.name,
        method="compare",
        dataset="toy_&_hard",
        profile="embedded",
        config=tiny_config().model_dump(mode="json"),
        space={"metric": "macro_f1", "mode": "max", "arms": [r.arm for r in records], "tuned": {}},
        study={"seeds": list(seeds), "methods": list(METHODS), "rationale_sources": []},
        data_card={**data_card(toy_splits(test=ROWS)), "labels": list(labels)},
        data_hash="0123456789abcdef",
        provenance={},
        versions={},
        git_commit=None,
    )
    write_json(folder / "study.json", info.model_dump(mode="json"))
    write_jsonl(folder / "records.jsonl", records)
    write_json(folder / "result.json", {"trials": {"done": len(records)}})
    return folder
