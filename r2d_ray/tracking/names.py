"""What a tracker is told of a run: name, key, tags and parameters; no text of a row."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from r2d_ray.records import StudyInfo
from r2d_ray.storage import write_atomically

KEY_FILE = "tracking.key"
FOLDER = "tensorboard"
Parameter = str | int | float | bool


@dataclass(frozen=True, slots=True)
class TrackedTrial:
    """A trial as trackers know it: the same in driver and workers, and after a resume.

    `key` is the study's; `trackers` are those that were asked for.
    """

    trackers: tuple[str, ...]
    key: str
    root: str
    study: str
    trial: int
    method: str
    dataset: str
    seed: int
    arm: str | None = None

    @classmethod
    def of(
        cls, root: Path, info: StudyInfo, trackers: tuple[str, ...], number: int, **more: Any
    ) -> TrackedTrial:
        """Return a trial of a study: `more` are its method, seed and arm."""
        named = {"method": info.method, "dataset": info.dataset, "seed": info.config["seed"]}
        return cls(trackers, study_key(root), str(root), info.name, number, **{**named, **more})

    @property
    def name(self) -> str:
        """The trial's name: study and number."""
        return f"{self.study}-{self.trial:04d}"

    @property
    def events(self) -> Path:
        """Folder of the trial's TensorBoard events."""
        return Path(self.root) / FOLDER / self.name

    def stage_name(self, stage: str, run: int = 0) -> str:
        """Return the name of one stage's run: <study>-<trial>-<stage>, of a later seed -run-N."""
        return f"{self.name}-{stage_part(stage, run)}"

    def stage_key(self, stage: str, run: int = 0) -> str:
        """Return what makes a resumed run the same run, whatever the study is called."""
        return f"{self.key}-{self.trial:04d}-{stage_part(stage, run)}"

    def tags(self) -> dict[str, str]:
        """Return what people filter runs by."""
        known = {name: str(getattr(self, name)) for name in ("study", "trial", "method", "dataset")}
        return {**known, "seed": str(self.seed), **({"arm": self.arm} if self.arm else {})}

    def payload(self) -> dict[str, Any]:
        """Return the trial as JSON values."""
        return {**asdict(self), "trackers": list(self.trackers)}

    @classmethod
    def from_payload(cls, values: Mapping[str, Any]) -> TrackedTrial:
        """Return the trial of `payload()`."""
        return cls(**{**values, "trackers": tuple(values["trackers"])})


def stage_part(stage: str, run: int) -> str:
    """Return the last part of a run's name."""
    return f"{stage}-run-{run}" if run else stage


def study_key(root: Path) -> str:
    """Return a study's key, drawn once: two studies of one name are two in a tracker."""
    path = root / KEY_FILE
    if not path.exists():
        # Not of the global generator: training seeds it, and then every study would draw the same.
        write_atomically(path, f"{uuid.uuid4().hex[:12]}\n")
    return path.read_text(encoding="utf-8").strip()


def parameters(config: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return the values of a config as trackers take them; of a model's path its name alone."""
    found: dict[str, Parameter] = {}
    for name, value in config.items():
        plain = value if isinstance(value, str | int | float | bool) else str(value)
        path = name == "model" and isinstance(value, str) and Path(value).is_absolute()
        found[name] = Path(str(value)).name if path else plain
    return found
