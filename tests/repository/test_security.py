"""What docs/security.md promises and no other test proves."""

from __future__ import annotations

import ast
import functools
import json
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, toy_rows

from r2d_ray import tune
from r2d_ray.cli import command, console
from r2d_ray.cli.plans import plan_lines
from r2d_ray.config import build_config
from r2d_ray.data.prepare import open_prepared, prepare
from r2d_ray.distributed.cluster import Capacity, keep_token_private
from r2d_ray.distributed.environment import check_environment, worker_environment
from r2d_ray.errors import EXIT_BAD_INPUT, UserError
from r2d_ray.model.t5 import check_checkpoint, load_weights
from r2d_ray.records import append_jsonl
from r2d_ray.search.plan import StudyPlan, make_plan
from r2d_ray.study.books import save_outcome, trial_record
from r2d_ray.study.folder import StudyFolder
from r2d_ray.study.opening import open_study
from r2d_ray.study.settings import build_settings
from r2d_ray.tracking.callbacks import tracker_callbacks
from r2d_ray.tracking.names import TrackedTrial
from r2d_ray.training.stage import run_stage

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "r2d_ray").rglob("*.py"), *(ROOT / "analysis").rglob("*.py")])
PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
RUNS_OR_UNPICKLES = {
    *("eval", "exec", "compile", "os.system", "torch.load", "np.load", "numpy.load"),
    *("pd.read_pickle", "pandas.read_pickle", "yaml.unsafe_load", "yaml.full_load"),
}
MARKERS = {"question": "Qzvquestion", "context": "Qzvcontext", "rationale": "Qzvrationale"}
SECRET = "zq-secret-of-this-test"
SECRETS = ("HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY")
HOLDS_TEXT = {"prepared", "predictions"}
VOCABULARY = {"tokenizer.json"}  # of a scratch model: pieces of words of the training text


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Clinical text and secrets


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StudyFolder, bytes]]:
    """A study whose every text bears a marker, trained in this process; and all that was said."""
    place = tmp_path_factory.mktemp("marked")
    said = place / "said.log"
    handler = logging.FileHandler(said)
    with pytest.MonkeyPatch.context() as patch, (place / "out").open("a") as out:
        patch.chdir(place)
        for name in SECRETS:
            patch.setenv(name, SECRET)
        root = logging.getLogger()
        before = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        kept = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(out.fileno(), number)
        try:
            with redirect_stdout(out), redirect_stderr(out):
                folder = trained(place, patch)
        finally:
            out.flush()
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)
            root.setLevel(before)
            root.removeHandler(handler)
            handler.close()
        yield folder, said.read_bytes() + (place / "out").read_bytes()


def trained(place: Path, patch: pytest.MonkeyPatch) -> StudyFolder:
    rows = [
        {
            "id": row.id,
            "question": f"{MARKERS['question']} {row.question}",
            "context": f"{MARKERS['context']} {row.context}",
            "rationale": f"{MARKERS['rationale']} {row.rationales['human']}",
            "label": row.label,
            "split": split,
        }
        for split in ("train", "validation", "test")
        for row in toy_rows(split, 12)
    ]
    (place / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan = planned()
    screen = console.screen(to_stderr=True)
    console.say_lines(screen, plan_lines(plan, Capacity(1, 0), 1))
    folder = open_study("studies", "s", plan.info, "auto").folder
    prepared = open_prepared(prepare(plan.splits, plan.config, folder.prepared_dir))
    trial = folder.trial_dir(0)
    tracked = TrackedTrial.of(folder.root, plan.info, ("tensorboard",), 0)
    for stage in ("stage1", "stage2"):
        run_stage(
            plan.config,
            prepared,
            "stage1" if stage == "stage1" else "stage2",
            output_dir=trial / stage,
            best_dir=trial / "best",
            callbacks=tracker_callbacks(tracked, stage, 0, plan.config),
        )
    record = trial_record(plan.info, 0, {}, "done", metrics={"macro_f1": 0.5})
    save_outcome(folder, record, 0.0)
    append_jsonl(folder.records_path, record)
    return folder


def planned() -> StudyPlan:
    overrides = {**TINY, "max_steps": 4, "eval_steps": 2, "stage1_max_steps": 2}
    asked = {"dataset": "notes.jsonl", "profile": "embedded", "num_samples": 2}
    return make_plan(build_settings({**asked, "overrides": overrides}))


def holders(folder: Path, text: str) -> set[str]:
    """Return the files below that hold the text, paths within the folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)) for p in found if text.encode() in p.read_bytes()}


@pytest.mark.parametrize("marker", MARKERS.values(), ids=list(MARKERS))
def test_no_text_of_a_row_is_in_logs_events_records_or_tensorboard(
    marked: tuple[StudyFolder, bytes], marker: str
) -> None:
    folder, said = marked
    assert b"trial 0" in said  # it is the output
    assert list(folder.root.rglob("events.out.tfevents.*"))
    assert marker.encode() not in said
    paths = [Path(name) for name in holders(folder.root, marker)]
    assert {p for p in paths if p.parts[0] not in HOLDS_TEXT and p.name not in VOCABULARY} == set()


def test_a_text_that_is_stored_would_be_found(marked: tuple[StudyFolder, bytes]) -> None:
    folder, _ = marked
    rationales = holders(folder.root, MARKERS["rationale"])
    assert any(name.startswith("prepared/") for name in rationales)
    assert "study.json" in holders(folder.root, "notes.jsonl")


def test_no_secret_of_the_environment_is_stored_or_passed_on(
    marked: tuple[StudyFolder, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, said = marked
    assert holders(folder.root, SECRET) == set()
    assert SECRET.encode() not in said
    for name in SECRETS:
        monkeypatch.setenv(name, SECRET)
    assert SECRET not in worker_environment(build_config({})).values()


def test_no_pickle_of_the_trainers_arguments_is_left(marked: tuple[StudyFolder, bytes]) -> None:
    assert not list(marked[0].root.rglob("training_args.bin"))
    assert list(marked[0].root.rglob("model.safetensors"))


@pytest.mark.parametrize("address", ["http://u:p@host:5000", "https://token@host/x"])
def test_a_password_in_the_trackers_address_is_refused_and_not_repeated(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert tune.main(["--dataset", "bioasq", "--dry-run"]) == EXIT_BAD_INPUT
    out, error = capsys.readouterr()
    assert error.startswith("error: MLFLOW_TRACKING_URI ")
    assert "@" not in out + error


def test_a_trackers_plain_address_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:/mlruns/a@b")
    check_environment()
    assert worker_environment(build_config({}))["MLFLOW_TRACKING_URI"] == "file:/mlruns/a@b"
    assert set(worker_environment(build_config({}))) <= {
        *("TOKENIZERS_PARALLELISM", "DS_ACCELERATOR", "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE"),
        *("HF_HOME", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"),
        *("WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_BASE_URL", "WANDB_DIR"),
    }


# Folders and the cluster's token


def test_a_study_is_private_whatever_the_umask(
    marked: tuple[StudyFolder, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(marked[0].root.parents[1])
    info = planned().info
    before = os.umask(0)
    try:
        folder = open_study(str(tmp_path), "s", info, "auto").folder
    finally:
        os.umask(before)
    assert mode(folder.root) == 0o700


def test_the_token_is_for_its_user_only_and_stays(tmp_path: Path) -> None:
    token = tmp_path / ".ray" / "auth_token"
    before = os.umask(0)
    try:
        keep_token_private(token)
    finally:
        os.umask(before)
    assert (mode(token), mode(token.parent)) == (0o600, 0o700)
    assert len(bytes.fromhex(token.read_text())) == 32
    made = token.read_text()
    token.chmod(0o644)
    keep_token_private(token)
    assert (mode(token), token.read_text()) == (0o600, made)
    assert os.listdir(token.parent) == ["auth_token"]


def test_processes_that_start_at_once_agree_on_one_token(tmp_path: Path) -> None:
    token = tmp_path / "auth_token"
    seen: list[str] = []

    def start() -> None:
        keep_token_private(token)
        seen.append(token.read_text())

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


# Code from data


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def calls(path: Path) -> Iterator[ast.Call]:
    yield from (node for node in nodes(path) if isinstance(node, ast.Call))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0])
    return names


def test_nothing_imports_a_pickle_reader() -> None:
    assert {
        path.name: imported(path) & PICKLES for path in SOURCES if imported(path) & PICKLES
    } == {}


def test_nothing_runs_or_unpickles_what_it_read() -> None:
    found = {(path.name, ast.unparse(call.func)) for path in SOURCES for call in calls(path)}
    assert {(name, call) for name, call in found if call in RUNS_OR_UNPICKLES} == set()
    loaders = {name for name, call in found if call in ("yaml.load", "yaml.load_all")}
    assert loaders == {"storage.py"}


def test_models_are_loaded_without_their_code_and_from_safetensors_only() -> None:
    loads = [
        (path.name, call)
        for path in SOURCES
        for call in calls(path)
        if ast.unparse(call.func).endswith(".from_pretrained")
    ]
    given = {name for name, call in loads for kw in call.keywords if kw.arg == "trust_remote_code"}
    assert given == {"t5.py"}
    for name, call in loads:
        words = {kw.arg: ast.unparse(kw.value) for kw in call.keywords}
        assert words.get("trust_remote_code", "False") == "False"
        assert "Model" not in ast.unparse(call.func) or words["use_safetensors"] == "True", name


@pytest.fixture
def model_with_code(tmp_path: Path) -> Path:
    """A model folder whose code, if it ran, would leave a file."""
    code = f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\nclass C: pass\n"
    (tmp_path / "code.py").write_text(code)
    described = {"model_type": "own", "auto_map": {"AutoConfig": "code.C", "AutoModel": "code.C"}}
    (tmp_path / "config.json").write_text(json.dumps(described))
    return tmp_path


@pytest.mark.parametrize(
    "load",
    [lambda path: check_checkpoint(build_config({"model": path})), load_weights],
    ids=["config", "weights"],
)
def test_a_models_own_code_is_refused_and_not_run(
    model_with_code: Path, load: Callable[[str], Any]
) -> None:
    with pytest.raises(UserError, match="--model") as caught:
        load(str(model_with_code))
    assert "\n" not in str(caught.value)
    assert not (model_with_code / "ran").exists()


# The terminal


def test_no_line_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_lines(["a\x1b[2J\nb", "c"])
    console.say_lines(console.screen(to_stderr=True), ["\x1b]0;x\x07 [red]y[/]"])
    command.print_error(UserError("x\x9b2J\r" + "y" * 10**6))
    out, error = capsys.readouterr()
    assert out == "a?[2J?b\nc\n"
    first, second = error.splitlines()
    assert first == "?]0;x? [red]y[/]"
    assert second.isprintable()
    assert len(second) < 1100
