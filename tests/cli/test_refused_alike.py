"""What can be known before a study begins is refused alike by a dry run and a run: no card first.

Each case is a state of the disk and flags; one line, exit code 2, and the disk is as before.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray

from r2d_ray import compare, train, tune
from r2d_ray.cli.arguments import COMMANDS, parser_for
from r2d_ray.cli.command import settings_from
from r2d_ray.comparison.plan import make_compare_plan
from r2d_ray.errors import EXIT_BAD_INPUT, EXIT_DONE
from r2d_ray.evaluation.bertscore import ENCODER_VARIABLE
from r2d_ray.search.plan import make_plan
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.lock import StudyLock
from r2d_ray.study.opening import open_study
from r2d_ray.study.settings import CompareSettings, SearchSettings, TrainSettings

MAINS = {"tune": tune.main, "train": train.main, "compare": compare.main}
BASE = ["--dataset", "table.csv", "--storage-path", "studies", "--name", "s"]
OWN = {"tune": [], "train": [], "compare": ["--methods", "r2d", "--seeds", "1"]}
EVERY = tuple(MAINS)
LINE = b'{"op_code":0,"worker_id":"w"}\n'

Put = Callable[[Path, str, ExitStack], object]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("R2D_DATA", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    splits = ["train"] * 12 + ["validation"] * 4 + ["test"] * 4
    rows = [(f"Is {i}?", "It is.", "yn"[i % 2], split, "So.") for i, split in enumerate(splits)]
    with Path("table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["question", "context", "label", "split", "rationale.human"], *rows]
        )
    return tmp_path


def study(command: str) -> StudyFolder:
    """Return the stored study that the command would go on with."""
    kind = COMMANDS[command].settings
    asked = settings_from(parser_for(command).parse_args([*BASE, *OWN[command]]), kind)
    if isinstance(asked, CompareSettings):
        info = make_compare_plan(asked).info
    else:
        search = asked.as_search() if isinstance(asked, TrainSettings) else asked
        assert isinstance(search, SearchSettings)
        info = make_plan(search).info
    return open_study("studies", "s", info, "never").folder


def stored(change: Callable[[StudyFolder, ExitStack], object] = lambda *_: None) -> Put:
    return lambda _, command, end: change(study(command), end)


def of(other: str) -> Put:
    """A study of another command under the same name."""
    return lambda *_: study(other)


def outcome(folder: StudyFolder, _: ExitStack) -> None:
    folder.trial_dir(0).mkdir()
    (folder.trial_dir(0) / "outcome.json").write_text('{"trial": ')


def nothing(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """Flags behind the base's, what stands on the disk, and words of the one line."""

    flags: tuple[str, ...]
    put: Put
    said: tuple[str, ...]
    commands: tuple[str, ...] = EVERY


CASES = {
    "nothing to resume": Case(("--resume", "must"), nothing, ("--resume must", "stored study")),
    "an empty folder to resume": Case(
        ("--resume", "must"), lambda place, *_: (place / "studies/s").mkdir(parents=True), ("must",)
    ),
    "nothing to extend": Case(("--extend", "2"), nothing, ("--extend", "stored study"), ("tune",)),
    "a study where none may be": Case(
        ("--resume", "never"), stored(), ("--resume never", "another --name")
    ),
    "an URL": Case(("--storage-path", "s3://b"), nothing, ("'s3://b'", "POSIX path")),
    "a file as storage": Case(("--storage-path", "table.csv"), nothing, ("table.csv", "folder")),
    "a file above": Case(("--storage-path", "table.csv/a/b"), nothing, ("table.csv", "folder")),
    "a parent that nobody can make": Case(
        ("--storage-path", "/proc/none/a"), nothing, ("--storage-path '/proc/none/a'", "folder")
    ),
    "a name too long": Case(("--storage-path", "x" * 300), nothing, ("--storage-path", "too long")),
    "no home": Case(("--storage-path", "~nobody-of-this-name"), nothing, ("--storage-path",)),
    "another folder of this name": Case(
        (),
        lambda place, *_: (place / "studies/s/mine").mkdir(parents=True),
        ("is not a study", "study.json"),
    ),
    "a file of this name": Case(
        (),
        lambda place, *_: ((place / "studies").mkdir(), (place / "studies/s").touch()),
        ("--storage-path", "folder"),
    ),
    "a link of this name": Case(
        (),
        lambda place, *_: ((place / "studies").mkdir(), (place / "studies/s").symlink_to(place)),
        ("is a link",),
    ),
    "a comparison's name": Case((), of("compare"), ("made differently", "method"), ("tune",)),
    "a search's name": Case((), of("tune"), ("made differently", "method"), ("compare",)),
    "another setting": Case(
        ("--set", "max_steps=7"), stored(), ("made differently", "max_steps: 300 -> 7")
    ),
    "a study in use": Case(
        (), stored(lambda s, end: end.enter_context(StudyLock(s.root))), ("in use by pid",)
    ),
    "a damaged study.json": Case(
        (), stored(lambda s, _: s.info_path.write_text('{"schema_version": 1')), ("study.json",)
    ),
    "a torn record": Case(
        (), stored(lambda s, _: s.records_path.write_bytes(b'{"trial":\n')), ("records.jsonl:1",)
    ),
    "a damaged outcome": Case((), stored(outcome), ("trials/0000/outcome.json",)),
    "a torn line of the journal": Case(
        (),
        stored(lambda s, _: s.journal_path.write_bytes(LINE + LINE[9:] + LINE)),
        ("optuna.journal:2", "damaged"),
        ("tune", "train"),
    ),
    "a warm start from no study": Case(
        ("--warm-start", "nowhere"), nothing, ("nowhere", "study.json"), ("tune",)
    ),
    "a tuned setting of no study": Case(
        ("--tuned-from", "nowhere"), nothing, ("nowhere", "study.json"), ("compare",)
    ),
}


def disk(place: Path) -> dict[str, bytes | str | None]:
    return {
        str(path): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in place.rglob("*")
    }


def refused(command: str, argv: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    assert MAINS[command]([*BASE, *OWN[command], *argv]) == EXIT_BAD_INPUT
    out, error = capfd.readouterr()
    assert out == ""
    assert error.startswith("error: ")
    assert error.count("\n") == 1, error
    assert not ray.is_initialized()
    return error


@pytest.mark.parametrize(
    ("name", "command"), [(name, c) for name, case in CASES.items() for c in case.commands]
)
def test_a_dry_run_and_a_run_refuse_it_in_the_same_line(
    place: Path, capfd: pytest.CaptureFixture[str], name: str, command: str
) -> None:
    case = CASES[name]
    with ExitStack() as end:
        case.put(place, command, end)
        before = disk(place)
        lines = [refused(command, [*case.flags, *dry], capfd) for dry in (["--dry-run"], [])]
        assert disk(place) == before
    assert lines[0] == lines[1]
    assert all(words in lines[0] for words in case.said), lines[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write_is_refused(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / "shut").mkdir(mode=0o500)
    assert "shut" in refused("tune", ["--dry-run", "--storage-path", "shut/studies"], capfd)


@pytest.mark.parametrize("command", EVERY)
def test_an_encoder_that_is_none_is_refused_before_training(
    place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    for value in ("roberta-large", "table.csv:17", "nowhere:17"):
        monkeypatch.setenv(ENCODER_VARIABLE, value)
        for dry in (["--dry-run"], []):
            assert f"${ENCODER_VARIABLE} = {value!r}" in refused(command, dry, capfd)


@pytest.mark.parametrize("command", EVERY)
@pytest.mark.parametrize("put", [nothing, stored()], ids=["new", "stored"])
def test_a_dry_run_of_what_can_begin_prints_its_plan_and_leaves_the_disk_as_it_was(
    place: Path, capfd: pytest.CaptureFixture[str], command: str, put: Put
) -> None:
    with ExitStack() as end:
        put(place, command, end)
        before = disk(place)
        assert MAINS[command]([*BASE, *OWN[command], "--dry-run"]) == EXIT_DONE
        assert disk(place) == before
    assert "train: 12 rows" in capfd.readouterr().out
