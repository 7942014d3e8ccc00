"""A study of a few rows, written as files: two methods and their seeds, every number known."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conftest import tiny_config, toy_splits

from r2d_ray.data.card import data_card
from r2d_ray.evaluation.label_metrics import label_scores
from r2d_ray.records import (
    Evaluation,
    Prediction,
    StudyInfo,
    TrialRecord,
    prediction_file,
    write_jsonl,
)
from r2d_ray.storage import write_json

LABELS = ("yes", "no")
ROWS = 12
WRONG = {"r2d": 3, "sft": 6}
"""How many of the rows each method has wrong, the last ones."""


def predictions(method: str, labels: Sequence[str] = LABELS, text: str = "") -> list[Prediction]:
    """Return a method's rows; `text` stands in every field that holds free text."""
    rows = []
    for number in range(ROWS):
        gold, other = labels[number % 2], labels[1 - number % 2]
        label = other if number >= ROWS - WRONG[method] else gold
        rows.append(
            Prediction(
                id=f"test-{number}{text}",
                group=f"group-{number // 2}{text}",
                gold_label=gold,
                label=label,
                probabilities={label: 0.75, (gold if label == other else other): 0.25},
                rationale=f"{method} wrote this for {number}. {text}",
                given_gold=f"{method} wrote this given gold. {text}",
                reference=f"The reference of {number}. {text}",
                generated_label=label,
            )
        )
    return rows


def record(
    study: str,
    trial: int,
    method: str,
    seed: int,
    rows: Sequence[Prediction],
    labels: Sequence[str],
) -> TrialRecord:
    """Return the record of an arm whose scores follow from its rows."""
    scores = label_scores([r.gold_label or "" for r in rows], [r.label for r in rows], labels)
    config = tiny_config(seed=seed, **({"label_loss_weight": 1.0} if method == "sft" else {}))
    curve = tuple(
        Evaluation(step=step, scores={"macro_f1": 0.1 * step / 2, "accuracy": 0.1})
        for step in (4, 8)
    )
    series = {"step": [2.0, 4.0, 6.0, 8.0], "loss": [4.0, 3.0, 2.0, 1.0]}
    if method == "r2d":
        series |= {"sampled_share": [0.0, 0.2, 0.4, 0.6], "changed_share": [0.0, 0.1, 0.2, 0.3]}
    return TrialRecord(
        study=study,
        trial=trial,
        arm=f"{method}-{seed}",
        method=method,
        dataset="toy",
        config=config.model_dump(mode="json"),
        seed=seed,
        status="done",
        curve=curve,
        series=series,
        selected_step=8,
        steps_done=8,
        metrics={"macro_f1": 0.4, "accuracy": 0.1},
        test_metrics=dict(scores),
        counts={"sampled_share": 0.3, "changed_share": 0.15, "sampling_tested": 1.0}
        if method == "r2d"
        else {},
        wall_s=1.0,
        step_s=0.1,
    )


def write_comparison(
    root: Path,
    *,
    name: str = "small",
    seeds: Sequence[int] = (1, 2, 3),
    labels: Sequence[str] = LABELS,
    text: str = "",
    data_hash: str = "0123456789abcdef",
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Write a finished comparison of `r2d` and `sft` and return its folder.

    `changes` are values of study.json to be replaced.
    """
    folder = root / name
    (folder / "predictions").mkdir(parents=True)
    records = []
    for method in WRONG:
        rows = predictions(method, labels, text)
        for seed in seeds:
            records.append(record(name, len(records), method, seed, rows, labels))
            write_jsonl(prediction_file(folder / "predictions", f"{method}-{seed}", "test"), rows)
    arms = [record.arm for record in records]
    info = StudyInfo(
        name=name,
        method="compare",
        dataset="toy",
        profile="embedded",
        config=tiny_config().model_dump(mode="json"),
        space={"metric": "macro_f1", "mode": "max", "arms": arms, "tuned": {}},
        study={"seeds": list(seeds), "methods": list(WRONG), "rationale_sources": []},
        data_card={**data_card(toy_splits(test=ROWS)), "labels": list(labels)},
        data_hash=data_hash,
        provenance={},
        versions={"python": "3.11"},
        git_commit=None,
    )
    write_json(folder / "study.json", {**info.model_dump(mode="json"), **(changes or {})})
    write_jsonl(folder / "records.jsonl", records)
    write_json(folder / "result.json", {"trials": {"done": len(records)}})
    return folder
