"""A session of a search whose trials sleep: `python soak_session.py FOLDER ADDRESS TRIALS`.

Everything but training is the product's: search, journal, pruner, records, stage-1 lease, lock. A
sleeper holds what training holds, a placement group and an actor in it.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from conftest import tiny_config, toy_info, toy_splits
from ray.util import placement_group, remove_placement_group
from ray.util.state import list_actors

from r2d_ray.cli.command import StopSignals
from r2d_ray.distributed import cluster
from r2d_ray.distributed.stage_job import TrainingJob
from r2d_ray.method.variants import get_method
from r2d_ray.search.domain import Domain
from r2d_ray.search.plan import StudyPlan
from r2d_ray.search.run import SearchRun
from r2d_ray.search.space import SearchSpace
from r2d_ray.search.tuner import Session
from r2d_ray.study.books import Bookkeeper
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.lock import StudyLock
from r2d_ray.study.settings import SearchSettings

NAMESPACE, HOLDER = "soak", "holder"
STEPS, EVERY, SLEEP_S = 20, 2, 0.1  # the pruner looks at step 14; the answer has until step 18
CONCURRENCY = 4
NO_ROOM = "OutOfMemoryError: no room"
SPACE = SearchSpace(
    name="soak",
    metric="macro_f1",
    mode="max",
    search={
        "label_loss_weight": Domain(type="float", low=0.3, high=0.9),
        "learning_rate": Domain(type="float", low=1e-5, high=1e-2, log=True),
    },
)


def soak_plan(trials: int) -> StudyPlan:
    config = tiny_config(max_steps=STEPS, eval_steps=EVERY)
    settings = SearchSettings(dataset="toy", profile="embedded", num_samples=trials)
    info = toy_info("soak", config, SPACE.model_dump(mode="json"), trials)
    return StudyPlan(settings, get_method("r2d"), toy_splits(), config, SPACE, (), "soak", info)


class Holder:
    """Makes the placement groups of sleepers and removes them when a sleeper's driver is gone.

    Ray Train has such an actor for each run: Ray itself would keep the group of a killed actor.
    """

    def __init__(self) -> None:
        self.groups: dict[str, Any] = {}
        threading.Thread(target=self._watch, daemon=True).start()

    def hold(self, driver: str) -> Any:
        """Return a group of one CPU that lives no longer than the driver actor."""
        self.groups[driver] = placement_group([{"CPU": 1}])
        return self.groups[driver]

    def _watch(self) -> None:
        while True:
            time.sleep(0.5)
            known = list(self.groups)
            alive = list_actors(filters=[("state", "!=", "DEAD")], limit=10_000)
            for driver in set(known) - {actor.actor_id for actor in alive}:
                remove_placement_group(self.groups.pop(driver))


class Sleeper:
    """Stands for a training worker."""

    def train(self, seconds: float) -> None:
        time.sleep(seconds)


def sleep_instead(job: TrainingJob, callbacks: list[Any]) -> dict[str, Any]:
    """Stand for train.run_training: the same folder, group, reports, stop and failures."""
    import ray
    from ray.exceptions import RayActorError
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    from r2d_ray.distributed.stage_job import MAX_FAILURES, STOP_FILE

    job.run_dir.mkdir(parents=True, exist_ok=True)
    weight, rate = job.config.label_loss_weight, job.config.learning_rate
    if job.stage == "stage2" and round(1e7 * rate) % 9 == 0:
        raise RuntimeError(NO_ROOM)
    holder = ray.get_actor(HOLDER, namespace=NAMESPACE)
    group = ray.get(holder.hold.remote(ray.get_runtime_context().get_actor_id()))
    lost, step, worker, pruned = 0, 0, None, False
    scores = {at: weight * at / (at + 1e3 * rate) for at in range(EVERY, STEPS + 1, EVERY)}
    try:
        while step < STEPS and not pruned:
            if worker is None:
                place = PlacementGroupSchedulingStrategy(group)
                worker = ray.remote(Sleeper).options(num_cpus=1, scheduling_strategy=place).remote()
            try:
                ray.get(worker.train.remote(SLEEP_S))
            except RayActorError:
                lost, worker = lost + 1, None
                if lost > MAX_FAILURES:
                    raise RuntimeError("ActorDiedError: the worker died") from None
                continue
            step += EVERY
            pruned = step < STEPS and (job.run_dir / STOP_FILE).exists()
            for callback in callbacks:
                callback.after_report(None, [{"step": step, "macro_f1": scores[step]}], None)
    finally:
        remove_placement_group(group)
    job.best_dir.mkdir(parents=True, exist_ok=True)
    (job.best_dir / "weights").write_text(str(rate))
    return {
        "curve": [{"step": s, "scores": {"macro_f1": scores[s]}} for s in scores if s <= step],
        "series": {},
        "selected_step": step,
        "best_metric": scores[step],
        "steps_done": step,
        "pruned": pruned,
        "step_s": None,
        "device": "cpu",
    }


def main(root: Path, address: str, trials: int) -> int:
    folder = StudyFolder(root)
    for place in folder.made_at_once():
        place.mkdir(parents=True, exist_ok=True)
    with StopSignals() as signals, StudyLock(root):
        cluster.connect(address, cluster.Capacity(CONCURRENCY, 0))
        plan, prepared = soak_plan(trials), {"": folder.prepared_dir / "p"}
        books = Bookkeeper(folder, plan.info)
        run = SearchRun(plan)
        run.train(Session(books, prepared, CONCURRENCY, lambda event: None, sleep_instead))
        return 75 if signals.received else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
