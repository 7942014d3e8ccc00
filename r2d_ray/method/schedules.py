"""The schedules of stage 2 (paper section 3; train_stage2.py), and the coin that samples by them.

Gold probability: `fraction_predicted_labels`; label weight: `current_alpha`. Steps are counted as
shares of S = `max_steps` of stage 2. Pure functions of the optimiser step: no state, and no
randomness that is not keyed.
"""

from __future__ import annotations

import hashlib
import math

from r2d_ray.config import TrainConfig

EXPONENTIAL_END = 0.01  # the exponential curve's value at the end of the decay, before the floor
SIGMOID_STEEPNESS = 10.0  # slope of the inverse sigmoid over the decay, per unit of x


def decay_curve(name: str, x: float) -> float:
    """Return the gold probability before the floor, at the share x in [0, 1] of the decay.

    `linear`, `exponential` and `inverse_sigmoid` start at 1; `linear` and `inverse_sigmoid` end at
    0, `exponential` at 0.01. `constant` is 0 throughout (the floor decides), `none` is 1.
    Source: Bengio et al. 2015, section 2.4 (curves); the authors use `linear`.
    """
    if name == "linear":
        return 1.0 - x
    if name == "exponential":
        return float(EXPONENTIAL_END**x)
    if name == "inverse_sigmoid":
        top, bottom, here = (
            1.0 / (1.0 + math.exp(SIGMOID_STEEPNESS * (at - 0.5))) for at in (0.0, 1.0, x)
        )
        return (here - bottom) / (top - bottom)
    if name == "constant":
        return 0.0
    if name == "none":
        return 1.0
    raise ValueError(f"sampling_decay {name!r} has no curve")


def gold_probability(step: int, config: TrainConfig) -> float:
    """Return the probability in [floor, 1] that a rationale prompt holds the gold label.

    Args:
        step: Optimiser step of stage 2, 0-based.
        config: Uses `sampling_decay`, `sampling_start_ratio`, `sampling_decay_ratio`,
            `gold_probability_floor` and `max_steps`.

    It is 1 - pi of the paper. With the authors' values it is 1 up to 0.05 S and falls linearly to
    0.1 at 0.59 S. Source: train_stage2.py `fraction_predicted_labels`.
    """
    since_start = step / config.max_steps - config.sampling_start_ratio
    x = min(max(since_start / config.sampling_decay_ratio, 0.0), 1.0)
    if config.sampling_decay == "none":
        return 1.0
    return max(decay_curve(config.sampling_decay, x), config.gold_probability_floor)


def label_weight(step: int, config: TrainConfig) -> float:
    """Return alpha, the weight in [0, 1] of the label loss; the rationale loss has 1 - alpha.

    It rises linearly from 0 to `label_loss_weight` over the first `label_warmup_ratio` x S steps.
    Source: train_stage2.py `current_alpha`.
    """
    warmup_steps = config.label_warmup_ratio * config.max_steps
    if warmup_steps <= 0:
        return config.label_loss_weight
    return config.label_loss_weight * min(1.0, step / warmup_steps)


def gumbel_temperature(step: int, config: TrainConfig) -> float:
    """Return the temperature of the cycle's Gumbel-softmax: 1 at step 0, halved at S, floored.

    Source: Reason2Decide-C, src/r2dc_stage2.py `R2DC_Trainer.compute_loss`.
    """
    return max(config.gumbel_temperature_floor, math.pow(0.5, step / config.max_steps))


def coin(seed: int, example_id: str, step: int, purpose: str = "sample") -> float:
    """Return a uniform number in [0, 1) keyed by seed, example, step and purpose.

    The same row at the same step gets the same coin whatever the batch, the rank, the number of
    workers or a resume (the authors' coin is `torch.rand(1)` on a global generator).
    """
    key = f"{seed}\x00{example_id}\x00{step}\x00{purpose}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) / 2.0**64
