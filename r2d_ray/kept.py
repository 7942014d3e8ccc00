"""Scores kept beside what they were made of, so that a repeated command makes none of them again.

A file of scores is written after the files that it tells of, atomically: what a kill left without
it is made again.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from r2d_ray import __version__
from r2d_ray.records import SCHEMA_VERSION, write_json


def key_of(*parts: Any) -> str:
    """Return the hash (16 hex digits) of JSON values on which scores depend, code included."""
    text = json.dumps([__version__, SCHEMA_VERSION, *parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Kept:
    """The parts of one file of scores, each under the key of all that it depends on.

    A part has a stamp of its own each time that it is made: what is made of it names the stamp in
    its key, and so is made again with it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def beside(cls, predictions: Path) -> Kept:
        """Return the scores of a predictions file: x-test.jsonl -> x-test.scores.json."""
        return cls(predictions.with_suffix(".scores.json"))

    def scores(self, part: str, key: str) -> dict[str, Any] | None:
        """Return the scores of a part, None where they were not made of this."""
        found = self._parts().get(part)
        return found["scores"] if found and found["key"] == key else None

    def stamp(self, part: str) -> str | None:
        """Return the stamp of a part, None where it was never made."""
        found = self._parts().get(part)
        return found["stamp"] if found else None

    def write(self, part: str, key: str, scores: dict[str, Any]) -> None:
        """Keep the scores of a part."""
        made = {"key": key, "stamp": uuid.uuid4().hex, "scores": scores}
        write_json(self.path, {**self._parts(), part: made})

    def clear(self) -> None:
        """Drop every part, before what they tell of is written anew."""
        self.path.unlink(missing_ok=True)

    def _parts(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        parts: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return parts
