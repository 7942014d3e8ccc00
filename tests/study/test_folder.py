from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2d_ray.errors import UserError
from r2d_ray.records import SCHEMA_VERSION, StudyInfo
from r2d_ray.study import identity as provenance
from r2d_ray.study import opening as module
from r2d_ray.study.folder import (
    StudyFolder,
    extend_study,
    read_info,
    read_trials,
    total_samples,
)
from r2d_ray.study.identity import differences, git_commit, versions
from r2d_ray.study.lock import StudyLock
from r2d_ray.study.opening import OpenedStudy, Resume, open_study
from r2d_ray.study.place import check_name

VALUES: dict[str, Any] = {
    "name": "s",
    "method": "r2d",
    "dataset": "bioasq-sample",
    "profile": "embedded",
    "config": {
        "learning_rate": 0.001,
        "model": "scratch-tiny",
        "model_revision": None,
        "seed": 42,
        "deepspeed_config": None,
    },
    "space": {
        "metric": "macro_f1",
        "mode": "max",
        "search": {"learning_rate": {"low": 1e-5, "high": 3e-3}},
    },
    "study": {"num_samples": 8, "sampler": "tpe", "max_concurrent_trials": 1},
    "data_card": {"rows": 10, "labels": ["yes", "no"]},
    "data_hash": "0123",
    "provenance": {"kind": "sample"},
    "versions": {"r2d-ray": "0.1.0", "ray": "2.60.0"},
    "git_commit": "abc",
}


def info(**changed: Any) -> StudyInfo:
    """Return a StudyInfo; a changed dict is merged into the one above."""
    values = dict(VALUES)
    for key, value in changed.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    return StudyInfo(**values)


def opened(storage: Path, wanted: StudyInfo | None = None, resume: Resume = "auto") -> OpenedStudy:
    return open_study(str(storage), "s", wanted or info(), resume)


def refusal(
    storage: Path | str, wanted: StudyInfo | None = None, resume: Resume = "auto", **more: Any
) -> str:
    with pytest.raises(UserError) as caught:
        open_study(str(storage), "s", wanted or info(), resume, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def everything_below(folder: Path) -> dict[str, tuple[int, str | None]]:
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mtime_ns,
            path.read_text() if path.is_file() else None,
        )
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("name", ["a", "bioasq-r2d-scratch-tiny", "7.x_Y-", "a..b", "x" * 64])
def test_a_folders_name_is_a_name(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "-rf", "_x", "a/b", "/etc", "../x", "a b", "a\n", "é", "x" * 65],
)
def test_a_hostile_name_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="--name"):
        open_study(str(tmp_path / "studies"), name, info(name=name), "auto")
    assert list(tmp_path.iterdir()) == []


@given(st.text(max_size=70))
def test_an_accepted_name_stays_below_the_storage(name: str) -> None:
    try:
        check_name(name)
    except UserError:
        return
    assert os.path.normpath(f"/storage/{name}") == f"/storage/{name}"
    assert name.isascii()


def test_the_layout_is_the_designs() -> None:
    folder = StudyFolder(Path("/s/x"))
    assert folder.trial_dir(3) == Path("/s/x/trials/0003")
    assert {
        str(path.relative_to(folder.root))
        for key, path in vars(folder).items()
        if key.endswith(("_dir", "_path"))
    } == {
        "study.json",
        "records.jsonl",
        "oof.jsonl",
        "optuna.journal",
        "tune",
        "prepared",
        "stage1",
        "trials",
        "predictions",
        "best",
        "progress",
        "report",
    }


def test_a_new_study_is_private_and_complete(tmp_path: Path) -> None:
    folder, resumed, stored, notes = opened(tmp_path / "deep" / "studies")
    assert (resumed, stored, notes) == (False, info(), ())
    assert folder.root == tmp_path / "deep" / "studies" / "s"
    assert read_info(folder.root) == info()
    made = [folder.root, *(path for path in folder.root.iterdir() if path.is_dir())]
    assert {path.name for path in made} == {
        "s",
        "tune",
        "prepared",
        "stage1",
        "trials",
        "predictions",
    }
    assert {path.stat().st_mode & 0o777 for path in made} == {0o700}
    assert os.listdir(folder.root.parent) == ["s"]


def test_an_empty_folder_becomes_a_study(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    assert not opened(tmp_path).resumed
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700


def test_a_relative_storage_and_one_behind_a_link_are_the_same_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    first = opened(Path("real"))
    again = opened(tmp_path / "link")
    assert (again.resumed, again.folder.root) == (True, first.folder.root)
    assert first.folder.root.is_absolute()


def test_the_same_command_again_resumes_and_changes_nothing(tmp_path: Path) -> None:
    opened(tmp_path)
    before = everything_below(tmp_path)
    assert opened(tmp_path)[1:] == (True, info(), ())
    assert opened(tmp_path, resume="must").resumed
    assert everything_below(tmp_path) == before


def test_resume_must_and_extend_need_a_study(tmp_path: Path) -> None:
    storage = tmp_path / "studies"
    assert refusal(storage, resume="must").startswith("--resume must: no study at ")
    assert refusal(storage, extend=True).startswith("--extend: no study at ")
    assert not storage.exists()


def test_resume_never_refuses_a_study(tmp_path: Path) -> None:
    opened(tmp_path)
    assert refusal(tmp_path, resume="never").startswith("--resume never: study ")


@pytest.mark.parametrize("storage", ["s3://bucket/x", "gs://x", "file:///tmp", "abfs+https://x"])
def test_a_url_is_no_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert "(allowed: a POSIX path that every node sees)" in refusal(storage)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("storage", ["file/below", "file", "ring", "~nobody-of-that-name/x"])
def test_a_storage_that_can_be_no_folder_is_refused(tmp_path: Path, storage: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "ring").symlink_to("ring")
    before = everything_below(tmp_path)
    said = refusal(storage if storage.startswith("~") else tmp_path / storage)
    assert said.startswith("--storage-path ")
    assert "(allowed: " in said
    assert everything_below(tmp_path) == before


def test_a_file_in_the_place_of_the_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    assert f"{tmp_path}/s is not a folder" in refusal(tmp_path)
    assert (tmp_path / "s").read_text() == "mine"


def test_a_file_system_that_refuses_to_write_is_named() -> None:
    assert refusal("/proc/studies").startswith("--storage-path '/proc/studies': ")


def test_a_folder_without_the_right_to_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path or not mode & os.W_OK)
    assert f"{tmp_path} is not a folder that you can write to" in refusal(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_half_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, value: object) -> None:
        path.write_text('{"schema')
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_json", full)
    assert "No space left on device" in refusal(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_the_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    storage = tmp_path / "studies"
    storage.mkdir()
    (storage / "s").symlink_to(tmp_path / "elsewhere")
    assert "is a link" in refusal(storage)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_of_somebody_elses_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.tex").write_text("x")
    before = everything_below(tmp_path)
    assert "is not a study: it has no study.json" in refusal(tmp_path)
    assert everything_below(tmp_path) == before


def test_another_users_study_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(tmp_path)
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    assert f"is owned by uid {mine} (allowed: yours, {mine + 1})" in refusal(tmp_path)


def test_a_study_of_another_schema_says_which_version_opens_it(tmp_path: Path) -> None:
    folder = opened(tmp_path).folder
    stored = json.loads(folder.info_path.read_text())
    stored |= {"schema_version": SCHEMA_VERSION + 1, "versions": {"r2d-ray": "9.9"}, "new": 1}
    folder.info_path.write_text(json.dumps(stored))
    said = refusal(tmp_path)
    assert f"schema version {SCHEMA_VERSION + 1} (allowed: {SCHEMA_VERSION})" in said
    assert "r2d-ray 9.9" in said


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "null", '{"schema_version": 1}', "\xff", "[" * 9999]
)
def test_a_damaged_study_json_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    path = opened(tmp_path).folder.info_path
    path.write_text(text, encoding="latin-1")
    assert f"{path}: not a valid study.json" in refusal(tmp_path)
    assert path.read_text(encoding="latin-1") == text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"config": {"learning_rate": 0.002}}, "learning_rate: 0.001 -> 0.002"),
        (
            {"config": {"deepspeed_config": {"a": {"b": 1}}}},
            "deepspeed_config: None -> absent; deepspeed_config.a.b: absent -> 1",
        ),
        ({"config": {"max_steps": 5}}, "max_steps: 30000 -> 5"),
        ({"method": "sft"}, "method: 'r2d' -> 'sft'"),
        ({"dataset": "pubmedqa"}, "dataset: 'bioasq-sample' -> 'pubmedqa'"),
        ({"profile": "paper"}, "profile: 'embedded' -> 'paper'"),
        ({"data_hash": "4567"}, "data_hash: '0123' -> '4567'"),
        ({"space": {"mode": "min"}}, "space.mode: 'max' -> 'min'"),
        (
            {"space": {"search": {"learning_rate": {"low": 1e-5, "high": 1e-2}}}},
            "space.search.learning_rate.high: 0.003 -> 0.01",
        ),
        ({"study": {"sampler": "random"}}, "study.sampler: 'tpe' -> 'random'"),
        ({"study": {"num_samples": 9}}, "study.num_samples: 8 -> 9"),
    ],
)
def test_a_changed_setting_is_refused_with_the_difference(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    opened(tmp_path)
    before = everything_below(tmp_path)
    assert f"was made differently: {said}" in refusal(tmp_path, info(**changed))
    assert everything_below(tmp_path) == before


def test_what_changes_no_trial_may_change(tmp_path: Path) -> None:
    opened(tmp_path)
    study = {"max_concurrent_trials": 4, "time_budget_s": 60.0, "extended": 1}
    wanted = info(study=study, data_card={"rows": 11}, provenance={"address": "moved"})
    assert opened(tmp_path, wanted).resumed
    assert differences(info(), wanted) == []


def test_other_versions_are_told_and_not_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    wanted = info(versions={"ray": "2.60.1"}, git_commit=None)
    assert opened(tmp_path, wanted).notes == (
        "ray: '2.60.0' -> '2.60.1'",
        "git_commit: 'abc' -> None",
    )


def test_many_and_long_differences_stay_one_short_line(tmp_path: Path) -> None:
    opened(tmp_path, info(config={f"field_{i}": "x" * 500 for i in range(9)}))
    said = refusal(tmp_path)
    assert said.count(" -> absent") == 4
    assert "; and 5 more (allowed: another --name)" in said
    assert len(said) < 700


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_a_study_never_differs_from_itself_through_json(config: dict[str, Any]) -> None:
    one = info(config=config)
    assert differences(one, StudyInfo.model_validate_json(one.model_dump_json())) == []


def test_an_extended_study_still_fits_its_first_command(tmp_path: Path) -> None:
    folder, _, stored, _ = opened(tmp_path)
    assert total_samples(stored) == 8
    assert total_samples(extend_study(folder, extend_study(folder, stored, 4), 2)) == 14
    again = opened(tmp_path)
    assert again.resumed
    assert total_samples(again.info) == 14


def test_extending_does_not_ask_for_the_first_number_of_samples_again(tmp_path: Path) -> None:
    opened(tmp_path)
    wanted = info(study={"num_samples": 20})
    assert open_study(str(tmp_path), "s", wanted, "auto", extend=True).info == info()
    assert "study.sampler" in refusal(tmp_path, info(study={"sampler": "gp"}), extend=True)


def test_of_two_studies_made_at_once_one_is_made_and_the_other_refused(tmp_path: Path) -> None:
    line = threading.Barrier(6)

    def make(i: int) -> str:
        line.wait()
        try:
            open_study(str(tmp_path), "s", info(data_hash=str(i)), "auto")
        except UserError as error:
            return str(error)
        return f"made {i}"

    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(make, range(6)))
    (made,) = [text for text in said if text.startswith("made ")]
    assert read_info(tmp_path / "s").data_hash == made.removeprefix("made ")
    assert sum("was made differently: data_hash" in text for text in said) == 5
    assert os.listdir(tmp_path) == ["s"]


@pytest.fixture
def locked_elsewhere(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    code = (
        "import sys, time, pathlib; from r2d_ray.study.lock import StudyLock\n"
        f"with StudyLock(pathlib.Path({str(tmp_path)!r})): print(1, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == "1\n"
        yield it
        it.kill()


def test_a_second_process_learns_who_uses_the_study_until_that_one_dies(
    tmp_path: Path, locked_elsewhere: subprocess.Popen[str]
) -> None:
    with pytest.raises(UserError) as caught, StudyLock(tmp_path):
        pass
    by = f"in use by pid {locked_elsewhere.pid} on {socket.gethostname()} "
    assert f"study {tmp_path.name} is {by}" in str(caught.value)
    locked_elsewhere.send_signal(signal.SIGKILL)
    locked_elsewhere.wait()
    with StudyLock(tmp_path):
        assert f"pid {os.getpid()} " in (tmp_path / "study.lock.holder").read_text()


RECORD = {"study": "s", "method": "r2d", "dataset": "d", "seed": 1, "config": {"learning_rate": 1}}
DONE = {**RECORD, "status": "done", "metrics": {"macro_f1": 0.5}}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([{**DONE, "trial": 0}, {**DONE, "trial": 0}], "trial 0 appears twice"),
        ([{**DONE, "trial": -1}], "numbers from 0"),
        (
            [{**DONE, "trial": 0, "metrics": {"accuracy": 1.0}}],
            "trial 0 is done but has no mac",
        ),
        ([{**DONE, "trial": 0, "config": {}}], "has no learning_rate"),
        ([{"trial": 0}], "records.jsonl:1: "),
    ],
)
def test_records_that_no_study_wrote_are_refused(
    tmp_path: Path, lines: list[dict[str, Any]], said: str
) -> None:
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UserError, match=re.escape(said)):
        read_trials(tmp_path, info())


def test_records_are_read_as_they_stand(tmp_path: Path) -> None:
    assert read_trials(tmp_path, info()) == []
    lines = [{**DONE, "trial": 1}, {**RECORD, "trial": 0, "status": "failed"}]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [record.trial for record in read_trials(tmp_path, info())] == [1, 0]


@pytest.mark.parametrize(
    "changed",
    [
        {"space": {"metric": "macro_f1", "mode": "max"}},
        {"space": {"metric": 1, "mode": "max", "search": {}}},
        {"space": {"metric": "macro_f1", "mode": "up", "search": {}}},
        {"study": {}},
        {"study": {"num_samples": "4"}},
        {"study": {"num_samples": 4, "extended": None}},
        {"config": {"model": "scratch-tiny"}},
        {"data_card": {}},
        {"provenance": {}},
    ],
)
def test_a_study_without_what_its_readers_need_is_refused(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    (tmp_path / "study.json").write_text(json.dumps({**info().model_dump(), **changed}))
    with pytest.raises(UserError, match=r"not a valid study\.json"):
        read_info(tmp_path)


def test_the_lock_is_free_after_the_block_and_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), StudyLock(tmp_path):
        _ = 1 / 0
    with StudyLock(tmp_path), pytest.raises(UserError, match="in use"), StudyLock(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["study.lock"]


def test_versions_are_of_what_is_installed() -> None:
    import optuna

    found = versions()
    assert found["optuna"] == optuna.__version__
    assert found["python"] == sys.version.split()[0]
    assert set(found) == {
        "python",
        "r2d-ray",
        "ray",
        "torch",
        "transformers",
        "deepspeed",
        "optuna",
        "datasets",
    }


def test_a_package_that_is_not_there_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-package",))
    assert versions()["no-such-package"] == "not installed"


def git(folder: Path, *words: str) -> str:
    settings = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *settings, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_commit_of_a_checkout_and_whether_it_was_changed(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None
    git(tmp_path, "init")
    assert git_commit(tmp_path) is None
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "a.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    git(tmp_path, "tag", "v1")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_commit(tmp_path) == commit
    assert git_commit(tmp_path / "package") is None
    (tmp_path / "package" / "a.py").write_text("2")
    assert git_commit(tmp_path) == f"{commit}-dirty"


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tmp_path) is None
