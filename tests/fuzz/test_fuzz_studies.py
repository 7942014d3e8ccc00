"""Study folders: damaged or foreign ones are refused in one line, and stay as they are."""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzz_cases import cases, files, harmless, run, sandbox
from hypothesis import given
from hypothesis import strategies as st

from r2d_ray.compare import main as compare_main
from r2d_ray.errors import EXIT_BAD_INPUT, EXIT_DONE
from r2d_ray.records import write_jsonl
from r2d_ray.search import frame
from r2d_ray.search.plan import make_plan
from r2d_ray.study.books import trial_record
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.opening import open_study
from r2d_ray.study.settings import build_settings
from r2d_ray.tune import main as tune_main

COMMAND = ["--dataset", "table.csv", "--profile", "embedded", "--verbosity", "quiet"]
RESUME = [*COMMAND, "--storage-path", "studies", "--name", "s"]
HEADER = ["question", "context", "label", "split", "rationale.human"]
LOCK = "studies/s/study.lock"
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["../../x", "\x1b[2J", "macro_f1", "max", "r2d", "done", "0.1.0", "\ud800"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
BYTES = st.binary(max_size=40) | st.sampled_from(
    [b"", b"{}", b"[]", b"null", b"NaN", b"[" * 5000, b'{"a":' * 5000, b"\xff", b"\x80\x04K\x01."]
)


class Accepted(BaseException):
    """The command would start Ray now."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with (
        sandbox(tmp_path_factory.mktemp("studies")) as place,
        pytest.MonkeyPatch.context() as patch,
    ):
        splits = ["train"] * 12 + ["validation"] * 4 + ["test"] * 4
        rows = [(f"Is {i}?", "It is.", "yn"[i % 2], split, "So.") for i, split in enumerate(splits)]
        with Path("table.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([HEADER, *rows])
        asked = {"dataset": "table.csv", "profile": "embedded", "num_samples": 4, "name": "s"}
        plan = make_plan(build_settings(asked))
        study = open_study("studies", "s", plan.info, "auto").folder
        values = {name: getattr(plan.config, name) for name in plan.space.search}
        scores = {"metrics": {"macro_f1": 0.5}, "selected_step": 50}
        records = [trial_record(plan.info, n, values, "done", **scores) for n in range(3)]
        write_jsonl(study.records_path, [*records, trial_record(plan.info, 3, values, "failed")])

        def reached(*_: object) -> None:
            raise Accepted

        patch.setattr(frame, "connect", reached)
        patch.setattr(frame, "prepare", lambda splits, config, root: root)
        yield place


@pytest.fixture(scope="module")
def study(folder: Path) -> tuple[StudyFolder, bytes, bytes]:
    """The study's folder and its two files as they were written."""
    found = StudyFolder(folder / "studies" / "s")
    return found, found.info_path.read_bytes(), found.records_path.read_bytes()


def test_the_whole_study_is_resumed_learnt_from_and_compared(folder: Path, study: Any) -> None:
    assert resumed(folder)
    warm = [*COMMAND, "--warm-start", "studies/s", "--dry-run"]
    assert run(tune_main, warm).code == EXIT_DONE
    compared = [*COMMAND, "--methods", "r2d", "--tuned-from", "studies/s", "--dry-run"]
    done = run(compare_main, compared)
    assert "r2d-tuned-1" in done.out


def resumed(folder: Path) -> bool:
    """Return whether a study is resumed up to the start of Ray; else it was refused, untouched."""
    before = files(folder)
    try:
        done = run(tune_main, RESUME)
    except Accepted:
        return True
    finally:
        left = {name: what for name, what in files(folder).items() if name != LOCK}
        assert left == {name: what for name, what in before.items() if name != LOCK}
    assert done.code == EXIT_BAD_INPUT
    assert done.err.startswith("error: ")
    assert done.err[:-1].isprintable()
    return False


def used_in_every_way(folder: Path) -> None:
    resumed(folder)
    harmless(tune_main, [*COMMAND, "--warm-start", "studies/s", "--dry-run"], folder)
    compared = [*COMMAND, "--methods", "r2d", "--tuned-from", "studies/s", "--dry-run"]
    harmless(compare_main, compared, folder)


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """The JSON value with one member, at any depth, taken out or replaced."""
    value = copy.deepcopy(value)
    place = value
    while isinstance(place, dict) and place:
        key = draw(st.sampled_from(sorted(place)))
        inner = place[key]
        if not isinstance(inner, dict) or not inner or draw(st.booleans()):
            if draw(st.booleans()):
                del place[key]
            else:
                place[key] = draw(VALUES)
            break
        place = inner
    return value


@cases(share=20)
@given(data=st.data())
def test_a_changed_study_json_is_used_or_refused(
    folder: Path, study: tuple[StudyFolder, bytes, bytes], data: st.DataObject
) -> None:
    found, info, records = study
    mutated = data.draw(changed(json.loads(info)))
    found.info_path.write_text(json.dumps(mutated))
    found.records_path.write_bytes(records)
    used_in_every_way(folder)


@cases(share=20)
@given(data=st.data())
def test_changed_records_are_used_or_refused(
    folder: Path, study: tuple[StudyFolder, bytes, bytes], data: st.DataObject
) -> None:
    found, info, records = study
    lines = [json.loads(line) for line in records.splitlines()]
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.integers(0, len(lines) - 1))
        lines[place] = data.draw(changed(lines[place]) | VALUES)
    found.info_path.write_bytes(info)
    found.records_path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    used_in_every_way(folder)


@cases(share=15)
@given(cut=st.integers(0, 10**6), junk=BYTES, in_records=st.booleans())
def test_a_torn_or_foreign_file_is_used_or_refused(
    folder: Path,
    study: tuple[StudyFolder, bytes, bytes],
    cut: int,
    junk: bytes,
    in_records: bool,
) -> None:
    found, info, records = study
    whole = records if in_records else info
    damaged = whole[: cut % (len(whole) + 1)] + junk
    found.info_path.write_bytes(info if in_records else damaged)
    found.records_path.write_bytes(damaged if in_records else records)
    used_in_every_way(folder)
