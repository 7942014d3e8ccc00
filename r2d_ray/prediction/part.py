"""Answers on their way: a folder beside the output, from which a killed prediction goes on.

`manifest.json` says what they are answers to; each line of `answers.jsonl` has those of one chunk.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from r2d_ray.errors import UserError
from r2d_ray.prediction.answers import Answer
from r2d_ray.storage import cut_torn_line, key_of, write_json

MANIFEST, ANSWERS, LOCK = "manifest.json", "answers.jsonl", "lock"


def part_folder(output: Path) -> Path:
    """Return the folder of an output that is not whole."""
    return output.with_name(f".{output.name}.part")


def fingerprint(files: Iterable[Path]) -> dict[str, list[int]]:
    """Return size and time of change (ns) of every file, by its path."""
    states = {str(file.resolve()): file.stat() for file in files}
    return {path: [state.st_size, state.st_mtime_ns] for path, state in states.items()}


class Part:
    """The answers of an output that is not whole; one process at a time.

    Args:
        output: The file that will be written.
        asked: Everything on which an answer depends, as JSON values; answers to anything else are
            thrown away.

    Raises:
        UserError: if another process writes this output, or the folder cannot be made.
    """

    def __init__(self, output: Path, asked: Mapping[str, Any]) -> None:
        self.output, self.folder = output, part_folder(output)
        self._key = key_of(asked)
        self.chunks_done = 0
        self.started_anew = False

    def __enter__(self) -> Part:
        """Take the folder and count the chunks that it has."""
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = FileLock(self.folder / LOCK, timeout=0, mode=0o600)
            self._lock.acquire()
        except Timeout:
            raise UserError(
                f"--output {self.output}: another process is writing it (allowed: one at a time)"
            ) from None
        except OSError as error:
            raise UserError(f"--output {self.output}: {error.strerror}") from None
        answers = self.folder / ANSWERS
        if self._known() != self._key:
            self.started_anew = answers.exists()
            answers.unlink(missing_ok=True)
            write_json(self.folder / MANIFEST, {"key": self._key})
        cut_torn_line(answers)
        if answers.exists():
            with answers.open("rb") as lines:
                self.chunks_done = sum(1 for _ in lines)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the folder of a whole output and of a wrong input; any other can go on."""
        self._lock.release()
        if kind is None or issubclass(kind, UserError):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _known(self) -> str | None:
        try:
            found = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
            return str(found["key"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def append(self, answers: Sequence[Answer]) -> None:
        """Keep the answers of the next chunk, on the disk."""
        line = json.dumps([answer.values() for answer in answers], ensure_ascii=False)
        with (self.folder / ANSWERS).open("ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def answers(self) -> Iterator[list[Answer]]:
        """Yield the answers of every chunk, in order."""
        path = self.folder / ANSWERS
        if not path.exists():
            return
        with path.open("rb") as lines:
            for line in lines:
                yield [Answer(**values) for values in json.loads(line)]

    @property
    def draft(self) -> Path:
        """Where the output is written before it takes its place."""
        return self.folder / "output"
