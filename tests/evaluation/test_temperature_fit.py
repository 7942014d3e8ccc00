"""The fitted temperature against an independent fit, and against the one rows were made with."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from r2d_ray.evaluation.calibration import TEMPERATURES, fit_temperature


def drawn(seed: int, rows: int, true: float) -> tuple[NDArray[np.float64], list[int]]:
    """Return logits of three labels, and labels drawn from their softmax at a temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=4.0, size=(rows, 3))
    chances = softmax(logits / true, axis=1)
    return logits, [int(rng.choice(3, p=row)) for row in chances]


@pytest.mark.parametrize("true", [0.5, 1.0, 2.0, 4.0])  # above 1: the logits are overconfident
@pytest.mark.parametrize("seed", range(5))
def test_the_fit_equals_an_independent_one(seed: int, true: float) -> None:
    logits, gold = drawn(seed, 300, true)

    def loss(inverse: NDArray[np.float64]) -> float:
        return float(-log_softmax(logits * inverse[0], axis=1)[np.arange(300), gold].mean())

    bounds = [(1 / TEMPERATURES[1], 1 / TEMPERATURES[0])]
    independent = 1 / minimize(loss, x0=[1.0], method="L-BFGS-B", bounds=bounds).x[0]
    assert fit_temperature(softmax(logits, axis=1).tolist(), gold) == pytest.approx(
        independent, rel=5e-3
    )


@pytest.mark.parametrize("true", [0.5, 1.0, 2.0, 4.0])
def test_the_fit_finds_the_temperature_that_rows_were_made_with(true: float) -> None:
    logits, gold = drawn(7, 20_000, true)
    assert fit_temperature(softmax(logits, axis=1).tolist(), gold) == pytest.approx(true, rel=0.05)
