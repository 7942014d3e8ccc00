"""Temperature scaling and decisions under costs: fitted on validation, applied to any rows.

Label probabilities p become p^(1/T), scaled to sum to 1 (Guo et al. 2017, arXiv 1706.04599). Under
a cost matrix the decision is the label of least expected cost, by these probabilities (Bayes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from r2d_ray.config import TrainConfig
from r2d_ray.evaluation.costs import Costs
from r2d_ray.evaluation.label_metrics import calibration_scores
from r2d_ray.evaluation.predictions import LabelOutput, prediction_metrics, predictions
from r2d_ray.evaluation.tags import by_tag
from r2d_ray.method.label_kinds import LabelKind
from r2d_ray.method.tokens import LabelTokens

TEMPERATURES = (0.1, 10.0)
"""Bounds of the temperature: a validation split without a mistake would ask for 0."""

LEAST_GAIN = 1e-9
"""Nats by which a temperature must beat 1: less is rounding."""

MOST_PROBABLE, LEAST_COST = "most probable label", "label of least expected cost"
GENERATED = "labels are generated freely (label_choice = generate)"
OPEN = "labels are open: there are no probabilities"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was fitted on `rows` validation rows: a temperature; `costs` decide, where given."""

    temperature: float
    rows: int
    costs: Costs | None = None

    @property
    def rule(self) -> str:
        """How a label is decided."""
        return LEAST_COST if self.costs else MOST_PROBABLE

    def described(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return it as JSON values; `labels` name the rows and columns of the costs."""
        named = {"temperature": self.temperature, "rows": self.rows, "rule": self.rule}
        if self.costs is None:
            return named
        return {**named, "labels": list(labels), "costs": [list(row) for row in self.costs]}

    @classmethod
    def from_described(cls, values: Mapping[str, Any]) -> Calibration:
        """Return the calibration of `described`."""
        costs = tuple(tuple(map(float, row)) for row in values.get("costs", ())) or None
        return cls(float(values["temperature"]), int(values["rows"]), costs)

    def apply(self, output: LabelOutput, labels: Sequence[str]) -> LabelOutput:
        """Return a row's calibrated probabilities and the label that they decide.

        Without costs the label stays: a temperature never changes which is the most probable.
        `labels` are the fixed set; costs need one. Without probabilities nothing changes.
        """
        if not output.probabilities:
            return output
        values = scaled([output.probabilities], self.temperature)[0][: len(output.probabilities)]
        label = output.label
        if self.costs is not None:
            label = labels[int(least_cost(values[None, :], self.costs)[0])]
        return LabelOutput(label, tuple(values.tolist()))


def calibrated_outputs(
    outputs: Sequence[LabelOutput], described: Mapping[str, Any] | None, labels: Sequence[str]
) -> list[LabelOutput]:
    """Return a model's outputs as its stored calibration has them, as they are without one."""
    if described is None or "temperature" not in described:
        return list(outputs)
    calibration = Calibration.from_described(described)
    return [calibration.apply(output, labels) for output in outputs]


def why_not(config: TrainConfig, kind: LabelKind) -> str | None:
    """Return why a run's labels cannot be calibrated, None where they can."""
    if not kind.closed:
        return OPEN
    return GENERATED if config.label_choice == "generate" else None


def scaled(probabilities: Sequence[Sequence[float]], temperature: float) -> NDArray[np.float64]:
    """Return probabilities at a temperature (rows, most options); absent options have 0."""
    logs = _logs(probabilities) / temperature
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return found


def _logs(probabilities: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return log-probabilities, minus infinity where a row has fewer options than the most."""
    logs = np.full((len(probabilities), max(map(len, probabilities))), -np.inf)
    for row, values in enumerate(probabilities):
        logs[row, : len(values)] = np.log(np.maximum(values, np.finfo(np.float64).tiny))
    return logs


def negative_log_likelihood(
    probabilities: Sequence[Sequence[float]], gold: Sequence[int], temperature: float
) -> float:
    """Return the mean of -log p(gold) in nats at a temperature."""
    logs = _logs(probabilities) / temperature
    top = logs.max(axis=1)
    total = top + np.log(np.exp(logs - top[:, None]).sum(axis=1))
    return float((total - logs[np.arange(len(logs)), list(gold)]).mean())


def fit_temperature(probabilities: Sequence[Sequence[float]], gold: Sequence[int]) -> float:
    """Return the temperature within `TEMPERATURES` of the least negative log-likelihood.

    The likelihood has one optimum in 1/T; 1, which changes nothing, is kept unless it is beaten.

    Args:
        probabilities: Of every row, over its labels.
        gold: Place of the right label in each.
    """

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(probabilities, gold, float(np.exp(log_temperature)))

    low, high = np.log(TEMPERATURES)
    best = float(minimize_scalar(loss, bounds=(low, high), method="bounded").x)
    return float(np.exp(best)) if loss(best) < loss(0.0) - LEAST_GAIN else 1.0


def least_cost(probabilities: NDArray[np.float64], costs: Costs) -> NDArray[np.int64]:
    """Return the label (rows,) of least expected cost; of equal ones the more probable, the first.

    With two labels this is a threshold: the second is decided where its probability exceeds
    (c01 - c00) / (c01 - c00 + c10 - c11).
    """
    expected = probabilities @ np.array(costs)
    ranked = np.argsort(-probabilities, axis=1, kind="stable")
    # Rounding must not break ties: costs 0 and 1 then decide as the most probable label does.
    close = np.isclose(expected, expected.min(axis=1, keepdims=True), rtol=1e-12, atol=1e-15)
    first = np.take_along_axis(close, ranked, axis=1).argmax(axis=1)
    return np.take_along_axis(ranked, first[:, None], axis=1)[:, 0]


def fit(held: Dataset, outputs: Sequence[LabelOutput], costs: Costs | None) -> Calibration:
    """Return what a model's outputs on the validation rows `held` teach."""
    gold = list(held["label_index"])
    temperature = fit_temperature([output.probabilities for output in outputs], gold)
    return Calibration(temperature, len(gold), costs)


def calibrated_scores(
    rows: Dataset, outputs: Sequence[LabelOutput], calibration: Calibration, tokens: LabelTokens
) -> dict[str, float]:
    """Return the scores that calibration changes.

    Returns:
        `temperature`; `ece_calibrated`, `brier_calibrated`, `nll_calibrated` (calibration_scores);
        with costs `mean_cost` of the labels as they are and, of the labels decided by cost,
        `mean_cost_decided`, `macro_f1_decided`, `accuracy_decided` and `decided_otherwise`, the
        share of rows whose label changed; the two costs also by tag (`mean_cost[site=A]`).
    """
    after = [calibration.apply(output, tokens.labels) for output in outputs]
    found = predictions(rows, after, tokens.labels)
    gold = [row.class_of(row.gold_label) or "" for row in found]
    table = [row.class_probabilities(tokens.classes) for row in found]
    errors = calibration_scores(gold, table, tokens.classes)
    scores = {f"{name}_calibrated": value for name, value in errors.items()}
    scores["temperature"] = calibration.temperature
    if calibration.costs is None:
        return scores
    decided = prediction_metrics(found, tokens.classes)
    changed = [a.label != b.label for a, b in zip(outputs, after, strict=True)]
    for tag, places in by_tag(found).items():
        right = [gold[place] for place in places]
        for name, labels in (("mean_cost", outputs), ("mean_cost_decided", after)):
            said = [labels[place].label for place in places]
            of_tag = mean_cost(right, said, tokens.labels, calibration.costs)
            scores[f"{name}[{tag}]"] = of_tag
    return scores | {
        "mean_cost": mean_cost(gold, [o.label for o in outputs], tokens.labels, calibration.costs),
        "mean_cost_decided": mean_cost(
            gold, [o.label for o in after], tokens.labels, calibration.costs
        ),
        "macro_f1_decided": decided["macro_f1"],
        "accuracy_decided": decided["accuracy"],
        "decided_otherwise": sum(changed) / len(changed),
    }


def mean_cost(
    gold: Sequence[str], decided: Sequence[str], labels: Sequence[str], costs: Costs
) -> float:
    """Return the mean cost of these decisions."""
    place = {label: i for i, label in enumerate(labels)}
    pairs = zip(gold, decided, strict=True)
    return sum(costs[place[right]][place[said]] for right, said in pairs) / len(gold)
