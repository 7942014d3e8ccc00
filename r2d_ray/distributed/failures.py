"""Which failures of training are worth another attempt, and what their last one says."""

from __future__ import annotations

from typing import Any

from ray.exceptions import RayError
from ray.train import TrainingFailedError, UserCallback
from ray.train.v2._internal.exceptions import RayTrainError

FROM_OUTSIDE = (RayError, RayTrainError, OSError, RuntimeError)
"""Errors that another attempt may not meet: lost workers, disks and networks. A rank that loses
its peer within a collective raises a RuntimeError."""

NOT_FROM_OUTSIDE = ("NonFiniteError", "OutOfMemoryError", "CheckpointError")
"""Names of RuntimeErrors that would happen again."""

MEMORY = ("OutOfMemoryError", "out of memory", "low on memory", "allocate memory")
MEMORY_HINT = (
    "a smaller per_device_train_batch_size with proportionally more gradient_accumulation_steps "
    "gives the same result in less memory"
)


class FailAtOnce(UserCallback):
    """Ends a run at the first error that every attempt would meet; only the others are retried."""

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raise the first such error: Ray ends a run whose callback raises."""
        for error in worker_exceptions.values():
            if comes_again(error):
                raise error


def comes_again(error: BaseException) -> bool:
    """Return whether an error of a worker lies in what it was given, not in what happened to it."""
    return type(error).__name__ in NOT_FROM_OUTSIDE or not isinstance(error, FROM_OUTSIDE)


def training_failure(failed: TrainingFailedError | RayError) -> str:
    """Return the innermost cause of a failure in one line, with a hint where memory ran out."""
    workers = getattr(failed, "worker_failures", None)
    error = next(iter(workers.values())) if workers else failed
    while True:
        inner = [getattr(error, name, None) for name in ("controller_failure", "cause")]
        causes = [each for each in (*inner, error.__cause__) if isinstance(each, BaseException)]
        if not causes:
            break
        error = causes[0]
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"
    return f"{text} ({MEMORY_HINT})" if any(word in text for word in MEMORY) else text
