"""Studies made in code: four test rows in four groups, so that scores can be had by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.studies import Study
from r2d_ray.config import build_config
from r2d_ray.evaluation.label_metrics import label_scores
from r2d_ray.records import Prediction, StudyInfo, TrialRecord, prediction_file

GOLD = ("yes", "yes", "no", "no")
RIGHT = "yynn"  # macro-F1 1
THREE = "yyny"  # one `no` is missed: F1 of yes 4/5, of no 2/3; macro-F1 11/15, accuracy 3/4
HALF = "yyyy"  # F1 of yes 2/3, of no 0; macro-F1 1/3, accuracy 1/2
NAMES = {"y": "yes", "n": "no"}
CARD: dict[str, Any] = {
    "name": "made",
    "provenance": {"kind": "sample", "address": "here", "licence": "none", "notes": ["made up"]},
    "hash": "abc",
    "labels": ["yes", "no"],
    "rows": {"train": 8, "test": 4},
    "groups": {"train": 5, "test": 4},
    "label_counts": {"train": {"yes": 6, "no": 2}, "test": {"yes": 2, "no": 2}},
    "rationale_sources": {"llm": {"train": 7, "test": 4}},
    "words": {
        "train": {"median": 3.0, "p90": 4.0, "max": 5.0},
        "test": {"median": 2.0, "p90": 2.0, "max": 2.0},
    },
    "rationale_words": {"llm": {"median": 9.0, "p90": 10.0, "max": 11.0}},
    "tokens": {},
    "dropped": {"train row: empty": 1},
}


def predictions(labels: str, **statistics: Sequence[float]) -> tuple[Prediction, ...]:
    """Return the four rows' predictions (`y`, `n`), with one value of each statistic by row."""
    return tuple(
        Prediction(
            id=str(i),
            group=f"g{i}",
            gold_label=gold,
            label=NAMES[c],
            statistics={name: [values[i]] for name, values in statistics.items()},
        )
        for i, (gold, c) in enumerate(zip(GOLD, labels, strict=True))
    )


def record(arm: str, trial: int = 0, labels: str | None = None, **values: Any) -> TrialRecord:
    """Return a finished arm's record; its test scores are those of these labels."""
    name, _, seed = arm.rpartition("-")
    fields = values.pop("fields", {})
    scores = values.pop("test_metrics", {})
    if labels is not None:
        scores = dict(label_scores(GOLD, [NAMES[c] for c in labels], ["yes", "no"])) | scores
    return TrialRecord(
        **{
            "study": "made",
            "trial": trial,
            "arm": arm,
            "method": name.partition("-")[0],
            "dataset": "made",
            "config": build_config({**fields, "seed": int(seed)}).model_dump(),
            "seed": int(seed),
            "status": "done",
            "test_metrics": scores,
            **values,
        }
    )


def study(
    records: Sequence[TrialRecord],
    rows: Mapping[str, Sequence[Prediction]] | None = None,
    *,
    folder: Path = Path("studies/made"),
    notes: Sequence[str] = (),
    card: Mapping[str, Any] = CARD,
    **info: Any,
) -> Study:
    """Return a comparison of these records; `rows` are test predictions by arm."""
    values: dict[str, Any] = {
        "name": folder.name,
        "method": "compare",
        "dataset": "made",
        "profile": "embedded",
        "config": build_config({}).model_dump(),
        "space": {"metric": "macro_f1", "mode": "max", "arms": [r.arm for r in records]},
        "study": {},
        "data_card": dict(card),
        "data_hash": "abc",
        "provenance": {},
        "versions": {},
        **info,
    }
    read = {
        prediction_file(folder / "predictions", arm, "test"): tuple(found)
        for arm, found in (rows or {}).items()
    }
    return Study(folder, StudyInfo(**values), tuple(records), tuple(notes), read)


def comparison(arms: Mapping[str, str], **values: Any) -> Study:
    """Return a comparison whose arms labelled the four test rows so: arm -> `yynn`."""
    fields = values.pop("fields", {})
    records = [
        record(arm, number, labels, fields=fields.get(arm.rpartition("-")[0], {}))
        for number, (arm, labels) in enumerate(arms.items())
    ]
    return study(records, {arm: predictions(labels) for arm, labels in arms.items()}, **values)
