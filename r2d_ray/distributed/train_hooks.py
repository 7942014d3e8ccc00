"""What surrounds a run of Ray Train: who hears of its evaluations, and the handlers given back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.train import UserCallback


class EvaluationsOnly(UserCallback):
    """Tells another callback of evaluations, not of checkpoints between two."""

    def __init__(self, callback: Any) -> None:
        self.callback = callback

    def after_report(self, run_context: Any, metrics: Any, checkpoint: Any) -> None:
        """Pass on a report that has scores."""
        if metrics[0]:
            self.callback.after_report(run_context, metrics, checkpoint)


@contextmanager
def interrupts_given_back() -> Iterator[None]:
    """Restore the handler of SIGINT: Ray's stays after a run and keeps its controller alive."""
    former = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():  # elsewhere Ray takes none
            signal.signal(signal.SIGINT, former)
