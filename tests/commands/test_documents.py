"""Every command of a fenced block of a document works: quickly by its plan, whole by marker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import budget
import pytest
from fenced import Block, blocks
from quick_checks import in_process, make_knows, plan, ray_reads
from shell_lines import Command, parsed, typed
from shrink import ROOT, by_module, for_this_machine, rule_of, small
from workplace import Workplace

DOCUMENTS = sorted(
    path
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "benchmarks/*.md",
        "analysis/**/*.md",
        "examples/**/*.md",
    )
    for path in ROOT.glob(pattern)
)
Case = tuple[Path, int, str]
"""A document, the number of a line and what a reader types there."""


def blocks_of(path: Path) -> list[Block]:
    return list(blocks(path.read_text(encoding="utf-8")))


def lines_of(path: Path) -> Iterator[Case]:
    for block in blocks_of(path):
        if block.holds_commands:
            for number, line in typed(block):
                if line.strip():
                    yield path, number, line


def called(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


CASES = [case for path in DOCUMENTS for case in lines_of(path)]
WITH_COMMANDS = list(dict.fromkeys(path for path, _, _ in CASES))


def check(command: Command, work: Workplace) -> None:
    """Check one command in this process.

    Raises:
        ValueError: with one line, for a command that the table does not know or that fails.
    """
    words = by_module(command.words)
    rule = rule_of(words)
    words = (
        work.words(for_this_machine(words, rule), with_studies=False)
        if (rule.quick in ("plan", "parse"))
        else list(words)
    )
    code = 0
    if rule.quick == "plan":
        code = plan(words, work.variables(command))
    elif rule.quick == "parse":
        code = in_process(words, work.variables(command), act=False)
    elif rule.quick == "make":
        make_knows(words)
    elif rule.quick == "ray":
        for line in ray_reads(words):
            for inner in parsed(line, command.line):
                check(inner, work)
    if code:
        raise ValueError(f"`{command}` ends with exit code {code}")


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{called(path, number)} {line[:30]}" for path, number, line in CASES]
)
def test_a_command_is_understood(
    case: Case,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path, number, line = case
    work = Workplace(tmp_path / "work")
    work.write_shown(blocks_of(path))
    monkeypatch.chdir(work.folder)
    wrong = None
    try:
        for command in parsed(line, number):
            check(command, work)
    except ValueError as error:
        wrong = str(error)
    if wrong:
        said = capfd.readouterr().err[-1000:]
        pytest.fail(f"{called(path, number)}: {wrong}\n{said}", pytrace=False)


def test_what_is_not_run_whole_has_a_reason_and_no_rule_stands_twice() -> None:
    assert len({rule.words for rule in budget.RULES}) == len(budget.RULES)
    for rule in budget.RULES:
        assert rule.why or rule.quick in ("plan", "parse"), rule.words


def run_whole(command: Command, work: Workplace) -> bool:
    """Run a command in a process, at the small size; return whether the table lets it run."""
    shown = by_module(command.words)
    rule = rule_of(shown)
    if rule.why:
        return False
    words = work.words(small(for_this_machine(shown, rule), rule), with_studies=True)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": "", **work.variables(command)}
    code, out, err = ended([sys.executable, *words[1:]], work.folder, env)
    said = f"`{' '.join(words)}` (`{command}`): {out[-1500:]}{err[-1500:]}"
    assert code == 0, said
    if command.output:
        (work.folder / command.output).write_text(out)
    return True


def ended(words: list[str], folder: Path, env: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a process; return its exit code and output. One that is late is asked to stop first."""
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=folder, env=env, stdout=pipe, stderr=pipe, text=True) as run:
        for stop in (run.terminate, run.kill):  # after the first a search ends its cluster
            try:
                out, err = run.communicate(timeout=budget.LIMIT_S)
                return run.returncode, out, err
            except subprocess.TimeoutExpired:
                stop()
        out, err = run.communicate()
    return run.returncode, out, err


def test_a_late_command_is_asked_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "LIMIT_S", 3)
    late = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(50)"]
    assert ended(late, tmp_path, os.environ) == (-signal.SIGTERM, "1\n", "")
    assert ended([sys.executable, "-c", "print(2)"], tmp_path, os.environ) == (0, "2\n", "")


@pytest.fixture(scope="session")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Returns a study with a model, made by the first document that needs one."""
    work = Workplace(tmp_path_factory.mktemp("lent") / "work")

    name = ("--name", "lent")  # two studies of one name cannot stand in one report

    def lend() -> Path:
        if not list(work.folder.glob("studies/*/result.json")):
            run_whole(Command(0, ("python", "-m", "r2d_ray.tune", *budget.DOTS, *name)), work)
        return next(work.folder.glob("studies/*/result.json")).parent

    return lend


@pytest.mark.commands
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("path", WITH_COMMANDS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_of_a_document_run_in_order(
    path: Path, tmp_path: Path, lent: Callable[[], Path]
) -> None:
    work = Workplace(tmp_path / "work", lent)
    work.write_shown(blocks_of(path))
    failed = []
    for _, number, line in lines_of(path):
        begin, how = time.monotonic(), "not run"
        try:
            if any([run_whole(command, work) for command in parsed(line, number)]):
                how = f"{time.monotonic() - begin:5.0f} s"
        except (ValueError, AssertionError) as error:
            how = "FAILED"
            failed.append(f"{called(path, number)}: {error}")
        print(f"{how:>7}  {called(path, number)} {line}", flush=True)
    assert not failed, "\n".join(failed)
