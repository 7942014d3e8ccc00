"""How hostile input is tried: in process, in a folder of its own, and what must come of it."""

from __future__ import annotations

import contextlib
import io
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
from hypothesis import HealthCheck, event, note, seed, settings

from r2d_ray.errors import EXIT_BAD_INPUT, EXIT_DONE

DEFAULT_CASES = 270  # of all fuzz tests together
ASKED = os.environ.get("R2D_FUZZ")
CASES = int(ASKED or DEFAULT_CASES)
SEED = int(os.environ.get("R2D_FUZZ_SEED") or random.SystemRandom().randrange(2**32))
TIMEOUT = 60 + CASES  # seconds of one test


def cases(share: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a test its share of the default 270 cases, more where `R2D_FUZZ` asks for more.

    By default the cases are the same in every run; with `R2D_FUZZ` they are new ones, and a
    failure names the seed that repeats them.
    """
    chosen = settings(
        max_examples=max(1, share * CASES // DEFAULT_CASES),
        deadline=None,
        derandomize=ASKED is None,
        database=None,
        print_blob=ASKED is not None,
        suppress_health_check=list(HealthCheck),
    )

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        marked = pytest.mark.fuzz(pytest.mark.timeout(TIMEOUT)(chosen(test)))
        return marked if ASKED is None else seed(SEED)(marked)

    return decorate


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code and all that it printed."""

    code: Any
    out: str
    err: str


def stream(errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), "utf-8", errors, newline="\n", write_through=True)


def text_of(written: io.TextIOWrapper) -> str:
    raw = written.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode()


def run(main: Callable[[Sequence[str]], int], argv: Sequence[str]) -> Outcome:
    """Run a command in this process, with streams as strict as a terminal's."""
    out, err = stream("strict"), stream("backslashreplace")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: Any = main(argv)
        except SystemExit as end:
            code = end.code
    return Outcome(code, text_of(out), text_of(err))


def files(folder: Path) -> dict[str, bytes | None]:
    found = folder.rglob("*")
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in found}


def harmless(main: Callable[[Sequence[str]], int], argv: Sequence[str], folder: Path) -> Outcome:
    """Run a command that must print its result, or refuse in one line; and write nothing."""
    if ASKED is not None:
        note(f"R2D_FUZZ={ASKED} R2D_FUZZ_SEED={SEED} repeats this")
    note(f"argv: {list(argv)!r}"[:2000])
    before = files(folder)
    done = run(main, argv)
    note(f"{done.code}: {done.err[:2000]}")
    event(f"exit {done.code}")  # pytest --hypothesis-show-statistics
    assert done.code in (EXIT_DONE, EXIT_BAD_INPUT)
    if done.code == EXIT_BAD_INPUT:
        assert done.err.startswith("error: ")
        assert done.err.endswith("\n")
        assert done.err[:-1].isprintable(), "more than one line, or what steers a terminal"
        assert done.out == ""
    else:
        assert done.err == ""
        assert done.out.replace("\n", "").isprintable()
    assert files(folder) == before
    assert not ray.is_initialized()
    return done


@contextlib.contextmanager
def sandbox(folder: Path) -> Iterator[Path]:
    """Stand in an empty folder, without what this machine's user has set up."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("R2D_DATA", "RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(folder))
        patch.chdir(folder)
        yield folder
