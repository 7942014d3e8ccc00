"""Small studies with values chosen by hand, and what their pictures hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.pictures.every_picture import report_pictures
from analysis.pictures.style import Picture
from analysis.studies import Study
from r2d_ray.config import TrainConfig
from r2d_ray.records import Evaluation, Prediction, StudyInfo, TrialRecord, prediction_file

LABELS = ("no", "yes")
SPACE = {
    "name": "tiny",
    "metric": "macro_f1",
    "mode": "max",
    "search": {
        "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        "sampling_decay": {"type": "categorical", "choices": ["linear", "exponential"]},
    },
}


def info(method: str, space: dict[str, Any], name: str = "s") -> StudyInfo:
    return StudyInfo(
        name=name, method=method, dataset="d", profile="embedded", config={}, space=space,
        study={}, data_card={}, data_hash="h", provenance={}, versions={},
    )  # fmt: skip


def config(**values: Any) -> dict[str, Any]:
    return TrainConfig(max_steps=100, **values).model_dump()


def trial(number: int, score: float, status: str = "done", **values: Any) -> TrialRecord:
    """A trial with 0.5 at step 10 and its score at step 20; the rung (step 13) saw half of it."""
    curve = tuple(
        Evaluation(step=step, scores={"macro_f1": value})
        for step, value in ((10, 0.5), (20, score))
    )
    failed = status == "failed"
    return TrialRecord(
        study="s", trial=number, method="r2d", dataset="d", seed=1, status=status,
        config=config(**{"learning_rate": 1e-3, **values}),
        curve=() if failed else curve,
        rung={} if failed else {"step": 13, "value": score / 2},
        metrics={} if failed else {"macro_f1": score},
    )  # fmt: skip


def search(*records: TrialRecord, space: dict[str, Any] = SPACE) -> Study:
    return Study(Path("/none"), info("r2d", space), records)


SEARCH = search(
    trial(0, 0.6),
    trial(1, 0.8, learning_rate=5e-3, sampling_decay="exponential"),
    trial(2, 0.4, "pruned", learning_rate=2e-3),
    trial(4, 0.7, learning_rate=2e-4),
    trial(5, 0.0, "failed"),
)


def rows(*outputs: tuple[str, str, float]) -> tuple[Prediction, ...]:
    """Test rows of gold label, label and its probability, each in a group of its own."""
    return tuple(
        Prediction(
            id=str(i), group=str(i), gold_label=gold, label=said,
            probabilities={label: p if label == said else 1 - p for label in LABELS},
        )
        for i, (gold, said, p) in enumerate(outputs)
    )  # fmt: skip


GOOD = rows(("yes", "yes", 0.9), ("yes", "yes", 0.9), ("no", "no", 0.9), ("no", "no", 0.6))
POOR = rows(("yes", "no", 0.9), ("yes", "yes", 0.9), ("no", "no", 0.9), ("no", "no", 0.6))


def arm(
    number: int, name: str, macro_f1: float, dose: tuple[float, ...] = (), **values: Any
) -> TrialRecord:
    method, seed = name.partition("-")[0], int(name.rpartition("-")[2])
    steps = [10.0, 20.0]
    series = {"step": steps, "label_loss": [2.0, 1.0 / seed], "sampled_share": [0.0, 0.0]}
    if dose:
        series |= {"sampled_share": [0.5, 1.0], "changed_share": list(dose)}
    return TrialRecord(
        study="s", trial=number, arm=name, method=method, dataset="d", seed=seed, status="done",
        config=config(**values), series=series, metrics={"macro_f1": macro_f1},
        curve=(Evaluation(step=20, scores={"macro_f1": macro_f1 / seed}),),
        test_metrics={"macro_f1": macro_f1, "f1[no]": 0.5, "f1[yes]": 0.5},
    )  # fmt: skip


def comparison(
    arms: list[TrialRecord], predictions: dict[str, tuple[Prediction, ...]] | None = None
) -> Study:
    space = {"metric": "macro_f1", "mode": "max", "arms": [record.arm for record in arms]}
    folder = Path("/none")
    read = {
        prediction_file(folder / "predictions", record.arm or "", "test"): () for record in arms
    }
    for name, found in (predictions or {}).items():
        read[prediction_file(folder / "predictions", name, "test")] = found
    return Study(folder, info("compare", space), tuple(arms), (), read)


# Macro-F1 of POOR by hand: f1[no] = 2 x 2 / (3 + 2) = 0.8, f1[yes] = 2 x 1 / (1 + 2) = 2/3.
POOR_F1 = (0.8 + 2 / 3) / 2
LABEL_ONLY = {"label_loss_weight": 1.0, "label_warmup_ratio": 0.0, "sampling_decay": "none"}
COMPARISON = comparison(
    [
        arm(0, "r2d-1", POOR_F1, (0.2, 0.4)),
        arm(1, "r2d-2", POOR_F1, (0.4, 0.8)),
        arm(2, "sft-1", 1.0, **LABEL_ONLY),
        arm(3, "sft-2", 1.0, **LABEL_ONLY),
    ],
    {"r2d-1": POOR, "r2d-2": POOR, "sft-1": GOOD, "sft-2": GOOD},
)


def grid_of_r2d() -> list[TrialRecord]:
    points = [(decay, floor) for decay in ("linear", "exponential") for floor in (0.1, 0.3)]
    names = ["", "gold_probability_floor=0.3", "sampling_decay=exponential"]
    arms = []
    for (decay, floor), name, score in zip(points, names, (0.5, 0.6, 0.7), strict=False):
        for seed, more in ((1, -0.1), (2, 0.1)):
            arm_name = "-".join(["r2d", *([name] if name else []), str(seed)])
            fields = {"sampling_decay": decay, "gold_probability_floor": floor}
            arms.append(arm(len(arms), arm_name, score + more, **fields))
    return arms


def drawn(study: Study) -> dict[str, Picture]:
    return {picture.name: picture for picture in report_pictures([study])}


Pictures = dict[str, Picture]


def traces(picture: Picture, name: str) -> list[dict[str, Any]]:
    assert picture.page_figure is not None
    return [trace for trace in picture.page_figure["data"] if trace.get("name") == name]


def shown(trace: dict[str, Any]) -> list[tuple[float, float]]:
    return list(zip(trace["x"], trace["y"], strict=True))


def printed(picture: Picture, label: str, panel: int = 0) -> list[tuple[float, float]]:
    (line,) = [x for x in picture.print_figure.axes[panel].lines if x.get_label() == label]
    return [(float(x), float(y)) for x, y in zip(*line.get_data(), strict=True)]
