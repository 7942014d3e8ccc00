"""`python -m r2d_ray.export`: what goes where, what stays, what is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from best_study import write_study
from huggingface_hub import constants
from transformers import AutoModelForSeq2SeqLM
from upload_hub import Hub, serve

from r2d_ray.errors import EXIT_BAD_INPUT, EXIT_DONE
from r2d_ray.export import main
from r2d_ray.study.model_file import read_model_file

TOKEN = "hf_secret-of-this-test"
PRIVATE_TEXT = "Mr Doe fell down the stairs."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, prepared_dir: Path) -> Path:
    root = write_study(tmp_path_factory.mktemp("made") / "notes", prepared_dir)
    for place in ("predictions/best-test.jsonl", "prepared/ab/rows.arrow", "best/notes.csv"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(PRIVATE_TEXT)
    return root


@pytest.fixture
def study(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study in the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path / "notes")
    return tmp_path / "notes"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # of the hub alone
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield found


def test_a_folder_gets_the_model_its_card_and_nothing_else(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["notes", "--to", "out/model", "--licence", "cc-by-4.0"]) == EXIT_DONE
    target = Path("out/model")
    names = sorted(path.name for path in target.iterdir())
    assert names == sorted({path.name for path in (study / "best").iterdir()} - {"notes.csv"})
    AutoModelForSeq2SeqLM.from_pretrained(target)
    assert read_model_file(target).labels == ["yes", "no"]
    card = (target / "README.md").read_text()
    assert "license: cc-by-4.0" in card
    assert "| this model | 0.750 | 0.750 |" in card
    size = sum(path.stat().st_size for path in target.iterdir()) / 1e6
    assert capsys.readouterr().out == (
        f"left out, no part of a model: notes.csv\n{len(names)} files, {size:,.1f} MB: out/model\n"
    )


def test_a_killed_export_leaves_no_half_and_the_same_command_goes_on(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Path.write_bytes

    def killed(path: Path, data: bytes) -> int:
        if path.name == "config.json":
            raise KeyboardInterrupt
        return written(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            main(["notes", "--to", "out"])
    assert not Path("out").exists()
    Path(".out.part").mkdir()  # of a process that could not clear up
    assert main(["notes", "--to", "out"]) == EXIT_DONE
    assert not list(Path().glob(".out*"))


def test_an_empty_folder_is_taken_and_its_mode_does_not_matter(study: Path) -> None:
    Path("out").mkdir(mode=0o700)
    assert main(["notes", "--to", "out"]) == EXIT_DONE
    assert Path("out/model.safetensors").is_file()


def test_a_models_path_on_this_machine_stays_here(study: Path) -> None:
    path = study / "best" / "r2d_ray.json"
    values = json.loads(path.read_text())
    values["config"]["model"] = "/home/me/my-t5"
    path.write_text(json.dumps(values))
    assert main(["notes", "--to", "out"]) == EXIT_DONE
    assert read_model_file(Path("out")).config.model == "my-t5"


def test_what_others_may_find_in_a_tokenizer_is_said(
    tmp_path: Path, prepared_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(tmp_path / "own", prepared_dir, provenance={"kind": "file", "address": "n.csv"})
    assert main([str(tmp_path / "own"), "--to", str(tmp_path / "out")]) == EXIT_DONE
    assert capsys.readouterr().out.startswith(
        "note: the tokenizer of scratch-tiny was made of your training rows: its vocabulary holds "
        "pieces of their words\n"
    )


def cut(study: Path) -> None:
    weights = study / "best" / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no best": (lambda s: shutil.rmtree(s / "best"), "notes: no best model yet (allowed: "),
    "weights cut off": (cut, "model.safetensors cannot be read as safetensors"),
    "no weights": (lambda s: (s / "best/model.safetensors").unlink(), "no safetensors weights"),
    "no tokenizer": (lambda s: (s / "best/tokenizer.json").unlink(), "no tokenizer (allowed: "),
    "no architecture": (lambda s: (s / "best/config.json").write_text("{"), "notes/best"),
    "no description": (lambda s: (s / "best/r2d_ray.json").write_text("3"), "no r2d_ray.json of"),
    "no record": (lambda s: (s / "records.jsonl").write_text(""), "best/ is of trial 0, seed "),
    "no result": (lambda s: (s / "result.json").write_text("3"), "result.json: not a valid result"),
    "no study": (lambda s: (s / "study.json").unlink(), "notes is not a study"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_does_not_leave(
    damage: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    act, said = DAMAGES[damage]
    act(study)
    assert main(["notes", "--to", "out"]) == EXIT_BAD_INPUT
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not Path("out").exists()


REFUSED = {
    "full": (["--to", "full"], "--to full: a folder that is not empty (allowed: a new or empty"),
    "file": (["--to", "full/x"], "--to full/x: not a folder (allowed: a new or empty folder, or"),
    "link": (["--to", "link"], "--to link: not a folder"),
    "public": (["--to", "out", "--public"], "--public: for the hub only, not --to out"),
    "name": (["--to", "hub:a/b/c"], "--to hub:a/b/c: no name of the hub (allowed: USER/NAME)"),
    "licence": (["--to", "out", "--licence", "My own"], "--licence My own: "),
    "nowhere": ([], "arguments are required"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_asked_wrongly_is_refused_in_one_line(
    case: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("full").mkdir()
    Path("full/x").touch()
    Path("link").symlink_to("nowhere")
    argv, said = REFUSED[case]
    try:
        code = main(["notes", *argv])
    except SystemExit as end:
        code = end.code
    error = capsys.readouterr().err
    assert (code, error.count("\n")) == (EXIT_BAD_INPUT, 1), error
    assert said in error or case == "nowhere"
    assert not Path("out").exists()


# The hub


@pytest.mark.parametrize(("flags", "private"), [([], True), (["--public"], False)])
def test_the_hub_gets_the_model_in_one_commit(
    flags: list[str], private: bool, study: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["notes", "--to", "hub:me/notes-t5", *flags]) == EXIT_DONE
    assert hub.private == {"me/notes-t5": private}
    files = hub.files["me/notes-t5"]
    assert main(["notes", "--to", "out"]) == EXIT_DONE
    assert files.pop(".gitattributes") == b""
    assert files == {path.name: path.read_bytes() for path in Path("out").iterdir()}
    assert [line for line in hub.asked if "/commit/" in line] == [
        "POST /api/models/me/notes-t5/commit/main"
    ]
    out, error = capsys.readouterr()
    word = "private" if private else "public"
    assert f"MB: {hub.address}/me/notes-t5 ({word})\n" in out
    assert hub.tokens <= {f"Bearer {TOKEN}", ""}
    assert TOKEN not in out + error
    sent = b"".join(files.values())
    assert PRIVATE_TEXT.encode() not in sent


def test_an_upload_that_broke_off_is_finished_by_the_same_command(
    study: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.refuse = "/commit/"
    assert main(["notes", "--to", "hub:me/t5"]) == EXIT_BAD_INPUT
    error = capsys.readouterr().err
    assert error.startswith("error: --to hub:me/t5: the hub does not take it: ")
    assert "403" in error
    assert error.count("\n") == 1
    assert TOKEN not in error
    hub.refuse = ""
    hub.asked.clear()
    assert main(["notes", "--to", "hub:me/t5"]) == EXIT_DONE
    assert "model.safetensors" in hub.files["me/t5"]
    assert not [line for line in hub.asked if line.startswith("PUT")], "weights were there"


def test_a_model_of_the_hub_with_files_or_readers_is_not_touched(
    study: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.files = {"me/old": {".gitattributes": b"", "README.md": b"old"}, "me/open": {}}
    hub.private = {"me/old": True, "me/open": False}
    assert main(["notes", "--to", "hub:me/old"]) == EXIT_BAD_INPUT
    said = "error: --to hub:me/old: 1 file there already (allowed: a new name)\n"
    assert capsys.readouterr().err == said
    assert hub.files["me/old"]["README.md"] == b"old"
    assert main(["notes", "--to", "hub:me/open"]) == EXIT_BAD_INPUT
    assert "it is public (allowed: with --public, or a new name)" in capsys.readouterr().err
    assert hub.files["me/open"] == {}


def test_without_a_token_or_network_nothing_is_asked(
    study: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere")
    monkeypatch.delenv("HF_TOKEN")
    assert main(["notes", "--to", "hub:me/t5"]) == EXIT_BAD_INPUT
    assert "no token (allowed: HF_TOKEN, or after `hf auth login`)" in capsys.readouterr().err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["notes", "--to", "hub:me/t5"]) == EXIT_BAD_INPUT
    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err
    assert hub.asked == []
